import http.server
import logging
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from sot.data.frame_source import Frame, frames_of
from sot.data.live import LiveSource
from sot.data.video import open_source, public_name

SIZE = (48, 64)  # height, width


def picture(index, size=SIZE):
    """A gray level that tells the number of the frame."""
    return np.full((*size, 3), 40 + 7 * index, np.uint8)


def write_video(path, pictures, key_every=10):
    """Lossless up to color conversion; packets in display order."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"bf": "0", "g": str(key_every), "sc_threshold": "0", "qp": "0"}
        for index, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1001, 30000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def damage(path, frames):
    """Overwrite the packets of some frames with zeros."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for i in frames:
        position, size = packets[i]
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


def levels(source):
    """The number that each frame shows, None for a lost one."""
    return [None if f.image is None else round((f.image[5, 5].mean() - 39) / 7) for f in source]


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, [picture(i) for i in range(30)])
    return path


class TestVideo:
    def test_frames_in_order_with_facts_about_the_file(self, video):
        source = open_source(str(video))
        assert source.total == 30
        assert source.fps == pytest.approx(29.97, abs=0.01)
        frames = list(source)
        assert [f.index for f in frames] == list(range(30))
        assert frames[7].name == "frame 7"
        assert all(f.image.shape == (48, 64, 3) and f.image.dtype == np.uint8 for f in frames)
        assert levels(frames) == list(range(30))

    def test_damaged_packet_costs_its_frame_only(self, video):
        damage(video, [9])  # the last before a key frame
        frames = list(open_source(str(video)))
        assert levels(frames) == list(range(9)) + [None] + list(range(10, 30))
        assert (frames[9].index, frames[9].name) == (9, "frame 9")
        assert "Invalid data" in frames[9].error

    def test_damaged_key_frame_costs_the_frames_built_on_it(self, video):
        damage(video, [10])
        seen = levels(open_source(str(video)))
        assert len(seen) == 30
        assert seen[:10] == list(range(10))
        assert seen[10:12] == [None, None]
        assert seen[20:] == list(range(20, 30))

    def test_display_order_with_b_frames(self, tmp_path):
        path = tmp_path / "b.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = SIZE
            stream.options = {"bf": "3", "b_strategy": "0", "b-pyramid": "none", "qp": "1"}
            for i in range(12):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), format="bgr24")))
            container.mux(stream.encode())
        with av.open(str(path)) as container:
            pts = [p.pts for p in container.demux(video=0) if p.size]
        shown = [sorted(pts).index(p) for p in pts]
        assert shown[:3] == [0, 4, 1]  # frame 4 is decoded before 1, 2 and 3
        damage(path, [1])
        frames = list(open_source(str(path)))
        assert [f.index for f in frames if f.image is None] == [4]
        assert len(frames) == 12

    def test_truncated_file_gives_what_is_there(self, video, tmp_path):
        frames = [np.random.default_rng(i).integers(0, 255, (*SIZE, 3), np.uint8) for i in range(9)]
        long = tmp_path / "cut.mkv"
        write_video(long, frames)
        long.write_bytes(long.read_bytes()[: long.stat().st_size // 2])
        count = sum(f.image is not None for f in open_source(str(long)))
        assert 3 <= count <= 5

    def test_numbers_start_at_the_first_picture_that_decodes(self, video, caplog):
        damage(video, range(10))
        with caplog.at_level(logging.WARNING):
            frames = list(open_source(str(video)))
        assert levels(frames) == list(range(10, 30))
        assert frames[0].index == 0
        assert "frame 0 is the first one that decodes; 10 before it do not" in caplog.text

    @pytest.mark.parametrize("degrees, corner", [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
    def test_rotation_of_phone_videos(self, tmp_path, degrees, corner):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:16, :16] = 255  # top left in the file
        path = tmp_path / "phone.mp4"
        write_video(path, [image] * 3)
        rotate_clockwise(path, degrees)
        source = open_source(str(path))
        source.aspect = Fraction(4, 3)
        frame = next(iter(source)).image
        assert source.aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))
        assert frame.shape == ((64, 48, 3) if degrees != 180 else (48, 64, 3))
        bright = [c for c in [(0, 0), (0, -1), (-1, -1), (-1, 0)] if frame[c].mean() > 200]
        assert bright == [corner]

    @pytest.mark.parametrize(
        "matrix, corner",
        [
            ((-1, 0, 0, 1), (0, -1)),  # left and right exchanged
            ((1, 0, 0, -1), (-1, 0)),  # top and bottom
            ((0, 1, 1, 0), (0, 0)),  # both axes
            ((0, -1, -1, 0), (-1, -1)),
        ],
    )
    def test_mirrored_videos(self, tmp_path, matrix, corner):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:16, :16] = 255
        write_video(tmp_path / "selfie.mp4", [image])
        set_matrix(tmp_path / "selfie.mp4", *matrix)
        (frame,) = open_source(str(tmp_path / "selfie.mp4"))
        assert frame.image.shape == ((48, 64, 3) if matrix[0] else (64, 48, 3))
        bright = [c for c in [(0, 0), (0, -1), (-1, -1), (-1, 0)] if frame.image[c].mean() > 200]
        assert bright == [corner]


