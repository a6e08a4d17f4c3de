"""UAV123 and UAV20L (Mueller, Smith and Ghanem, ECCV 2016)."""

import re
from functools import partial
from pathlib import Path
from typing import List

from .cache import Source
from .otb import parse_ranges, read_range
from .sequences import official_list

TREE = """\
anno/
  UAV123/bike1.txt ...          # x,y,w,h for each frame; NaN where the target cannot be seen
  UAV20L/bike1.txt ...
data_seq/UAV123/
  bike1/000001.jpg ...          # 91 videos, for both benchmarks
  bird1/000001.jpg ...          # several sequences: bird1_1, bird1_2, bird1_3
  ...
"""

# The tools of the benchmark are those of OTB, in MATLAB, where the first pixel of an image is (1,
# 1).
PIXEL_ORIGIN = 1

# Frames by number. Sequences with a number after "_" are parts of one video.
SPLITS = {name: parse_ranges(official_list(name.lower())) for name in ("UAV123", "UAV20L")}


def uav_sources(root: Path, split: str) -> List[Source]:
    """The sources of "UAV123" (123 sequences) or "UAV20L" (20 long sequences of the same
    videos)."""
    sources = []
    for name, (first, last) in SPLITS[split].items():
        truth = root / "anno" / split / f"{name}.txt"
        images = root / "data_seq" / "UAV123" / re.sub(r"_\d$", "", name)
        read = partial(read_range, name, truth, images, first, last)
        sources.append(Source(name, (truth, images), read))
    return sources
