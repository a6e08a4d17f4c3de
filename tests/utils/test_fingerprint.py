import numpy as np
import pytest
import torch

from sot.utils.fingerprint import fingerprint


def test_it_is_the_same_for_the_same_values():
    a = fingerprint(1, {"a": 1, "b": [2]}, np.arange(4), torch.ones(2, dtype=torch.bfloat16))
    b = fingerprint(1, {"b": [2], "a": 1}, np.arange(8)[:4], torch.ones(2, dtype=torch.bfloat16))
    assert a == b and len(a) == 64


@pytest.mark.parametrize(
    "a, b",
    [
        ((1,), (2,)),
        (("ab", "c"), ("a", "bc")),
        ((b"ab", b"c"), (b"a", b"bc")),
        ((np.zeros(4, "int32"),), (np.zeros(4, "float32"),)),
        ((np.zeros((2, 3)),), (np.zeros((3, 2)),)),
        ((torch.zeros(2),), (torch.tensor([0.0, 1.0]),)),
    ],
)
def test_it_changes_with_a_value_its_type_and_its_shape(a, b):
    assert fingerprint(*a) != fingerprint(*b)
