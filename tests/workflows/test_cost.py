"""What a recipe costs: timed in turn with others, kept, and not made again."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ichnos.errors import BundleError
from ichnos.progress import SILENT
from ichnos.recipes import find
from ichnos.workflows import cost


def test_reading_is_timed_in_rounds_of_all_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is made up: each recipe has its own times, and one is kept from before."""
    took = {"first": [3.0, 1.0, 2.0, 2.0, 2.0, 9.0, 2.0], "second": [0.5] * 7}
    order: list[str] = []

    class Timed:
        def __init__(self, name: str, threads: int) -> None:
            self.name, self.threads = name, threads

        def run(self, hu: np.ndarray) -> None:
            if len(hu) == cost.SLICES:
                clock.append(clock[-1] + took[self.name][order.count(self.name)])
                order.append(self.name)

    clock = [0.0]
    recipe = find("reader").recipe
    old = {"recipe": recipe.fingerprint(), "seconds": 0.3, "exam_multiply_adds": 0}
    runs = {name: (tmp_path / name / "fold-0", recipe) for name in ("first", "old", "second")}
    for run, _ in runs.values():
        run.mkdir(parents=True)
    (tmp_path / "old" / "cost.json").write_text(json.dumps(old))
    monkeypatch.setattr(cost, "Engine", Timed)
    monkeypatch.setattr(cost, "make_exam", lambda *_: SimpleNamespace(hu=np.zeros((cost.SLICES, 1, 1), np.int16)))
    monkeypatch.setattr(cost, "read_bundle", lambda path: path.read_text())
    monkeypatch.setattr(cost, "export_runs", lambda run, bundle, *_, **__: bundle.write_text(run[0].parent.name))
    monkeypatch.setattr(cost, "parameters_of_run", lambda *_: 1)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock[-1])
    costs = cost.costs_of_runs(runs, SILENT)
    assert order == ["first", "second"] * 7
    assert list(costs) == ["first", "old", "second"]
    assert (costs["first"]["seconds"], costs["first"]["seconds_highest"]) == (1, 9)
    assert costs["old"] == old
    assert json.loads((tmp_path / "second" / "cost.json").read_text()) == costs["second"]
    assert costs["second"]["timed_with"] == ["first", "second"]
    assert not list(tmp_path.rglob("*.ichnos"))


def test_an_older_file_is_counted_once_more_and_its_times_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = find("reader").recipe
    kept = tmp_path / "old" / "cost.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"recipe": recipe.fingerprint(), "seconds": 0.3, "multiply_adds": 0}))
    monkeypatch.setattr(cost, "parameters_of_run", lambda *_: 7)
    costs = cost.costs_of_runs({"old": (kept.parent / "fold-0", recipe)}, SILENT)["old"]
    assert (costs["seconds"], costs["parameters"], costs["exam_multiply_adds"]) == (0.3, 7, 0)
    assert costs["multiply_adds"] > 1e6
    assert json.loads(kept.read_text()) == costs


def test_what_was_exported_to_be_timed_is_not_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, exported = find("reader").recipe, []
    runs = {name: (tmp_path / name / "fold-0", recipe) for name in ("first", "second")}
    for run, _ in runs.values():
        run.mkdir(parents=True)

    def export(run: list[Path], bundle: Path, *_: object, **__: object) -> None:
        bundle.write_text("")
        exported.append(run[0].parent.name)

    monkeypatch.setattr(cost, "export_runs", export)
    monkeypatch.setattr(cost, "parameters_of_run", lambda *_: 1)
    monkeypatch.setattr(cost, "_read_in_turn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cost.costs_of_runs(runs, SILENT)
    monkeypatch.setattr(cost, "_read_in_turn", lambda bundles, _: {name: [0.5] for name in bundles})
    assert [each["seconds"] for each in cost.costs_of_runs(runs, SILENT).values()] == [0.5, 0.5]
    assert exported == ["first", "second"]


def test_a_recipe_of_which_no_bundle_comes_costs_the_study_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = find("reader").recipe
    runs = {name: (tmp_path / name / "fold-0", recipe) for name in ("differs", "reads")}
    for run, _ in runs.values():
        run.mkdir(parents=True)

    def export(run: list[Path], bundle: Path, *_: object, **__: object) -> None:
        if run[0].parent.name == "differs":
            raise BundleError("the exported network differs from the trained one")
        bundle.write_text("")

    monkeypatch.setattr(cost, "export_runs", export)
    monkeypatch.setattr(cost, "parameters_of_run", lambda *_: 1)
    monkeypatch.setattr(cost, "_read_in_turn", lambda bundles, _: {name: [0.5] for name in bundles})
    costs = cost.costs_of_runs(runs, SILENT)
    assert (costs["differs"]["seconds"], costs["reads"]["seconds"]) == (None, 0.5)
    assert costs["differs"]["note"] == "the exported network differs from the trained one"
    assert costs["reads"]["note"] is None
