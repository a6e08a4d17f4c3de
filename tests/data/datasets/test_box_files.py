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
        with pytest.raises(ValueError, match="t.txt line 3: expected 2 numbers but found '1,2,3'"):
            read_table(tmp_path / "t.txt")


XYWH = [[116.8, 55.9, 25.8, 15.4], [117, 56, 26, 15.5], [118, 57, 26, 15]]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def lines(rows=XYWH, separator=",", decimal="."):
    words = ((f"{v:g}".replace(".", decimal) for v in row) for row in rows)
    return "\n".join(separator.join(row) for row in words) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        lines(),
        lines().replace("\n", ",\r\n"),
        lines(separator=", "),
        lines(separator="\t"),
        lines(separator=",\t"),
        lines(separator="  "),
        lines(separator=";"),
        lines(separator=";", decimal=","),
        lines(separator="\t", decimal=","),
        '"' + lines(separator='","').replace("\n", '"\n"')[:-1],
        '"' + lines(separator='","', decimal=",").replace("\n", '"\n"')[:-1],
        "x,y,w,h\n" + lines(),
        "X;Y;Width;Height\n" + lines(separator=";", decimal=","),
        "# made by hand\n# left top width height\n" + lines(separator=" "),
        "x0,y0,x1,y1\n" + lines([[x, y, x + w, y + h] for x, y, w, h in XYWH]),
        "x1,y1,x2,y2\n" + lines([[x, y, x + w, y + h] for x, y, w, h in XYWH]),
        "xmin ymin xmax ymax\n" + lines([[x, y, x + w, y + h] for x, y, w, h in XYWH]),
        "class,cx/W,cy/H,w/W,h/H\n"
        + lines(
            [[0, (x + w / 2) / 240, (y + h / 2) / 136, w / 240, h / 136] for x, y, w, h in XYWH]
        ),
        "0,116.8,55.9,25.8,15.4\n1,117,56,26,15.5\n2,118,57,26,15\n",
        "1 116.8 55.9 25.8 15.4\n2 117 56 26 15.5\n3 118 57 26 15\n",
        "frame,id,x,y,w,h,conf\n" + lines([[i + 1, 7, *row, 1] for i, row in enumerate(XYWH)]),
        "frame,target,x,y,w,h,score,status\n"
        + "".join(f"{i},0,{x},{y},{w},{h},0.9,tracked\n" for i, (x, y, w, h) in enumerate(XYWH)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_boxes_however_they_are_written(tmp_path, text, encoding):
    boxes = read_boxes(write(tmp_path / "gt.txt", text, encoding), (240, 136))
    np.testing.assert_allclose(boxes, XYWH, atol=1e-3)


def test_latin_1(tmp_path):
    text = "# Z\u00fcrich\n" + lines()
    assert read_boxes(write(tmp_path / "gt.txt", text, "latin-1")).tolist() == XYWH


def test_polygons_become_their_bounding_box(tmp_path):
    path = write(tmp_path / "gt.txt", "0,5,10,0,20,5,10,15\n0,5,10,0,20,5,10,15.5\n")
    assert read_boxes(path).tolist() == [[0, 0, 20, 15], [0, 0, 20, 15.5]]


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n\nnan,nan,nan,nan\n5,6,7,8\n\n",
        "frame,x,y,w,h\n0,1,2,3,4\n3,5,6,7,8\n",
        "frame,x,y,w,h\n1,1,2,3,4\n4,5,6,7,8\n",
        "x,y,w,h\n1,2,3,4\n\n,,,\n5,6,7,8\n",
    ],
)
def test_absent_frames(tmp_path, text):
    boxes = read_boxes(write(tmp_path / "gt.txt", text))
    assert boxes[[0, 3]].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert len(boxes) == 4 and np.isnan(boxes[1:3]).all()


