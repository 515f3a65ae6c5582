"""Results for people: tables, figures, the self-contained HTML report of a study, and what is written of one exam.

Names of a study's report are imported on first use: they bring matplotlib and polars, which a reader of exams has not.
None of them may be called as a module here is: `ichnos.reporting.scorecard` is the module, its function lies in it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ichnos.reporting.paper import MODEL_1, MODEL_2, MODEL_3, PaperRow
    from ichnos.reporting.study import (
        LikeForLike,
        ModelResult,
        PartSummary,
        SetSummary,
        SkippedReason,
        StudyResult,
    )
    from ichnos.reporting.write import write_study

__all__ = [
    "MODEL_1",
    "MODEL_2",
    "MODEL_3",
    "LikeForLike",
    "ModelResult",
    "PaperRow",
    "PartSummary",
    "SetSummary",
    "SkippedReason",
    "StudyResult",
    "write_study",
]

_HOMES = {
    "paper": ("MODEL_1", "MODEL_2", "MODEL_3", "PaperRow"),
    "study": ("LikeForLike", "ModelResult", "PartSummary", "SetSummary", "SkippedReason", "StudyResult"),
    "write": ("write_study",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"ichnos.reporting.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
