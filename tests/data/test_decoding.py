"""Frame k is the same picture whether a video is read in order or by index, and the right one."""

import contextlib
import random
import re
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from sot.data.decoding import FrameError, Video, bgr_image, to_uint8
from sot.data.frames import VideoFrames

LENGTH = 40


def picture(number, size=(48, 64)):
    """The number in black and white: six columns for its bits, one for their parity."""
    bits = [number >> n & 1 for n in range(6)]
    blocks = np.array([*bits, sum(bits) % 2, 1], np.uint8) * 200 + 20
    return np.repeat(np.tile(np.repeat(blocks, size[1] // 8), (size[0], 1))[..., None], 3, axis=2)


def number_of(image):
    bits = (image.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1) > 120).astype(int)
    assert sum(bits[:6]) % 2 == bits[6] and bits[7]
    return sum(int(bit) << n for n, bit in enumerate(bits[:6]))


def write(path, codec="libx264", numbers=range(LENGTH), size=(48, 64), stamps=None, **options):
    """A video of picture(number) for each number, at 25 per second."""
    with av.open(str(path), "w") as out:
        options = {"g": "10", "sc_threshold": "0", **options}
        stream = out.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="bgr24")
            frame.pts, frame.time_base = stamps[place] if stamps else place, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def shifted_copy(path, new, shift):
    """The packets of a video in another file, their stamps moved."""
    with av.open(str(path)) as source, av.open(str(new), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts += shift
                packet.dts += shift
                packet.stream = stream
                out.mux(packet)
    return new


def damage(path, packets, value=0):
    """Overwrite packets, by their number in the file."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for number in packets:
        start, size = places[number]
        data[start : start + size] = bytes([value]) * size
    path.write_bytes(data)
    return path


def read_in_order(path, see=number_of):
    """What each frame shows, None for one that does not decode."""
    pictures = list(Video(str(path)).pictures())
    return [None if p.frame is None else see(bgr_image(p.frame)) for p in pictures]


def read_by_index(path, frames=None, see=number_of):
    """The same, in order and then at random."""
    frames = frames or VideoFrames(path)
    order = list(range(len(frames)))
    rounds = []
    for _ in range(2):
        seen = [None] * len(frames)
        for i in order:
            with contextlib.suppress(FrameError):
                seen[i] = see(frames[i])
        rounds.append(seen)
        random.Random(1).shuffle(order)
    assert rounds[0] == rounds[1]
    return seen


def check(path, numbers):
    assert read_in_order(path) == list(numbers)
    assert read_by_index(path) == list(numbers)


@pytest.mark.parametrize(
    "name, codec, options",
    [
        ("a.mp4", "libx264", {"bf": "3"}),
        ("a.mkv", "libx264", {"bf": "3"}),
        ("a.ts", "libx264", {"bf": "3"}),
        ("a.avi", "libx264", {"bf": "3"}),  # no display times
        ("a.flv", "libx264", {"bf": "3"}),
        ("a.h264", "libx264", {"bf": "3"}),  # no times at all
        ("open_gop.mp4", "libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
        ("open_gop.ts", "libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
        ("refresh.mkv", "libx264", {"x264-params": "intra-refresh=1:keyint=10"}),
        ("a.mpg", "mpeg2video", {"bf": "2"}),
        ("m.avi", "mpeg4", {"bf": "2"}),
        ("m.mp4", "mpeg4", {}),
        ("j.avi", "mjpeg", {}),
        ("a.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ],
)
def test_containers_and_codecs(tmp_path, name, codec, options):
    check(write(tmp_path / name, codec, **options), range(LENGTH))


def test_sound_files_are_indexed_without_decoding_them(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", bf="3")
    monkeypatch.setattr(VideoFrames, "_index_by_content", None)
    assert len(VideoFrames(path)) == LENGTH


def test_edit_list_hides_pictures(tmp_path):
    whole = write(tmp_path / "whole.mp4", bf="0", g="60")
    with av.open(str(whole)) as container:
        unit = next(container.demux(video=0)).duration
    path = shifted_copy(whole, tmp_path / "cut.mp4", -17 * unit)
    with av.open(str(path)) as container:
        assert sum(p.is_discard for p in container.demux(video=0)) == 17
    check(path, range(17, LENGTH))


def test_packets_without_a_picture(tmp_path):
    """An AVI file stores the missing times as empty packets."""
    numbers = [n for n in range(LENGTH) if n % 5 != 3]
    check(write(tmp_path / "a.avi", "mpeg4", numbers, stamps=numbers), numbers)


@pytest.mark.parametrize("name, codec", [("a.ts", "libx264"), ("a.mpg", "mpeg2video")])
def test_files_one_after_the_other(tmp_path, name, codec):
    """The time stamps begin anew."""
    first = write(tmp_path / name, codec, range(20), bf="2")
    second = write(tmp_path / f"b{first.suffix}", codec, range(20, 40), bf="2")
    first.write_bytes(first.read_bytes() + second.read_bytes())
    check(first, range(40))


def test_size_that_changes(tmp_path):
    first = write(tmp_path / "a.ts", numbers=range(20))
    second = write(tmp_path / "b.ts", numbers=range(20, 40), size=(96, 128))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    check(first, range(40))
    assert VideoFrames(first)[30].shape == (96, 128, 3)


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.avi", "mjpeg")])
def test_start_that_does_not_decode(tmp_path, name, codec):
    """Pictures before the first that decodes are no frames."""
    path = damage(write(tmp_path / name, codec, bf="0"), range(10))
    check(path, range(10, LENGTH))


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.avi", "mjpeg")])
def test_damaged_picture_keeps_its_place(tmp_path, name, codec):
    path = damage(write(tmp_path / name, codec, bf="0"), [29])
    check(path, [None if n == 29 else n for n in range(LENGTH)])
    with pytest.raises(FrameError, match=f"{name} frame 29 does not decode"):
        VideoFrames(path)[29]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
@pytest.mark.parametrize("seed", range(3))
def test_index_and_order_agree_on_damaged_files(tmp_path, name, seed):
    packets = random.Random(seed).sample(range(LENGTH), 3)
    path = damage(write(tmp_path / name, bf="2"), packets, value=seed)
    assert read_by_index(path, see=np.ndarray.tobytes) == read_in_order(path, np.ndarray.tobytes)


@pytest.mark.parametrize(
    "name, codec, words",
    [
        ("a.mkv", "libx264", r"is cut off: it ends at 0\.\d\d of 1.60 s"),
        ("a.avi", "mjpeg", "is cut off"),
        ("a.ts", "libx264", ""),  # which does not say how long it is meant to be
    ],
)
def test_cut_off_file(tmp_path, name, codec, words):
    path = write(tmp_path / name, codec, bf="0")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    numbers = read_in_order(path)
    whole = [n for n in numbers if n is not None]  # the last one may be cut itself
    assert 10 < len(whole) < LENGTH and whole == list(range(len(whole)))
    assert read_by_index(path) == numbers
    video = Video(str(path))
    list(video.pictures())
    assert re.match(words or "$", video.problem)


def test_sound_that_is_longer_is_no_cut(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        for n in range(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n), format="bgr24")))
        out.mux(stream.encode())
        for n in range(5):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 8000, 8000 * n
            out.mux(sound.encode(samples))
        out.mux(sound.encode())
    video = Video(str(path))
    assert len(list(video.pictures())) == 10 and video.problem == ""


class TestFacts:
    @pytest.mark.parametrize("fps", [Fraction(1, 2), Fraction(30000, 1001), Fraction(2000)])
    def test_rate(self, tmp_path, fps):
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for n in range(10):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n), format="bgr24")))
            out.mux(stream.encode())
        video = Video(str(path))
        assert video.fps == fps
        times = [p.time for p in video.pictures()]
        assert times == pytest.approx([n / float(fps) for n in range(10)], abs=1e-4)

    def test_rate_of_raw_dv(self, tmp_path):  # which FFmpeg takes for one picture a tick
        path = tmp_path / "a.dv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("dvvideo", rate=25)
            stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
            for _ in range(2):
                black = np.zeros((576, 720, 3), np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="bgr24")))
            out.mux(stream.encode())
        assert Video(str(path)).fps == 25

    def test_times_of_a_variable_rate(self, tmp_path):
        path = write(tmp_path / "a.mp4", numbers=range(6), stamps=[0, 1, 2, 10, 11, 30])
        times = [p.time for p in Video(str(path)).pictures()]
        assert times == pytest.approx([0, 0.04, 0.08, 0.4, 0.44, 1.2], abs=1e-3)

    def test_times_go_on_where_stamps_begin_anew(self, tmp_path):
        path = write(tmp_path / "a.ts", numbers=range(5), bf="0")
        path.write_bytes(path.read_bytes() * 2)
        times = [p.time for p in Video(str(path)).pictures()]
        assert times == pytest.approx([0.04 * n for n in range(10)], abs=1e-3)

    def test_pixel_aspect(self, tmp_path):
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1), format="bgr24")))
            out.mux(stream.encode())
        assert Video(str(path)).aspect == Fraction(4, 3)

    def test_main_stream_is_not_a_cover(self, tmp_path):
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as out:
            small = out.add_stream("mjpeg", rate=1)
            small.width, small.height, small.pix_fmt = 32, 32, "yuvj420p"
            small.disposition = av.stream.Disposition.attached_pic.value  # PyAV 15 takes a number
            main = out.add_stream("libx264", rate=25)
            main.width, main.height, main.pix_fmt = 64, 48, "yuv420p"
            cover = np.full((32, 32, 3), 255, np.uint8)
            out.mux(small.encode(av.VideoFrame.from_ndarray(cover, format="bgr24")))
            out.mux(small.encode())
            for n in range(5):
                out.mux(main.encode(av.VideoFrame.from_ndarray(picture(n), format="bgr24")))
            out.mux(main.encode())
        check(path, range(5))

    @pytest.mark.parametrize("name", ["12:30.mp4", "a%03d b.mp4", "ä\udcff.mp4", "A.MP4"])
    def test_any_name(self, tmp_path, name):
        path = tmp_path / "plain.mp4"
        write(path, numbers=range(3))
        path = path.rename(tmp_path / name)
        check(path, range(3))


class TestPixels:
    def test_part_of_sixteen_bits_is_stretched(self):
        image = np.linspace(7300, 7600, 64 * 48).reshape(48, 64).astype(np.uint16)
        image[0, 0] = 65535  # a pixel that is broken
        stretched = to_uint8(image)
        assert stretched.dtype == np.uint8
        assert stretched[24, 0] == pytest.approx(128, abs=2)
        assert stretched.min() == 0 and stretched[47, 62] >= 254

    def test_one_value(self):
        assert to_uint8(np.full((2, 2), 200 * 257, np.uint16)).tolist() == [[200, 200]] * 2

    def test_gray_video_of_sixteen_bits(self, tmp_path):
        counts = np.linspace(7300, 7600, 64 * 48).reshape(48, 64).astype(np.uint16)
        path = tmp_path / "thermal.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(counts, format="gray16le")))
            out.mux(stream.encode())
        image = VideoFrames(path)[0]
        assert image.shape == (48, 64, 3) and image[24, 0, 0] == pytest.approx(128, abs=2)


def test_state_is_all_that_is_needed(tmp_path):
    path = damage(write(tmp_path / "a.avi", "mjpeg"), [7])
    torch.save(VideoFrames(path).state(), tmp_path / "state.pth")
    state = torch.load(tmp_path / "state.pth", weights_only=True)
    numbers = read_by_index(path, VideoFrames.from_state(state))
    assert numbers == [None if n == 7 else n for n in range(LENGTH)]
