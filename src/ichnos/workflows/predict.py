"""From exams to findings with a bundle: no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import OutputError
from ichnos.files import write_text
from ichnos.findings import ExamFindings
from ichnos.inference import ExamClassifier, load_bundle

FINDINGS = "findings.json"


def classify(
    hu: NDArray[np.int16] | Sequence[NDArray[np.int16]],
    offsets: Sequence[float] | NDArray[np.floating] | None = None,
    *,
    bundle: ExamClassifier | Path | str | None = None,
    name: str | None = None,
    doubts: Sequence[str] = (),
) -> ExamFindings:
    """What one exam holds.

    hu: slices from foot to head, int16 Hounsfield units (rows, columns), rows from anterior to posterior; offsets: mm
    along the slice normal. bundle: open already (for many exams), or its path. See ExamClassifier.read for the rest.
    """
    classifier = bundle if isinstance(bundle, ExamClassifier) else load_bundle(bundle)
    return classifier.classify(hu, offsets, name=name, doubts=doubts)


def write_findings(findings: ExamFindings, folder: Path, *, force: bool = False) -> Path:
    """Write folder/findings.json and return its path. Raises OutputError where it is there already (unless force)."""
    path = folder / FINDINGS
    if path.exists() and not force:
        raise OutputError(f"{path} exists; give --out another folder, or --force to replace it")
    write_text(path, findings.to_json())
    return path
