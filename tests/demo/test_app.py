"""The browser app: what it does without a browser, and in one, if there is one."""

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from sot.visualization import VideoWriter

DEMO = os.path.join(os.path.dirname(__file__), "..", "..", "demo")
CLIP = os.path.join(DEMO, "cups.mp4")


@pytest.fixture
def session(monkeypatch, tmp_path):
    """Of a video of twelve frames, in which a bright square of 30 pixels moves by 3 a frame."""
    monkeypatch.syspath_prepend(DEMO)
    path, writer = str(tmp_path / "clip.mp4"), VideoWriter(str(tmp_path / "clip.mp4"), 25)
    for i in range(12):
        image = np.full((120, 160, 3), 40, np.uint8)
        cv2.rectangle(image, (40 + 3 * i, 50), (69 + 3 * i, 79), (60, 200, 240), -1)
        writer.write(image)
    writer.close()
    session = importlib.import_module("app_session").Session(path)
    yield session
    session.close()
    assert not os.path.exists(session.folder)


def draw(session, target, frame, x, y, w, h):
    session.click(target, frame, x + w, y)  # any two opposite corners
    session.click(target, frame, x, y + h)


class TestBoxes:
    def test_two_clicks_are_a_box(self, session):
        assert "opposite corner" in session.click(0, 3, 60, 80)
        assert session.click(0, 3, 40, 50) == "Target 0 has a box in frame 3."
        assert session.boxes == [{3: (40, 50, 20, 30)}] and session.corner is None

    def test_a_corner_in_another_frame_begins_anew(self, session):
        session.click(0, 3, 60, 80)
        session.click(0, 4, 10, 10)
        assert session.corner == (4, 10, 10) and session.boxes == [{}]

    def test_a_box_without_area_is_refused(self, session):
        session.click(0, 0, 60, 80)
        with pytest.raises(ValueError, match="size"):
            session.click(0, 0, 60, 90)
        assert session.boxes == [{}] and session.corner is None

    def test_targets(self, session):
        assert session.add_target() == 0  # the first one has no box yet
        draw(session, 0, 0, 40, 50, 30, 30)
        assert session.add_target() == 1 and session.add_target() == 1
        session.remove(0, 0)
        assert session.boxes == [{}, {}]

    def test_the_command_line(self, session):
        with pytest.raises(ValueError, match="draw a box first"):
            session.arguments()
        draw(session, 0, 6, 58, 50, 30, 30)
        draw(session, 0, 2, 46, 50, 30, 30)
        draw(session, session.add_target(), 4, 10, 10, 20, 20)
        words = session.arguments()
        assert words[4:12] == [
            *("--init-box", "46.000,50.000,30.000,30.000@2"),
            *("--reinit", "0:6:58.000,50.000,30.000,30.000"),
            *("--init-box", "10.000,10.000,20.000,20.000@4"),
            *("--start", "2"),
        ]


class Pictures:
    def __init__(self):
        self.shown = []

    def show(self, picture):
        self.shown.append(picture)
        return True


def test_tracks_corrects_and_saves(session):
    draw(session, 0, 0, 40, 50, 30, 30)
    draw(session, 0, 11, 73, 50, 30, 30)  # a correction, on the square
    pictures = Pictures()
    assert session.track(pictures) == 0
    assert [picture.shape for picture in pictures.shown] == [(120, 160, 3)] * 12
    assert sorted(session.labels) == list(range(12))
    first, last = session.labels[0][0], session.labels[11][0]
    assert (first.x, first.w, last.x) == (40, 30, 73)
    names = [os.path.basename(path) for path in session.files()]
    assert names == ["tracked.mp4", "boxes.csv", "boxes.json", "labels.zip"]
    with zipfile.ZipFile(session.files()[-1]) as archive:
        assert {"mot.txt", "vot/target_0.txt"} <= set(archive.namelist())
    white = (session.draw(0) == 255).all(axis=2).sum()
    assert white > 50 and session.draw(0).shape == (120, 160, 3)
    assert len(session.plot(3).axes[0].lines[0].get_xdata()) == 12


