"""Figures of benchmarks in words, as every table has them."""

from collections.abc import Mapping
from typing import Any

Tree = Mapping[str, Any]
Row = tuple[str, str, str]
"""What, measured, and what was aimed at."""

_NOTHING_ELSE, _TOO_BUSY = 0.02, 0.15
"""Shares of the cores' time: below the first the machine did nothing else, above the second times mislead."""


def circumstances_of(tree: Tree, work: str, *, in_turn: bool = True, medians: bool = True) -> str:
    """On what, with what and how a benchmark was run. work: on which work, in whole sentences."""
    machine = tree["machine"]
    cores = "one core" if machine["cores_used"] == 1 else f"{machine['cores_used']} cores"
    turns = ", all in turn in one run; ratios are taken round by round" if in_turn else ""
    rounds = f" Medians of {tree['rounds']} rounds (lowest to highest){turns}." if medians else ""
    return (
        f"`{tree['asked']}`. {work} On {cores} of {machine['processor']}, {machine['system']}, Python "
        f"{machine['python']}, {versions_of(tree['versions'])}{_when(tree)}.{rounds}{_shared(machine['other_work'])}"
    )


def _when(tree: Tree) -> str:
    """Measured before this was told: nothing."""
    commit = f", commit {tree['commit']}" if tree.get("commit") else ""
    return f"; {tree['date']}{commit}" if "date" in tree else ""


def _shared(others: float | None) -> str:
    if not others or others < _NOTHING_ELSE:
        return ""
    said = f" Meanwhile other work took {others:.0%} of the cores' time."
    if others < _TOO_BUSY:
        return said
    return (
        f"{said} **So busy a machine says little of times and ratios** (threads that wait for each other, as torch's "
        "do, lose most): measure again when it is idle."
    )


def rate_of(figures: Tree) -> str:
    """Slices a second with their spread, and peak memory where the system told."""
    rate = figures["slices_a_second"]
    peak = "" if figures["peak_mb"] is None else f", {peak_of(figures)}"
    median, lowest, highest = (figure(rate[name]) for name in ("median", "lowest", "highest"))
    return f"{median} slices a second ({lowest} to {highest}){peak}"


def peak_of(figures: Tree) -> str:
    """Peak memory, where the system told and the process ended well."""
    return "memory not known" if figures["peak_mb"] is None else f"{figures['peak_mb']:,} MB"


def listed(parts: Tree, digits: int = 1) -> str:
    """Medians of parts, one after the other."""
    return ", ".join(f"{name} {part['median']:.{digits}f}" for name, part in parts.items())


def seconds_of(spread: Tree) -> str:
    """With their spread."""
    return f"{figure(spread['median'])} s ({figure(spread['lowest'])} to {figure(spread['highest'])})"


def long_time_of(spread: Tree) -> str:
    """In seconds, minutes or hours, as the median is best read."""
    unit, size = next((u, n) for u, n in (("h", 3600), ("min", 60), ("s", 0)) if spread["median"] >= 1.5 * n)
    median, lowest, highest = (figure(spread[name] / (size or 1)) for name in ("median", "lowest", "highest"))
    return f"{median} {unit} ({lowest} to {highest})"


def figure(value: float) -> str:
    """Three significant digits, all of them before the point from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times_of(spread: Tree) -> str:
    """A ratio with its spread."""
    return f"{spread['median']:.2f} × ({spread['lowest']:.2f} to {spread['highest']:.2f})"


def versions_of(versions: Mapping[str, str]) -> str:
    """Of distributions, one after the other."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
