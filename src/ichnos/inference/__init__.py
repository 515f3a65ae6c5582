"""Reading exams with a bundle: numpy and ONNX Runtime, no torch."""

import os
from pathlib import Path

from ichnos.errors import BundleError
from ichnos.inference.bundle import Bundle, read_bundle, write_bundle
from ichnos.inference.exam import ExamClassifier, ExamReading

INCLUDED = Path(__file__).with_name("reader.ichnos")
"""The bundle that comes with ichnos. docs/own-bundle.md says how it was made, and how another is taken in its place."""

BUNDLE_VARIABLE = "ICHNOS_BUNDLE"
"""The environment variable that names the bundle to take where none is given; unset or empty: the included one."""

__all__ = [
    "BUNDLE_VARIABLE",
    "INCLUDED",
    "Bundle",
    "ExamClassifier",
    "ExamReading",
    "load_bundle",
    "read_bundle",
    "read_default_bundle",
    "write_bundle",
]


def load_bundle(path: Path | str | None = None, *, threads: int | None = None) -> ExamClassifier:
    """Open a bundle to classify exams with it: load_bundle(path).classify(exam).

    path: None takes the one that the environment variable ICHNOS_BUNDLE names, else the one that comes with ichnos, a
    demonstration: see its card, `ichnos bundle show`.
    threads: None, one for each core that this process may use. Raises BundleError where it is absent, damaged, changed,
    of a newer form, or trained on positives only.
    """
    return ExamClassifier(read_default_bundle() if path is None else read_bundle(Path(path)), threads)


def read_default_bundle() -> Bundle:
    """The bundle that is taken where none is given. Raises BundleError, which names ICHNOS_BUNDLE where that is set."""
    named = os.environ.get(BUNDLE_VARIABLE)
    if not named:
        return read_bundle(INCLUDED)
    try:
        return read_bundle(Path(named))
    except BundleError as error:
        raise BundleError(f"the environment variable {BUNDLE_VARIABLE}: {error}") from error
