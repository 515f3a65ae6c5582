import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from ichnos.errors import InputError
from ichnos.evaluation.metrics import slice_metrics
from ichnos.subtypes import SUBTYPES, Subtype

TWO = (Subtype.EPIDURAL, Subtype.SUBDURAL)


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Few slices and few distinct probabilities, so that ties and absent classes are common."""
    n = draw(st.integers(1, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([2, 4, 1000]))
    prevalence = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(seed)
    return rng.integers(0, levels + 1, (n, 2)) / levels, rng.random((n, 2)) < prevalence


@settings(max_examples=80, deadline=None)
@given(cases())
def test_metrics_equal_scikit_learn(case: tuple[NDArray[np.float64], NDArray[np.bool_]]) -> None:
    p, y = case
    ours = slice_metrics(p, y, TWO)
    called = p >= 0.5
    assert ours.exact_match == pytest.approx(sk.accuracy_score(y, called))
    for k, c in enumerate(TWO):
        truth, call, score = y[:, k], called[:, k], p[:, k]
        assert ours.positives[c] == truth.sum()
        if truth.any():
            assert ours.f1[c] == pytest.approx(sk.f1_score(truth, call, zero_division=0))
            assert ours.sensitivity[c] == pytest.approx(sk.recall_score(truth, call))
            assert ours.average_precision[c] == pytest.approx(sk.average_precision_score(truth, score))
        else:
            assert ours.f1[c] is ours.sensitivity[c] is ours.average_precision[c] is None
        if truth.any() and not truth.all():
            assert ours.auc[c] == pytest.approx(sk.roc_auc_score(truth, score))
        else:
            assert ours.auc[c] is None
        expected = sk.recall_score(~truth, ~call) if not truth.all() else None
        assert ours.specificity[c] == pytest.approx(expected)
        expected = sk.precision_score(truth, call) if call.any() else None
        assert ours.precision[c] == pytest.approx(expected)
    losses = [sk.log_loss(y[:, k], np.clip(p[:, k], 1e-7, 1 - 1e-7), labels=[False, True]) for k in range(2)]
    assert ours.loss_mean == pytest.approx(np.mean(losses), abs=1e-9)
    assert ours.loss_sum == pytest.approx(np.sum(losses), abs=1e-9)


def test_means_are_over_defined_classes_and_say_which() -> None:
    p = np.array([[0.9, 0.9], [0.1, 0.8], [0.2, 0.3]])
    y = np.array([[False, True], [False, True], [False, False]])
    m = slice_metrics(p, y, TWO)
    assert m.f1[Subtype.EPIDURAL] is None
    assert m.macro_f1 == m.f1[Subtype.SUBDURAL] == 1
    assert m.mean_auc == m.auc[Subtype.SUBDURAL] == 1
    assert m.f1_classes == m.auc_classes == (Subtype.SUBDURAL,)


def test_f1_of_a_class_never_called_is_zero_not_undefined() -> None:
    m = slice_metrics(np.full((4, 2), 0.1), np.ones((4, 2), dtype=np.bool_), TWO)
    assert m.f1 == dict.fromkeys(TWO, 0.0)
    assert m.macro_f1 == 0
    assert m.precision[Subtype.EPIDURAL] is None
    assert m.mean_auc is None


def test_json_is_json_with_classes_by_value() -> None:
    p = np.random.default_rng(0).random((30, 5))
    m = slice_metrics(p, p > 0.6, SUBTYPES)
    tree = json.loads(json.dumps(m.to_json(), allow_nan=False))
    assert set(m.__dataclass_fields__) <= set(tree)
    assert tree["auc"]["epidural"] == 1
    assert tree["auc_classes"] == [c.value for c in SUBTYPES]


def test_no_slices_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="no slices"):
        slice_metrics(np.empty((0, 2)), np.empty((0, 2), dtype=np.bool_), TWO)
    with pytest.raises(InputError, match=r"\(slices, 2\)"):
        slice_metrics(np.zeros((3, 5)), np.zeros((3, 5), dtype=np.bool_), TWO)
