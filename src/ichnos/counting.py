"""Numbers of things in sentences."""

from collections.abc import Iterable


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 slice`, `2 slices`, `1,000 slices`. many: the plural where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def exactly(number: float) -> str:
    """With as many digits as give the very same number back, as a command wants it: `0.06`, `1`, `0.12345678`."""
    return repr(float(number)).removesuffix(".0")


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as people write them: 1, 2, 3, 6 → `1–3, 6`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
