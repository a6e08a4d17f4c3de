"""Maps the names of tensors in the files of other projects to the names of this project.

A rule is a regular expression for the whole name of a module, and our name, which may use its
groups."""

import re
from typing import List, Optional, Sequence, Tuple

Rules = Sequence[Tuple[str, str]]


def rename(name: str, rules: Rules) -> Optional[str]:
    """Our name of a tensor, by the first rule that matches its module; None if no rule does."""
    module, _, leaf = name.rpartition(".")
    for pattern, ours in rules:
        match = re.fullmatch(pattern, module)
        if match:
            return f"{match.expand(ours)}.{leaf}"
    return None


def with_norm(conv: str, norm: str, ours: str) -> List[Tuple[str, str]]:
    """The rules of a convolution and the batch norm after it, which is a child of the convolution
    here."""
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
    """Whether the tensor only counts training steps, so that no output depends on it."""
    return name.endswith(".num_batches_tracked")
