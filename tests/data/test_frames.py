import pickle
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from sot.data import frames as frames_module
from sot.data.frames import (
    FrameError,
    ImageFrames,
    VideoFrames,
    list_images,
    read_frame,
    read_image,
)


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


def write_jpeg(path, image, **options) -> str:
    """BGR image, without the coarser sampling of colours."""
    Image.fromarray(image[..., ::-1]).save(path, quality=95, subsampling=0, **options)
    return str(path)


def smooth_picture(height, width):
    noise = np.random.default_rng(0).integers(
        0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8
    )
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("cut", [40, 2000, -2])
def test_cut_off_jpeg_is_an_error(tmp_path, cut):
    path = tmp_path / "cut.jpg"
    write_jpeg(path, smooth_picture(80, 96))
    content = path.read_bytes()
    path.write_bytes(content + b"\0\0")  # what some cameras append does no harm
    assert read_image(path).shape == (80, 96, 3)
    path.write_bytes(content[:cut])
    for reduction in (1, 2):
        with pytest.raises(FrameError, match="cut.jpg does not decode"):
            read_frame(ImageFrames([str(path)]), 0, reduction)


def test_empty_file_is_an_error(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(FrameError, match="empty.png does not decode"):
        read_image(tmp_path / "empty.png")


@pytest.mark.parametrize("limit, reduction", [(1, 1), (1.9, 1), (2, 2), (3.9, 2), (4, 4), (99, 8)])
def test_reduced_jpeg_has_the_means_of_its_pixels(tmp_path, limit, reduction):
    picture = smooth_picture(85, 101)
    frames = ImageFrames([write_jpeg(tmp_path / "a.jpg", picture)])
    image, r = read_frame(frames, 0, limit)
    assert r == reduction
    assert image.shape == (-(-85 // r), -(-101 // r), 3)  # the last ones reach over the edge
    h, w = 85 // r, 101 // r
    means = frames[0][: h * r, : w * r].reshape(h, r, w, r, 3).mean(axis=(1, 3))
    assert np.abs(image[:h, :w] - means).max() < 3


def test_gray_is_the_luma(tmp_path):
    picture = smooth_picture(40, 48)
    jpeg = ImageFrames([write_jpeg(tmp_path / "a.jpg", picture)])
    png = ImageFrames([str(tmp_path / "a.png")])
    cv2.imwrite(png.files[0], picture)
    luma = picture @ [0.114, 0.587, 0.299]
    for frames in (jpeg, png, [picture]):
        image, reduction = read_frame(frames, 0, 1, gray=True)
        assert image.shape == (40, 48) and reduction == 1
        assert np.abs(image - luma).max() < 6
    assert read_frame(jpeg, 0, 2, gray=True)[0].shape == (20, 24)


def test_other_formats_and_frames_without_read_are_not_reduced(tmp_path):
    picture = smooth_picture(40, 48)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    for frames in (ImageFrames([str(tmp_path / "a.png")]), [picture]):
        image, reduction = read_frame(frames, 0, 4)
        assert reduction == 1 and np.array_equal(image, picture)


def test_photograph_is_upright_by_its_exif_tag_and_not_reduced(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture = smooth_picture(40, 64)
    frames = ImageFrames([write_jpeg(tmp_path / "a.jpg", picture, exif=exif.tobytes())])
    upright = np.rot90(picture, -1)
    for image, reduction in ((frames[0], 1), read_frame(frames, 0, 2)):
        assert reduction == 1 and image.shape == (64, 40, 3)
        assert np.abs(image.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("mode, channels", [("L", 1), ("CMYK", 4)])
def test_gray_and_four_channel_jpeg(tmp_path, mode, channels):
    Image.new(mode, (32, 24), (100,) * channels if channels > 1 else 100).save(tmp_path / "a.jpg")
    frames = ImageFrames([str(tmp_path / "a.jpg")])
    assert frames[0].shape == (24, 32, 3)
    assert read_frame(frames, 0, 2)[0].shape == (12, 16, 3)


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
    [
        ("a.avi", "mjpeg", STEADY),
        ("b.mp4", "libx264", STEADY),
        ("c.mp4", "libx264", VARIABLE),
        ("d.avi", "mpeg4", STEADY),
        ("e.mpg", "mpeg2video", STEADY),
    ],
)
def test_video_frames_in_any_order(tmp_path, name, codec, stamps):
    # bf: frames between those that they are predicted from, so that packets are out of order
    options = {} if codec == "mjpeg" else {"bf": "2"}
    frames = VideoFrames(write_video(tmp_path / name, codec, stamps, **options))
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


class BreaksOff:
    """A container whose demuxer fails at the packet with that time stamp."""

    def __init__(self, container, stamp):
        self.container, self.stamp = container, stamp
        self.streams, self.seek, self.close = container.streams, container.seek, container.close

    def demux(self, stream):
        for packet in self.container.demux(stream):
            if packet.dts is not None and packet.dts >= self.stamp:
                raise av.error.InvalidDataError(1, "invalid data")
            yield packet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()


def test_file_that_breaks_off_is_named_with_the_frame(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.avi", "mjpeg", STEADY)
    frames, open_video = VideoFrames(path), frames_module._open_video
    monkeypatch.setattr(frames_module, "_open_video", lambda p: BreaksOff(open_video(p), 5))
    monkeypatch.setattr(frames_module._VideoReader, "_open", None)
    assert abs(float(frames[4].mean()) - 80) < 5
    for index in (5, 9):
        with pytest.raises(FrameError, match=f"v.avi frame {index} does not decode"):
            frames[index]
    assert abs(float(frames[1].mean()) - 20) < 5
    with pytest.raises(FrameError, match="v.avi frame 5: the file breaks off: .*nvalid data"):
        VideoFrames(path)


def test_video_without_time_stamps_says_what_to_do(tmp_path):
    path = write_video(tmp_path / "raw.h264", "libx264", STEADY)
    with pytest.raises(FrameError, match="raw.h264 frame 0 has no time stamp.* -c copy NEW.mkv"):
        VideoFrames(path)


def test_bad_videos_are_named(tmp_path):
    with pytest.raises(FrameError, match="gone.mp4 is missing"):
        VideoFrames(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(FrameError, match="text.mp4 does not open"):
        VideoFrames(tmp_path / "text.mp4")
