"""ichnos finds and names intracranial hemorrhage on head CT. Research use, not a medical device."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ichnos.ct.exams import Exam
    from ichnos.inference import ExamClassifier

__version__ = "0.1.0"
__all__ = ["__version__", "load_bundle", "read_exam"]


def read_exam(path: Path | str) -> "Exam":
    """Read the one exam under `path`, a folder, a zip, a DICOM or a NIfTI file, into HU: give it to `classify`.

    path: on this machine, or a URL (s3://...) as text. Raises InputError, with the reason, where there is none, more
    than one, or no head CT.
    """
    from ichnos.dicom import exams  # pydicom is loaded when it is needed
    from ichnos.remote import place_of

    return exams.read_exam(place_of(path) if isinstance(path, str) else path)


def load_bundle(path: Path | str | None = None, *, threads: int | None = None) -> "ExamClassifier":
    """Open a bundle: load_bundle(path).classify(read_exam(...)) gives findings. See ichnos.inference.load_bundle."""
    from ichnos import inference  # ONNX Runtime is loaded when it is needed

    return inference.load_bundle(path, threads=threads)
