import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ichnos.errors import InputError, UsageError
from ichnos.evaluation import PatientResamples, evaluate, slice_metrics
from ichnos.evaluation.intervals import RATES, SCALARS
from ichnos.evaluation.resampling import resample_metrics
from ichnos.subtypes import Subtype

TWO = (Subtype.EPIDURAL, Subtype.SUBDURAL)
Case = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.str_]]


def case(n: int, patients: int, seed: int = 0, prevalence: float = 0.3, levels: int = 20) -> Case:
    rng = np.random.default_rng(seed)
    y = rng.random((n, 2)) < prevalence
    p = np.round(np.clip(rng.normal(0.35 + 0.3 * y, 0.2), 0, 1) * levels) / levels
    return p, y, np.array([f"patient-{k % patients:03d}" for k in range(n)])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 40), st.integers(1, 8), st.sampled_from([0.05, 0.4]))
def test_weighting_equals_copying_the_slices(seed: int, n: int, patients: int, prevalence: float) -> None:
    p, y, names = case(n, patients, seed, prevalence)
    resamples = PatientResamples.draw(names, seed=1, resamples=6)
    samples = resample_metrics(p, y, TWO, resamples)
    whole = slice_metrics(p, y, TWO)
    for r, weights in enumerate(resamples.weights):
        rows = np.repeat(np.arange(n), weights[resamples.units])
        copied = slice_metrics(p[rows], y[rows], TWO)
        for name in ("exact_match", "loss_mean", "loss_sum"):
            assert samples[name, None][r] == pytest.approx(getattr(copied, name))
        for name in RATES:
            for c in TWO:
                expected = getattr(copied, name)[c]
                assert samples[name, c][r] == pytest.approx(np.nan if expected is None else expected, nan_ok=True)
        if copied.auc_classes == whole.auc_classes and copied.mean_auc is not None:
            assert samples["mean_auc", None][r] == pytest.approx(copied.mean_auc)
        elif copied.auc_classes != whole.auc_classes:
            assert np.isnan(samples["mean_auc", None][r]) or set(whole.auc_classes) <= set(copied.auc_classes)


def test_patients_are_drawn_not_slices() -> None:
    p, y, _ = case(400, 1)
    alone = np.array([f"{k:03d}" for k in range(400)])
    together = np.array([f"{k // 20:03d}" for k in range(400)])
    y[:] = y[::20].repeat(20, axis=0)  # a patient's slices are alike
    p[:] = p[::20].repeat(20, axis=0)
    by_slice = width(p, y, alone)
    by_patient = width(p, y, together)
    assert by_patient > 3 * by_slice
    for row in PatientResamples.draw(together, seed=0, resamples=20).weights:
        assert row.sum() == 20


def width(p: NDArray[np.float64], y: NDArray[np.bool_], names: NDArray[np.str_]) -> float:
    interval = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=300))["exact_match"].interval
    assert interval is not None
    return interval.high - interval.low


def test_intervals_shrink_with_patients_and_hold_the_value() -> None:
    assert width(*case(2000, 1000)) < 0.6 * width(*case(200, 100))
    p, y, names = case(600, 200)
    evaluation = evaluate(p, y, TWO, PatientResamples.draw(names, seed=3, resamples=300))
    for key, estimate in evaluation.estimates.items():
        assert estimate.interval is not None, key
        assert estimate.value is not None
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
        assert estimate.note is None


def test_the_same_seed_gives_the_same_intervals_whatever_the_order_of_slices() -> None:
    p, y, names = case(200, 40)
    shuffled = np.random.default_rng(0).permutation(200)
    first = evaluate(p, y, TWO, PatientResamples.draw(names, seed=5, resamples=50))
    again = evaluate(p[shuffled], y[shuffled], TWO, PatientResamples.draw(names[shuffled], seed=5, resamples=50))
    for key, estimate in first.estimates.items():
        other = again[key]
        assert estimate.interval is not None
        assert other.interval is not None
        assert estimate.interval.low == pytest.approx(other.interval.low)
        assert estimate.interval.high == pytest.approx(other.interval.high)


def test_one_positive_patient_has_a_value_and_no_interval() -> None:
    p, y, names = case(100, 20)
    y[:, 0] = names == "patient-003"
    evaluation = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=50))
    for name in ("f1", "auc", "average_precision", "sensitivity"):
        estimate = evaluation[name, Subtype.EPIDURAL]
        assert estimate.value is not None
        assert estimate.interval is None
        assert estimate.note == "no interval: 1 positive patient"
    assert evaluation["specificity", Subtype.EPIDURAL].interval is not None
    assert evaluation["macro_f1"].interval is not None
    note = evaluation["macro_f1"].note or ""
    assert note.startswith("too narrow: EDH has 1 positive patient; in "), "one doubt does not hide another"
    assert note.endswith("% of resamples")
    assert evaluation["exact_match"].interval is not None


def test_an_absent_class_is_not_defined_and_says_so() -> None:
    p, y, names = case(100, 20)
    y[:, 0] = False
    evaluation = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=50))
    for name in ("f1", "auc", "average_precision", "sensitivity"):
        assert evaluation[name, Subtype.EPIDURAL].value is None
        assert evaluation[name, Subtype.EPIDURAL].note == "not defined (0 positives)"
    assert evaluation["macro_f1"].value == evaluation["f1", Subtype.SUBDURAL].value
    y[:, 0] = True
    evaluation = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=50))
    assert evaluation["auc", Subtype.EPIDURAL].note == "not defined (0 negatives)"
    assert evaluation["specificity", Subtype.EPIDURAL].note == "not defined (0 negatives)"


def test_the_share_of_resamples_that_define_a_metric_is_said() -> None:
    p, y, names = case(100, 20)
    y[:, 0] = np.isin(names, ["patient-003", "patient-004"])
    estimate = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=400))["auc", Subtype.EPIDURAL]
    assert estimate.interval is not None
    assert 0.8 < estimate.interval.defined_share < 0.93  # 1 - (18/20)^20 = 0.88
    assert estimate.note is not None
    assert estimate.note.endswith(" % of resamples")


def test_one_patient_has_no_intervals() -> None:
    p, y, names = case(30, 1)
    evaluation = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=20))
    assert {e.note for e in evaluation.estimates.values()} == {"no interval: 1 patient"}


def test_json_is_json() -> None:
    p, y, names = case(60, 12)
    y[:, 0] = False
    evaluation = evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=20))
    tree = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert set(SCALARS) | set(RATES) <= set(tree)
    assert tree["auc"]["epidural"]["value"] is None
    assert tree["slices"] == 60
    assert tree["patients"] == 12


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_probabilities_that_are_no_numbers_are_refused(bad: float) -> None:
    p, y, names = case(60, 12)
    p[7, 1] = bad
    with pytest.raises(InputError, match=r"probabilities of 1 row are no numbers .* the first in row 7"):
        evaluate(p, y, TWO, PatientResamples.draw(names, seed=0, resamples=20))


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(InputError, match="no slices"):
        PatientResamples.draw(np.array([], dtype=np.str_), seed=0)
    with pytest.raises(UsageError, match="at least 1"):
        PatientResamples.draw(np.array(["a"]), seed=0, resamples=0)
