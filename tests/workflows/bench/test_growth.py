"""What `ichnos bench growth` measures is there, of the sizes that were asked for; no time is judged."""

import json
from typing import Any

import pytest

from ichnos.errors import UsageError
from ichnos.progress import SILENT
from ichnos.workflows.bench import growth
from ichnos.workflows.bench.growth import GrowthBench, bench_growth
from ichnos.workflows.bench.table import growth_circumstances, growth_rows


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "PREPARED", {"exams": 10, "slices": 10, "matrix": 64})
        patch.setattr(growth, "PREDICTED", {"exams": 1, "slices": 10, "matrix": 64})
        patch.setattr(growth, "EVALUATED", {"slices": 500, "resamples": 5})
        return bench_growth(GrowthBench("1,2", rounds=1), SILENT)


@pytest.mark.slow
def test_each_size_goes_through_as_many_slices(tree: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["asked"] == "ichnos bench growth --times 1,2 --rounds 1"
    for name, base in (("prepare", 100), ("predict", 10), ("evaluate", 500)):
        assert [each["slices"] for each in tree[name]] == [base, 2 * base]
        for each in tree[name]:
            cost = each["microseconds_a_slice"]["median"] * each["slices"] / 1e6
            assert cost == pytest.approx(each["seconds"]["median"], rel=1e-2)
            assert each["peak_mb"] > 30


@pytest.mark.slow
def test_rows_for_people_say_it_all(tree: dict[str, Any]) -> None:
    rows = {what: aim for what, _, aim in growth_rows(tree)}
    assert rows["prepare, 100 slices (1 ×)"] == "what the rows below are held to"
    base = tree["evaluate"][0]["microseconds_a_slice"]["median"]
    assert rows["evaluate, 1,000 slices (2 ×)"] == f"≤ {base:,.0f} µs, as at 1 ×"
    assert "5 resamples by patient" in growth_circumstances(tree)


def test_what_a_slice_costs_is_judged() -> None:
    sizes = [
        {
            "times": times,
            "slices": 100 * times,
            "microseconds_a_slice": {"median": median, "lowest": median, "highest": median},
            "peak_mb": None,
        }
        for times, median in ((1, 200.0), (4, 200.0), (16, 250.0))
    ]
    said = [row[1] for row in growth_rows(dict.fromkeys(("prepare", "predict", "evaluate"), sizes))][:3]
    assert said[0] == "200 µs a slice (200 to 200)"
    assert said[1].endswith("; 1.00 × as much: held")
    assert said[2].endswith("; 1.25 × as much: **missed**")


@pytest.mark.parametrize(
    ("peaks", "verdict"),
    [
        ((200, 250), "1.25 × as much: flat"),
        ((200, 252), "1.26 × as much: **not flat**"),
        ((200, None), None),
        ((200,), None),
    ],
)
def test_memory_is_judged(peaks: tuple[int | None, ...], verdict: str | None) -> None:
    cost = {"median": 2.0, "lowest": 1.0, "highest": 3.0}
    sizes = [
        {"times": times, "slices": 100 * times, "microseconds_a_slice": cost, "peak_mb": peak}
        for times, peak in zip((1, 64), peaks, strict=False)
    ]
    rows = {
        what: (said, aim) for what, said, aim in growth_rows(dict.fromkeys(("prepare", "predict", "evaluate"), sizes))
    }
    found = rows.get("predict, peak memory at 64 × against 1 ×")
    assert found == (None if verdict is None else (verdict, "≤ 1.25 ×"))


@pytest.mark.parametrize(
    ("times", "complaint"),
    [("", "whole numbers"), ("1,x", "whole numbers"), ("0,4", "from 1"), ("4,1", "rises"), ("1,1", "rises")],
)
def test_a_mistake_is_one_line(times: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        GrowthBench(times)
