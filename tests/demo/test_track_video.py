import csv
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sot.data.frame_source import Frame
from sot.data.live import LiveSource
from sot.utils.locks import FolderLock
from sot.visualization import VideoWriter

DEMO = Path(__file__).parents[2] / "demo"
sys.path.insert(0, str(DEMO))
import track_results  # noqa: E402
import track_video  # noqa: E402


class FakeSource:
    fps, aspect = 10, 1


@dataclass(frozen=True)
class State:
    box: np.ndarray
    score: float
    status: str


class FakeTracker:
    """Moves each target by 3 pixels a frame to the right; unsure of frames that are dark."""

    class model:
        device = "cpu"

    engine = "torch"

    def __init__(self, at_step=None):
        self.steps, self.at_step = 0, at_step or {}

    def start(self, image, box):
        if box[0] >= image.shape[1]:
            raise ValueError(f"box x={box[0]:g} lies outside the image")
        return State(np.asarray(box, float), 1.0, "init")

    def step_all(self, image, states):
        self.steps += 1
        self.at_step.get(self.steps, lambda: None)()
        status = "tracked" if image.mean() > 50 else "uncertain"
        return [replace(s, box=s.box + [3, 0, 3, 0], score=0.75, status=status) for s in states]


@pytest.fixture
def fake(monkeypatch):
    """Let the script build a fake; returns it."""
    tracker = FakeTracker()
    monkeypatch.setattr(track_video, "build_tracker", lambda cfg, weights, device: tracker)
    return tracker