def rotate_clockwise(path, degrees):
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    set_matrix(path, a, b, -b, a)


def set_matrix(path, a, b, c, d):
    """Set the matrix of the track header, ISO 14496-12 8.3.2."""
    matrix = np.array([a, b, 0, c, d, 0], ">i4") * 65536
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix begins 40 bytes into the box
    data[start : start + 24] = matrix.astype(">i4").tobytes()
    path.write_bytes(data)


class TestImages:
    def write(self, folder, *names):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            cv2.imwrite(str(folder / name), picture(int(name.split(".")[0].split("_")[-1])))

    def test_folder_in_natural_order(self, tmp_path):
        self.write(tmp_path, "10.png", "9.png", "1.png")
        (tmp_path / "notes.txt").write_text("no image")
        source = open_source(str(tmp_path))
        assert (source.total, source.fps) == (3, 25.0)
        frames = list(source)
        assert [f.name for f in frames] == ["1.png", "9.png", "10.png"]
        assert levels(frames) == [1, 9, 10]

    def test_otb_folder(self, tmp_path):
        self.write(tmp_path / "img", "0002.png", "0001.png")
        (tmp_path / "groundtruth_rect.txt").write_text("1,1,2,2\n")
        assert levels(open_source(str(tmp_path))) == [1, 2]

    def test_folder_with_one_video(self, video):
        (video.parent / "groundtruth_rect.txt").write_text("1,1,2,2\n")
        assert open_source(str(video.parent)).total == 30

    def test_glob_in_natural_order(self, tmp_path):
        self.write(tmp_path, "a_10.png", "a_9.png", "b_1.png")
        assert levels(open_source(str(tmp_path / "a_*"))) == [9, 10]
        source = open_source(str(tmp_path / "*_*"), wanted=range(1, 9))
        assert levels(source) == [10, 1] and source.total == 2

    def test_name_with_glob_characters_is_a_file_first(self, tmp_path):
        self.write(tmp_path, "[x]_3.png")
        assert levels(open_source(str(tmp_path / "[x]_3.png"))) == [3]

    def test_unreadable_image_keeps_its_place(self, tmp_path):
        self.write(tmp_path, "1.png", "2.png", "3.png")
        (tmp_path / "2.png").write_bytes(b"not a png")
        frames = list(open_source(str(tmp_path)))
        assert levels(frames) == [1, None, 3]
        assert "2.png" in frames[1].error

    @pytest.mark.parametrize(
        "stored, read",
        [
            (np.full(SIZE, 70, np.uint8), (70, 70, 70)),
            (np.full((*SIZE, 4), (10, 20, 30, 0), np.uint8), (10, 20, 30)),
            (np.full(SIZE, 0x4142, np.uint16), (0x41, 0x41, 0x41)),
            (np.full((*SIZE, 3), (0x1000, 0x2000, 0xFF00), np.uint16), (0, 17, 255)),
        ],
    )
    def test_other_pixel_formats_become_bgr(self, tmp_path, stored, read):
        cv2.imwrite(str(tmp_path / "1.png"), stored)
        (frame,) = open_source(str(tmp_path / "1.png"))
        assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        assert frame.image[3, 3] == pytest.approx(read, abs=1)


