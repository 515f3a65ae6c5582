"""Stacking: for each class a regularised logistic regression on the logits of all members of an ensemble."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ichnos.evaluation.counts import binary_cross_entropy
from ichnos.readout import sigmoid

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates of scikit-learn's C, behind standardised logits: small ones hold the weights near 0."""

GROUPS = 5
"""Of patients, each left out once to choose the strength."""

ITERATIONS = 500
"""Of the solver, at most: standardised logits of a few members settle within some dozens."""


@dataclass(frozen=True, eq=False)
class Stacking:
    """matrix (classes, members · classes), bias (classes,), and the strength of each class; None: the plain mean.

    settled: of each class whether the solver came to its end; where it did not, the weights are those it stopped at.
    """

    matrix: NDArray[np.float64]
    bias: NDArray[np.float64]
    strengths: tuple[float | None, ...]
    settled: tuple[bool, ...]


def fit_stacking(logits: NDArray[np.float64], labels: NDArray[np.bool_], patient: NDArray[np.str_]) -> Stacking:
    """logits (members, n, classes) and labels (n, classes) of slices, (n,) patients.

    The strength of each class is the one with the lowest log-loss over patients that were left out, in groups. A class
    without positives or without negatives keeps the plain mean of its members.
    """
    members, _, classes = logits.shape
    columns = np.concatenate(list(logits), axis=1)
    groups = list(groups_of(patient))
    matrix = np.tile(np.eye(classes) / members, members)
    bias = np.zeros(classes)
    strengths: list[float | None] = []
    settled = [True] * classes
    for k in range(classes):
        positive = labels[:, k]
        if positive.all() or not positive.any():
            strengths.append(None)
            continue
        losses = [_loss(columns, positive, groups, each) for each in STRENGTHS]
        strength = STRENGTHS[int(np.argmin(losses))]
        matrix[k], bias[k], settled[k] = _fitted(columns, positive, strength)
        strengths.append(strength)
    return Stacking(matrix, bias, tuple(strengths), tuple(settled))


def groups_of(patient: NDArray[np.str_]) -> Iterator[NDArray[np.bool_]]:
    """Masks (n,) of patients in at most GROUPS groups, each slice in one; by name, so that the same come together."""
    _, number = np.unique(patient, return_inverse=True)
    for group in range(min(GROUPS, int(number.max(initial=-1)) + 1)):
        yield number % GROUPS == group


def _loss(
    columns: NDArray[np.float64], positive: NDArray[np.bool_], groups: Sequence[NDArray[np.bool_]], strength: float
) -> float:
    """Mean log-loss over the groups whose others have both slices with and without the class; 0 where none has."""
    losses: list[NDArray[np.float64]] = []
    for left_out in groups:
        rest = positive[~left_out]
        if rest.any() and not rest.all():
            weights, bias, _ = _fitted(columns[~left_out], rest, strength)
            said = sigmoid(columns[left_out] @ weights + bias)
            losses.append(binary_cross_entropy(said[:, None], positive[left_out][:, None])[:, 0])
    return round(float(np.concatenate(losses).mean()), 6) if losses else 0.0


def _fitted(
    columns: NDArray[np.float64], positive: NDArray[np.bool_], strength: float
) -> tuple[NDArray[np.float64], float, bool]:
    """Weights and bias of the columns as they are, and whether the solver settled."""
    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    deviation[deviation < 1e-9] = 1.0  # one that says the same of every slice tells nothing
    model = LogisticRegression(C=strength, max_iter=ITERATIONS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit((columns - mean) / deviation, positive)
    unsettled = [each for each in caught if issubclass(each.category, ConvergenceWarning)]
    for other in (each for each in caught if each not in unsettled):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    weights = model.coef_[0] / deviation
    return weights, float(np.asarray(model.intercept_).item() - weights @ mean), not unsettled
