import pickle
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from sot.data.frames import FrameError, ImageFrames, VideoFrames, list_images, read_image


def test_list_images_in_natural_order(tmp_path):
    for name in ("10.jpg", "2.jpg", "1.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [p.rsplit("/", 1)[-1] for p in list_images(tmp_path)] == ["1.png", "2.jpg", "10.jpg"]


@pytest.mark.parametrize("shape, dtype", [((8, 9), "u1"), ((8, 9, 4), "u1"), ((8, 9, 3), "u2")])
def test_every_image_becomes_bgr_uint8(tmp_path, shape, dtype):
    path = str(tmp_path / "a.png")
    cv2.imwrite(path, np.full(shape, 200 if dtype == "u1" else 200 * 257, dtype))
    image = read_image(path)
    assert image.shape == (8, 9, 3) and image.dtype == np.uint8 and (image == 200).all()


def test_bad_images_are_named(tmp_path):
    with pytest.raises(FrameError, match="gone.jpg is missing"):
        read_image(tmp_path / "gone.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(FrameError, match="broken.jpg does not decode"):
        ImageFrames([str(tmp_path / "broken.jpg")])[0]


def write_video(path, codec, stamps, **options):
    """Frame i is uniformly 20 * i bright, shown at stamps[i] / 25 seconds."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        for i, stamp in enumerate(stamps):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i, np.uint8), "bgr24")
            picture.pts, picture.time_base = stamp, Fraction(1, 25)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return str(path)


STEADY, VARIABLE = range(12), [0, 1, 2, 7, 8, 9, 20, 21, 22, 23, 40, 41]


@pytest.mark.parametrize(
    "name, codec, stamps",
    [("a.avi", "mjpeg", STEADY), ("b.mp4", "libx264", STEADY), ("c.mp4", "libx264", VARIABLE)],
)
def test_video_frames_in_any_order(tmp_path, name, codec, stamps):
    frames = VideoFrames(write_video(tmp_path / name, codec, stamps))
    assert len(frames) == 12
    for i in (0, 1, 2, 7, 3, 3, 11, 10, 4, 5, 6):
        assert abs(float(frames[i].mean()) - 20 * i) < 5, i
    assert frames.name(7).endswith(f"{name} frame 7")
    with pytest.raises(IndexError):
        frames[12]


def test_damaged_picture_is_named_and_does_not_shift_the_others(tmp_path):
    path = write_video(tmp_path / "v.avi", "mjpeg", STEADY)
    with av.open(path) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(open(path, "rb").read())
    start, size = places[5]
    content[start + 8 : start + size] = bytes(size - 8)
    open(path, "wb").write(bytes(content))
    frames = VideoFrames(path)
    for order in (range(12), (11, 5, 4, 6)):
        for i in order:
            if i == 5:
                with pytest.raises(FrameError, match="v.avi frame 5 does not decode"):
                    frames[i]
            else:
                assert abs(float(frames[i].mean()) - 20 * i) < 5, i


def test_several_videos_in_turn_and_in_workers(tmp_path):
    a = VideoFrames(write_video(tmp_path / "a.mp4", "libx264", STEADY))
    b = VideoFrames(write_video(tmp_path / "b.mp4", "libx264", VARIABLE))
    for i in (3, 8):
        assert abs(float(a[i].mean()) - 20 * i) < 5
        assert abs(float(b[i].mean()) - 20 * i) < 5
    copy = pickle.loads(pickle.dumps(a))
    assert abs(float(copy[5].mean()) - 100) < 5


def test_bad_videos_are_named(tmp_path):
    with pytest.raises(FrameError, match="gone.mp4 is missing"):
        VideoFrames(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(FrameError, match="text.mp4 does not open"):
        VideoFrames(tmp_path / "text.mp4")