class TestOtherInputs:
    def test_printf_pattern_and_file_address(self, tmp_path):
        for number in (1, 2, 10):
            cv2.imwrite(str(tmp_path / f"a {number:04d}.png"), picture(number))
        cv2.imwrite(str(tmp_path / "a x.png"), picture(5))
        assert levels(open_source(str(tmp_path / "a %04d.png"))) == [1, 2, 10]
        assert levels(open_source(f"file://{tmp_path}/a%200002.png")) == [2]

    def test_animation(self, tmp_path):
        pages = [Image.fromarray(picture(n)) for n in (3, 1, 2)]
        pages[0].save(tmp_path / "a.webp", save_all=True, append_images=pages[1:], lossless=True)
        frames = list(open_source(str(tmp_path / "a.webp")))
        assert levels(frames) == [3, 1, 2]
        assert [f.index for f in frames] == [0, 1, 2] and frames[1].time > 0

    @pytest.mark.parametrize("name", ["a.gif", "a.apng"])
    def test_end_mark_of_an_animation(self, tmp_path, name):
        pages = [Image.fromarray(picture(n)) for n in range(6)]
        kind = "PNG" if name == "a.apng" else "GIF"
        pages[0].save(tmp_path / name, kind, save_all=True, append_images=pages[1:])
        whole = (tmp_path / name).read_bytes()
        for data, problem in [
            (whole, ""),
            (whole + bytes(100), ""),
            (whole[: len(whole) * 2 // 3], "is cut off: it has no end mark"),
        ]:
            (tmp_path / name).write_bytes(data)
            source = open_source(str(tmp_path / name))
            assert levels(source)[:3] == [0, 1, 2] and source.problem == problem

    def test_pages_that_are_cut_off(self, tmp_path):
        pages = [Image.fromarray(picture(n)) for n in range(6)]  # of 9360 bytes each
        path = tmp_path / "a.tif"
        pages[0].save(path, save_all=True, append_images=pages[1:])
        path.write_bytes(path.read_bytes()[: 3 * 9360 + 1000])
        source = open_source(str(path))
        shown = [None if f.image is None else (int(f.image.mean()) - 40) // 7 for f in source]
        assert shown == [0, 1, 2, None]
        assert source.problem == "is cut off after 4 pages"

    @pytest.mark.parametrize(
        "src, shown",
        [
            ("rtsp://me:secret@host/a", "rtsp://***@host/a"),
            ("rtsp://me:sec/ret@host/a", "rtsp://***@host/a"),
            ("http://host/a?b=1&token=secret&c=2", "http://host/a?b=1&token=***&c=2"),
            ("http://host/a?b=1", "http://host/a?b=1"),
        ],
    )
    def test_public_name(self, src, shown):
        assert public_name(src) == shown


class TestWanted:
    @pytest.mark.parametrize(
        "wanted, seen",
        [
            (range(4, 30, 10), [4, 14, 24]),
            (range(27, 10**9), [27, 28, 29]),
            (range(50, 10**9), []),
            (range(0, 3), [0, 1, 2]),
        ],
    )
    def test_video_and_images_and_pages(self, video, tmp_path, wanted, seen):
        images = [Image.fromarray(picture(i)) for i in range(30)]
        images[0].save(tmp_path / "pages.tif", save_all=True, append_images=images[1:])
        (tmp_path / "img").mkdir()
        for i, image in enumerate(images):
            image.save(tmp_path / "img" / f"{i}.png")
        for name in ("clip.mp4", "pages.tif", "img"):
            source = open_source(str(tmp_path / name), wanted=wanted)
            assert source.total == (len(seen) or (None if name == "clip.mp4" else 0))
            frames = list(source)
            assert [f.index for f in frames] == levels(frames) == seen
            assert [round(f.time * 100) for f in frames[:1]] == [
                round(i * (1001 / 300 if name == "clip.mp4" else 4)) for i in seen[:1]
            ]

    def test_end_of_a_live_source_that_was_asked_for(self):
        class Camera:
            name, fps, aspect, files, problem = "camera", 25, 1, [], ""

            def __iter__(self):
                yield from (Frame(i, "", picture(i)) for i in range(3))

        for stop, problem in ((3, ""), (4, "ended")):
            source = LiveSource(Camera(), wanted=range(stop))
            assert levels(source)[-1] == 2
            assert source.problem == problem and source.indexed() is None


class TestIndexed:
    def test_forwards_and_backwards(self, video, tmp_path, monkeypatch):
        frames = open_source(str(video)).indexed()
        assert levels(frames_of(frames, range(5, 20, 5))) == [5, 10, 15]
        assert levels(frames_of(frames)) == list(range(30))
        reads = []
        monkeypatch.setattr(
            type(frames), "__getitem__", lambda self, i: reads.append(i) or picture(i)
        )
        monkeypatch.setattr("sot.data.frame_source.HELD_BYTES", 3 * picture(0).nbytes)
        found = list(frames_of(frames, range(9, 1, -1), "clip: "))
        assert [f.index for f in found] == levels(found) == [9, 8, 7, 6, 5, 4, 3, 2]
        assert found[0].name == "clip: frame 9"
        assert reads == [9, 6, 7, 8, 3, 4, 5, 2]

    def test_frame_that_does_not_decode(self, tmp_path):
        for i in range(3):
            cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i))
        (tmp_path / "1.png").write_bytes(b"broken")
        frames = open_source(str(tmp_path)).indexed()
        found = list(frames_of(frames, range(2, -1, -1)))
        assert levels(found) == [2, None, 0] and "1.png" in found[1].error


class TestErrors:
    def test_nothing_there(self, tmp_path):
        for src in ("none.mp4", "none-*.jpg", "empty"):
            (tmp_path / "empty").mkdir(exist_ok=True)
            with pytest.raises(FileNotFoundError, match=src.replace("*", r"\*")):
                open_source(str(tmp_path / src))

    @pytest.mark.parametrize("content", [b"", b"hello\n" * 50])
    def test_not_a_video(self, tmp_path, content):
        path = tmp_path / "text.mp4"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot open video .*text.mp4: Invalid data"):
            open_source(str(path))

    def test_sound_only(self, tmp_path):
        path = tmp_path / "sound.wav"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            sound.sample_rate = 8000
            container.mux(stream.encode(sound))
        with pytest.raises(ValueError, match="sound.wav: it has no video stream"):
            open_source(str(path))

    def test_dead_stream(self):
        with pytest.raises(ValueError, match="cannot open video http://127.0.0.1:1/x"):
            open_source("http://127.0.0.1:1/x")

    def test_no_camera(self, monkeypatch):
        monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCapture(opened=False))
        with pytest.raises(OSError, match="cannot open camera 3"):
            open_source("3")


