"""A short text that changes with what it is made of, to tell whether a result is still good.

What has been computed by code depends on that code too. Such a fingerprint holds a version number
that is raised by hand in the commit that changes the results; a changed comment changes nothing.
"""

import hashlib
import json

import numpy as np
import torch


def fingerprint(*parts) -> str:
    """Hexadecimal SHA-256 of values in their order: bytes, arrays, tensors (their values, type and
    shape), or what JSON can hold (the order of a dict does not count)."""
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
