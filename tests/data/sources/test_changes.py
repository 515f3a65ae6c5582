"""A source that changed since a set was made of it: the set's next `prepare` notices, whatever changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ichnos.data.preparing import prepare
from ichnos.data.sources import Source
from ichnos.data.sources.ct_ich import CtIchSource
from ichnos.data.sources.folder import FolderSource
from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.sources.rsna import RsnaSource
from ichnos.errors import OutputError
from ichnos.progress import SILENT
from tests.data.sources.rsna_trees import image_id, label_rows, write_tree
from tests.data.sources.test_ct_ich import _picture, _table
from tests.data.sources.test_folder import COLUMNS, _write


def _rsna(root: Path) -> Source:
    return RsnaSource(write_tree(root), workers=1)


def _phantom(root: Path) -> Source:
    write_tree(root)
    (root / "exams.csv").write_text("PatientID,StudyInstanceUID,age,sex,slice_thickness\nID_0,ID_570,50,F,5\n")
    return PhantomSource(root, workers=1)


def _folder(root: Path) -> Source:
    for index in range(3):
        _write(root / "images", str(index), f"1.2.3.1.{index}", z=5 * index)
    rows = [f"1.2.3.1.{index},0,0,0,0,0" for index in range(3)]
    (root / "labels.csv").write_text("\n".join([f"SOPInstanceUID,{COLUMNS}", *rows, ""]))
    return FolderSource(root, root / "labels.csv", workers=1)


def _ct_ich(root: Path) -> Source:
    _table(root / "hemorrhage_diagnosis.csv", ["7,1,0,0,0,0,0,1,0"])
    (root / "patient_demographics.csv").write_text("Patient Number,Age (years),Gender\n7,40,Male\n")
    for window in ("brain", "bone"):
        _picture(root, 7, window, 1, 100)
    return CtIchSource(root)


def _replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> object:
        text = (root / name).read_text()
        assert old in text
        return (root / name).write_text(text.replace(old, new))

    return change


CHANGES: dict[str, tuple[Callable[[Path], Source], Callable[[Path], object]]] = {
    "rsna, a label mended": (
        _rsna,
        lambda root: _replace(
            "stage_2_train.csv",
            "\n".join(label_rows(image_id(0, 0))),
            "\n".join(label_rows(image_id(0, 0), "subdural")),
        )(root),
    ),
    "rsna, a file gone": (_rsna, lambda root: (root / "stage_2_train" / f"{image_id(0, 0)}.dcm").unlink()),
    "phantom, an age mended": (_phantom, _replace("exams.csv", "50,F", "51,F")),
    "folder, a label mended": (_folder, _replace("labels.csv", "1.0,0,0,0,0,0", "1.0,0,0,0,0,1")),
    "folder, a file longer": (_folder, lambda root: _write(root / "images", "0", "1.2.3.1.0", StudyDescription="head")),
    "ct-ich, a label mended": (_ct_ich, _replace("hemorrhage_diagnosis.csv", "0,0,1,0", "1,0,0,0")),
    "ct-ich, an age mended": (_ct_ich, _replace("patient_demographics.csv", ",40,", ",41,")),
    "ct-ich, another picture": (_ct_ich, lambda root: _picture(root, 7, "bone", 1, int(np.pi * 50))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_source_is_noticed(tmp_path: Path, name: str) -> None:
    make, change = CHANGES[name]
    source = make(tmp_path / "root")
    prepare(source, tmp_path / "set", SILENT, workers=1)
    prepare(source, tmp_path / "set", SILENT, workers=1)
    change(tmp_path / "root")
    with pytest.raises(OutputError, match="other files or labels than these"):
        prepare(source, tmp_path / "set", SILENT, workers=1)


def test_a_set_among_its_own_sources_files_stays_prepared(tmp_path: Path) -> None:
    source = _folder(tmp_path / "root")
    for _ in range(2):
        prepare(source, tmp_path / "root" / "set", SILENT, workers=1)
