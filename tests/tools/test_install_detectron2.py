import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile

import pytest
from tool_modules import TOOLS, load_tool

tool = load_tool("install_detectron2")

SETUP = """\
import torch
from setuptools import find_packages, setup

setup(
    name="pb1-detectron2",
    packages=find_packages(exclude=("configs", "tests*")) + list(PROJECTS.keys()),
    package_data={"detectron2.model_zoo": get_model_zoo_configs()},
    install_requires=[
        "Pillow>=7.1",
        "future",  # used by caffe2
        "black==21.4b2",
    ],
    ext_modules=get_extensions(),
    cmdclass={"build_ext": torch.utils.cpp_extension.BuildExtension},
)
"""
PATCHED_SETUP = """\
import torch
from setuptools import find_packages, setup

setup(
    name="detectron2",
    packages=find_packages(include=["detectron2*"]) + list(PROJECTS.keys()),
    package_data={"detectron2.model_zoo": ["configs/**/*.yaml", "configs/**/*.py"]},
    install_requires=[
        "Pillow>=7.1",
        "setuptools>=62.3,<81",
    ],
)
"""


@pytest.fixture
def source(tmp_path):
    """A source tree that has what the tool patches, and nothing else."""
    files = {
        "setup.py": SETUP,
        "detectron2/__init__.py": '__version__ = "0.6"\n',
        "detectron2/export/__init__.py": "from .api import *\nfrom .flatten import F\n",
        "detectron2/data/transforms/transform.py": "def f(interp=Image.LINEAR, fill=0): pass\n",
        "detectron2/data/build.py": "x = np.zeros(3, dtype=np.int)\ny = np.bool_(np.int64(1))\n",
    }
    for name, text in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "source"


def make_archive(folder):
    """Write a minimal pb1-detectron2-0.6.tar.gz into `folder`; returns its SHA-256."""
    setup = b"from setuptools import setup\nsetup(name='pb1-detectron2', version='0.6')\n"
    metadata = b"Metadata-Version: 2.1\nName: pb1-detectron2\nVersion: 0.6\n"
    path = folder / "pb1-detectron2-0.6.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("setup.py", setup), ("PKG-INFO", metadata)):
            info = tarfile.TarInfo(f"pb1-detectron2-0.6/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def offline_index(tmp_path, monkeypatch):
    """An empty folder that pip takes for the only package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", folder), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", str(value))
    return folder


class TestPatch:
    def test_setup_py_becomes_a_pure_python_package_named_detectron2(self, source):
        tool.patch(source)
        assert (source / "setup.py").read_text() == PATCHED_SETUP

    def test_removed_names_of_pillow_numpy_and_caffe2_are_replaced(self, source):
        tool.patch(source)
        transform = (source / "detectron2/data/transforms/transform.py").read_text()
        assert transform == "def f(interp=Image.BILINEAR, fill=0): pass\n"
        build = (source / "detectron2/data/build.py").read_text()
        assert build == "x = np.zeros(3, dtype=int)\ny = np.bool_(np.int64(1))\n"
        export = (source / "detectron2/export/__init__.py").read_text()
        assert export == "from .flatten import F\n"

    @pytest.mark.parametrize(
        "file, old", [(file, old) for file, pairs in tool.PATCHES.items() for old, _ in pairs]
    )
    def test_missing_text_is_an_error_naming_file_and_text(self, source, file, old):
        path = source / file
        path.write_text(path.read_text().replace(old, ""))
        with pytest.raises(tool.InstallError) as error:
            tool.patch(source)
        assert str(error.value) == f"cannot patch {path}: expected {old!r} once, found 0"

    def test_text_found_twice_is_an_error(self, source):
        path = source / "setup.py"
        path.write_text(SETUP + SETUP)
        with pytest.raises(tool.InstallError, match="once, found 2"):
            tool.patch(source)

    def test_missing_file_is_an_error(self, source):
        (source / "detectron2/data/transforms/transform.py").unlink()
        with pytest.raises(tool.InstallError, match="transform.py"):
            tool.patch(source)

    def test_no_numpy_alias_is_an_error(self, source):
        (source / "detectron2/data/build.py").write_text("x = 1\n")
        with pytest.raises(tool.InstallError, match="np.int"):
            tool.patch(source)


class TestCStub:
    def test_environment_report_functions_work_and_operators_say_what_is_missing(self, source):
        tool.patch(source)
        spec = importlib.util.spec_from_file_location("_C", source / "detectron2/_C.py")
        stub = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(stub)
        assert stub.has_cuda() is False
        assert stub.get_compiler_version() == "none (Python-only build)"
        assert stub.get_cuda_version() == "none (Python-only build)"
        with pytest.raises(AttributeError, match="_C.deform_conv_forward: compiled operators are"):
            stub.deform_conv_forward()


class TestDownload:
    def test_right_hash_gives_the_archive(self, tmp_path, offline_index):
        sha256 = make_archive(offline_index)
        archive = tool.download(tmp_path, sha256)
        assert archive == tmp_path / "pb1-detectron2-0.6.tar.gz"
        assert (tool.unpack(archive, tmp_path / "unpacked") / "setup.py").is_file()

    def test_wrong_hash_is_an_error(self, tmp_path, offline_index):
        make_archive(offline_index)
        with pytest.raises(
            tool.InstallError, match="not the expected one: its SHA-256 is not 5d2e"
        ):
            tool.download(tmp_path)

    def test_no_archive_to_be_had_is_an_error(self, tmp_path, offline_index):
        with pytest.raises(tool.InstallError, match="is there a network"):
            tool.download(tmp_path)


class TestCommand:
    def run(self, modules):
        """Run the tool where only the standard library and the folder `modules` can be imported."""
        return subprocess.run(
            [sys.executable, "-S", str(TOOLS / "install_detectron2.py")],
            env={"PYTHONPATH": str(modules)},
            capture_output=True,
            text=True,
        )

    def test_does_nothing_if_detectron2_is_there(self, tmp_path):
        package = tmp_path / "detectron2"
        package.mkdir()
        (package / "__init__.py").write_text('__version__ = "1.2"\n')
        result = self.run(tmp_path)
        assert result.returncode == 0
        assert result.stdout == f"detectron2 1.2 is already installed in {package}\n"

    def test_missing_torch_is_a_one_line_error(self, tmp_path):
        result = self.run(tmp_path)
        assert result.returncode == 1
        assert result.stdout == ""
        assert result.stderr == (
            "error: detectron2 needs torch: first `pip install torch torchvision`\n"
        )
