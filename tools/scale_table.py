"""Writes docs/scale.md's tables from the rates in results/bench-*.json; `--check` says whether they are up to date."""

import json
import sys
from dataclasses import dataclass
from typing import Any

from pages import ROOT, rewrite

BENCHMARKS = ("prepare", "predict", "train", "evaluate", "growth")

SLICES = (1_000_000, 10_000_000, 100_000_000)
GPUS = (1, 8, 64)

RAW_BYTES = 2 * 512 * 512
SHRINKS = 3.4
"""Of a scanner's slices as the prepared set packs them (docs/architecture.md)."""
CACHE_BYTES = 3 * 224 * 224
"""A slice of three windows at 224 px, whose time is measured; one plane takes a third."""
HEADER_BYTES = 2000
"""What predict holds of a slice between finding it and reading it (docs/performance.md)."""
SCANNED_A_SECOND = 752_803 / 28
"""Slices whose headers and labels prepare joins, in one process (docs/architecture.md)."""
INDEX_BYTES = 170
"""A slice of the index, in the memory of training (docs/architecture.md)."""

COMMANDING_MB, COMMANDING_AT, COMMANDING_BYTES = 278, 752_803, 64
"""What the process that commands prepare takes at so many slices, and of each more (docs/architecture.md)."""
PLACE_BYTES = 40
"""A slice in the memory of each process that makes a cache: where it lies (docs/architecture.md)."""

EPOCHS = 10
ASSUMED_GPU_RATE = 3000
"""Training images a second of one GPU: not measured."""
ASSUMED_SHARE = 0.9
"""Of so many GPUs' rates together that is left when they wait for each other: not measured."""
CORES_A_GPU, CORES_A_MACHINE = 8, 64
GPU_HOUR, CORE_HOUR, TB_MONTH = 3.0, 0.04, 25.0
"""Dollars, of the order of what clouds ask; put in your own."""


@dataclass(frozen=True)
class Rates:
    """Slices a second of one core, as measured, and what measuring predictions takes.

    find: of the one process that finds exams before the first is predicted.
    """

    prepare: float
    cache: float
    predict: float
    find: float
    train_cpu: float
    evaluate_seconds: float
    evaluate_mb: float
    evaluated: int
    evaluate_base: float
    """MB of few predictions, in which growth's last and first row meet."""
    evaluate_bytes: float
    """Of each more, between these two."""
    measured: dict[str, str]
    """Of each benchmark, where it was run."""
    peaks: dict[str, float]
    """MB of a process, as the benchmarks have it of few slices: prepare, cache, fed (what training reads), predict."""

    @classmethod
    def of(cls, trees: dict[str, Any]) -> "Rates":
        cores = {name: tree["machine"]["cores_used"] for name, tree in trees.items()}
        prepare, predict = trees["prepare"], trees["predict"]
        few, *_, many = trees["growth"]["evaluate"]
        slope = (many["peak_mb"] - few["peak_mb"]) * 1e6 / (many["slices"] - few["slices"])
        return cls(
            prepare=prepare["folder"]["slices_a_second"]["median"] / cores["prepare"],
            cache=prepare["cache"]["slices_a_second"]["median"] / cores["prepare"],
            predict=predict["batch"]["slices_a_second"] / cores["predict"],
            find=predict["work"]["slices"] / predict["steps"]["find"]["median"],
            train_cpu=trees["train"]["trained"]["slices_a_second"]["median"] / cores["train"],
            evaluate_seconds=trees["evaluate"]["seconds"]["median"],
            evaluate_mb=trees["evaluate"]["peak_mb"],
            evaluated=trees["evaluate"]["work"]["slices"],
            evaluate_base=few["peak_mb"] - slope * few["slices"] / 1e6,
            evaluate_bytes=slope,
            measured={name: f"measured, {tree['machine']['processor']}" for name, tree in trees.items()},
            peaks={
                "prepare": prepare["folder"]["peak_mb"],
                "cache": prepare["cache"]["peak_mb"],
                "fed": trees["train"]["fed"]["peak_mb"],
                "predict": max(predict["batch"]["peak_mb_after"].values()),
            },
        )


def tables() -> dict[str, str]:
    """Each table's name and its Markdown."""
    files = {name: ROOT / "results" / f"bench-{name}.json" for name in BENCHMARKS}
    if not all(file.exists() for file in files.values()):
        return dict.fromkeys(("rates", "disk", "memory", "time"), "Not measured yet.")
    rates = Rates.of({name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()})
    return {"rates": _rates(rates), "disk": _disk(rates), "memory": _memory(rates), "time": _time(rates)}


