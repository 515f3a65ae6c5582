"""Numbers of things in sentences."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 slice`, `2 slices`, `1,000 slices`. many: the plural where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