def test_next_doubt(session):
    label = importlib.import_module("app_session").Label
    doubts = {(3, 0): "uncertain", (4, 0): "lost", (8, 1): "uncertain"}
    session.labels = {
        f: {t: label(f, t, 1, 1, 9, 9, 0.5, doubts.get((f, t), "tracked"), "") for t in (0, 1)}
        for f in range(12)
    }
    assert [session.next_doubt(f) for f in (0, 3, 4, 8)] == [(3, 0), (8, 1), (8, 1), (3, 0)]
    session.labels = {}
    assert session.next_doubt(0) is None


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_a_file_that_is_no_video(content, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(DEMO)
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises((ValueError, OSError), match="x.mp4"):
        importlib.import_module("app_session").Session(str(tmp_path / "x.mp4"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def address(tmp_path):
    pytest.importorskip("gradio")
    port, log = free_port(), tmp_path / "app.log"
    with open(log, "w") as out:
        command = [sys.executable, "app.py", "--port", str(port)]
        app = subprocess.Popen(command, cwd=DEMO, stdout=out, stderr=out)
    try:
        for _ in range(240):
            assert app.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}")
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait()


@pytest.mark.slow
def test_in_a_browser(address, tmp_path):
    """Choose the clip, draw the boxes of two targets, track, correct one, track again, download."""
    playwright = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium")
    shots = os.environ.get("SCREENSHOTS")  # a folder for pictures to look at
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1300, "height": 1100})
        page.goto(address)
        page.set_input_files("input[type=file]", CLIP)
        message = page.locator("#message")
        playwright.expect(message).to_contain_text("200 frames", timeout=60_000)
        picture = page.locator(".image-frame img, [data-testid=image] img, button img").first

        def click_corners(x, y, w, h):
            shown = picture.bounding_box()
            factor = min(shown["width"] / 640, shown["height"] / 360, 1)  # it is not enlarged
            left = shown["x"] + (shown["width"] - 640 * factor) / 2
            top = shown["y"] + (shown["height"] - 360 * factor) / 2
            page.mouse.click(left + x * factor, top + y * factor)
            playwright.expect(message).to_contain_text("Now click", timeout=60_000)
            page.mouse.click(left + (x + w) * factor, top + (y + h) * factor)
            playwright.expect(message).to_contain_text("has a box", timeout=60_000)

        def track():
            page.get_by_role("button", name="Track").click()
            playwright.expect(message).to_contain_text("Tracking", timeout=60_000)
            playwright.expect(message).to_contain_text("Done: 200 frames", timeout=300_000)

        def download(name):
            with page.expect_download() as event:
                page.locator(f"a[download='{name}']").click()
            return Path(event.value.path())

        click_corners(45, 161, 135, 125)
        page.get_by_role("button", name="Add a target").click()
        click_corners(327, 234, 113, 88)
        track()
        if shots:
            page.screenshot(path=f"{shots}/tracked.png")
        page.get_by_role("button", name="Next doubt").click()
        playwright.expect(message).to_contain_text("is in doubt in frame", timeout=60_000)
        frame = page.get_by_label("number input for Frame number")
        frame.fill("150")
        frame.press("Enter")
        page.wait_for_timeout(2000)
        click_corners(300, 100, 60, 60)  # for the target that was in doubt
        track()
        if shots:
            page.screenshot(path=f"{shots}/corrected.png")
        boxes = json.loads(download("boxes.json").read_text())["boxes"]
        found = {(row["target"], row["frame"]): [row[k] for k in "xywh"] for row in boxes}
        for place, box in (((0, 0), [45, 161, 135, 125]), ((1, 150), [300, 100, 60, 60])):
            assert np.abs(np.subtract(found[place], box)).max() < 4, (place, found[place])
        with zipfile.ZipFile(download("labels.zip")) as labels:
            text = {Path(name).name: labels.read(name).decode() for name in labels.namelist()}
        assert text["cvat.xml"].count("<track ") == 2
        assert len(text["mot.txt"].splitlines()) > 200
        chromium.close()
