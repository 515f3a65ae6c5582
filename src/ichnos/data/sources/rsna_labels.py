"""RSNA 2019's table of labels: six rows an image, read fast and refused where it contradicts itself."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl

from ichnos.errors import SourceError
from ichnos.subtypes import CLASSES, Subtype

_ANY_BIT = 1 << CLASSES.index(Subtype.ANY)
_ALL_BITS = (1 << len(CLASSES)) - 1


_PIECE_BYTES = 1 << 21
"""Of the table read at a time: all 4.5 million rows at once would take over a gigabyte."""


def read_labels(table: Path | bytes) -> pl.DataFrame:
    """The labels of a `stage_*_train.csv`: columns image, such as `ID_000012eaf`, and bits, bit k is SUBTYPES[k].

    Images are in order. Rows given twice are one row (stage 2 repeats four images). Raises SourceError where columns
    are missing, a subtype is unknown, a label is neither 0 nor 1, repeated rows disagree, an image lacks a row, or
    `any` contradicts the rest.
    """
    unknown: list[pl.DataFrame] = []
    odd: list[pl.DataFrame] = []
    parts: list[pl.DataFrame] = []
    for rows in _pieces(table):
        unknown.append(rows.filter(pl.col("bit").is_null()))
        odd.append(rows.filter(~pl.col("Label").is_in(["0", "1"])))
        bit, label = pl.col("bit"), pl.col("Label")
        told = rows.select("image", positive=bit * (label == "1"), negative=bit * (label == "0"))
        parts.append(told.group_by("image").agg(pl.col("positive", "negative").bitwise_or()))
    _refuse(pl.concat(unknown), "name no subtype known here", f"ID_<image>_<{'|'.join(CLASSES)}>")
    _refuse(pl.concat(odd), "have a label other than 0 or 1", "0 or 1")
    images = pl.concat(parts).group_by("image").agg(pl.col("positive", "negative").bitwise_or())
    images = images.with_columns(image=pl.concat_str(pl.lit("ID_"), "image"))
    positive, negative = pl.col("positive"), pl.col("negative")
    _refuse_images(images.filter(positive & negative != 0), "have rows that are repeated and disagree")
    _refuse_images(images.filter(positive | negative != _ALL_BITS), "lack a row for some of the six classes")
    subtypes = positive & (_ANY_BIT - 1)
    contradictory = images.filter((subtypes != 0) != (positive & _ANY_BIT != 0))
    _refuse_images(contradictory, "have a label `any` that contradicts their subtypes")
    return images.select("image", subtypes.alias("bits")).sort("image")


def _pieces(table: Path | bytes) -> Iterator[pl.DataFrame]:
    """The table's rows, so many at a time; at least one piece, which may be empty."""
    name = "the table of labels" if isinstance(table, bytes) else str(table)
    try:
        with BytesIO(table) if isinstance(table, bytes) else table.open("rb") as stream:
            header = stream.readline()
            piece = stream.read(_PIECE_BYTES) + stream.readline()
            while True:
                yield _rows(name, header + piece)
                if not (piece := stream.read(_PIECE_BYTES) + stream.readline()):
                    return
    except PermissionError:
        raise SourceError(f"no permission to read {name}; grant it") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{name} cannot be read as CSV ({type(error).__name__}); download it again") from error


def _rows(name: str, csv: bytes) -> pl.DataFrame:
    """Columns ID and Label as they stand, the image without `ID_`, and bit: null where the row names no known class."""
    raw = pl.read_csv(csv, infer_schema=False)
    if missing := [column for column in ("ID", "Label") if column not in raw.columns]:
        found = ", ".join(raw.columns)
        raise SourceError(f"{name} has the columns {found}; {' and '.join(missing)} missing; download it again")
    bits = {subtype.value: 1 << position for position, subtype in enumerate(CLASSES)}
    parts = pl.col("ID").str.strip_chars().str.splitn("_", 3).struct.rename_fields(["prefix", "image", "subtype"])
    rows = raw.select("ID", pl.col("Label").str.strip_chars().fill_null(""), parts=parts).unnest("parts")
    bit = pl.col("subtype").replace_strict(bits, default=None, return_dtype=pl.UInt8)
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