def _rates(rates: Rates) -> str:
    rows = [
        ("prepare, folders to set", f"{rates.prepare:,.0f} slices a second and core", rates.measured["prepare"]),
        ("prepare: joining headers and labels, one process", f"{SCANNED_A_SECOND:,.0f} slices a second", "measured"),
        (
            "set to cache of three windows, 224 px",
            f"{rates.cache:,.0f} slices a second and core",
            rates.measured["prepare"],
        ),
        ("predict, many exams", f"{rates.predict:,.0f} slices a second and core", rates.measured["predict"]),
        ("predict: finding exams, one process", f"{rates.find:,.0f} slices a second", rates.measured["predict"]),
        (
            "train Model 2, 224 px, on a CPU",
            f"{rates.train_cpu:,.1f} images a second and core",
            rates.measured["train"],
        ),
        (
            f"evaluate {rates.evaluated:,} predictions, 1,000 resamples",
            f"{rates.evaluate_seconds:,.0f} s, {rates.evaluate_mb:,.0f} MB",
            rates.measured["evaluate"],
        ),
        ("train Model 2, 224 px, on a GPU", f"{ASSUMED_GPU_RATE:,} images a second", "**assumed**"),
        ("share of that which many GPUs keep", f"{ASSUMED_SHARE:.0%}", "**assumed**"),
        (
            "prices",
            f"{GPU_HOUR:.2f} $ a GPU-hour, {CORE_HOUR:.2f} a core-hour, {TB_MONTH:.0f} a TB-month",
            "**assumed**",
        ),
    ]
    return _table(("what", "rate", "where from"), rows)


def _disk(rates: Rates) -> str:
    rows: list[tuple[str, ...]] = []
    for slices in SLICES:
        raw, packed, cache = (slices * each for each in (RAW_BYTES, RAW_BYTES / SHRINKS, CACHE_BYTES))
        month = (packed + cache) / 1e12 * TB_MONTH
        share = slices / rates.evaluated
        rows.append(
            (
                f"{slices:,}",
                _bytes(raw),
                _bytes(packed),
                _bytes(cache),
                f"{month:,.0f} $",
                _bytes(slices * INDEX_BYTES),
                _bytes(slices * HEADER_BYTES),
                _bytes(rates.evaluate_base * 1e6 + slices * rates.evaluate_bytes),
                _seconds(share * rates.evaluate_seconds),
            )
        )
    head = (
        "slices",
        "DICOM",
        "set",
        "cache",
        "set and cache, a month",
        "index in memory",
        "headers",
        "evaluate",
        "its time",
    )
    return _table(head, rows)


def _memory(rates: Rates) -> str:
    """Of one process of each stage: what it takes of few slices, and so many bytes of each more."""
    measured = rates.peaks
    stages = (
        ("prepare: what commands", "one", COMMANDING_MB - COMMANDING_AT * COMMANDING_BYTES / 1e6, COMMANDING_BYTES),
        ("prepare: what reads and packs", "a core", measured["prepare"], 0),
        ("cache", "a core", measured["cache"], PLACE_BYTES),
        ("train: index and reading, no network", "a GPU", measured["fed"], INDEX_BYTES),
        ("predict", "one", measured["predict"], HEADER_BYTES),
        ("evaluate", "one", rates.evaluate_base, rates.evaluate_bytes),
    )
    rows: list[tuple[str, ...]] = []
    for stage, many, base, each in stages:
        fixed, growing = f"{base:,.0f} MB" if base else "", f"{each:,.0f} B × slices" if each else ""
        needed = (_bytes(base * 1e6 + each * slices) for slices in SLICES)
        rows.append((stage, many, " + ".join(filter(None, (fixed, growing))), *needed))
    return _table(("stage", "processes", "each", *(f"{slices:,}" for slices in SLICES)), rows)


def _time(rates: Rates) -> str:
    rows: list[tuple[str, ...]] = []
    for slices in SLICES:
        for gpus in GPUS:
            cores = gpus * CORES_A_GPU
            caching = min(cores, CORES_A_MACHINE)
            together = ASSUMED_GPU_RATE * gpus * (1 if gpus == 1 else ASSUMED_SHARE)
            scan, prepare = slices / SCANNED_A_SECOND, slices / (rates.prepare * cores)
            cache = slices / (rates.cache * caching)
            train = EPOCHS * slices / together
            find, predict = slices / rates.find, slices / (rates.predict * cores)
            money = ((scan + prepare + find + predict) * cores + cache * caching) / 3600 * CORE_HOUR
            money += train / 3600 * gpus * GPU_HOUR
            whole = scan + prepare + cache + train + find + predict
            held = whole / 3600 * (gpus * GPU_HOUR + cores * CORE_HOUR)
            rows.append(
                (
                    f"{slices:,}",
                    f"{gpus}",
                    *(_seconds(each) for each in (scan + prepare, cache, train, find, find + predict)),
                    f"{money:,.0f} $",
                    f"{held:,.0f} $",
                )
            )
    train = f"train, {EPOCHS} epochs"
    head = (
        "slices",
        "GPUs",
        "prepare",
        "cache",
        train,
        "finding exams",
        "predict on all",
        "each when used",
        "all held",
    )
    return _table(head, rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e6:.3g} MB"


def _seconds(count: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if count >= 1.5 * size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} s"


def main() -> int:
    """Rewrite the page, or with --check compare."""
    return rewrite("scale_table.py", {"docs/scale.md": tables()})


if __name__ == "__main__":
    sys.exit(main())
