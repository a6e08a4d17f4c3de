"""The files in which the results of a tracker on a dataset are: the layouts of this project and
those of the public toolkits.

The `writer` writes these files. NAME is the name of a sequence, with `_` for letters that are not
safe in a file name. Boxes are x,y,w,h in pixels that count from 0 or 1, as in the dataset:

=================  ==========================================  ===============================
datasets           boxes                                       beside them
=================  ==========================================  ===============================
OTB and others     NAME.txt                                    NAME_time.value,
                                                               NAME_confidence.value,
                                                               NAME.status
GOT-10k            NAME/NAME_001.txt                           NAME/NAME_time.txt,
                                                               NAME/NAME_001_confidence.value,
                                                               NAME/NAME_001.status
VOT                EXPERIMENT/NAME/NAME_001.txt, as in a       NAME_001_time.value,
                   workspace of its toolkit: baseline/ with    NAME_001_confidence.value,
                   restarts, unsupervised/ and longterm/       NAME_001.status
                   without; the first line is 1 (a start)
=================  ==========================================  ===============================

Each file has one line for each frame. Times are in seconds. Confidences and status are those of the
tracker. A frame without a confidence, such as that of a start, has an empty line.

The `reader` also reads these files:

* OTB, UAV123, LaSOT, TrackingNet, PySOT, PyTracking: NAME.txt with ``x,y,w,h`` for each frame;
  comma, tab, semicolon or space. Times in NAME_time.txt or times/NAME_time.txt, scores in
  NAME_scores.txt.
* GOT-10k: further runs in NAME_002.txt ...; times in one column for each run.
* VOT: a box or a polygon for each frame, or one number instead: 1 if the tracker was started, 2 if
  it failed, 0 if the frame was passed over. Further runs as in GOT-10k.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from ...utils.files import file_name

RUN = "_001"
# Folders of experiments of the VOT toolkits, and the prefixes that PyTracking puts before names.
RESTARTS = ("baseline", "supervised")
EXPERIMENTS = ("", *RESTARTS, "unsupervised", "longterm", "realtime")
PREFIXES = ("", "uav_", "nfs_")
# Those of this project come first, because NAME_time.txt may hold the boxes of another sequence.
TIMES = ("{}_time.value", "{}_time.txt", "{}_times.txt", "times/{}_time.txt")
SCORES = ("{}_confidence.value", "{}_scores.txt", "{}_score.txt", "{}_confidence.txt")


@dataclass(frozen=True)
class Layout:
    """Paths in the folder of results, with {0} for the sequence; and whether the first line of the
    boxes is the mark of a start."""

    boxes: str
    times: str
    scores: str
    status: str
    started: bool = False

    def paths(self, name: str) -> List[str]:
        """The paths of all files. The boxes come last: if they exist, the other files exist,
        too."""
        patterns = (self.times, self.scores, self.status, self.boxes)
        return [pattern.format(file_name(name)) for pattern in patterns]


def _vot(experiment: str) -> Layout:
    stem = f"{experiment}/{{0}}/{{0}}{RUN}"
    parts = (".txt", "_time.value", "_confidence.value", ".status")
    return Layout(*(stem + part for part in parts), started=True)


FLAT = Layout("{0}.txt", "{0}_time.value", "{0}_confidence.value", "{0}.status")
# By the name of the protocol. All others have FLAT.
LAYOUTS = {
    "got10k": Layout(
        "{0}/{0}_001.txt", "{0}/{0}_time.txt", "{0}/{0}_001_confidence.value", "{0}/{0}_001.status"
    ),
    **{f"vot{year}": _vot("baseline") for year in range(2015, 2020)},
    "vot_unsupervised": _vot("unsupervised"),
    "vot2018_lt": _vot("longterm"),
}


def find_result(folder: Path, name: str) -> Optional[Path]:
    """The file with the boxes of the first run of a sequence, or None."""
    spellings = (
        name,
        file_name(name),
        re.sub(r"[-.](?=\d+$)", "_", name),
        re.sub(r"-(?=\d+$)", ".", name),
    )
    for experiment in EXPERIMENTS:
        for prefix in PREFIXES:
            for spelling in dict.fromkeys(prefix + spelling for spelling in spellings):
                root = folder / experiment
                nested = root / spelling / f"{spelling}{RUN}.txt"
                for path in (root / f"{spelling}.txt", nested):
                    if path.is_file():
                        return path
    return None


def find_beside(path: Path, patterns: Sequence[str]) -> Optional[Path]:
    """The file of times (TIMES) or scores (SCORES) that stands beside a result file."""
    stems = (path.stem, path.stem[: -len(RUN)] if path.stem.endswith(RUN) else path.stem)
    names = [pattern.format(stem) for stem in dict.fromkeys(stems) for pattern in patterns]
    return next((path.parent / name for name in names if (path.parent / name).is_file()), None)


def further_runs(path: Path) -> List[Path]:
    """NAME_002.txt, NAME_003.txt, ... beside NAME_001.txt."""
    if not path.stem.endswith(RUN):
        return []
    stem = path.stem[: -len(RUN)]
    files = sorted(path.parent.iterdir())
    return [
        p for p in files if re.fullmatch(re.escape(stem) + r"_\d{3}\.txt", p.name) and p != path
    ]
