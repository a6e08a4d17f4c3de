import pytest

from sot.utils.files import atomic_write, remove_partial_files, write_text


def test_a_file_is_replaced_once_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with atomic_write(path, "w") as f:
        f.write("new")
        f.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "new folder" / "a.txt", "old")
    with pytest.raises(KeyError), atomic_write(tmp_path / "new folder" / "a.txt", "w") as f:
        f.write("new")
        raise KeyError
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["a.txt"]
    assert (tmp_path / "new folder" / "a.txt").read_text() == "old"


def test_a_disk_error_names_the_file_the_free_space_and_the_advice(tmp_path):
    path = tmp_path / "no folder" / "a.bin"
    with pytest.raises(
        OSError, match=r"write .*/a.bin \(0 MB .*: No such file or directory: buy a disk$"
    ):
        with atomic_write(path, advice="buy a disk"):
            pass


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "a.pth.partial").write_text("half")
    (tmp_path / "b.pth").write_text("whole")
    remove_partial_files(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["b.pth"]
