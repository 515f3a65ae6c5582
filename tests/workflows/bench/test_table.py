"""Rows that are reckoned from several benchmarks."""

from typing import Any

from ichnos.workflows.bench.table import profile_rows


def parts(**milliseconds: float) -> dict[str, Any]:
    return {name.replace("_", " "): {"median": each} for name, each in milliseconds.items()}


def test_where_the_time_goes_is_said_in_shares_the_largest_first() -> None:
    """Two cores read 1,500 slices in 3 seconds: 4 ms of a core each, of which the parts are 1 ms."""
    rate = {"slices_a_second": {"median": 500}}
    prepare = {"parts_ms": parts(header=0.1, hash=0.3, pack=0.6, windows_and_resize=3.0), "cache": rate}
    prepare |= {"stages_s": parts(finding_and_ordering=1.0, reading_and_packing=3.0)}
    prepare |= {"machine": {"cores_used": 2}, "work": {"slices": 1500}}
    train = {
        "parts_ms": parts(forward=30, backward=60, read=10),
        "work": {"batch_size": 8},
        "trained": {"device": "cpu"},
    }
    rows = dict(profile_rows({"steps": parts(read=0.1, classify=0.9)}, prepare, train))
    assert rows == {
        "an exam read, warm": "classify 90%, read 10%",
        "a slice from its file to the set, on one core": "pack 60%, hash 30%, header 10%",
        "the whole of preparing 1,500 slices": "reading and packing 75%, finding and ordering 25%",
        "reading and packing, of all cores": "all else (starting processes, disk, waiting) 75%, those parts 25%",
        "set → cache": "windows and resize 75%, all else (unpacking, disk, waiting) 25%",
        "a step of 8 slices on cpu": "backward 60%, forward 30%, read 10%",
    }
