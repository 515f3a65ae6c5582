"""What the high-sensitivity point was asked for: of each kind of scorecard, and of two models asked unlike."""

from typing import Any

from ichnos.reporting.asked_sensitivity import asked_of, asked_words

FOLDS: dict[str, Any] = {"form": "ichnos-folds", "folds": [{"readout": {"high_sensitivity": 0.9}}]}
EVALUATION: dict[str, Any] = {"form": "ichnos-evaluation", "model": {"high_sensitivity": 0.975}}


def test_every_scorecard_says_what_its_points_were_asked_for() -> None:
    assert asked_words([asked_of(FOLDS)]) == "90 %"
    assert asked_words([asked_of(EVALUATION)]) == "97.5 %"
    assert asked_words([asked_of(FOLDS), asked_of(EVALUATION)]) == "90 % and 97.5 %"
    assert asked_words([asked_of(FOLDS), asked_of(FOLDS)]) == "90 %"


def test_nothing_is_said_where_one_does_not_say() -> None:
    assert asked_words([asked_of(FOLDS), asked_of(None)]) == ""
    assert asked_of({"form": "ichnos-evaluation", "model": {"high_sensitivity": None}}) is None
    assert asked_of({"form": "ichnos-evaluation", "model": {}}) is None, "from before it was told"
    assert asked_of({"form": "ichnos-folds", "folds": [{"readout": {}}]}) is None
