"""Reading exams with a bundle: numpy and ONNX Runtime, no torch."""

from pathlib import Path

from ichnos.errors import BundleError
from ichnos.inference.bundle import Bundle, read_bundle, write_bundle
from ichnos.inference.exam import ExamClassifier, ExamReading

__all__ = ["Bundle", "ExamClassifier", "ExamReading", "load_bundle", "read_bundle", "write_bundle"]


def load_bundle(path: Path | str | None = None, *, threads: int | None = None) -> ExamClassifier:
    """Open a bundle to classify exams with it: load_bundle(path).classify(exam).

    threads: None, one for each core that this process may use. Raises BundleError where it is absent, damaged, changed,
    of a newer form, or trained on positives only.
    """
    if path is None:
        raise BundleError("this ichnos has no bundle of its own; give the path of one (`ichnos export` makes it)")
    return ExamClassifier(read_bundle(Path(path)), threads)
