"""Prints the peak memory, in bytes, of a scan of so many made-up RSNA slices: `python -m ... SLICES FOLDER`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ichnos.data.sources import headers, rsna
from ichnos.data.sources.files import FileRow, FileStore, FolderStore
from ichnos.progress import SILENT
from ichnos.subtypes import CLASSES

SLICES_AN_EXAM = 35


class ManyFiles(FolderStore):
    """A store that says that it has the files."""

    def find(self, *folders: str) -> Iterator[FileRow]:
        for number in range(SLICES):
            name = f"{folders[0]}/ID_{number:09d}.dcm"
            yield name, name, 526_000


def made_up(store: FileStore, file: FileRow) -> tuple[object, ...]:
    """The header of a file that is not there."""
    name, _, _ = file
    number = int(name[-13:-4])
    exam = number // SLICES_AN_EXAM
    identity = (name[-16:-4], f"ID_{exam:010x}", f"ID_{exam:010x}", f"ID_{exam // 2:08x}")
    place = headers._PLACE.pack(0.0, 0.0, 5.0 * (number % SLICES_AN_EXAM), 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return (*identity, place, number.to_bytes(8, "little"), None)


if __name__ == "__main__":
    SLICES, root = int(sys.argv[1]), Path(sys.argv[2])
    (root / "stage_2_train").mkdir(parents=True)
    with (root / "stage_2_train.csv").open("w") as table:
        table.write("ID,Label\n")
        for slice_number in range(SLICES):
            table.writelines(f"ID_{slice_number:09d}_{name},0\n" for name in CLASSES)
    rsna.open_store = ManyFiles
    headers._scan_file = made_up
    exams = rsna.RsnaSource(root, workers=1).scan(SILENT, root).exams
    assert sum(exam.slice_count for exam in exams) == SLICES
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024)  # noqa: T201
