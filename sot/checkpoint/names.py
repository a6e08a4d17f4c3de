"""Names of tensors in the files of other projects, and ours for them.

A rule is a regular expression of the whole name of a module, and our name with its groups.
"""

import re
from typing import Iterable, List, Optional, Sequence, Tuple

Rules = Sequence[Tuple[str, str]]


def rename(name: str, rules: Rules) -> Optional[str]:
    """Our name of a tensor, by the first rule for its module; None if there is none."""
    module, _, leaf = name.rpartition(".")
    for pattern, ours in rules:
        match = re.fullmatch(pattern, module)
        if match:
            return f"{match.expand(ours)}.{leaf}"
    return None


def with_norm(conv: str, norm: str, ours: str) -> List[Tuple[str, str]]:
    """Rules of a convolution and the batch norm that follows it, which here is its child."""
    return [(conv, ours), (norm, f"{ours}.norm")]


def resnet_rules() -> Rules:
    """torchvision's and PySOT's layer1-4 are detectron2's res2-5."""
    rules = with_norm("conv1", "bn1", "stem.conv1")
    for stage in range(1, 5):
        theirs, ours = rf"layer{stage}\.(\d+)", rf"res{stage + 1}.\1"
        rules += with_norm(rf"{theirs}\.conv(\d)", rf"{theirs}\.bn(\d)", rf"{ours}.conv\2")
        part = rf"{theirs}\.downsample"
        rules += with_norm(rf"{part}\.0", rf"{part}\.1", f"{ours}.shortcut")
    return rules


def is_counter(name: str) -> bool:
    """Whether the tensor only counts training steps, so that outputs do not depend on it."""
    return name.endswith(".num_batches_tracked")


def first_of(names: Iterable[str], count: int = 3) -> str:
    """The first few names, for a one-line message: "a, b, c and 5 more", or "none"."""
    names = [str(name) for name in names]
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more or "none"
