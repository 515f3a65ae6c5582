"""Identifiers: whether a UID is valid, a valid one for every invalid one, and one for what is made from something."""

import re
from hashlib import sha256
from uuid import UUID, uuid5

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_LONGEST_UID = 64
_NAMESPACE = UUID("9b2f0f4e-6a53-5b0e-9f0c-2d7d3c1a8e41")
"""Drawn once, for ichnos; a change would give every mapped identifier another value."""


def is_valid_uid(uid: str) -> bool:
    """Whether `uid` has the form of DICOM PS3.5 chapter 9: dotted numbers, no leading zeros, at most 64 characters."""
    return len(uid) <= _LONGEST_UID and _UID.fullmatch(uid) is not None


def valid_uid(uid: str) -> str:
    """`uid` itself where it is valid, otherwise a UID made from it (2.25 and a version 5 UUID, PS3.5 B.2).

    RSNA 2019's identifiers, such as `ID_a79b194880`, are not valid; what refers to them in DICOM needs ones that are.
    """
    return uid if is_valid_uid(uid) else f"2.25.{uuid5(_NAMESPACE, uid).int}"


def derived_uid(*parts: str) -> str:
    """A UID (2.25 and 128 bits of SHA-256, PS3.5 B.2) of what is made from `parts`: from the same parts the same.

    Where one part ends matters: ("a", "b") and ("ab",) give different ones.
    """
    text = "".join(f"{len(part)}:{part}" for part in ("ichnos", *parts))
    return f"2.25.{int.from_bytes(sha256(text.encode()).digest()[:16], 'big')}"
