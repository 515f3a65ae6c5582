"""The demonstration runs from nothing to its report, and a second run starts from what is there."""

import json
from pathlib import Path

import pytest

from ichnos.progress import SILENT
from ichnos.workflows.demo import run_demo


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(1800)
def test_the_demo_runs_from_nothing_to_its_report(tmp_path: Path) -> None:
    report = run_demo(tmp_path / "demo", SILENT)
    test = json.loads((tmp_path / "demo" / "study" / "scorecard.json").read_text())["models"]["paper_model_2"]["test"]
    assert test["patients"] >= 10
    assert test["mean_auc"]["value"] > 0.80
    page = report.read_text()
    assert "Slices: what each model says" in page
    assert "Phantom results are phantom results" in page
    findings = json.loads((tmp_path / "demo" / "findings" / "exam-001" / "findings.json").read_text())
    assert len(findings["slices"]) == 30
    assert any("a demonstration" in doubt for doubt in findings["doubts"])
    assert (tmp_path / "demo" / "findings" / "exam-001" / "report.html").exists()

    begun = report.stat().st_mtime_ns
    journal = tmp_path / "demo" / "study" / "runs" / "paper_model_1" / "journal.jsonl"
    written = journal.read_text()
    run_demo(tmp_path / "demo", SILENT)  # a second run starts from what is there
    assert journal.read_text() == written
    assert report.stat().st_mtime_ns > begun
