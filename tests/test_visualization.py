import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from sot.visualization import (
    VideoWriter,
    Window,
    draw_box,
    draw_frame_number,
    draw_target,
    target_color,
)

RED = (0, 0, 255)


class TestDrawBox:
    def test_border_pixels_of_a_continuous_box(self):
        image = np.zeros((20, 30, 3), np.uint8)
        draw_box(image, (5, 4, 12, 9), RED)  # covers pixels 5..11 x 4..8
        rows, columns = np.nonzero(image.any(axis=2))
        assert (columns.min(), columns.max(), rows.min(), rows.max()) == (5, 11, 4, 8)
        assert len(rows) == 2 * 7 + 2 * 3  # an outline, one pixel wide
        assert image[4, 5].tolist() == [0, 0, 255]

    @pytest.mark.parametrize(
        "box", [(np.nan,) * 4, (-50, -50, 900, 900), (40, 40, 60, 60), (0, 0, 1e12, np.inf)]
    )
    def test_nothing_to_see_from_absent_and_far_boxes(self, box):
        image = np.zeros((20, 30, 3), np.uint8)
        draw_box(image, box, RED)
        assert not image.any()

    def test_lost_target_is_dashed(self):
        image = np.zeros((120, 160, 3), np.uint8)
        draw_target(image, 1, (20, 40, 51, 90), 0.123, "lost")
        edge = image[89, 20:51].any(axis=1)  # one pixel wide, in dashes of 5
        assert edge.tolist() == [*([True] * 5 + [False] * 5) * 3, True]
        assert image[89, 20].tolist() == [255, 144, 30]

    @pytest.mark.parametrize(
        "status, label",
        [("tracked", "1: 0.12"), ("uncertain", "1: 0.12?"), ("lost", "1: 0.12 lost")],
    )
    def test_label_says_the_status(self, monkeypatch, status, label):
        labels = []
        monkeypatch.setattr("sot.visualization.draw_label", lambda *args: labels.append(args[1]))
        draw_target(np.zeros((120, 160, 3), np.uint8), 1, (20, 40, 51, 90), 0.123, status)
        assert labels == [label]

    def test_frame_number_is_black_on_white(self):
        image = np.full((120, 160, 3), 80, np.uint8)
        draw_frame_number(image, 1234)
        corner = image[106:, :30]
        assert corner.max() == 255 and corner.min() == 0
        assert (image[:90] == 80).all() and (image[:, 60:] == 80).all()

    def test_label_stays_inside(self):
        image = np.zeros((120, 160, 3), np.uint8)
        draw_box(image, (150, 2, 158, 10), RED, "0: 0.93")
        assert (image[:10, 100:140] == RED).all(axis=2).any()

    def test_colors_repeat(self):
        assert target_color(0) != target_color(1)
        assert target_color(0) == target_color(6)


def write(path, images, times=None, **kwargs):
    with VideoWriter(str(path), **{"fps": 25.0, **kwargs}) as writer:
        for image, time in zip(images, times or [None] * len(images)):
            writer.write(image, time)


def blank(height, width, level=200):
    return np.full((height, width, 3), level, np.uint8)


class TestVideoWriter:
    def test_plays_in_a_browser(self, tmp_path):
        path = tmp_path / "a.mp4"
        write(path, [blank(48, 64)] * 7, fps=29.97)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert (stream.width, stream.height) == (64, 48)
            assert stream.average_rate == pytest.approx(29.97, abs=1e-3)
            assert len(list(container.decode(stream))) == 7

    def test_odd_size_grows_by_one_black_pixel(self, tmp_path):
        write(tmp_path / "a.mp4", [blank(47, 63)])
        (image,) = read(tmp_path / "a.mp4")
        assert image.shape == (48, 64, 3)
        assert image[:40, :56].mean() == pytest.approx(200, abs=4)
        assert image[47].mean() < 60 and image[:, 63].mean() < 60

    def test_first_frame_sets_the_size(self, tmp_path):
        write(tmp_path / "a.mp4", [blank(48, 64), blank(96, 64), blank(24, 16)])
        first, tall, small = read(tmp_path / "a.mp4")
        assert first.shape == tall.shape == small.shape == (48, 64, 3)
        # 96 x 64 -> 48 x 32, 24 x 16 -> 48 x 32, black beside
        for image in (tall, small):
            assert image[:, :30].mean() == pytest.approx(200, abs=5)
            assert image[:, 34:].mean() < 10

    @pytest.mark.parametrize("fps", [Fraction(1, 3600), Fraction(30000, 1001), 2000])
    def test_any_rate(self, tmp_path, fps):
        write(tmp_path / "a.mp4", [blank(48, 64)] * 3, fps=fps)
        with av.open(str(tmp_path / "a.mp4")) as container:
            times = [frame.time for frame in container.decode(video=0)]
        assert times == pytest.approx([0, 1 / fps, 2 / fps], rel=1e-4)

    def test_times(self, tmp_path):
        write(tmp_path / "a.mp4", [blank(48, 64)] * 4, times=[0, 0.1, 0.5, 0.5])
        with av.open(str(tmp_path / "a.mp4")) as container:
            times = [frame.time for frame in container.decode(video=0)]
        assert times == pytest.approx([0.0, 0.1, 0.5, 0.5], abs=1e-4)
        assert times[3] > times[2]

    def test_pixel_aspect(self, tmp_path):
        write(tmp_path / "a.mp4", [blank(48, 64)], aspect=Fraction(4, 3))
        with av.open(str(tmp_path / "a.mp4")) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)

    @pytest.mark.parametrize("size, written", [((10, 17000), (2, 4096)), ((1, 1), (2, 2))])
    def test_extreme_sizes(self, tmp_path, size, written):
        write(tmp_path / "a.mp4", [blank(*size)])
        assert read(tmp_path / "a.mp4")[0].shape[:2] == written

    def test_plays_after_a_kill(self, tmp_path):
        code = (
            "import os, sys, numpy as np; from sot.visualization import VideoWriter\n"
            "writer = VideoWriter(sys.argv[1], 25)\n"
            "for i in range(40): writer.write(np.full((48, 64, 3), 5 * i, np.uint8))\n"
            "os.kill(os.getpid(), 9)"
        )
        path = tmp_path / "12:30.mp4"
        assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
        assert len(read(path)) >= 39


def read(path):
    with av.open(f"file:{path}") as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


class TestWindow:
    def test_no_screen(self, monkeypatch):
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(ValueError, match="DISPLAY"):
            Window("test")

    def test_opencv_without_windows(self, monkeypatch):
        def headless(title):
            raise cv2.error("The function is not implemented")

        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(cv2, "namedWindow", headless)
        with pytest.raises(ValueError, match="install opencv-python"):
            Window("test")

    def test_keys_and_box(self, monkeypatch):
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(cv2, "namedWindow", lambda title: None)
        monkeypatch.setattr(cv2, "imshow", lambda title, image: None)
        keys = iter([-1, ord("x"), ord("q"), 27])
        monkeypatch.setattr(cv2, "waitKey", lambda delay: next(keys))
        window = Window("test")
        assert [window.show(blank(8, 8)) for _ in range(4)] == [True, True, False, False]
        monkeypatch.setattr(cv2, "selectROI", lambda *a, **k: (1, 2, 3, 4))
        assert window.ask_box(blank(8, 8)) == (1, 2, 3, 4)
        monkeypatch.setattr(cv2, "selectROI", lambda *a, **k: (0, 0, 0, 0))
        with pytest.raises(ValueError, match="no box"):
            window.ask_box(blank(8, 8))
