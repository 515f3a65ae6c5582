"""Single values taken from a DICOM data set as they lie in the file, with no judgement on their form.

pydicom checks values against their VR and warns about RSNA's identifiers (`ID_a79b194880` is no UID) and about numbers
written as `00040`. Nothing here depends on such values being well formed, so they are taken before that check.
"""

import re
import struct
from collections.abc import Iterable
from datetime import UTC, datetime

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from ichnos.counting import counted
from ichnos.errors import DicomError


def text(dataset: Dataset, tag: int) -> str:
    """The value as text without padding; "" where it is absent or empty. Several values stay joined by backslashes."""
    raw = _raw_value(dataset, tag)
    if isinstance(raw, bytes):
        return raw.decode("latin-1").strip("\0 \t\r\n")
    return "\\".join(str(part) for part in raw).strip("\0 ")


def texts(dataset: Dataset, tag: int) -> tuple[str, ...]:
    """All values of a text element, each without padding."""
    joined = text(dataset, tag)
    return tuple(part.strip() for part in joined.split("\\")) if joined else ()


def numbers(dataset: Dataset, tag: int, name: str, count: int) -> tuple[float, ...]:
    """Exactly `count` decimal strings as floats. Raises DicomError, naming the attribute, otherwise."""
    parts = texts(dataset, tag)
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        raise DicomError(f"its {name} is not a number; send the scanner's own images") from None
    if len(values) != count or not all(abs(value) < float("inf") for value in values):
        found = "is missing" if not values else f"has {counted(len(values), 'value')}, not {count} finite"
        raise DicomError(f"its {name} {found}; send the scanner's own images")
    return values


def number(dataset: Dataset, tag: int) -> float | None:
    """The first value of a decimal string, None where it is absent or not a number."""
    parts = texts(dataset, tag)
    try:
        return float(parts[0]) if parts else None
    except ValueError:
        return None


def whole_number(dataset: Dataset, tag: int) -> int | None:
    """The first unsigned short (US) of an element, None where it is absent or empty."""
    element = dataset.get_item(tag)
    if element is None:
        return None
    if isinstance(element, RawDataElement):
        if element.value is None or len(element.value) < 2:
            return None
        return int(struct.unpack_from("<H" if element.is_little_endian else ">H", element.value)[0])
    return int(element.value) if isinstance(element.value, int) else None


def integer(dataset: Dataset, tag: int) -> int:
    """The first value of an integer string, 0 where it is absent or not a number."""
    value = number(dataset, tag)
    return int(value) if value is not None and abs(value) < 1e18 else 0


def moment(said: str) -> float | None:
    """Seconds from 1970 to the minute of a date and time (PS3.5 6.2, DT), without its zone; None where it is none."""
    found = re.match(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)", said)
    if found is None:
        return None
    year, month, day, hour, minute = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence, [] where it is absent or is no sequence. Raises what pydicom does for damaged ones."""
    if dataset.get_item(tag) is None:
        return []
    value = dataset[tag].value
    return list(value) if isinstance(value, Sequence) else []


def pixel_value(dataset: Dataset, tag: int, *, signed: bool) -> int | None:
    """A value of the pixels' own type (US or SS), None where it is absent or empty.

    Its VR is not asked: implicit files do not say it, and some explicit ones say US where the pixels are signed.
    """
    value = whole_number(dataset, tag)
    if value is None:
        return None
    return (value & 0xFFFF) - ((value & 0x8000) << 1 if signed else 0)


def _raw_value(dataset: Dataset, tag: int) -> bytes | Iterable[object]:
    element = dataset.get_item(tag)
    if element is None or element.value is None:
        return b""
    if isinstance(element.value, bytes):
        return element.value
    return element.value if isinstance(element.value, MultiValue) else (element.value,)
