"""How much a packed file may unpack to: beyond it, what it is packed with (zip, gzip, deflate) does not matter."""

_LARGEST_RATIO = 200
"""How many times smaller a file may be than what it holds. CT packs two to four times, an empty slice a thousand."""

_SMALL = 256 << 20
"""Unpacked bytes up to which the ratio does not matter: a bomb that small is none."""


def most_unpacked(packed: int) -> int:
    """Bytes that a file of `packed` bytes may unpack to; one that would hold more is a bomb."""
    return max(_SMALL, _LARGEST_RATIO * packed)
