"""Files that name the project's version, or the supported versions of Python, agree."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = (3, 9), (3, 14)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def versions(text):
    return [tuple(map(int, v)) for v in re.findall(r"\b(\d)\.(\d+)\b", text)]


def test_makefile():
    makefile = read("Makefile")
    (comment,) = re.findall(r"makes the environment \((.*)\)", makefile)
    (message,) = re.findall(r"is not supported, (.*) are:", makefile)
    assert versions(comment) == versions(message) == [OLDEST, NEWEST]
    assert f"{OLDEST} <= v <= {NEWEST}" in makefile


def test_install_guide():
    (sentence,) = re.findall(r"^You need Linux, Python (.*?) and", read("INSTALL.md"), re.MULTILINE)
    assert versions(sentence) == [OLDEST, NEWEST]


def test_package():
    ask = [sys.executable, "setup.py", "--quiet", "--classifiers"]
    done = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    assert versions(done.stdout) == [(3, minor) for minor in range(OLDEST[1], NEWEST[1] + 1)]
    assert 'python_requires=">=%d.%d"' % OLDEST in read("setup.py")


def test_lint():
    assert 'target-version = "py%d%d"' % OLDEST in read("ruff.toml")


def test_make_refuses_other_versions():
    """The check of the Makefile, as make hands it to a Python."""
    line = re.search(r"^CHECK_PYTHON := (.*?)\\\n\t(.*)$", read("Makefile"), re.MULTILINE)
    check = "".join(line.groups())
    for version, is_right in [((3, 8), 0), (OLDEST, 1), (NEWEST, 1), ((3, 15), 0), ((2, 7), 0)]:
        pretend = f"import sys; sys.version_info = {version + (0,)}; {check}"
        done = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True)
        assert (done.returncode == 0) == bool(is_right), version
        if not is_right:
            assert done.stderr == (
                "error: Python %d.%d is not supported, 3.9 to 3.14 are: "
                "make setup PYTHON=python3.11\n" % version
            )


def test_the_newest_version_of_the_changelog_is_that_of_the_package():
    ask = [sys.executable, "setup.py", "--quiet", "--version"]
    done = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.findall(r"^## (\d.*)", read("CHANGELOG.md"), re.MULTILINE)[0] == done.stdout.strip()
    assert f'__version__ = "{done.stdout.strip()}"' in read("sot/__init__.py")
