import av
import cv2
import numpy as np
import pytest

from sot.visualization import VideoWriter, Window, draw_box, target_color

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

    def test_label_stays_inside(self):
        image = np.zeros((120, 160, 3), np.uint8)
        draw_box(image, (150, 2, 158, 10), RED, "0: 0.93")
        assert (image[:10, 100:140] == RED).all(axis=2).any()

    def test_colors_repeat(self):
        assert target_color(0) != target_color(1)
        assert target_color(0) == target_color(6)


def write(path, images, indices=None, fps=25.0):
    with VideoWriter(str(path), fps) as writer:
        for i, image in zip(indices or range(len(images)), images):
            writer.write(image, i)


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
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")

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

    def test_left_out_numbers_are_time_on_the_screen(self, tmp_path):
        write(tmp_path / "a.mp4", [blank(48, 64)] * 3, indices=[0, 1, 5], fps=10)
        with av.open(str(tmp_path / "a.mp4")) as container:
            times = [frame.time for frame in container.decode(video=0)]
        assert times == pytest.approx([0.0, 0.1, 0.5])


def read(path):
    with av.open(str(path)) as container:
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