class FakeCapture:
    def __init__(self, opened=True):
        self.opened, self.left = opened, 4

    def isOpened(self):
        return self.opened

    def get(self, key):
        return 0.0

    def read(self):
        self.left -= 1
        return (True, picture(3 - self.left)) if self.left >= 0 else (False, None)

    def release(self):
        self.opened = False


class TestLive:
    def test_camera(self, monkeypatch):
        capture = FakeCapture()
        monkeypatch.setattr(cv2, "VideoCapture", lambda number: capture)
        source = open_source("0")
        assert (source.name, source.fps, source.total) == ("camera 0", 25.0, None)
        frames = list(source)
        assert levels(frames) == [f.index for f in frames]
        assert frames[-1].index == 3
        source.close()
        assert not capture.opened

    def test_slow_consumer_gets_the_newest(self):
        go = threading.Event()

        class Camera:
            name, fps, aspect, files, problem = "fake", 30.0, 1, [], ""

            def __iter__(self):
                yield Frame(0, "frame 0", picture(0))
                go.wait()
                for i in range(1, 6):
                    yield Frame(i, f"frame {i}", picture(i))

            def close(self):
                pass

        source = LiveSource(Camera())
        frames = iter(source)
        assert next(frames).index == 0
        go.set()
        source._thread.join()
        assert next(frames).index == 5
        assert next(frames, None) is None
        source.close()


