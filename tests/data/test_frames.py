import gc
import io
import multiprocessing
import os
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from sot.data.frames import (
    FrameError,
    ImageFrames,
    VideoFrames,
    find_frames,
    frame_size,
    list_images,
    read_frame,
    read_image,
)
from sot.visualization import VideoWriter


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_size_is_that_of_the_upright_picture(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (64, 48)).save(tmp_path / f"a.{suffix}", exif=exif)
    frames = ImageFrames([str(tmp_path / f"a.{suffix}")])
    assert frame_size(frames) == (48, 64) and frames[0].shape == (64, 48, 3)


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


@pytest.mark.parametrize("cut", [40, 2000, -200])
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


FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40


@pytest.mark.parametrize(
    "end, tail", [(False, b""), (False, bytes(5000)), (True, bytes(5000)), (True, FILM)]
)
def test_jpeg_with_another_end(tmp_path, end, tail):
    """Without its end marker, padded, or followed by a film."""
    path = tmp_path / "a.jpg"
    write_jpeg(path, smooth_picture(80, 96))
    whole, content = read_image(path), path.read_bytes()
    path.write_bytes((content if end else content[:-2]) + tail)
    assert np.array_equal(read_image(path), whole)


def test_end_marker_of_the_picture_decides_whether_it_is_cut_off(tmp_path):
    """libjpeg fills missing pixels with gray, but a picture may be gray. A thumbnail in the EXIF
    segment has an end marker, too."""
    gray, thumbnail, path = np.full((80, 96, 3), 128, np.uint8), io.BytesIO(), tmp_path / "a.jpg"
    Image.fromarray(smooth_picture(20, 24)).save(thumbnail, "JPEG")
    write_jpeg(path, gray, exif=b"Exif\0\0" + thumbnail.getvalue(), progressive=True)
    content = path.read_bytes()
    for tail in (bytes(5000), FILM):
        path.write_bytes(content + tail)
        assert np.array_equal(read_image(path), gray)
    for end in (content[:-2], content[:-2] + bytes(5000)):
        path.write_bytes(end)
        with pytest.raises(FrameError, match="a.jpg does not decode: it is cut off"):
            read_image(path)


def test_too_many_pixels_are_refused(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "large.png")
    with pytest.raises(FrameError, match="large.png has more than 1.. million pixels"):
        read_image(tmp_path / "large.png")


def test_other_files_of_a_folder(tmp_path):
    """What macOS and Windows leave, folders and pipes are no frames; suffixes may be unusual."""
    for name in ("1.JPG", "2.pgm", "3.jfif", "._1.JPG", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "4.jpg").mkdir()
    os.mkfifo(tmp_path / "5.jpg")
    assert [os.path.basename(f) for f in list_images(tmp_path)] == ["1.JPG", "2.pgm", "3.jfif"]


def test_videos_of_a_folder(tmp_path):
    for name in ("clip.TS", "._clip.TS", "tracked.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert len(find_frames(tmp_path)[1]) == 2
    (tmp_path / "boxes.csv").write_text("")  # so tracked.mp4 is a result of the demo
    assert [os.path.basename(f) for f in find_frames(tmp_path)[1]] == ["clip.TS"]


def test_a_single_image_beside_a_video_is_its_cover(tmp_path):
    video, cover = tmp_path / "clip.mp4", tmp_path / "cover.jpg"
    for path in (video, cover):
        path.write_bytes(b"")
    assert find_frames(tmp_path) == ([], [str(video)])
    (tmp_path / "2.jpg").write_bytes(b"")
    assert find_frames(tmp_path) == ([str(tmp_path / "2.jpg"), str(cover)], [])
    (tmp_path / "2.jpg").unlink()
    # results of the demo beside an image are no video of it
    video.rename(tmp_path / "tracked.mp4")
    (tmp_path / "boxes.csv").write_bytes(b"")
    assert find_frames(tmp_path) == ([str(cover)], [])


@pytest.mark.parametrize("mode, top", [("F", 7.5), ("I", 70_000)])
def test_tiff_of_32_bit_numbers(tmp_path, mode, top):
    values = np.zeros((20, 30), np.float32 if mode == "F" else np.int32)
    values[:, 10:20], values[:, 20:] = top / 2, top
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert image.shape == (20, 30, 3) and image.dtype == np.uint8
    assert image[0, ::10].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    gray, reduction = read_frame(ImageFrames([str(tmp_path / "a.tif")]), 0, 8, gray=True)
    assert reduction == 1 and gray[5, ::10].tolist() == [0, 128, 255]


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


def write_gray(path, levels, size):
    """A video of one gray level after the other, in frames of ``size`` (H, W)."""
    with VideoWriter(str(path), 25) as writer:
        for level in levels:
            writer.write(np.full((*size, 3), level, np.uint8))


def test_several_videos_in_turn_and_in_workers(tmp_path):
    for name in ("a.mp4", "b.avi"):
        write_gray(tmp_path / name, range(0, 240, 20), (48, 64))
    a, b = VideoFrames(tmp_path / "a.mp4"), VideoFrames(tmp_path / "b.avi")
    for i in (3, 8):
        assert abs(float(a[i].mean()) - 20 * i) < 5
        assert abs(float(b[i].mean()) - 20 * i) < 5
    copy = pickle.loads(pickle.dumps(a))
    assert abs(float(copy[5].mean()) - 100) < 5
    with pytest.raises(IndexError):
        a[12]


@pytest.mark.parametrize("width", [64, 90])  # rows of 90 pixels are padded in memory
def test_video_that_is_known_by_its_content(tmp_path, width):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (width, 48))
    for i in range(12):
        writer.write(np.full((48, width, 3), 20 * i, np.uint8))
    writer.release()
    frames = VideoFrames(path)
    assert len(frames) == 12 and frames[8].shape == (48, width, 3)
    assert abs(float(frames[3].mean()) - 60) < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
def test_a_fork_reads_on_while_its_parent_has_a_video_open(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_gray(tmp_path / name, range(0, 200, 10), (480, 640))
    first, second = VideoFrames(tmp_path / "a.mp4"), VideoFrames(tmp_path / "b.mp4")
    assert abs(first[3].mean() - 30) < 5  # its decoder, with threads, stays open

    def read():
        gc.freeze()  # as the workers of loaders do
        assert abs(second[5].mean() - 50) < 5

    fork = multiprocessing.get_context("fork").Process(target=read)
    fork.start()
    fork.join(60)
    finished = not fork.is_alive()
    fork.kill()
    assert finished and fork.exitcode == 0


def test_bad_videos_are_named(tmp_path):
    with pytest.raises(FrameError, match="gone.mp4 is missing"):
        VideoFrames(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(FrameError, match="cannot open video .*text.mp4"):
        VideoFrames(tmp_path / "text.mp4")
