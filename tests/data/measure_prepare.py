"""Prints the peak memory, in bytes, of preparing so many made-up RSNA slices: `... SLICES FOLDER [DEPTH]`.

All is as it would be, in one process, but for the files: there are none, their headers are made up, slices are tiny.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ichnos.ct import LabelledExam, LabelledSlice
from ichnos.data.sources import ExamReference, headers, rsna
from ichnos.data.sources.dicom_exams import label_array
from ichnos.data.sources.files import FileRow, FileStore, FolderStore
from ichnos.progress import SILENT
from ichnos.subtypes import CLASSES
from ichnos.workflows.prepare import prepare_set

SLICES_AN_EXAM = 35


class ManyFiles(FolderStore):
    """A store that says that it has the files."""

    def find(self, *folders: str) -> Iterator[FileRow]:
        for number in range(SLICES):
            name = f"{folders[0]}/{'folder/' * DEPTH}ID_{number:09d}.dcm"
            yield name, name, 526_000


class MadeUpRsna(rsna.RsnaSource):
    """Slices of 2×2 pixels, no two alike."""

    def read(self, reference: ExamReference) -> LabelledExam:
        slices = []
        for place, entry in enumerate(reference.files):
            name, bits, _ = entry.split("|")
            hu = np.array([[int(name[3:]) & 0x7FFF, int(name[3:]) >> 15], [0, 0]], np.int16)
            slices.append(LabelledSlice(name, hu, label_array(int(bits)), 5.0 * place, (0.5, 0.5)))
        return LabelledExam(reference.patient, reference.exam, reference.series, tuple(slices), (), {"tilt": 0.0})


def made_up(store: FileStore, file: FileRow, read_start: Callable[[], bytes]) -> tuple[object, ...]:
    """The header of a file that is not there."""
    name, _, _ = file
    number = int(name[-13:-4])
    exam = number // SLICES_AN_EXAM
    identity = (name[-16:-4], f"ID_{exam:010x}", f"ID_{exam:010x}", f"ID_{exam // 2:08x}")
    place = headers._PLACE.pack(0.0, 0.0, 5.0 * (number % SLICES_AN_EXAM), 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return (*identity, place, number.to_bytes(8, "little"), None)


if __name__ == "__main__":
    SLICES, root, DEPTH = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 0
    (root / "stage_2_train").mkdir(parents=True)
    with (root / "stage_2_train.csv").open("w") as table:
        table.write("ID,Label\n")
        for slice_number in range(SLICES):
            table.writelines(f"ID_{slice_number:09d}_{name},0\n" for name in CLASSES)
    rsna.open_store = ManyFiles
    headers._scan_file = made_up
    prepared = prepare_set(MadeUpRsna(root, workers=1), root / "set", SILENT, workers=1)
    assert prepared.header.slices == SLICES
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024)  # noqa: T201