@pytest.fixture
def clip(tmp_path):
    """Ten frames of 64 x 48, the last three dark."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(str(path), 10) as writer:
        for i in range(10):
            writer.write(np.full((48, 64, 3), 120 if i < 7 else 10, np.uint8))
    return path


@pytest.fixture(autouse=True)
def _threads_of_opencv():
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)


def run(clip, out, *args, stop=None):
    boxes = [] if any(a.startswith("--init-box") for a in args) else ["--init-box", "5,6,20,10"]
    command = ["--input", str(clip), "--output", str(out), *boxes, *args]
    return track_video.main(command, stop or threading.Event())


def rows(out):
    with open(out / "boxes.csv", newline="") as f:
        return list(csv.DictReader(f))


def num_video_frames(out):
    with av.open(str(out / "tracked.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return sum(1 for _ in container.decode(video=0))


class TestFiles:
    def test_one_row_for_each_frame_and_target(self, fake, clip, tmp_path):
        out = tmp_path / "new" / "out"
        assert run(clip, out, "--init-box", "5,6,20,10", "--init-box", "-2.5,0,8,8") == 0
        lines = (out / "boxes.csv").read_text().splitlines()
        assert lines[:5] == [
            "frame,target,x,y,w,h,score,status,time,name,raw_score",
            "0,0,5.000,6.000,20.000,10.000,1.0000,init,0.000000,,1.0000",
            "0,1,-2.500,0.000,8.000,8.000,1.0000,init,0.000000,,1.0000",
            "1,0,8.000,6.000,20.000,10.000,0.7500,tracked,0.100000,,0.7500",
            "1,1,0.500,0.000,8.000,8.000,0.7500,tracked,0.100000,,0.7500",
        ]
        assert lines[-1] == "9,1,24.500,0.000,8.000,8.000,0.7500,uncertain,0.900000,,0.7500"
        assert len(lines) == 1 + 2 * 10
        assert num_video_frames(out) == 10

    def test_json_says_the_same_and_where_it_comes_from(self, fake, clip, tmp_path):
        run(clip, tmp_path, "TEST.TRACKER.PENALTY_K", "0.1")
        result = json.loads((tmp_path / "boxes.json").read_text())
        assert result["boxes"][1] == {
            "frame": 1,
            "target": 0,
            "x": 8.0,
            "y": 6.0,
            "w": 20.0,
            "h": 10.0,
            "score": 0.75,
            "status": "tracked",
            "time": 0.1,
            "name": "",
            "raw_score": 0.75,
        }
        assert len(result["boxes"]) == 10
        assert result["source"] == str(clip)
        assert result["config"] == "SiamRPN/siamrpn_lite.yaml"
        assert result["opts"] == ["TEST.TRACKER.PENALTY_K", "0.1"]
        assert (result["fps"], result["width"], result["height"]) == (10.0, 64, 48)
        assert (result["frames"], result["skipped"], result["interrupted"]) == (10, [], False)
        assert result["init_boxes"] == [[5, 6, 20, 10]]
        assert {"sot", "torch", "detectron2"} <= set(result["versions"])

    def test_drawn_in_the_color_of_the_target(self, fake, clip, tmp_path):
        run(clip, tmp_path, "--max-frames", "1", "--init-box", "5,26,40,20")
        with av.open(str(tmp_path / "tracked.mp4")) as container:
            image = next(container.decode(video=0)).to_ndarray(format="bgr24").astype(int)
        red_minus_blue = image[..., 2] - image[..., 0]
        assert red_minus_blue[45, 10:40].mean() > 60  # the lower edge, yellow on gray
        assert abs(red_minus_blue[35, 10:40]).mean() < 10  # inside

    def test_number_of_the_frame_in_the_lower_left_corner(self, fake, clip, tmp_path):
        run(clip, tmp_path, "--start", "8")
        with av.open(str(tmp_path / "tracked.mp4")) as container:
            dark = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
        assert dark[-10:, :6].mean() > 150 and dark[-10:, 20:].mean() < 40  # black on white

    def test_doubts_are_counted_and_named(self, tmp_path):
        """Each second frame is tracked, and frame 2 does not decode."""
        statuses = ["uncertain"] * 3 + ["tracked", "uncertain", "lost", "lost", "tracked"]
        rows = [[status, "tracked", "uncertain"] for status in statuses]
        found = [
            {k: State(np.zeros(4), 0.5, status) for k, status in enumerate(row)} for row in rows
        ]
        frames = [Frame(2 * i, "", None if i == 1 else np.zeros((9, 9, 3))) for i in range(8)]
        results = track_results.Results(tmp_path, FakeSource, range(99), {}, video=False)
        with results:
            for frame, states in zip(frames, found):
                results.add(frame, states)
        assert results.doubt_lines() == [
            "target 0: uncertain in 3 frames (0, 4, 8), lost in 2 (10-12)",
            "target 2: uncertain in 7 frames (0, 4-14)",
        ]

    def test_other_formats_and_no_video(self, fake, clip, tmp_path, capsys):
        args = ("--save", "mot", "--save", "cvat", "--no-video", "--label", "car")
        assert run(clip, tmp_path, *args) == 0
        files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
        assert files == {"clip.mp4", "boxes.csv", "boxes.json", "labels/mot.txt", "labels/cvat.xml"}
        first = (tmp_path / "labels" / "mot.txt").read_text().splitlines()[0]
        assert first == "1,1,6.000,7.000,20.000,10.000,1.0000,-1,-1,-1"
        assert '<track id="0" label="car">' in (tmp_path / "labels" / "cvat.xml").read_text()
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2] == "target 0: uncertain in 3 frames (7-9)"
        assert lines[-1].endswith(f"boxes.json, {tmp_path / 'labels'}")

    def test_plots(self, fake, clip, tmp_path, capsys):
        assert run(clip, tmp_path, "--plot") == 0
        assert sorted(os.listdir(tmp_path / "plots")) == ["scores.png", "trajectory_0.png"]
        assert capsys.readouterr().out.endswith(f"boxes.json, {tmp_path / 'plots'}\n")
        run(clip, tmp_path)
        assert capsys.readouterr().out.endswith("boxes.json\n")

    def test_max_frames(self, fake, clip, tmp_path, capsys):
        assert run(clip, tmp_path, "--max-frames", "4") == 0
        assert "target 0:" not in capsys.readouterr().out  # there is no doubt
        assert [r["frame"] for r in rows(tmp_path)] == ["0", "1", "2", "3"]
        assert fake.steps == 3

    def test_unreadable_frame_is_skipped_said_and_counted(self, fake, tmp_path, capsys, caplog):
        folder = tmp_path / "frames"
        folder.mkdir()
        for i in range(5):
            cv2.imwrite(str(folder / f"{i}.png"), np.full((48, 64, 3), 120, np.uint8))
        (folder / "2.png").write_bytes(b"broken")
        out = tmp_path / "out"
        assert run(folder, out) == 3
        got = [(r["frame"], r["x"], r["status"]) for r in rows(out)]
        assert got == [
            ("0", "5.000", "init"),
            ("1", "8.000", "tracked"),
            ("2", "8.000", "skipped"),
            ("3", "11.000", "tracked"),
            ("4", "14.000", "tracked"),
        ]
        assert "2.png skipped" in caplog.text
        assert "5 frames, 1 of them skipped" in capsys.readouterr().out
        assert num_video_frames(out) == 5
        assert json.loads((out / "boxes.json").read_text())["skipped"] == [2]

    def test_other_frame_size_is_said(self, fake, tmp_path, caplog):
        for i, size in enumerate([(48, 64), (48, 64), (30, 40), (64, 48)]):
            cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((*size, 3), 120, np.uint8))
        assert run(tmp_path / "*.png", tmp_path / "out") == 0
        assert [r.getMessage() for r in caplog.records] == [
            "2.png is 40x30, not 64x48 as 0.png: its boxes are in its own pixels, "
            "tracked.mp4 stays as it is",
            "3.png is 48x64, of another shape than 64x48 as 0.png: its boxes are in its own "
            "pixels, tracked.mp4 stays as it is",
        ]
        assert [r["name"] for r in rows(tmp_path / "out")] == ["0.png", "1.png", "2.png", "3.png"]


class TestStop:
    """However a run ends, its files are complete."""

    def check(self, out, frames):
        assert [int(r["frame"]) for r in rows(out)] == list(range(frames))
        assert num_video_frames(out) == frames
        assert len(json.loads((out / "boxes.json").read_text())["boxes"]) == frames

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signal(self, fake, clip, tmp_path, signum):
        def interrupt():
            os.kill(os.getpid(), signum)
            assert stop.wait(10)

        fake.at_step[3] = interrupt
        with track_video.Stop() as stop:
            assert run(clip, tmp_path, stop=stop) == 130
        self.check(tmp_path, 4)
        assert json.loads((tmp_path / "boxes.json").read_text())["interrupted"] is True

    def test_interrupt(self, fake, clip, tmp_path, capsys):
        def interrupt():
            raise KeyboardInterrupt

        fake.at_step[3] = interrupt
        assert run(clip, tmp_path) == 130
        assert capsys.readouterr().err.endswith("error: interrupted\n")
        self.check(tmp_path, 3)

    def test_crash(self, fake, clip, tmp_path):
        def crash():
            raise RuntimeError("out of memory")

        fake.at_step[5] = crash
        with pytest.raises(RuntimeError, match="out of memory"):
            run(clip, tmp_path)
        self.check(tmp_path, 5)

    def test_kill_and_full_disk(self, clip, tmp_path):
        """What is there stays whole; a frame more than the limit allows ends in one line."""
        code = (
            "import os, resource, sys, time; sys.path[:0] = sys.argv[1:3]\n"
            "import track_video, test_track_video as t\n"
            "tracker = t.FakeTracker({5: lambda: eval(sys.argv[5])})\n"
            "track_video.build_tracker = lambda cfg, weights, device: tracker\n"
            "sys.exit(t.run(sys.argv[3], sys.argv[4]))"
        )
        limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))"
        for name, act, code_wanted in (("kill", "os.kill(os.getpid(), 9)", -9), ("full", limit, 1)):
            out = tmp_path / name
            folders = [str(DEMO), str(Path(__file__).parent)]
            command = [sys.executable, "-c", code, *folders, str(clip), str(out), act]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == code_wanted, done.stderr
            frames = [int(r["frame"]) for r in rows(out)]
            assert frames == list(range(len(frames))) and len(frames) >= 5
            result = json.loads((out / "boxes.json").read_text())
            assert len(result["boxes"]) == result["frames"] and result["interrupted"] is True
            assert abs(len(frames) - result["frames"]) <= 1
            assert num_video_frames(out) >= 4
            if code_wanted == 1:
                assert "could not write" in done.stderr and "Traceback" not in done.stderr
            assert run(clip, out, "MODEL.WEIGHTS", "") == 0  # a lock that is left holds nobody up

    def test_two_runs_in_one_folder(self, fake, clip, tmp_path, capsys):
        with FolderLock(tmp_path):
            assert run(clip, tmp_path) == 1
        error = capsys.readouterr().err
        assert f"{tmp_path} is in use by process {os.getpid()} on " in error
        assert run(clip, tmp_path) == 0

    def test_truncated_video(self, fake, tmp_path, caplog):
        clip = tmp_path / "clip.mp4"
        with av.open(str(clip), "w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for level in range(10):
                image = np.full((48, 64, 3), 100 + level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode())
        with av.open(str(clip)) as container:
            positions = [p.pos for p in container.demux(video=0) if p.size]
        clip.write_bytes(clip.read_bytes()[: positions[6]])
        assert run(clip, tmp_path / "out") == 3
        self.check(tmp_path / "out", 6)
        assert "clip.mp4 is cut off: it ends at 0.60 of 1.00 s, after frame 5" in caplog.text


class TestInputsStay:
    """No result takes the place of an input."""

    @pytest.mark.parametrize("link", [None, os.symlink, os.link])
    def test_video(self, fake, clip, tmp_path, capsys, link):
        out = tmp_path / "out"
        out.mkdir()
        if link:
            link(clip, out / "tracked.mp4")
        else:
            clip = clip.rename(out / "tracked.mp4")
        content = clip.read_bytes()
        assert run(clip, out) == 2
        assert "tracked.mp4 is an input of this run" in capsys.readouterr().err
        assert clip.read_bytes() == content and os.listdir(out) == ["tracked.mp4"]

    def test_truth(self, fake, clip, tmp_path):
        (tmp_path / "boxes.csv").write_text("5,6,20,10\n" * 10)
        assert run(clip, tmp_path, "--gt", str(tmp_path / "boxes.csv")) == 2
        assert (tmp_path / "boxes.csv").read_text().startswith("5,6")

    def test_truth_among_labels(self, fake, clip, tmp_path, capsys):
        (tmp_path / "labels").mkdir()
        truth = tmp_path / "labels" / "mot.txt"
        truth.write_text("5,6,20,10\n" * 10)
        assert run(clip, tmp_path, "--gt", str(truth), "--save", "mot") == 2
        assert "mot.txt is an input of this run" in capsys.readouterr().err

    def test_link_to_another_file_is_not_followed(self, fake, clip, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "mine").write_text("mine")
        (tmp_path / "out" / "boxes.csv").symlink_to(tmp_path / "mine")
        assert run(clip, tmp_path / "out") == 0
        assert (tmp_path / "mine").read_text() == "mine"

    def test_folder_with_a_video_twice(self, fake, clip, tmp_path):
        for _ in range(2):
            assert run(tmp_path, tmp_path) == 0


class TestInputs:
    def test_pipe_and_standard_input(self, clip, tmp_path, fake, monkeypatch):
        stream = tmp_path / "clip.ts"
        with av.open(str(clip)) as source, av.open(str(stream), "w") as out:
            copy = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        fill = threading.Thread(target=lambda: pipe.write_bytes(stream.read_bytes()))
        fill.start()
        assert run(pipe, tmp_path / "a") == 0
        fill.join()
        assert len(rows(tmp_path / "a")) == 10  # a file that is poured into a pipe waits
        saved = os.dup(0)
        try:
            with open(stream) as f:
                os.dup2(f.fileno(), 0)
                assert run("-", tmp_path / "b") == 0
        finally:
            os.dup2(saved, 0)
        assert len(rows(tmp_path / "b")) == 10

    @pytest.mark.parametrize("size", [(10, 17000), (1, 30), (35, 47)])
    def test_extreme_sizes(self, fake, tmp_path, size):
        cv2.imwrite(str(tmp_path / "0.png"), np.zeros((*size, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "1.png"), np.zeros((*size, 3), np.uint8))
        assert run(tmp_path, tmp_path / "12:30", "--init-box", "5,0,20,10") == 0
        assert len(rows(tmp_path / "12:30")) == 2

    def test_encoder_fault_costs_no_boxes(self, fake, clip, tmp_path, monkeypatch, caplog):
        def fail(self, image, time):
            raise av.error.InvalidDataError(1, "no such size")

        monkeypatch.setattr(VideoWriter, "write", fail)
        assert run(clip, tmp_path / "out") == 0
        assert len(rows(tmp_path / "out")) == 10
        assert "tracked.mp4 ends before frame 0" in caplog.text

    def test_more_frames_asked_than_there_are(self, fake, clip, tmp_path):
        assert run(clip, tmp_path / "out", "--max-frames", "50") == 0

    def test_names_that_are_no_text(self, fake, tmp_path, capsys):
        name = os.fsdecode(b"a \xff%.png")
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
        os.rename(tmp_path / "a.png", tmp_path / name)
        assert run(tmp_path, tmp_path / name.replace("png", "out")) == 0
        content = (tmp_path / name.replace("png", "out") / "boxes.csv").read_bytes()
        assert content.endswith(b",a \xff%.png,1.0000\n")

    def test_live_source_that_dies(self, fake, tmp_path, monkeypatch, caplog, capsys):
        image = np.full((48, 64, 3), 120, np.uint8)

        class Stream:
            name, fps, aspect, files, problem = "rtsp://***@host/x", 25, 1, [], "broke off: bad"

            def __iter__(self):
                yield Frame(0, "frame 0", image, time=0.0)

            def close(self):
                pass

        live = LiveSource(Stream())
        monkeypatch.setattr(track_video, "open_source", lambda src, stop, wanted: live)
        assert run("rtsp://me:secret@host/x", tmp_path / "out") == 4
        assert "rtsp://***@host/x broke off: bad, after frame 0" in caplog.text
        text = (tmp_path / "out" / "boxes.json").read_text()
        assert "secret" not in text
        result = json.loads(text)
        assert (result["dropped"], result["reconnects"]) == (0, 0) and result["latency"] > 0
        assert "left out, 0 reconnections" in capsys.readouterr().out


def lefts(out):
    """{frame: {target: left border}}"""
    found = {}
    for r in rows(out):
        found.setdefault(int(r["frame"]), {})[int(r["target"])] = float(r["x"])
    return found


class TestCorrections:
    """The fake moves boxes by 3 to the right, also backward in time."""

    def test_blended_between_two_boxes(self, fake, clip, tmp_path):
        args = ["--init-box", "0,6,60,10", "--reinit", "4:4,6,60,10"]
        assert run(clip, tmp_path / "out", *args) == 0
        # as both drifts are taken back: 1 pixel a frame between the boxes
        expected = {i: {0: float(i if i < 5 else 3 * i - 8)} for i in range(10)}
        assert lefts(tmp_path / "out") == expected
        status = [r["status"] for r in rows(tmp_path / "out")]
        assert status == ["init", *["tracked"] * 3, "init", *["tracked"] * 2, *["uncertain"] * 3]
        info = json.loads((tmp_path / "out" / "boxes.json").read_text())
        boxes = {"0": [0, 6, 60, 10], "4": [4, 6, 60, 10]}
        assert info["targets"] == [{"boxes": boxes, "last": None}]
        assert (info["direction"], info["frames"]) == ("between", 10)

    def test_forward_only_and_a_target_of_its_own_time(self, fake, clip, tmp_path):
        args = ["--init-box=5,6,20,10", "--init-box=1,1,9,9@2-4", "--reinit=0:3:40,6,20,10"]
        assert run(clip, tmp_path / "out", *args, "--direction", "forward", "--end", "5") == 0
        assert lefts(tmp_path / "out") == {
            0: {0: 5},
            1: {0: 8},
            2: {0: 11, 1: 1},
            3: {0: 40, 1: 4},
            4: {0: 43, 1: 7},
            5: {0: 46},
        }

    def test_boxes_from_a_file(self, fake, clip, tmp_path, capsys):
        """They come after those of --init-box; rows of MOTChallenge count from 1."""
        file = tmp_path / "mot.txt"
        file.write_text("3,1,2,2,9,9,1,-1,-1,-1\n4,1,5,2,9,9,1,-1,-1,-1\n")
        args = ["--init-box=5,6,20,10", "--init-from", str(file), "--end", "3"]
        assert run(clip, tmp_path / "out", *args) == 0
        assert lefts(tmp_path / "out") == {0: {0: 5}, 1: {0: 8}, 2: {0: 11, 1: 1}, 3: {0: 14, 1: 4}}
        file.write_text("3,1,2,2,9\n")
        capsys.readouterr()
        code = run(clip, tmp_path / "new", *args)
        check_error(capsys, tmp_path / "new", code, 1, f"{file} line 1: class cx cy w h are not")
        file.write_text("1,1,2,2,9,9,1\n30,2,2,2,9,9,1\n")
        code = run(clip, tmp_path / "new", "--init-box=5,6,20,10", "--init-from", str(file))
        words = f"target 2 ({file} line 2), frame 29: the video has 10 frames"
        check_error(capsys, tmp_path / "new", code, 2, words)

    def test_backward_and_both(self, fake, clip, tmp_path):
        box = "--init-box=5,6,20,10@4"
        assert run(clip, tmp_path / "a", box, "--direction", "backward", "--start", "2") == 0
        assert lefts(tmp_path / "a") == {2: {0: 11}, 3: {0: 8}, 4: {0: 5}}
        result = json.loads((tmp_path / "a" / "boxes.json").read_text())
        assert result["frames"] == 8 and len(result["boxes"]) == 3
        args = ("--direction", "backward", "--start", "2", "--reinit", "3:9,6,20,10")
        assert run(clip, tmp_path / "c", box, *args) == 0
        assert lefts(tmp_path / "c") == {2: {0: 12}, 3: {0: 9}, 4: {0: 5}}
        assert run(clip, tmp_path / "b", box, "--direction", "both", "--end", "6") == 0
        assert lefts(tmp_path / "b") == {i: {0: 5 + 3 * abs(i - 4)} for i in range(7)}

    def test_start_and_stride(self, fake, clip, tmp_path):
        assert run(clip, tmp_path / "out", "--start", "1", "--stride", "4") == 0
        assert lefts(tmp_path / "out") == {1: {0: 5}, 5: {0: 8}, 9: {0: 11}}
        assert [r["time"] for r in rows(tmp_path / "out")] == ["0.100000", "0.500000", "0.900000"]
        assert num_video_frames(tmp_path / "out") == 3

    def test_source_that_can_be_read_only_once(self, fake, tmp_path, monkeypatch, capsys):
        class Stream:
            name, fps, aspect, files, problem = "stream", 25, 1, [], ""

            def __iter__(self):
                yield from (Frame(i, "", np.full((48, 64, 3), 120, np.uint8)) for i in range(4))

        def open_source(src, stop, wanted):
            return LiveSource(Stream(), endless=False)

        monkeypatch.setattr(track_video, "open_source", open_source)
        monkeypatch.setattr(Stream, "close", lambda self: None, raising=False)
        monkeypatch.setattr("sot.data.live.HELD", 2)
        assert run("x", tmp_path / "out", "--reinit", "2:40,6,20,10") == 2
        assert "stream can be read only once: use --direction forward" in capsys.readouterr().err


class TestTruth:
    def test_score_of_perfect_boxes(self, fake, clip, tmp_path, capsys):
        lines = [f"{5 + 3 * i}\t6\t20\t10" for i in range(10)]
        lines[4] = "NaN,NaN,NaN,NaN"
        (tmp_path / "gt.txt").write_text("\n".join(lines))
        assert run(clip, tmp_path / "out", "--gt", str(tmp_path / "gt.txt")) == 0
        # an IoU of 1 passes 20 of the 21 thresholds
        assert (
            "success AUC 0.952, precision at 20 px 1.000 (9 frames with a true box)"
            in capsys.readouterr().out
        )

    def test_fewer_boxes_than_frames(self, fake, clip, tmp_path, capsys, caplog):
        # centers off by 3 i pixels: within 20 px up to frame 6; no overlap from frame 7 on
        (tmp_path / "gt.txt").write_text("5 6 20 10\n" * 8)
        assert run(clip, tmp_path / "out", "--gt", str(tmp_path / "gt.txt")) == 0
        assert "precision at 20 px 0.875 (8 frames" in capsys.readouterr().out
        assert "--gt has 8 true boxes for 10 tracked frames" in caplog.text

    def test_truth_of_a_shells_command(self, fake, clip, tmp_path, capsys):
        """--gt <(command) is a pipe."""
        os.mkfifo(tmp_path / "pipe")
        write = (tmp_path / "pipe").write_text
        threading.Thread(target=write, args=("5 6 20 10\n" * 10,), daemon=True).start()
        assert run(clip, tmp_path / "out", "--gt", str(tmp_path / "pipe")) == 0
        assert "(10 frames with a true box)" in capsys.readouterr().out

    @pytest.mark.parametrize("text", ["", "NaN,NaN,NaN,NaN\n" * 10])
    def test_no_true_box(self, fake, clip, tmp_path, capsys, text):
        (tmp_path / "gt.txt").write_text(text)
        assert run(clip, tmp_path / "out", "--gt", str(tmp_path / "gt.txt")) == 0
        assert "no true box in these frames" in capsys.readouterr().out

    def test_unreadable_truth(self, fake, clip, tmp_path, capsys):
        (tmp_path / "gt.txt").write_text("5,6,20,10\nfive\n")
        assert run(clip, tmp_path / "out", "--gt", str(tmp_path / "gt.txt")) == 1
        assert "gt.txt line 2" in capsys.readouterr().err


def check_error(capsys, out, code, expected_code, words):
    error = capsys.readouterr().err
    assert code == expected_code
    assert error.startswith("error: ") and error.count("\n") == 1
    assert words in error
    assert not out.exists()


@pytest.mark.parametrize("args, threads", [([], 1), (["--threads", "2"], 2)])
def test_threads(fake, clip, tmp_path, monkeypatch, args, threads):
    monkeypatch.setattr("sot.utils.cpu.usable_cores", lambda: 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    torch.set_num_threads(2)
    assert run(clip, tmp_path / "out", *args) == 0
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (threads, threads)


class TestErrors:
    def test_pages_that_are_cut_off(self, fake, tmp_path, caplog, recwarn):
        page = Image.new("RGB", (64, 48))  # 9360 bytes in the file
        page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * 5)
        content = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(content[: 3 * 9360 + 1000])
        assert run(tmp_path / "a.tif", tmp_path / "out") == 3
        assert [r["status"] for r in rows(tmp_path / "out")][2:] == ["uncertain", "skipped"]
        assert "a.tif is cut off after 4 pages, after frame 3" in caplog.text
        assert not recwarn.list

    @pytest.mark.parametrize(
        "text, words",
        [
            ("1,2,3", "'1,2,3' is not a box; give four numbers x,y,w,h"),
            ("1,2,3,4,5", "is not a box"),
            ("a,b,c,d", "'a,b,c,d' is not a box"),
            ("", "'' is not a box"),
            ("5,6,0,10", "'5,6,0,10' must have a width and height above 0"),
            ("5,6,20,-10", "above 0"),
            ("nan,6,20,10", "above 0"),
            ("5,6,20,10@", "after the @ comes a frame"),
            ("5,6,20,10@3-", "after the @ comes a frame"),
            ("5,6,20,10@7-3", "its last frame is before its first one"),
        ],
    )
    def test_box_format(self, fake, clip, tmp_path, capsys, text, words):
        out = tmp_path / "out"
        with pytest.raises(SystemExit) as exit:
            run(clip, out, "--init-box", text)
        check_error(capsys, out, exit.value.code, 2, words)

    @pytest.mark.parametrize(
        "args, words",
        [
            ([], "--init-box x,y,w,h is missing"),
            (["--init-box"], "'' is not a box"),
            (["--init-box", "1,2,3,4", "--device", "tpux"], "'tpux' is not a device"),
            (["--init-box", "1,2,3,4", "--max-frames", "0"], "'0' is not a positive whole number"),
            (["--init-box", "1,2,3,4", "--threads", "two"], "'two' is not a positive whole number"),
            (["--init-box", "1,2,3,4", "--label", ""], "'' is no name of a class"),
            (["--init-box", "1,2,3,4", "--threads", "99999"], "99999 is more than the"),
            (["--init-box", "1,2,3,4", "--speed", "9"], "--speed"),
            (["--init-box", "1,2,3,4", "--reinit", "1,2,3,4"], "give FRAME:x,y,w,h, or TARGET"),
            (["--init-box", "1,2,3,4", "--reinit", "5:1,2,3"], "'1,2,3' is not a box"),
            (["--init-box", "1,2,3,4", "--start", "-1"], "'-1' is not a frame number"),
            (["--init-box", "1,2,3,4", "--start", "5", "--end", "4"], "--end 4 comes before"),
            (["--init-box", "1,2,3,4", "--direction", "up"], "invalid choice: 'up'"),
        ],
    )
    def test_usage(self, clip, tmp_path, capsys, args, words):
        out = tmp_path / "out"
        with pytest.raises(SystemExit) as exit:
            track_video.main(["--input", str(clip), "--output", str(out), *args])
        check_error(capsys, out, exit.value.code, 2, words)

    def test_box_outside(self, fake, clip, tmp_path, capsys):
        out = tmp_path / "out"
        code = run(clip, out, "--init-box", "5,6,20,10", "--init-box", "90,6,20,10")
        check_error(capsys, out, code, 2, "target 1, frame 0: box x=90 y=6 w=20 h=10 lies outside")

    @pytest.mark.parametrize(
        "args, words",
        [
            (["--reinit", "10:5,6,20,10"], "target 0, frame 10: the video has 10 frames, 0 to 9"),
            (["--reinit", "4:90,6,20,10"], "target 0, frame 4: box x=90 y=6 w=20 h=10 lies out"),
            (["--reinit", "1:4:5,6,20,10"], "there is no target 1; the last one is 0"),
            (["--reinit", "0:5,6,20,10"], "target 0 has two boxes in frame 0: give one of them"),
            (
                ["--reinit", "3:5,6,20,10", "--stride", "2"],
                "a box in frame 3, which --start, --end",
            ),
            (
                ["--init-box", "5,6,20,10@2-4", "--reinit", "6:5,6,9,9"],
                "but --init-box ends it with frame 4",
            ),
            (
                ["--init-box=5,6,9,9", "--init-box=5,6,9,9", "--reinit", "6:5,6,9,9"],
                "there are 2 targets; write which one is meant, as in 0:6:... for the first one",
            ),
            (
                ["--init-box=5,6,20,10@4", "--reinit=2:5,6,20,10"],
                "--reinit 2:...: target 0 appears in frame 4 only; write --init-box x,y,w,h@2 and",
            ),
            (["--init-box", "5,6,20,10@12"], "target 0, frame 12: the video has 10 frames"),
            (["--start", "10"], "no frame of"),
        ],
    )
    def test_corrections(self, fake, clip, tmp_path, capsys, args, words):
        code = 1 if "--start" in args else 2
        check_error(capsys, tmp_path / "out", run(clip, tmp_path / "out", *args), code, words)

    def test_input(self, fake, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.mp4").write_text("no video")
        out = tmp_path / "out"
        for name, words in (
            ("missing.mp4", "missing.mp4"),
            ("empty", "empty, and no video either"),
            ("text.mp4", "cannot open video"),
        ):
            check_error(capsys, out, run(tmp_path / name, out), 1, words)

    def test_nothing_decodes(self, fake, tmp_path, capsys):
        (tmp_path / "1.jpg").write_text("no image")
        out = tmp_path / "out"
        check_error(
            capsys, out, run(tmp_path / "1.jpg", out), 1, "the first frame, 1.jpg, cannot be read"
        )

    def test_config(self, fake, clip, tmp_path, capsys):
        out = tmp_path / "out"
        check_error(capsys, out, run(clip, out, "--config-file", "none.yaml"), 1, "none.yaml")
        check_error(capsys, out, run(clip, out, "TEST.TRACKR", "1"), 1, "TEST.TRACKR")

    def test_show_without_a_screen(self, fake, clip, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        out = tmp_path / "out"
        check_error(capsys, out, run(clip, out, "--show"), 1, "no window")

    def test_no_name_at_all(self, fake, clip, tmp_path, capsys):
        assert run(clip, "") == 1
        assert capsys.readouterr().err == "error: --output: name a folder\n"
        assert run(clip, tmp_path / "out", "--gt", "") == 1
        assert capsys.readouterr().err == "error: --gt: no such file:\n"

    def test_output_in_the_home_folder(self, fake, clip, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert run(clip, "~/out") == 0
        assert (tmp_path / "out" / "boxes.csv").is_file()

    def test_output_is_a_file(self, fake, clip, tmp_path, capsys):
        (tmp_path / "taken").write_text("")
        assert run(clip, tmp_path / "taken") == 1
        assert "taken" in capsys.readouterr().err


class TestRealTracker:
    """The default network with random weights."""

    def test_box_outside(self, clip, tmp_path, capsys):
        out = tmp_path / "out"
        args = ["--init-box", "64,6,20,10", "--device", "cpu", "MODEL.WEIGHTS", ""]
        check_error(capsys, out, run(clip, out, *args), 2, "outside the 64x48 image")

    def test_weights_of_another_network(self, clip, tmp_path, capsys):
        torch.save({"model": {"layer.weight": torch.zeros(2)}}, tmp_path / "other.pth")
        out = tmp_path / "out"
        args = ["--device", "cpu", "MODEL.WEIGHTS", str(tmp_path / "other.pth")]
        check_error(capsys, out, run(clip, out, *args), 1, "other.pth does not fit")

    def test_missing_weights(self, clip, tmp_path, capsys):
        out = tmp_path / "out"
        args = ["--device", "cpu", "MODEL.WEIGHTS", "none.pth"]
        check_error(capsys, out, run(clip, out, *args), 1, "none.pth")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
    def test_output_that_is_a_file(self, clip, tmp_path, capsys):
        (tmp_path / "out").write_text("mine")
        assert run(clip, tmp_path / "out") == 1
        assert (
            capsys.readouterr().err
            == f"error: --output: {tmp_path / 'out'} is a file; name a folder\n"
        )
        assert (tmp_path / "out").read_text() == "mine"

    def test_missing_truth(self, clip, tmp_path, capsys):
        out = tmp_path / "out"
        check_error(
            capsys, out, run(clip, out, "--gt", "none.txt"), 1, "--gt: no such file: none.txt"
        )

    def test_config_without_weights(self, clip, tmp_path, capsys):
        out = tmp_path / "out"
        options = ("--config-file", "SiamRPN/siamrpn_alex_dw.yaml", "--device", "cpu")
        check_error(capsys, out, run(clip, out, *options), 1, "without trained weights")

    def test_no_gpu(self, clip, tmp_path, capsys):
        out = tmp_path / "out"
        check_error(capsys, out, run(clip, out, "--device", "cuda"), 1, "'cuda'")


def test_script_with_the_default_network(tmp_path):
    """The real thing, in a process of its own, with random weights."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (90, 121, 3), np.uint8)
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), np.roll(scene, 2 * i, axis=1))
    command = [sys.executable, str(DEMO / "track_video.py"), "--input", str(tmp_path)]
    command += ["--init-box", "20,30,25,20", "--init-box", "60,40,30,30", "--device", "cpu"]
    command += ["--output", str(tmp_path / "out"), "MODEL.WEIGHTS", ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "6 frames, 0 of them skipped; 2 target(s)" in done.stdout
    assert "score=" in done.stderr and "frames/s" in done.stderr
    got = rows(tmp_path / "out")
    assert [(r["frame"], r["target"]) for r in got] == [(str(f), t) for f in range(6) for t in "01"]
    for r in got:
        x, y, w, h = (float(r[k]) for k in "xywh")
        assert w > 0 and h > 0 and -w < x < 121 and -h < y < 90
    assert num_video_frames(tmp_path / "out") == 6
    assert sorted(os.listdir(tmp_path / "out")) == ["boxes.csv", "boxes.json", "tracked.mp4"]
