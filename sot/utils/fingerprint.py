"""Fingerprints: short texts that change with the values they are made of, and so show whether a
cached result is still valid.

A computed result also depends on the code. So its fingerprint includes a version number, which the
commit that changes the results raises by hand. A changed comment does not change a fingerprint.
"""

import hashlib
import json

import numpy as np
import torch


def fingerprint(*parts) -> str:
    """The hexadecimal SHA-256 of values in their order. A value is bytes, an array or a tensor
    (values, type and shape count), or anything that JSON can hold (the order of a dict does not
    count)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().contiguous()
            head, content = [str(part.dtype), list(part.shape)], part.reshape(-1).view(torch.uint8)
            content = content.numpy().tobytes()
        elif isinstance(part, np.ndarray):
            head, content = [str(part.dtype), list(part.shape)], part.tobytes()
        elif isinstance(part, bytes):
            head, content = len(part), part
        else:
            head, content = part, b""
        digest.update(json.dumps(head, sort_keys=True).encode() + b"\n" + content)
    return digest.hexdigest()
