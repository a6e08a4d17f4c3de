import pytest

from sot.utils.files import GrowingFile, atomic_write, remove_partial_files, write_text


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


def test_growing_file_is_whole_after_each_addition(tmp_path):
    with GrowingFile(str(tmp_path / "a.json")) as file:
        file.add("[1", "]")
        assert (tmp_path / "a.json").read_text() == "[1]"
        file.add(", 2", "]    ")
        file.add(", 3", "]")
        assert (tmp_path / "a.json").read_text() == "[1, 2, 3]"
        with pytest.raises(OSError, match="could not write .*a.json: .*; what is in it stays"):
            file._file = FullDisk(file._file)
            file.add(", 4", "]")
    assert (tmp_path / "a.json").read_text() == "[1, 2, 3]"


class FullDisk:
    """A file of which no more than is there can be written."""

    def __init__(self, file):
        self.file, self.seek, self.truncate, self.close = file, file.seek, file.truncate, file.close
        self.size = file.tell()

    def write(self, data):
        room = self.size - self.file.tell()
        if room <= 0:
            raise OSError(28, "No space left on device")
        return self.file.write(data[:room])
