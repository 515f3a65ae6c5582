"""Head CT as numbers: Hounsfield units, windows, slices, exams and their geometry. Needs numpy only."""

from ichnos.ct.geometry import order_along_normal, reconstruction_circle, slice_normal
from ichnos.ct.slices import UNSAID, LabelledExam, LabelledSlice, SkippedSlice
from ichnos.ct.windows import Window

__all__ = [
    "UNSAID",
    "LabelledExam",
    "LabelledSlice",
    "SkippedSlice",
    "Window",
    "order_along_normal",
    "reconstruction_circle",
    "slice_normal",
]
