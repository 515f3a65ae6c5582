"""Intervals of what probabilities are worth as probabilities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.evaluation.probabilities import measure_calibration_of, measure_calibration_with_samples
from ichnos.evaluation.resampling import PatientResamples


@pytest.mark.parametrize("seed", range(5))
def test_an_interval_of_the_calibration_error_holds_the_error(seed: int) -> None:
    """Of probabilities that mean what they say, chance makes most of the error, and more of it in every resample."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(60).astype(str), 5)
    said = rng.random(300)
    positive = rng.random(300) < said
    drawn = PatientResamples.draw(patients, seed=0, resamples=400)
    error = measure_calibration_of(said, positive, drawn)["expected_calibration_error"]
    assert error.value is not None
    assert error.interval is not None
    assert 0 <= error.interval.low < error.value < error.interval.high


def test_an_error_that_is_no_chance_keeps_a_narrow_interval_around_it() -> None:
    patients = np.arange(2000).astype(str)
    said = np.full(2000, 0.95)
    positive = np.arange(2000) % 2 == 0
    error = measure_calibration_of(said, positive, PatientResamples.draw(patients, seed=0, resamples=400))
    found = error["expected_calibration_error"]
    assert found.value == pytest.approx(0.45)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((0.428, 0.472), abs=0.003)


def test_intervals_of_a_difference_of_calibration_errors_miss_it() -> None:
    """Why `ichnos compare` has none: of a model that means what it says and one that is too sure. Of Brier scores they
    hold it."""

    def drawn_set(seed: int, patients: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        logits = rng.normal(-1, 1.8, patients)
        honest, too_sure = (1 / (1 + np.exp(-gain * logits)) for gain in (1.0, 1.6))
        return rng.random(patients) < honest, honest, too_sure

    def differences(seed: int, patients: int, resamples: int) -> dict[str, tuple[float, NDArray[np.float64]]]:
        positive, *said = drawn_set(seed, patients)
        drawn = PatientResamples.draw(np.arange(patients).astype(str), seed, resamples)
        (one, before), (two, after) = (measure_calibration_with_samples(each, positive, drawn) for each in said)
        return {
            name: ((two[name].value or 0) - (one[name].value or 0), after[name, None] - before[name, None])
            for name in ("brier", "expected_calibration_error")
        }

    truth = {name: value for name, (value, _) in differences(1000, 200_000, 1).items()}
    assert truth["expected_calibration_error"] == pytest.approx(0.065, abs=0.005)
    held = {"brier": 0, "expected_calibration_error": 0, "less its bias": 0}
    for seed in range(40):
        for name, (value, resampled) in differences(seed, 500, 200).items():
            low, high = np.quantile(resampled, [0.025, 0.975])
            held[name] += low <= truth[name] <= high
            if name != "brier":
                bias = resampled.mean() - value
                held["less its bias"] += low - bias <= truth[name] <= high - bias
    assert held["brier"] >= 36
    assert held["expected_calibration_error"] <= 20
    assert held["less its bias"] <= 28
