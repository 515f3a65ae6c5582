"""ichnos finds and names intracranial hemorrhage on head CT. Research use, not a medical device."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ichnos.inference import ExamClassifier

__version__ = "0.1.0"
__all__ = ["__version__", "load_bundle"]


def load_bundle(path: Path | str | None = None, *, threads: int | None = None) -> "ExamClassifier":
    """Open a bundle: load_bundle(path).classify(hu, offsets) gives findings. See ichnos.inference.load_bundle."""
    from ichnos import inference  # ONNX Runtime is loaded when it is needed

    return inference.load_bundle(path, threads=threads)
