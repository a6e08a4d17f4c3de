#!/usr/bin/env python
"""Install detectron2 0.6 without a compiler: `python tools/install_detectron2.py`.

Does nothing if `import detectron2` already works in this interpreter. Otherwise it downloads the
source archive `pb1-detectron2==0.6` (the Python files of the official v0.6; detectron2 has no
release on the package index under its own name), checks its SHA-256, patches it, builds the wheel
`detectron2-0.6-py3-none-any.whl` and installs it with its dependencies.

The result is a Python-only build. The compiled operators (deformable convolution, rotated boxes,
the fast COCO evaluation) are missing and say so when called; a tracker needs none of them.
Needs pip and torch in this interpreter. See INSTALL.md for the way to a full build.
"""

import argparse
import importlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SDIST = "pb1-detectron2==0.6"
SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
# setuptools 81 removed pkg_resources, which detectron2's model_zoo imports; 62.3 knows "**" in
# package_data.
BUILD_REQUIREMENTS = ("setuptools>=62.3,<81", "wheel")

# {file: [(text, replacement), ...]}; each text must occur exactly once.
PATCHES = {
    "setup.py": [
        ('name="pb1-detectron2"', 'name="detectron2"'),
        ("    ext_modules=get_extensions(),\n", ""),
        ('    cmdclass={"build_ext": torch.utils.cpp_extension.BuildExtension},\n', ""),
        ('        "black==21.4b2",\n', ""),  # a formatter, pinned to a version of its own time
        ('"future",  # used by caffe2', f'"{BUILD_REQUIREMENTS[0]}",'),
        # The original would also install its tools/ as a top-level package.
        ('find_packages(exclude=("configs", "tests*"))', 'find_packages(include=["detectron2*"])'),
        # The configs are inside the package in this archive; the original looks elsewhere.
        (": get_model_zoo_configs()}", ': ["configs/**/*.yaml", "configs/**/*.py"]}'),
    ],
    # caffe2 left PyTorch: its exporters go, tracing and scripting stay.
    "detectron2/export/__init__.py": [("from .api import *\n", "")],
    # Image.LINEAR left Pillow in version 10.
    "detectron2/data/transforms/transform.py": [("interp=Image.LINEAR", "interp=Image.BILINEAR")],
}

# detectron2 0.6 imports detectron2._C eagerly, so the module must exist.
C_STUB = '''"""Stands in for the compiled operators, which this Python-only build does not have."""


def get_compiler_version():
    return "none (Python-only build)"


def get_cuda_version():
    return "none (Python-only build)"


def has_cuda():
    return False


def __getattr__(name):
    raise AttributeError(
        f"detectron2._C.{name}: compiled operators are missing from this Python-only build of "
        "detectron2; build detectron2 from its git repository to use them"
    )
'''


class InstallError(Exception):
    """A step failed; the message is one line and says what to do."""


def run_pip(*args):
    """Run pip of this interpreter. Returns (return code, output)."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, args)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    result = subprocess.run(command, **output, encoding="utf-8", errors="replace")
    return result.returncode, result.stdout


def pip(*args):
    """Run pip; on failure raise InstallError with pip's last error line."""
    code, output = run_pip(*args)
    if code != 0:
        lines = output.strip().splitlines() or ["no output"]
        reason = [line for line in lines if line.startswith("ERROR")] or lines
        raise InstallError(f"pip {' '.join(map(str, args))} failed: {reason[-1].strip()}")


def download(directory, sha256=SHA256):
    """Download the source archive into `directory` and return its path. pip compares the hash
    before it opens the archive.

    Raises InstallError if the hash differs or the archive cannot be had.
    """
    requirement = Path(directory, "sdist.txt")
    requirement.write_text(f"{SDIST} --hash=sha256:{sha256}\n")
    options = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--require-hashes"]
    code, output = run_pip("download", *options, "-d", directory, "-r", requirement)
    if "DO NOT MATCH THE HASHES" in output:
        raise InstallError(
            f"the archive {SDIST} is not the expected one: its SHA-256 is not {sha256}"
        )
    archives = list(Path(directory).glob("*.tar.gz"))
    if code != 0 or len(archives) != 1:
        raise InstallError(
            f"cannot download {SDIST}: is there a network and a package index? "
            f"(to see all: {sys.executable} -m pip download --no-deps {SDIST})"
        )
    return archives[0]


def unpack(archive, directory):
    """Unpack the source archive and return the path of its only top folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(directory, **({"filter": "data"} if sys.version_info >= (3, 12) else {}))
    return next(path for path in Path(directory).iterdir() if path.is_dir())


def replace_once(path, old, new):
    """Replace `old`, which must occur exactly once in the file `path`, by `new`."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(old) != 1:
        raise InstallError(f"cannot patch {path}: expected {old!r} once, found {text.count(old)}")
    path.write_text(text.replace(old, new), encoding="utf-8")


def replace_numpy_aliases(root):
    """Replace np.int, np.float and the like, which numpy 1.24 removed, by int, float in all Python
    files under `root`. Returns how many.
    """
    total = 0
    for path in sorted(Path(root).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        text, count = re.subn(r"\bnp\.(int|float|bool|str|object)\b", r"\1", text)
        if count:
            path.write_text(text, encoding="utf-8")
            total += count
    if total == 0:
        raise InstallError(f"cannot patch {root}: no removed numpy alias such as np.int found")
    return total


def patch(source):
    """Turn the unpacked archive `source` into the Python-only package named detectron2."""
    for file, replacements in PATCHES.items():
        for old, new in replacements:
            replace_once(Path(source, file), old, new)
    replace_numpy_aliases(Path(source, "detectron2"))
    Path(source, "detectron2", "_C.py").write_text(C_STUB, encoding="utf-8")


def importable(module):
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def install(wheel_dir=None):
    """Download, patch, build and install; the wheel is kept in `wheel_dir` if given."""
    if not importable("torch"):
        raise InstallError("detectron2 needs torch: first `pip install torch torchvision`")
    print(f"[1/4] installing what the build needs: {', '.join(BUILD_REQUIREMENTS)}", flush=True)
    pip("install", *BUILD_REQUIREMENTS)
    with tempfile.TemporaryDirectory() as scratch:
        print(f"[2/4] downloading {SDIST}, SHA-256 {SHA256}", flush=True)
        source = unpack(download(scratch), Path(scratch, "source"))
        print("[3/4] patching it (Python only, today's Pillow and numpy) and building", flush=True)
        patch(source)
        wheels = Path(wheel_dir or Path(scratch, "wheel"))
        pip("wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source)
        wheel = next(wheels.glob("detectron2-0.6-*.whl"))
        print(f"[4/4] installing {wheel if wheel_dir else wheel.name}", flush=True)
        pip("install", wheel)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel-dir", metavar="DIR", help="keep the built wheel in this folder")
    args = parser.parse_args()
    if importable("detectron2"):
        package = importlib.import_module("detectron2")
        print(f"detectron2 {package.__version__} is already installed in {package.__path__[0]}")
        return 0
    try:
        install(args.wheel_dir)
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    check = "import detectron2, detectron2.model_zoo; print('installed', detectron2.__version__)"
    return subprocess.run([sys.executable, "-W", "ignore", "-c", check]).returncode


if __name__ == "__main__":
    sys.exit(main())
