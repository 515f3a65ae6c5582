"""Intervals of what probabilities are worth as probabilities."""

import numpy as np
import pytest

from ichnos.evaluation.probabilities import measure_calibration_of
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
