import csv
import io
from collections.abc import Callable

import pytest

from ichnos.evaluation.intervals import Estimate, Interval
from ichnos.reporting import StudyResult
from ichnos.reporting.measured import MeasuredStudy, measure
from ichnos.reporting.table import Column, Kind, Table, write_cell
from ichnos.reporting.tables import class_wise, duration, study_tables, table_1
from ichnos.subtypes import Subtype


@pytest.fixture(scope="module")
def measured(study: StudyResult) -> MeasuredStudy:
    return measure(study)


def test_cells_are_written_as_their_kind() -> None:
    estimate = Estimate(0.8125, Interval(0.75, 0.875, 1.0))
    assert str(write_cell(estimate, Kind.PERCENT)) == "81.2 % [75.0, 87.5]"
    assert str(write_cell(Estimate(-0.05, None, "no interval: 1 patient"), Kind.CHANGE)) == (
        "−0.050 (no interval: 1 patient)"
    )
    agreed = Estimate(1.0, Interval(1.0, 1.0, 0.9), "in 90 % of resamples")
    assert str(write_cell(agreed, Kind.RATIO)) == "1.000 (all resamples agree; in 90 % of resamples)"
    assert str(write_cell(Estimate(None, None, "not defined (0 positives)"), Kind.RATIO)) == (
        "– (not defined (0 positives))"
    )
    assert str(write_cell(12345, Kind.COUNT)) == "12,345"
    assert str(write_cell(0.004, Kind.P)) == "< 0.01"
    assert str(write_cell(None, Kind.RATIO)) == "–"


def test_csv_gives_plain_numbers_and_markdown_escapes() -> None:
    columns = (Column("Model", Kind.TEXT), Column("F1", Kind.RATIO))
    table = Table(
        "t", "T", columns, (("a|b", Estimate(0.5, Interval(0.4, 0.6, 1.0))), ("c", Estimate(None, None, "x")))
    )
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows[0] == ["Model", "F1", "F1 low", "F1 high", "F1 note"]
    assert rows[1] == ["a|b", "0.5", "0.4", "0.6", ""]
    assert rows[2] == ["c", "", "", "", "x"]
    assert "a\\|b" in table.to_markdown()


def test_table_1_holds_our_numbers_beside_the_papers(measured: MeasuredStudy) -> None:
    table = table_1(measured, "test")
    row = dict(zip((c.title for c in table.columns), table.rows[1], strict=True))
    assert row["Accuracy"] == measured.models[1].test["exact_match"]
    assert row["Paper's accuracy"] == 0.80
    assert row["Paper's macro F1"] == 0.75
    assert row["Paper's mean AUC"] == 0.95
    assert row["Paper's loss"] == 0.104
    assert row["Patients"] == 24


def test_class_table_counts_slices_and_patients(measured: MeasuredStudy) -> None:
    table = class_wise(measured, "test")
    assert len(table.rows) == 5 + 5 + 4
    test = measured.models[0].model.test
    assert table.rows[0][2] == test.labels[:, 0].sum()
    assert table.rows[0][3] == len(set(test.patient[test.labels[:, 0]]))
    assert table.rows[5][-1] == "F1 ≈ 0.5"


def test_every_table_of_the_study_is_there(measured: MeasuredStudy) -> None:
    assert [t.name for t in study_tables(measured)] == [
        "table_1_test",
        "table_1_validation",
        "like_for_like_test",
        "like_for_like_test_6_epochs",
        "like_for_like_validation",
        "like_for_like_validation_6_epochs",
        "class_wise_test",
        "class_wise_validation",
        "training",
        "set",
        "skipped",
    ]


def test_an_absent_class_is_said_to_be_absent(study_without: Callable[[Subtype], StudyResult]) -> None:
    measured = measure(study_without(Subtype.EPIDURAL))
    text = class_wise(measured, "test").to_markdown()
    assert "not defined (0 positives)" in text
    assert "nan" not in text.lower()
    notes = table_1(measured, "test").notes
    assert "Model 2: macro F1 is over 4 classes; epidural is not defined (0 positives)." in notes


def test_durations_are_short() -> None:
    assert [duration(s) for s in (45, 720, 11_100)] == ["45 s", "12 min", "3 h 05 min"]
