import pickle

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


@pytest.fixture
def video(tmp_path):
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for i in range(12):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    return path


def test_video_frames_in_any_order(video):
    frames = VideoFrames(video)
    assert len(frames) == 12
    for i in (0, 1, 7, 3, 3, 11):
        assert abs(float(frames[i].mean()) - 20 * i) < 4
    assert frames.name(7).endswith("clip.avi frame 7")
    with pytest.raises(IndexError):
        frames[12]


def test_video_frames_travel_to_workers(video):
    frames = VideoFrames(video)
    frames[3]
    copy = pickle.loads(pickle.dumps(frames))
    assert abs(float(copy[5].mean()) - 100) < 4


def test_bad_videos_are_named(tmp_path):
    with pytest.raises(FrameError, match="gone.mp4 is missing"):
        VideoFrames(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(FrameError, match="text.mp4 does not open"):
        VideoFrames(tmp_path / "text.mp4")