class MJPEGServer(http.server.ThreadingHTTPServer):
    """Shows three further pictures in each connection and ends it. ``refuse`` counts requests that
    it refuses."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MJPEGHandler)
        self.shown = self.refuse = 0
        self.address = f"http://127.0.0.1:{self.server_port}/camera?token=secret"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class MJPEGHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.server.refuse:
            self.server.refuse -= 1
            return self.send_error(503)
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for _ in range(3):
            data = cv2.imencode(".jpg", picture(self.server.shown))[1].tobytes()
            self.server.shown += 1
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = MJPEGServer()
    yield server
    server.shutdown()
    server.server_close()


class TestReconnect:
    def test_frames_go_on(self, server, monkeypatch, caplog):
        monkeypatch.setattr("sot.data.live.RETRY_AFTER", (0, 0.01, 0.02))
        source = open_source(server.address, wanted=range(9))
        server.refuse = 2  # requests after the first one
        frames = list(source)
        assert levels(frames) == [f.index for f in frames] and frames[-1].index == 8
        assert frames[-1].name == "frame 8"
        times = [f.time for f in frames]
        assert times == sorted(set(times))
        assert (source.reconnects, source.problem) == (2, "") and 0 < source.latency < 5
        name = public_name(server.address)
        lines = [r.getMessage() for r in caplog.records if r.name.startswith("sot")]
        assert lines[0].startswith(name) and lines[0].endswith("; trying to open it again")
        assert lines[1] == f"{name} is open again after 0 s" and len(lines) == 4
        source.close()

    def test_gives_up(self, server, monkeypatch):
        monkeypatch.setattr("sot.data.live.RETRY_AFTER", (0, 0))
        source = open_source(server.address)
        server.refuse = 2
        assert levels(source)[-1] == 2
        assert source.problem.endswith(", and could not be opened again")
        assert source.reconnects == 0 and server.refuse == 0

    def test_stop_while_it_waits(self, server, monkeypatch):
        stop = threading.Event()
        monkeypatch.setattr("sot.data.live.RETRY_AFTER", (3600,))
        source = open_source(server.address, stop)
        for frame in source:
            if frame.index == 2:
                threading.Timer(0.2, stop.set).start()
        source.close()
        assert not source._thread.is_alive() and source.problem == ""

    def test_close_while_it_waits(self, server, monkeypatch, caplog):
        monkeypatch.setattr("sot.data.live.RETRY_AFTER", (3600,))
        source = open_source(server.address)
        next(iter(source))
        end = time.monotonic() + 30
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.01)
        assert "trying to open it again" in caplog.text
        source.close()
        assert not source._thread.is_alive()

    def test_not_opened_again_after_the_last_wanted_frame(self, server, caplog):
        source = open_source(server.address, wanted=range(0, 4, 2))  # the stream has frames 0 to 2
        assert [f.index for f in source] in ([0, 2], [2])
        assert (source.problem, source.reconnects, caplog.records) == ("", 0, [])
        source.close()
