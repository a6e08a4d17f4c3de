"""The arithmetic of the online model, in small numbers."""

import numpy as np
import pytest
import torch

from sot.tracking.regression import RIDGE, equations, gaussian_labels, hinge_weights, solve


def test_a_linear_problem_is_solved_and_the_ridge_is_relative():
    gram = torch.diag(torch.tensor([2.0, 8.0]))[None]
    moment = torch.tensor([[4.0, 8.0]])
    expected = [4 / (2 + RIDGE * 5), 8 / (8 + RIDGE * 5)]  # 5 is the diagonal's mean
    assert solve(gram, moment, gram)[0].tolist() == pytest.approx(expected)
    weights = solve(1000 * gram, 1000 * moment, 1000 * gram)
    assert weights[0].tolist() == pytest.approx(expected)


def test_a_negative_response_to_the_background_costs_nothing():
    columns, labels = torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[1.0, 0.0]])
    # w minimises (w - 1)^2 + w^2, and without the second term (w - 1)^2
    plain = equations(columns, labels, torch.ones(1, 2))
    assert solve(*plain, plain[0]).item() == pytest.approx(0.5, abs=1e-3)
    counts = hinge_weights(labels, torch.tensor([[0.5, -0.5]]))
    assert counts.tolist() == [[1.0, 0.0]]
    hinge = equations(columns, labels, counts)
    assert solve(*hinge, hinge[0]).item() == pytest.approx(1.0, abs=1e-3)


def test_labels_are_a_gaussian_about_the_target():
    # positions 0, 16, 32 of a crop of 32; deviation 0.25 * sqrt(80 * 80) = 20
    (labels,) = gaussian_labels(np.array([[16.0, 0.0]]), np.array([[80.0, 80.0]]), 3, 16, 32)
    x = np.exp(-0.5 * np.array([16 / 20, 0, 16 / 20]) ** 2)
    y = np.exp(-0.5 * np.array([0, 16 / 20, 32 / 20]) ** 2)
    assert labels.view(3, 3).numpy() == pytest.approx(np.outer(y, x), abs=1e-6)
    # a small target: 0.7 * 16
    (labels,) = gaussian_labels(np.array([[16.0, 16.0]]), np.array([[2.0, 2.0]]), 3, 16, 32)
    assert labels[5].item() == pytest.approx(np.exp(-0.5 / 0.7**2))
