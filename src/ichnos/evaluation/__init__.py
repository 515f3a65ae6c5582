"""How good predictions are: metrics, intervals by patient, comparison of models, curves."""

from ichnos.evaluation.comparison import Comparison, Difference, compare
from ichnos.evaluation.intervals import Estimate, Evaluation, Interval, evaluate
from ichnos.evaluation.metrics import SliceMetrics, slice_metrics
from ichnos.evaluation.resampling import PatientResamples

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "Evaluation",
    "Interval",
    "PatientResamples",
    "SliceMetrics",
    "compare",
    "evaluate",
    "slice_metrics",
]
