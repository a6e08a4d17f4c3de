"""What holds for every program that runs a network."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = (
    *("analyze_model", "analyze_response", "benchmark", "export_model", "reproduce"),
    *("run_baseline", "tune_tracker", "visualize_pairs", "vot_tracker"),
)
PROGRAMS = ["train_net.py", "demo/track_video.py", *(f"tools/{name}.py" for name in TOOLS)]
STANDARD = sys.stdlib_module_names if sys.version_info >= (3, 10) else None


@pytest.mark.skipif(STANDARD is None, reason="Python 3.9 has no list of its own modules")
@pytest.mark.parametrize("program", PROGRAMS)
def test_threads_that_wait_are_passive_before_anything_else_is_imported(program):
    statements = ast.parse((ROOT / program).read_text(encoding="utf-8")).body
    texts = [ast.unparse(s) for s in statements]
    before = statements[: texts.index("os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')")]
    for statement in before:
        names = [alias.name for alias in getattr(statement, "names", [])]
        names = [getattr(statement, "module", None) or name for name in names]
        assert {name.split(".")[0] for name in names} <= STANDARD


def test_an_import_does_not_change_how_threads_wait():
    code = "import os, sot; assert 'OMP_WAIT_POLICY' not in os.environ"
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)
