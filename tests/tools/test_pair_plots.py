import cv2
import numpy as np
import pytest
from pair_plots import PairView, anchor_noun, covered_area, draw_pairs, draw_positions

TEMPLATE, SEARCH = 120, 80  # the caption is as wide as the template
# two shapes at each of 2 x 3 positions: x 20 40 60, y 30 50
CENTERS = np.array([(x, y, x, y) for y in (30, 50) for x in (20, 40, 60) for _ in "ab"], float)
SHAPES = np.array([[-8, -4, 8, 4], [-4, -8, 4, 8]] * 6, float)
ANCHORS = CENTERS + SHAPES
BOX = np.array([10.0, 20.0, 30.0, 60.0])
PURPLE = (90, 30, 120)
GREEN, RED, YELLOW, WHITE = (31, 168, 74), (224, 32, 32), (255, 212, 0), (255, 255, 255)


def pair(matched=(), labels=None, negative=False, crops=True):
    flags = np.zeros(len(ANCHORS), bool)
    flags[list(matched)] = True
    template = np.zeros((3, TEMPLATE, TEMPLATE), np.uint8)
    template[0] = 250  # blue
    search = np.empty((3, SEARCH, SEARCH), np.uint8)
    search[:] = np.array(PURPLE[::-1]).reshape(3, 1, 1)  # BGR
    if labels is None:
        labels = flags.astype(int)
    return PairView(
        BOX, negative, flags, labels, (template, search) if crops else None, ["name", "frame 3"]
    )


def rgb(path):
    return cv2.imread(str(path))[..., ::-1].astype(int)


def near(image, color, tolerance=40):
    """(H, W) bool: pixels of about that colour."""
    return np.abs(image - color).max(axis=-1) <= tolerance


def test_covered_area():
    boxes = np.array([[0, 0, 2, 1], [1, 0, 9, 2], [-5, -5, -1, -1], [3, 2, 4, 3]], float)
    expected = [[1, 2, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert (covered_area(boxes, 4) * 4).tolist() == expected


def test_positions_are_anchors_without_size():
    assert anchor_noun(ANCHORS) == "anchor"
    assert anchor_noun(CENTERS) == "position"


class TestContactSheet:
    @pytest.fixture
    def draw(self, tmp_path):
        def draw(pairs, anchors=ANCHORS):
            draw_pairs(pairs, anchors, tmp_path / "pairs.png")
            return rgb(tmp_path / "pairs.png")

        return draw

    @staticmethod
    def search_crop(image):
        """The first search crop of a sheet, found by its colour (where nothing is drawn)."""
        rows, columns = np.nonzero((image == PURPLE).all(axis=-1))
        x, y = columns.min(), rows.min()
        return image[y : y + SEARCH, x : x + SEARCH]

    def test_crops_keep_size_and_colors(self, draw):
        image = draw([pair()])
        assert (image == (0, 0, 250)).all(axis=-1).sum() == TEMPLATE * TEMPLATE
        crop = self.search_crop(image)
        assert crop.shape == (SEARCH, SEARCH, 3)
        rows, columns = np.nonzero(near(crop, GREEN))
        edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(edges - BOX).max() <= 2  # half of a line, and its smooth edge
        assert not near(crop, RED).any() and not near(crop, YELLOW).any()

    def test_anchors_by_label(self, draw):
        # 6: x 20, y 50, 16 wide and 8 high, below the box; 10 is the same at x 60
        labels = np.where(np.arange(len(ANCHORS)) == 6, 1, -1)
        crop = self.search_crop(draw([pair([6, 10], labels)]))
        assert near(crop, YELLOW, 70)[45:56, 10:30].any()
        assert not near(crop, YELLOW, 70)[:, 40:].any()
        assert near(crop, WHITE, 90)[45:56, 50:70].any()  # matches, but was not sampled

    def test_negative_pair(self, draw):
        labels = np.where(np.arange(len(ANCHORS)) == 10, 0, -1)
        crop = self.search_crop(draw([pair([10], labels, negative=True)]))
        assert near(crop, RED).any()
        assert not near(crop, GREEN).any() and not near(crop, YELLOW, 70).any()

    def test_positions_are_dots(self, draw):
        crop = self.search_crop(draw([pair([11])], CENTERS))  # x 60, y 50
        rows, columns = np.nonzero(near(crop, YELLOW, 90))
        assert set(rows) <= {48, 49, 50, 51} and set(columns) <= {58, 59, 60, 61}
        assert len(rows)

    def test_boxes_stay_in_their_crop(self, draw):
        wide = pair()
        wide.box = np.array([-900.0, 5.0, 900.0, 40.0])
        image = draw([wide, pair()])
        plain = draw([pair(), pair()])
        crop = self.search_crop(image)
        assert near(crop, GREEN)[3:7].any()
        assert near(image, GREEN).sum() < near(plain, GREEN).sum() + 4 * SEARCH

    def test_grows_with_the_number_of_pairs(self, draw):
        heights = [draw([pair()] * n).shape[0] for n in (1, 4, 5)]
        assert heights[0] == heights[1] < heights[2]


@pytest.mark.parametrize(
    "anchors, negative", [(ANCHORS, (False, True)), (ANCHORS, (True,)), (CENTERS, (False,))]
)
def test_positions_are_plotted(tmp_path, anchors, negative):
    pairs = [pair([0, 1], negative=n, crops=False) for n in negative]
    draw_positions(pairs, anchors, SEARCH, 16, tmp_path / "positions.png")
    image = rgb(tmp_path / "positions.png")
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50  # heat maps
