"""Writes a study: report, scorecard, predictions, tables and figures, each file whole or not at all."""

from pathlib import Path

import polars as pl

from ichnos.files import explained, write_bytes, write_json, write_parquet, write_text
from ichnos.predictions import Predictions
from ichnos.progress import SILENT, Progress
from ichnos.reporting.measured import MeasuredStudy, measure
from ichnos.reporting.report import draw, report_html
from ichnos.reporting.scorecard import scorecard_of
from ichnos.reporting.study import StudyResult
from ichnos.reporting.tables import study_tables


def write_study(result: StudyResult, out: Path, progress: Progress = SILENT) -> Path:
    """Measure a study and write it into the folder `out`; what is there under the same names is replaced.

    report.html, scorecard.json, predictions.parquet, tables/*.csv and *.md, figures/*.svg and *.png. Returns the
    report's path. The report is written last, so that where it is, all of it is. Raises OutputError.
    """
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)  # before the long work
    _write_all(measure(result, progress), out, progress)
    return out / "report.html"


def _write_all(study: MeasuredStudy, out: Path, progress: Progress) -> None:
    tables = study_tables(study)
    pictures = draw(study, progress)
    page = report_html(study, tables, pictures)
    for table in tables:
        write_text(out / "tables" / f"{table.name}.csv", table.to_csv())
        write_text(out / "tables" / f"{table.name}.md", table.to_markdown())
    with progress.task("Writing figures", len(pictures.all())) as task:
        for picture in pictures.all():
            write_bytes(out / "figures" / f"{picture.name}.svg", picture.svg)
            write_bytes(out / "figures" / f"{picture.name}.png", picture.png)
            task.advance()
    write_parquet(out / "predictions.parquet", all_predictions(study.result))
    write_json(out / "scorecard.json", scorecard_of(study))
    write_text(out / "report.html", page)


def all_predictions(result: StudyResult) -> pl.DataFrame:
    """Every prediction of every model, one row a slice: model, part, best_of_epochs, then the columns of Predictions.

    best_of_epochs is null for a model's best of all epochs. Classes that a model does not have are null.
    """
    frames: list[pl.DataFrame] = []
    for model in result.models:
        rounds = {None: (model.validation, model.test), **model.until_milestone}
        for epochs, pair in rounds.items():
            for part, predictions in zip(("validation", "test"), pair, strict=True):
                frames.append(_frame(predictions, model.name, part, epochs))
    return pl.concat(frames, how="diagonal")


def _frame(predictions: Predictions, model: str, part: str, epochs: int | None) -> pl.DataFrame:
    tags = [
        pl.lit(model).alias("model"),
        pl.lit(part).alias("part"),
        pl.lit(epochs, dtype=pl.Int64).alias("best_of_epochs"),
    ]
    columns: dict[str, object] = {
        "patient": predictions.patient,
        "exam": predictions.exam,
        "slice": predictions.slice_name,
        "offset": predictions.offset,
    }
    columns |= {f"p_{c.value}": predictions.probabilities[:, k] for k, c in enumerate(predictions.classes)}
    columns |= {f"y_{c.value}": predictions.labels[:, k] for k, c in enumerate(predictions.classes)}
    return pl.DataFrame(columns).select(*tags, pl.all())
