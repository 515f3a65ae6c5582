import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ichnos.errors import OutputError
from ichnos.findings import NOTICE
from ichnos.reporting import StudyResult, write_study
from ichnos.reporting.confusion_matrix import confusion_matrix
from ichnos.reporting.learning_curves import learning_curves
from ichnos.reporting.measured import measure


@pytest.fixture(scope="module")
def written(study: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pair = dataclasses.replace(study, models=study.models[1:], resamples=20)
    return write_study(pair, tmp_path_factory.mktemp("out") / "study").parent


def test_the_report_asks_nothing_of_a_network(written: Path) -> None:
    page = (written / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    for source in re.findall(r"""(?:src|href)=["']([^"']{1,20})""", page):
        assert source.startswith(("data:image/", "#")), source
    for forbidden in ("<script", "<link", "@import", "url("):
        assert forbidden not in page


def test_the_report_says_what_it_is_and_holds_everything(written: Path) -> None:
    page = (written / "report.html").read_text()
    assert page.count(NOTICE) >= 2
    assert page.index(NOTICE) < page.index("Contents")
    assert "Made-up numbers: nothing here was measured." in page
    for table in (written / "tables").glob("*.csv"):
        assert f'id="{table.stem}"' in page
    for figure in (written / "figures").glob("*.svg"):
        assert f'id="{figure.stem}"' in page
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page
    for said in ("pixel data truncated", "0123456789abcdef", "ichnos study paper", "hypothesis", "torch"):
        assert said in page
    assert "nan" not in re.sub(r"data:image[^\"]+", "", page).lower().split()


def test_the_report_names_no_patient(written: Path) -> None:
    for path in [written / "report.html", written / "scorecard.json", *(written / "tables").iterdir()]:
        assert "patient-2" not in path.read_text()


def test_all_files_are_there_whole_and_nothing_else(written: Path) -> None:
    assert sorted(p.name for p in written.iterdir()) == [
        "figures",
        "predictions.parquet",
        "report.html",
        "scorecard.json",
        "tables",
    ]
    names = {p.stem for p in (written / "figures").glob("*.png")}
    assert {"overview", "figure_1_paper_model_2", "roc", "gallery_paper_model_3", "reliability"} <= names
    assert names == {p.stem for p in (written / "figures").glob("*.svg")}
    assert set(json.loads((written / "scorecard.json").read_text())["models"]) == {"paper_model_2", "paper_model_3"}


def test_predictions_of_all_models_are_in_one_table(written: Path, study: StudyResult) -> None:
    frame = pl.read_parquet(written / "predictions.parquet")
    chosen = frame.filter(model="paper_model_2", part="test").filter(pl.col("best_of_epochs").is_null())
    assert np.array_equal(chosen["p_epidural"].to_numpy(), study.models[1].test.probabilities[:, 0])
    assert frame.filter(best_of_epochs=6)["model"].unique().to_list() == ["paper_model_2"]
    assert frame.filter(model="paper_model_3")["p_epidural"].null_count() > 0


def test_figures_are_the_same_bytes_each_time_and_carry_no_date(study: StudyResult) -> None:
    model = study.models[2]
    one, two = learning_curves(model, 3), learning_curves(model, 3)
    assert one.svg == two.svg
    assert one.png == two.png
    assert b"<dc:date>" not in one.svg


def test_undefined_epochs_leave_a_gap_and_one_epoch_is_drawn(study: StudyResult) -> None:
    line = json.loads(json.dumps(study.models[1].history[0]))
    line["validation"]["mean_auc"] = None
    short = dataclasses.replace(study.models[1], history=(line,), best_epoch=1)
    assert learning_curves(short, 1).png


def test_slices_without_hemorrhage_get_their_row_of_confusion(study: StudyResult) -> None:
    model = study.models[0]
    healthy = dataclasses.replace(model.test, labels=model.test.labels & (np.arange(len(model.test)) % 2 == 0)[:, None])
    changed = dataclasses.replace(study, models=(dataclasses.replace(model, test=healthy),), like_for_like=None)
    measured = measure(changed).models[0]
    assert measured.confusion.of[-1].any()
    assert confusion_matrix(measured).png


def test_a_folder_that_cannot_be_made_is_an_output_error(study: StudyResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    alone = dataclasses.replace(study, models=study.models[2:], like_for_like=None, resamples=5)
    with pytest.raises(OutputError, match=r"cannot write .*give a folder that you may write to with --out"):
        write_study(alone, tmp_path / "file")
