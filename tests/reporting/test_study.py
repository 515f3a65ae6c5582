import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from ichnos.errors import InputError, UsageError
from ichnos.evaluation import slice_metrics
from ichnos.reporting import LikeForLike, ModelResult, StudyResult
from ichnos.reporting.gallery import Choice, choose
from ichnos.reporting.measured import measure
from ichnos.reporting.scorecard import scorecard
from ichnos.reporting.verdict import headline, verdict
from ichnos.subtypes import SUBTYPES, Subtype


def with_models(study: StudyResult, *models: ModelResult) -> StudyResult:
    return dataclasses.replace(study, models=models)


def test_the_scorecard_is_json_and_holds_every_number_with_its_interval(study: StudyResult) -> None:
    card = json.loads(json.dumps(scorecard(study), allow_nan=False))
    model = card["models"]["paper_model_2"]
    for part in ("validation", "test"):
        for name in ("exact_match", "macro_f1", "mean_auc", "loss_mean", "loss_sum"):
            assert model[part][name]["low"] <= model[part][name]["value"] <= model[part][name]["high"]
        assert model[part]["patients"] == 24
    assert model["paper"] == {"exact_match": 0.80, "macro_f1": 0.75, "mean_auc": 0.95, "loss": 0.104}
    assert [p["full_best_of_epochs"] for p in card["like_for_like"]] == [None, 6, None, 6]
    assert card["set"]["fingerprint"] == "0123456789abcdef"
    assert card["intervals"]["resamples"] == 60
    assert card == json.loads(json.dumps(scorecard(study)))


def test_like_for_like_is_on_the_same_slices_whatever_their_order(study: StudyResult) -> None:
    full, reduced = study.models[1], study.models[2]
    shuffled = np.random.default_rng(0).permutation(len(full.test))
    moved = dataclasses.replace(full, test=full.test.select(shuffled))
    pair = measure(with_models(study, study.models[0], moved, reduced)).pairs[0]
    kept = full.test.select(~full.test.labels[:, 0]).restrict(SUBTYPES[1:])
    expected = slice_metrics(kept.probabilities, kept.labels, kept.classes)
    assert pair.comparison.first.metrics.macro_f1 == pytest.approx(expected.macro_f1)
    assert pair.comparison.first.slices == pair.comparison.second.slices == len(reduced.test)


def test_slices_that_only_one_model_saw_are_refused(study: StudyResult) -> None:
    full = study.models[1]
    shorter = dataclasses.replace(full, test=full.test.select(np.arange(len(full.test) - 40)))
    with pytest.raises(InputError, match="were not given to the larger"):
        measure(with_models(study, study.models[0], shorter, study.models[2]))


def test_the_verdict_follows_the_interval(study: StudyResult) -> None:
    full, reduced = study.models[1], study.models[2]
    truth = dataclasses.replace(reduced.test, probabilities=np.where(reduced.test.labels, 0.9, 0.1))
    perfect = dataclasses.replace(reduced, test=truth)
    guess = dataclasses.replace(full.test, probabilities=np.full_like(full.test.probabilities, 0.4))
    poor = dataclasses.replace(full, test=guess)
    assert verdict(measure(with_models(study, poor, perfect))).startswith("It holds on this test set")
    same = full.test.select(~full.test.labels[:, 0]).restrict(SUBTYPES[1:])
    alike = dataclasses.replace(reduced, test=same)
    assert verdict(measure(with_models(study, full, alike))).startswith("It is neither shown nor refuted")
    wrong = dataclasses.replace(reduced, test=dataclasses.replace(same, probabilities=1 - same.probabilities))
    assert verdict(measure(with_models(study, full, wrong))).startswith("It fails on this test set")


def test_too_few_patients_are_said_to_be_too_few(study_without: Callable[[Subtype], StudyResult]) -> None:
    measured = measure(study_without(Subtype.SUBARACHNOID))
    assert "Only 8 test patients" in headline(measured)[-1]


def test_a_study_without_a_pair_has_no_verdict(study: StudyResult) -> None:
    alone = dataclasses.replace(study, models=study.models[:1], like_for_like=None)
    assert verdict(measure(alone)) == ""


def test_wrong_studies_are_refused(study: StudyResult) -> None:
    with pytest.raises(UsageError, match="no models"):
        dataclasses.replace(study, models=())
    with pytest.raises(UsageError, match="each recipe once"):
        dataclasses.replace(study, models=(study.models[0], study.models[0]))
    with pytest.raises(UsageError, match="like-for-like"):
        dataclasses.replace(study, like_for_like=LikeForLike("paper_model_2", "another"))


def test_the_gallery_chooses_the_most_certain_of_each_kind(study: StudyResult) -> None:
    test = study.models[1].test
    p, y = test.probabilities[:, 4], test.labels[:, 4]
    right, miss = choose(test, Subtype.SUBDURAL, Choice.RIGHT), choose(test, Subtype.SUBDURAL, Choice.MISS)
    false = choose(test, Subtype.SUBDURAL, Choice.FALSE_CALL)
    assert right is not None
    assert miss is not None
    assert false is not None
    assert right.probability == p[y].max()
    assert miss.probability == p[y].min()
    assert false.probability == p[~y].max()
    assert Subtype.SUBDURAL in right.labelled
    never = dataclasses.replace(test, probabilities=np.zeros_like(test.probabilities))
    assert choose(never, Subtype.SUBDURAL, Choice.RIGHT) is None
