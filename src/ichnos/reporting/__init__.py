"""Results for people: tables, figures and the self-contained HTML report."""

from ichnos.reporting.paper import MODEL_1, MODEL_2, MODEL_3, PaperRow
from ichnos.reporting.scorecard import scorecard
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
    "scorecard",
    "write_study",
]
