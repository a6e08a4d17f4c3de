import pytest

from sot.data.datasets.nfs import SEQUENCES, nfs_sources


def write_sequence(root, fps, num_frames, rows, name="airboard_1"):
    folder = root / name / fps / name
    folder.mkdir(parents=True)
    for n in range(1, num_frames + 1):
        (folder / f"{n:05d}.jpg").touch()
    folder.with_suffix(".txt").write_text("".join(f"{row}\n" for row in rows))


def row(xmin, lost=0, frame=0):
    return f'0 {xmin} 260 {xmin + 44} 369 {frame} {lost} 0 1 "table tennis ball"'


def read(root, fps):
    (source,) = [s for s in nfs_sources(root, fps) if s.name == "airboard_1"]
    (track,) = source.read()
    return track


def test_hundred_sequences():
    assert len(SEQUENCES) == len(set(SEQUENCES)) == 100


def test_corners_are_edges_and_lost_frames_keep_their_box(tmp_path):
    write_sequence(tmp_path, "240", 3, [row(520), row(521, lost=1), row(0)])
    track = read(tmp_path, "240")
    assert track["boxes"].tolist() == [
        [520, 260, 564, 369],
        [521, 260, 565, 369],
        [0, 260, 44, 369],
    ]
    assert track["visible"].tolist() == [True, False, True]
    assert track["frames"].name(2).endswith("airboard_1/240/airboard_1/00003.jpg")


@pytest.mark.parametrize("first", [0, 1])
def test_30_fps_takes_every_eighth_row_whatever_their_numbers(tmp_path, first):
    rows = [row(i, lost=int(i == 8), frame=i + first) for i in range(17)]
    write_sequence(tmp_path, "30", 3, rows)
    track = read(tmp_path, "30")
    assert track["boxes"][:, 0].tolist() == [0, 8, 16]
    assert track["visible"].tolist() == [True, False, True]
    assert track["frames"].name(2).endswith("airboard_1/30/airboard_1/00003.jpg")


@pytest.mark.parametrize("num_frames, used", [(2, 2), (4, 3)])
def test_one_frame_more_or_less_is_cut(tmp_path, num_frames, used):
    write_sequence(tmp_path, "30", num_frames, [row(i) for i in range(17)])
    track = read(tmp_path, "30")
    assert len(track["frames"]) == len(track["boxes"]) == used


def test_errors_name_the_sequence_or_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="airboard_1/30/airboard_1.txt"):
        read(tmp_path, "30")
    write_sequence(tmp_path, "30", 5, [row(i) for i in range(17)])
    with pytest.raises(ValueError, match="airboard_1: 5 frames but 3 boxes"):
        read(tmp_path, "30")
    write_sequence(tmp_path, "240", 2, [row(1), "520 260 44 109"])
    with pytest.raises(ValueError, match="airboard_1.txt line 2: .*520 260 44 109"):
        read(tmp_path, "240")
    (tmp_path / "airboard_1" / "240" / "airboard_1.txt").write_text(row(1))
    (tmp_path / "airboard_1" / "240" / "airboard_1").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="airboard_1: there is no folder .*240/airboard_1"):
        read(tmp_path, "240")