CORNERS = lines([[x, y, x + w, y + h] for x, y, w, h in XYWH])


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("1,2,3,4\n1,2,3\n", 2, "expected 4 columns as before"),
        ("1,2,3,4\na,b,c,d\n", 2, "no number in 'a,b,c,d'"),
        ("a,b,c,d\n", 1, "'a,b,c,d' names no box; name the columns"),
        ("1,2,3\n", 1, "expected x,y,w,h or the four corners"),
        ("5,1,2,3,4\n5,1,2,3,4\n", 1, "name the columns in a first line"),
        ("1,1,8,9,3,4,1,1\n2,1,8,9,3,4,1,1\n", 1, "name the columns in a first line"),
        ("0 0.5 0.5 0.1 0.1\n0 0.5 0.4 0.1 0.1\n", 1, "class,cx/W,cy/H,w/W,h/H"),
        ("116,8 55,9 25,8 15,4\n", 1, "expected x,y,w,h"),
        ("\n\n" + CORNERS, 3, '240 x 136; if these are two corners, write "x0,y0,x1,y1"'),
        (".5,.5,.1,.1\n.5,.4,.1,.1\n", 1, 'write "cx/W,cy/H,w/W,h/H"'),
        ("x0,y0,x1,y1\n" + lines(), 2, "ends before it begins"),
        ("frame,x,y,w,h\n1,1,2,3,4\n1,1,2,3,4\n", 3, "frame 1 comes after frame 1"),
        (f'1,2,3,"{200_000 * "4"}"\n', 1, "names no box"),
        ("frame,x,y,w,h\n0,1,2\n", 2, "expected at least 5 columns but found '0,1,2'"),
        ("frame,x,y,w,h\n1,1,2,3,4\n1e30,1,2,3,4\n", 3, "frame 1e.30 comes after"),
        ("frame,x,y,w,h\n0.5,1,2,3,4\n", 2, "frame 0.5 is not a whole number"),
        ("frame,x,y,w,h\n001.jpg,1,2,3,4\n", 2, "no number in '001.jpg'"),
        ("240,5,20,10\n250,5,20,10\n", 1, "and all others lie outside of the frames, .* 240 x 136"),
    ],
)
def test_what_is_refused(tmp_path, text, line, message):
    with pytest.raises(ValueError, match=f"gt.txt line {line}: .*{message}"):
        read_boxes(write(tmp_path / "gt.txt", text), (240, 136))


def test_boxes_that_a_name_vouches_for_and_boxes_at_the_border(tmp_path):
    assert len(read_boxes(write(tmp_path / "a.txt", "x,y,w,h\n" + CORNERS), (240, 136))) == 3
    for rows in ([[-20, -10, 50, 50]], [[200, 100, 80, 60]], [[0, 0, 240, 136]]):
        assert read_boxes(write(tmp_path / "b.txt", lines(rows)), (240, 136)).tolist() == rows


def test_other_columns_may_hold_anything_or_nothing(tmp_path):
    text = (
        "frame,target,x,y,w,h,score,status,time,name\n"
        "0,0,1,2,3,4,0.9,tracked,0.00,a;b.jpg\n"
        '1,0,5,6,7,8,0.9,tracked,0.04,"it\'s, a\tname.jpg"\n'
        "2,0,5,6,7,9,0.9,skipped,,\n"
    )
    boxes = read_boxes(write(tmp_path / "boxes.csv", text), (30, 20))
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [5, 6, 7, 9]]


def test_a_first_column_of_words(tmp_path):
    for head in ("", "# made by hand\n", "# x,y,w,h\n"):
        text = head + "name,x,y,w,h\n1.jpg,1,2,3,4\n2.jpg,5,6,7,8\n"
        boxes = read_boxes(write(tmp_path / "gt.txt", text), (30, 20))
        assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_columns_of_motchallenge(tmp_path):
    """Its x, y and z are a point in space."""
    text = "frame,id,bb_left,bb_top,bb_width,bb_height,conf,x,y,z\n1,1,5,6,7,8,1,-1,-1,-1\n"
    assert read_boxes(write(tmp_path / "gt.txt", text), (30, 20)).tolist() == [[5, 6, 7, 8]]


def test_several_targets(tmp_path):
    text = "frame,target,x,y,w,h\n0,0,1,2,3,4\n0,1,1,2,3,4\n"
    with pytest.raises(ValueError, match=r"boxes of 2 targets \(0, 1\)"):
        read_boxes(write(tmp_path / "boxes.csv", text))


def test_empty_file(tmp_path):
    for text in ("", "\n\n", "x,y,w,h\n"):
        assert read_boxes(write(tmp_path / "gt.txt", text)).shape == (0, 4)
