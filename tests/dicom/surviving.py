"""Reading of damaged files in tests: pixels or an error of ours, in time, and nothing else."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichnos.ct.exams import AIR
from ichnos.ct.nifti import looks_like_nifti
from ichnos.dicom.decoder import Decoder
from ichnos.dicom.exams import find_exams, read_found_exam
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.frames import Frame, read_facts
from ichnos.dicom.parsing import START_BYTES
from ichnos.dicom.pixels import read_hu
from ichnos.dicom.volumes import read_volume_exam
from ichnos.errors import DicomError, ExamError
from tests.dicom.damage import Damaged, assert_right_pixels, assert_right_volume

SECONDS_A_FILE = 5.0
Check = Callable[[NDArray[np.int16], Frame | None], None]
"""Sees the HU of a frame that was read, or of a whole NIfTI volume."""


class TimedDecoder(Decoder):
    """A decoder that knows how long its processes took to begin: that is no time that a file takes. A new one imports
    numpy and pydicom, once for all files, and once more after each that crashes or hangs it."""

    beginning = 0.0

    def _connected(self) -> socket.socket:
        begun = time.monotonic()
        try:
            return super()._connected()
        finally:
            self.beginning += time.monotonic() - begun


def survives(data: bytes, folder: Path, decoder: TimedDecoder, check: Check | None = None) -> str:
    """Read one file as the reader does; what came of it. Fails where it is neither pixels nor our own error, and where
    it takes longer than the 5 seconds of issue 3.

    check: called with every frame that was read.
    """
    path = folder / "file"
    path.write_bytes(data)
    found = FoundFile(path, 1, len(data))
    begun, began = time.monotonic(), decoder.beginning
    try:
        return _read(found, decoder, check)
    except (DicomError, ExamError):
        return "refused"
    finally:
        took = time.monotonic() - begun - (decoder.beginning - began)
        assert took < SECONDS_A_FILE, f"{took:.1f} s"


def _read(found: FoundFile, decoder: Decoder, check: Check | None) -> str:
    start = found.read(START_BYTES)
    if looks_like_nifti(start):
        hu = read_volume_exam(found).hu
        assert hu.min() >= AIR
        if check is not None:
            check(hu, None)
        return "read"
    facts = read_facts(found, start)
    for frame in facts.frames[:3]:
        hu = read_hu(frame, decoder)
        assert hu.dtype == np.int16
        assert hu.size == frame.layout.rows * frame.layout.columns
        assert hu.min() >= AIR
        if check is not None:
            check(hu, frame)
    return "read" if facts.frames else "left"


def survives_damage(file: Damaged, folder: Path, decoder: TimedDecoder) -> str:
    """The same of a damaged file, whose pixels must be those that it holds."""

    def check(hu: NDArray[np.int16], frame: Frame | None) -> None:
        if frame is None:
            assert_right_volume(hu, file)
        else:
            assert_right_pixels(hu, frame, file)

    return survives(bytes(file.data), folder, decoder, check)


def read_without_a_fault_of_ours(path: Path) -> bool:
    """Find and read what lies there; whether there are exams. What goes wrong must have been foreseen."""
    found = find_exams([path])
    assert not [each.reason for each in found.unreadable if "fault of ichnos" in each.reason]
    for exam in found.exams:
        reading = read_found_exam(exam)
        assert (reading.exam is None) == bool(reading.refusal)
        assert "fault of ichnos" not in (reading.refusal or "")
    return bool(found.exams)
