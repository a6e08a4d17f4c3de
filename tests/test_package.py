"""What a user of the installed package gets: a clear error without detectron2, types, files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONSUMER = """
from typing import List, Tuple

import numpy as np

import sot

for frame, results in sot.track("video.mp4", [(120, 80, 60, 90)], device="cpu"):
    index: int = frame.index
    boxes: List[Tuple[float, float, float, float]] = [result.box for result in results]

names: List[str] = sot.list_configs()
tracker: sot.SiameseTracker = sot.build_tracker(names[0], weights="", opts=["SEED", 1])
image = np.zeros((60, 80, 3), np.uint8)
tracker.init(image, (10, 10, 20, 20))
result: sot.TrackResult = tracker.update(image)
state: sot.TargetState = tracker.step(image, tracker.start(image, (10, 10, 30, 30)))
text: str = result.status + state.status
network = sot.build_model(sot.load_config("SiamRPN/siamrpn_lite.yaml")).eval()
"""


@pytest.mark.parametrize("is_copy", [True, False])
def test_without_detectron2_the_import_names_the_command_that_installs_it(is_copy, tmp_path):
    """A working copy has the tool that installs it, an installed package does not."""
    folder = ROOT
    if not is_copy:
        folder = tmp_path
        (folder / "sot").mkdir()
        (folder / "sot" / "__init__.py").write_text((ROOT / "sot" / "__init__.py").read_text())
    code = f"import sys; sys.modules['detectron2'] = None; sys.path.insert(0, {str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sot"], capture_output=True, text=True, cwd=tmp_path
    )
    command = "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2"
    if is_copy:
        command = f"python {ROOT / 'tools' / 'install_detectron2.py'}"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: sot needs detectron2, which is not installed; run: {command}"
    )


@pytest.mark.slow
def test_a_program_that_uses_the_package_is_type_checked(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "consumer.py").write_text(CONSUMER)
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "consumer.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("Success"), done.stdout


@pytest.mark.slow
def test_the_wheel_carries_configs_weights_graphs_and_types(tmp_path):
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *options, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("sot-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sot/{path.relative_to(ROOT)}" for path in ROOT.glob("configs/**/*.yaml")} <= names
    assert {f"sot/{path.relative_to(ROOT)}" for path in ROOT.glob("weights/*")} <= names
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("sot/**/*.py")} <= names
    graphs = {path for path in ROOT.glob("sot/deploy/graphs/*/*") if path.is_file()}
    assert graphs and {str(path.relative_to(ROOT)) for path in graphs} <= names
    assert {"sot/py.typed", "sot/evaluation/report/report.html.j2"} <= names
