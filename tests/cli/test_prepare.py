"""`ichnos prepare`: its options reach what they are for."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ichnos.cli.main import app
from ichnos.data.sources import headers
from ichnos.processes import in_processes
from tests.data.sources.rsna_trees import write_tree


@pytest.mark.parametrize("source", ["rsna", "phantom", "folder"])
def test_workers_reach_the_reading_of_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    root = write_tree(tmp_path / "root")
    (root / "exams.csv").write_text("PatientID,StudyInstanceUID,age,sex,slice_thickness\n")
    (root / "labels.csv").write_text(
        "SOPInstanceUID,epidural,intraparenchymal,intraventricular,subarachnoid,subdural\n1,0,0,0,0,0"
    )
    asked: list[int | None] = []

    def noting(work, items, workers=None):  # type: ignore[no-untyped-def]
        asked.append(workers)
        return in_processes(work, items, 1)

    monkeypatch.setattr(headers, "in_processes", noting)
    words = ["prepare", source, str(root), "--out", str(tmp_path / "set"), "--workers", "3"]
    CliRunner().invoke(app, words + (["--labels", str(root / "labels.csv")] if source == "folder" else []))
    assert asked == [3]
