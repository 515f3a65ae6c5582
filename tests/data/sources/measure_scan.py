"""Prints the peak memory, in bytes, of a scan of so many made-up RSNA slices: `python -m ... SLICES FOLDER`."""

import sys
from pathlib import Path

import polars as pl

from ichnos.data.sources import headers, rsna
from ichnos.data.sources.files import FILES, FileStore, FolderStore
from ichnos.progress import SILENT
from ichnos.subtypes import CLASSES

SLICES_AN_EXAM = 35


class ManyFiles(FolderStore):
    """A store that says that it has the files."""

    def find(self, folder: str) -> pl.DataFrame:
        names = pl.select(name=pl.format(f"{folder}/ID_{{}}.dcm", pl.int_range(SLICES).cast(pl.String).str.zfill(9)))
        return names.select("name", key="name", size=pl.lit(526_000)).cast(FILES)  # pyright: ignore[reportArgumentType]


def made_up(store: FileStore, file: headers.FileRow) -> tuple[object, ...]:
    """The header of a file that is not there."""
    name, key, _ = file
    number = int(name[-13:-4])
    exam = number // SLICES_AN_EXAM
    identity = (name[-16:-4], f"ID_{exam:010x}", f"ID_{exam:010x}", f"ID_{exam // 2:08x}")
    position = (0.0, 0.0, 5.0 * (number % SLICES_AN_EXAM))
    return (name, key, *identity, position, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), number.to_bytes(8, "little"), None)


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
