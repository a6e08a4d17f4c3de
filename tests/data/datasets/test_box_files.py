import numpy as np
import pytest

from sot.data.datasets import read_boxes, read_table


class TestReadTable:
    @pytest.mark.parametrize(
        "line", ["1,2.5,-3,nan", "1\t2.5\t-3\tNaN", "1 2.5  -3 nan", "1;2.5;-3;nan"]
    )
    def test_separators(self, tmp_path, line):
        (tmp_path / "t.txt").write_text(f"{line}\r\n\n{line}\n\n")
        table = read_table(tmp_path / "t.txt")
        assert table.shape == (2, 4)
        np.testing.assert_array_equal(table[1], [1, 2.5, -3, np.nan])

    def test_byte_order_mark_and_empty_file(self, tmp_path):
        (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf1,2\n")
        assert read_table(tmp_path / "t.txt").tolist() == [[1, 2]]
        (tmp_path / "e.txt").write_text("\n")
        assert read_table(tmp_path / "e.txt").shape == (0, 0)
        assert read_boxes(tmp_path / "e.txt").shape == (0, 4)

    def test_lines_of_different_length_are_named(self, tmp_path):
        (tmp_path / "t.txt").write_text("1,2\n\n1,2,3\n")
        with pytest.raises(ValueError, match="t.txt line 3: expected 2 numbers but found '1 2 3'"):
            read_table(tmp_path / "t.txt")


class TestReadBoxes:
    def test_polygons_become_their_bounding_box(self, tmp_path):
        (tmp_path / "gt.txt").write_text("0,5,10,0,20,5,10,15\n")
        assert read_boxes(tmp_path / "gt.txt").tolist() == [[0, 0, 20, 15]]

    @pytest.mark.parametrize("line", ["1,2,3", "a,b,c,d", "1,2,3,4,5"])
    def test_bad_line_is_named(self, tmp_path, line):
        (tmp_path / "gt.txt").write_text(f"1,2,3,4\n{line}\n")
        with pytest.raises(ValueError, match="gt.txt line 2"):
            read_boxes(tmp_path / "gt.txt")
        (tmp_path / "gt.txt").write_text(f"{line}\n")
        with pytest.raises(ValueError, match="gt.txt line 1"):
            read_boxes(tmp_path / "gt.txt")
