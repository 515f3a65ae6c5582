"""RSNA 2019's table of labels: six rows an image, read fast and refused where it contradicts itself."""

from io import BytesIO
from pathlib import Path

import polars as pl

from ichnos.errors import SourceError
from ichnos.subtypes import CLASSES, Subtype

_ANY_BIT = 1 << CLASSES.index(Subtype.ANY)
_ALL_BITS = (1 << len(CLASSES)) - 1


def read_labels(table: Path | bytes) -> dict[str, int]:
    """The labels of a `stage_*_train.csv`: image ID, such as `ID_000012eaf`, to bits; bit k is SUBTYPES[k].

    Rows given twice are one row (stage 2 repeats four images). Raises SourceError where columns are missing, a subtype
    is unknown, a label is neither 0 nor 1, repeated rows disagree, an image lacks a row, or `any` contradicts the rest.
    """
    rows = _rows(table)
    _refuse(rows.filter(pl.col("bit").is_null()), "name no subtype known here", f"ID_<image>_<{'|'.join(CLASSES)}>")
    _refuse(rows.filter(~pl.col("Label").is_in(["0", "1"])), "have a label other than 0 or 1", "0 or 1")
    images = rows.group_by("image").agg(
        positive=pl.when(pl.col("Label") == "1").then(pl.col("bit")).otherwise(0).bitwise_or(),
        negative=pl.when(pl.col("Label") == "0").then(pl.col("bit")).otherwise(0).bitwise_or(),
    )
    images = images.with_columns(image=pl.concat_str(pl.lit("ID_"), "image"))
    positive, negative = pl.col("positive"), pl.col("negative")
    _refuse_images(images.filter(positive & negative != 0), "have rows that are repeated and disagree")
    _refuse_images(images.filter(positive | negative != _ALL_BITS), "lack a row for some of the six classes")
    subtypes = positive & (_ANY_BIT - 1)
    contradictory = images.filter((subtypes != 0) != (positive & _ANY_BIT != 0))
    _refuse_images(contradictory, "have a label `any` that contradicts their subtypes")
    return dict(images.select("image", subtypes).sort("image").iter_rows())


def _rows(table: Path | bytes) -> pl.DataFrame:
    """Columns ID and Label as they stand, the image without `ID_`, and bit: null where the row names no known class."""
    name = "the table of labels" if isinstance(table, bytes) else str(table)
    try:
        raw = pl.read_csv(BytesIO(table) if isinstance(table, bytes) else table, infer_schema=False)
    except PermissionError:
        raise SourceError(f"no permission to read {name}; grant it") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{name} cannot be read as CSV ({type(error).__name__}); download it again") from error
    if missing := [column for column in ("ID", "Label") if column not in raw.columns]:
        found = ", ".join(raw.columns)
        raise SourceError(f"{name} has the columns {found}; {' and '.join(missing)} missing; download it again")
    bits = {subtype.value: 1 << position for position, subtype in enumerate(CLASSES)}
    parts = pl.col("ID").str.strip_chars().str.splitn("_", 3).struct.rename_fields(["prefix", "image", "subtype"])
    rows = raw.select("ID", pl.col("Label").str.strip_chars().fill_null(""), parts=parts).unnest("parts")
    bit = pl.col("subtype").replace_strict(bits, default=None, return_dtype=pl.Int64)
    return rows.with_columns(bit=pl.when(pl.col("prefix") == "ID").then(bit))


def _refuse(rows: pl.DataFrame, fault: str, wanted: str) -> None:
    if rows.height:
        example = rows.row(0, named=True)
        raise SourceError(
            f"{rows.height} rows of the table of labels {fault}, such as {example['ID']},{example['Label']}; "
            f"wanted is {wanted}; download the table again"
        )


def _refuse_images(images: pl.DataFrame, fault: str) -> None:
    if images.height:
        example = images.select(pl.col("image").min()).item()
        raise SourceError(
            f"{images.height} images of the table of labels {fault}, such as {example}; download it again"
        )
