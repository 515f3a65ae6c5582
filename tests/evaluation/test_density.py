"""Distances to the nearest group: scipy's own, and large for what was never seen."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from ichnos.errors import TrainingError
from ichnos.evaluation.density import USUAL, fit_density
from ichnos.models.anomaly import Unusual, inserted

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(6, 6))
GROUPS = np.repeat([0, 1, 2], 60)
CENTRES = RNG.normal(size=(3, 6)) * 4
FEATURES = ((RNG.normal(size=(180, 6)) + CENTRES[GROUPS]) @ MIXING).astype(np.float32)


def test_the_distance_is_mahalanobis_to_the_nearest_group() -> None:
    density = fit_density(FEATURES, GROUPS)
    means = np.stack([FEATURES[k == GROUPS].mean(axis=0) for k in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit(FEATURES - means[GROUPS]).covariance_
    inverse = np.linalg.inv(covariance)
    wanted = [min(mahalanobis(each, mean, inverse) for mean in means) ** 2 for each in FEATURES[:40]]
    assert np.exp(density.distances(FEATURES[:40])) == pytest.approx(wanted, rel=1e-3)


def test_what_was_never_seen_is_far() -> None:
    density = fit_density(FEATURES, GROUPS).scaled(FEATURES)
    strange = ((RNG.normal(size=(50, 6)) + 9) @ MIXING).astype(np.float32)
    far = density.distances(np.concatenate([FEATURES, strange]))
    assert roc_auc_score(np.repeat([False, True], [180, 50]), far) > 0.99


def test_the_network_says_the_same_and_usual_slices_are_rare() -> None:
    density = fit_density(FEATURES, GROUPS).scaled(FEATURES)
    logits = Unusual(density)(torch.from_numpy(FEATURES))[:, 0].numpy()
    assert logits == pytest.approx((density.distances(FEATURES) - density.centre) / density.spread + USUAL, abs=1e-3)
    assert logits.mean() == pytest.approx(USUAL, abs=1e-3)


def test_fewer_slices_than_features_still_make_a_density() -> None:
    wide = RNG.normal(size=(10, 40)).astype(np.float32)
    assert np.isfinite(fit_density(wide, np.zeros(10, np.int64)).distances(wide)).all()


def test_rounding_of_features_that_hardly_vary_makes_no_distance() -> None:
    hardly = (1 + 1e-6 * RNG.normal(size=(60, 6))).astype(np.float32)
    density = fit_density(hardly, np.zeros(60, np.int64))
    rounded = np.nextafter(hardly, np.float32(2))
    squared = np.exp(density.distances(np.concatenate([hardly, rounded])))
    assert squared.max() < 0.01, "all of them lie at the mean"


def test_what_makes_no_density() -> None:
    with pytest.raises(TrainingError, match="at least two slices with finite features, got 1"):
        fit_density(FEATURES[:1], GROUPS[:1])
    with pytest.raises(TrainingError, match="finite"):
        fit_density(np.full((5, 6), np.nan, np.float32), GROUPS[:5])


def test_a_column_is_laid_in_at_its_place() -> None:
    logits, one = torch.tensor([[1.0, 2.0]]), torch.tensor([[9.0]])
    assert [inserted(logits, one, k).tolist()[0].index(9.0) for k in range(3)] == [0, 1, 2]
