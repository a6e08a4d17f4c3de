"""What may import what: each room of the project only rooms on its left."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = [  # from left to right; the first four may use each other
    {"boxes", "config", "utils", "visualization"},
    {"data", "modeling"},
    {"checkpoint", "deploy"},
    {"tracking"},
    {"api", "adapters"},
    {"evaluation"},
    {"engine"},
]
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def imported_rooms(path: Path):
    """Rooms of ``sot`` that a module imports, at its top or within functions."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) + 1 - node.level] if node.level else ())
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        yield from (name[1] for name in names if name[0] == "sot" and name[1:2])


def test_every_module_imports_only_from_its_left():
    wrong, rooms = set(), set()
    for path in sorted(ROOT.glob("sot/*/**/*.py")) + sorted(ROOT.glob("sot/[!_]*.py")):
        room = path.relative_to(ROOT / "sot").with_suffix("").parts[0]
        for other in set(imported_rooms(path)) - {room}:
            if RANK.get(other, 0) >= max(RANK[room], 1):
                wrong.add((path.relative_to(ROOT).as_posix(), other))
        rooms.add(room)
    assert rooms == set(RANK)
    assert not wrong


def test_imports_are_found_wherever_they_stand(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "sot" / "data" / "a.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import sot.api, os\nfrom .. import engine\ndef f():\n  from ..boxes import x\n"
    )
    assert set(imported_rooms(path)) == {"api", "engine", "boxes"}
