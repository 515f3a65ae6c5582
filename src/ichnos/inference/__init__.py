"""Reading exams with a bundle: numpy and ONNX Runtime, no torch."""

from pathlib import Path

from ichnos.inference.bundle import Bundle, read_bundle, write_bundle
from ichnos.inference.exam import ExamClassifier, ExamReading

INCLUDED = Path(__file__).with_name("reader.ichnos")
"""The bundle that comes with ichnos. docs/bundle.md says how it was made, and how to put another in its place."""

__all__ = ["INCLUDED", "Bundle", "ExamClassifier", "ExamReading", "load_bundle", "read_bundle", "write_bundle"]


def load_bundle(path: Path | str | None = None, *, threads: int | None = None) -> ExamClassifier:
    """Open a bundle to classify exams with it: load_bundle(path).classify(exam).

    path: None takes the one that comes with ichnos, a demonstration: see its card, `ichnos bundle show`.
    threads: None, one for each core that this process may use. Raises BundleError where it is absent, damaged, changed,
    of a newer form, or trained on positives only.
    """
    return ExamClassifier(read_bundle(INCLUDED if path is None else Path(path)), threads)
