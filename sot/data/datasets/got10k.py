"""GOT-10k (Huang et al., TPAMI 2021): 9,335 training, 180 validation and 180 test sequences."""

from functools import partial
from pathlib import Path
from typing import Dict, List

from ..frames import ImageFrames, list_images
from .box_files import read_boxes
from .cache import Source
from .sequences import extend_first_box, read_labels, read_names
from .tracks import make_track

TREE = """\
train/                        # of the parts train, val and test, those that are used
  list.txt                    # names of the sequences
  GOT-10k_Train_000001/
    00000001.jpg ...
    groundtruth.txt           # x,y,w,h for each frame
    absence.label             # 1: the target is not there
    cover.label               # 0 ... 8 eighths of the target can be seen
    cut_by_image.label        # 1: the border of the image cuts the target
    meta_info.ini             # not read
val/                          # like train
  list.txt
  GOT-10k_Val_000001/ ...
test/
  list.txt
  GOT-10k_Test_000001/
    00000001.jpg ...
    groundtruth.txt           # the first box only; a server knows the others
"""

# The official toolkit cuts boxes to [0, width] x [0, height] before it compares them
# (got10k/utils/metrics.py, rect_iou), so they are continuous and count from 0.
PIXEL_ORIGIN = 0

# In these sequences the first pictures are all the same, so that the boxes do not show the target.
# Some boxes lie outside the image (github.com/got-10k/toolkit/issues/10).
WRONG = frozenset(f"GOT-10k_Train_{i:06d}" for i in (*range(8623, 8638), 9058, 9059))

LABELS = ("absence", "cover", "cut_by_image")


def got10k_sources(root: Path, split: str) -> List[Source]:
    """The sources of the split "train", "val" or "test". Tracks of "train" and "val" also have
    ``cover`` ((T,) int8, 0 to 8) and ``cut_by_image`` ((T,) bool). The 17 training sequences with
    wrong boxes are left out."""
    sources, labels = [], LABELS if split != "test" else ()
    for name in read_names(root / split / "list.txt"):
        if name not in WRONG:
            folder = root / split / name
            files = folder / "groundtruth.txt", *(folder / f"{k}.label" for k in labels), folder
            sources.append(Source(name, files, partial(_read, folder, split != "test")))
    return sources


def _read(folder: Path, labelled: bool) -> List[Dict]:
    frames = ImageFrames(list_images(folder))
    boxes = read_boxes(folder / "groundtruth.txt")
    if not labelled:
        return [make_track(folder.name, frames, extend_first_box(boxes, len(frames)))]
    absence, cover, cut = (read_labels(folder / f"{name}.label", len(boxes)) for name in LABELS)
    visible = (absence == 0) & (cover > 0)
    fields = {"cover": cover, "cut_by_image": cut.astype(bool)}
    return [make_track(folder.name, frames, boxes, visible, **fields)]
