import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score

from ichnos.evaluation import curves
from ichnos.evaluation.confusion import confusion
from ichnos.evaluation.metrics import slice_metrics
from ichnos.subtypes import Subtype

THREE = (Subtype.EPIDURAL, Subtype.SUBDURAL, Subtype.ANY)


def drawn(n: int, share: float, apart: float, spread: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities and labels of slices, of which a share is positive and so much likelier."""
    rng = np.random.default_rng(0)
    y = rng.random(n) < share
    return np.clip(rng.normal(0.4 + apart * y, spread), 0, 1), y


def test_roc_encloses_the_auc_even_when_thinned() -> None:
    p, y = drawn(20_000, 0.3, 0.2, 0.2)
    curve = curves.roc(p, y)
    assert curve is not None
    assert len(curve.x) <= curves.DRAWN_POINTS
    expected = slice_metrics(p[:, None], y[:, None], (Subtype.ANY,)).auc[Subtype.ANY]
    assert auc(curve.x, curve.y) == pytest.approx(expected, abs=1e-3)
    pr = curves.precision_recall(p, y)
    assert pr is not None
    assert pr.x[0] == 0
    assert pr.x[-1] == 1


def test_curves_of_absent_classes_are_none() -> None:
    scores = np.array([0.1, 0.9])
    assert curves.roc(scores, np.array([False, False])) is None
    assert curves.roc(scores, np.array([True, True])) is None
    assert curves.precision_recall(scores, np.array([False, False])) is None


def test_reliability_bins_what_was_said_with_what_was_so() -> None:
    bins = curves.reliability(np.array([0.0, 0.05, 0.95, 1.0]), np.array([False, True, True, True]))
    assert bins.predicted == pytest.approx([0.025, 0.975])
    assert bins.observed == pytest.approx([0.5, 1.0])
    assert bins.slices.tolist() == [2, 2]


def test_confusion_counts_false_calls_and_leaves_true_pairs_alone() -> None:
    labels = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]], dtype=np.bool_)
    called = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=np.float64)
    result = confusion(called, labels, THREE)
    assert result.classes == (Subtype.EPIDURAL, Subtype.SUBDURAL)
    assert result.called.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert result.of.tolist() == [[2, 1, 2], [1, 2, 2], [1, 1, 1]]
    assert result.share[0, 0] == 0.5
    assert result.to_json()["rows_and_columns"] == ["epidural", "subdural", "none"]


def test_confusion_of_an_absent_class_is_nan() -> None:
    labels = np.array([[False, True, True]])
    assert np.isnan(confusion(np.ones((1, 3)), labels, THREE).share[0]).all()


def test_precision_of_a_rare_class_keeps_its_area_where_it_is_thinned() -> None:
    p, y = drawn(100_000, 0.004, 0.35, 0.12)
    curve = curves.precision_recall(p, y)
    assert curve is not None
    assert len(curve.x) <= curves.DRAWN_POINTS
    area = (np.diff(curve.x) * curve.y[1:]).sum()  # steps, each precision held back to the point before
    assert area == pytest.approx(average_precision_score(y, p), abs=2e-3)
