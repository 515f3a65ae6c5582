"""RSNA 2019's table of labels: six rows an image, read fast and refused where it contradicts itself."""

from collections.abc import Iterator

import polars as pl

from ichnos.data.sources.tables import Tables
from ichnos.errors import SourceError
from ichnos.remote import Place
from ichnos.subtypes import CLASSES, Subtype

_ANY_BIT = 1 << CLASSES.index(Subtype.ANY)
_SUBTYPE_BITS = _ANY_BIT - 1
_ALL_BITS = (1 << len(CLASSES)) - 1

_PIECE_BYTES = 1 << 21
"""Of the table read at a time: all 4.5 million rows at once would take over a gigabyte."""


def read_labels(tables: Tables, table: Place, name: str) -> None:
    """Fill `labels` from a `stage_*_train.csv`, a slice being named by its image, such as `ID_000012eaf`.

    name: what errors call the table. Rows given twice are one row (stage 2 repeats four images). Raises SourceError
    where columns are missing, a subtype is unknown, a label is neither 0 nor 1, repeated rows disagree, an image lacks
    a row, or `any` contradicts the rest.
    """
    tables.execute("CREATE TABLE told (image TEXT PRIMARY KEY, positive INTEGER, negative INTEGER) WITHOUT ROWID")
    unknown, odd = _Refused(), _Refused()
    for rows in _pieces(table, name):
        unknown.add(rows.filter(pl.col("bit").is_null()))
        odd.add(rows.filter(~pl.col("Label").is_in(["0", "1"])))
        bit, label = pl.col("bit"), pl.col("Label")
        told = rows.select("image", positive=bit * (label == "1"), negative=bit * (label == "0"))
        told = told.group_by("image").agg(pl.col("positive", "negative").bitwise_or())
        tables.executemany(_ADD_TOLD, told.filter(pl.col("image").is_not_null()).rows())
    unknown.refuse("name no subtype known here", f"ID_<image>_<{'|'.join(CLASSES)}>")
    odd.refuse("have a label other than 0 or 1", "0 or 1")
    for where, fault in _FAULTS.items():
        count, example = tables.execute(f"SELECT count(*), min(image) FROM told WHERE {where}").fetchone()  # noqa: S608
        if count:
            raise SourceError(f"{count} images of the table of labels {fault}, such as ID_{example}; download it again")
    tables.execute("INSERT INTO labels SELECT 'ID_' || image, positive & ?, NULL FROM told", (_SUBTYPE_BITS,))


_ADD_TOLD = """
INSERT INTO told VALUES (?, ?, ?) ON CONFLICT (image) DO UPDATE SET
  positive = positive | excluded.positive, negative = negative | excluded.negative
"""

_FAULTS = {
    "positive & negative": "have rows that are repeated and disagree",
    f"positive | negative <> {_ALL_BITS}": "lack a row for some of the six classes",
    f"(positive & {_SUBTYPE_BITS} <> 0) <> (positive & {_ANY_BIT} <> 0)": (
        "have a label `any` that contradicts their subtypes"
    ),
}
"""What is wrong with an image, by the condition in SQL."""


class _Refused:
    """Rows that cannot be: how many there are, and the first."""

    def __init__(self) -> None:
        self._count = 0
        self._first: dict[str, str] = {}

    def add(self, rows: pl.DataFrame) -> None:
        if rows.height and not self._count:
            self._first = rows.row(0, named=True)
        self._count += rows.height

    def refuse(self, fault: str, wanted: str) -> None:
        if self._count:
            raise SourceError(
                f"{self._count} rows of the table of labels {fault}, such as {self._first['ID']},"
                f"{self._first['Label']}; wanted is {wanted}; download the table again"
            )


def _pieces(table: Place, name: str) -> Iterator[pl.DataFrame]:
    """The table's rows, so many at a time; at least one piece, which may be empty."""
    try:
        with table.open("rb") as stream:
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
    raw = raw.filter(pl.col("ID").is_not_null() | pl.col("Label").is_not_null())  # an empty line is no row
    bits = {subtype.value: 1 << position for position, subtype in enumerate(CLASSES)}
    parts = pl.col("ID").str.strip_chars().str.splitn("_", 3).struct.rename_fields(["prefix", "image", "subtype"])
    rows = raw.select("ID", pl.col("Label").str.strip_chars().fill_null(""), parts=parts).unnest("parts")
    bit = pl.col("subtype").replace_strict(bits, default=None, return_dtype=pl.UInt8)
    return rows.with_columns(bit=pl.when(pl.col("prefix") == "ID").then(bit))
