"""Preparing as people call it: what is refused before anything is read, and what is said."""

from pathlib import Path
from typing import Any

import pytest

from ichnos.errors import UsageError
from ichnos.progress import SILENT
from ichnos.workflows.prepare import prepare_set
from tests.data.in_memory import InMemorySource, Messages


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"folds": 2}, "folds must be at least 3"),
        ({"split_seed": -1}, "seed must be 0 or more, got -1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": -2}, "workers must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_work(
    tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    source = InMemorySource(log=tmp_path / "log")
    with pytest.raises(UsageError, match=complaint):
        prepare_set(source, tmp_path / "set", SILENT, **{"workers": 1, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_set_without_positive_slices_is_warned_of(tmp_path: Path) -> None:
    for bleeding in (True, False):
        said = Messages()
        prepare_set(InMemorySource(bleeding=bleeding), tmp_path / str(bleeding), said, workers=1)
        assert any("labels of whole exams give negative slices only" in text for text in said.texts) is not bleeding
