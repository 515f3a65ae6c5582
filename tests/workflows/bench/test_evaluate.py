"""What `ichnos bench evaluate` measures is there, of the work that was asked for; no time is judged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichnos.errors import UsageError
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.workflows.bench.evaluate import EXAMS, PATIENTS, SLICES, EvaluateBench, bench_evaluate
from ichnos.workflows.bench.evaluate_own import EvaluateWork, measures, write_predictions
from ichnos.workflows.bench.peers import PEERS
from ichnos.workflows.bench.table import evaluate_circumstances, evaluate_rows
from tests.stories.running import ichnos


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    return bench_evaluate(EvaluateBench(slices=3000, resamples=4, rounds=2, peers=PEERS), SILENT)


def test_everything_is_measured_and_can_be_written(tree: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["asked"] == "ichnos bench evaluate --slices 3000 --resamples 4 --rounds 2"
    assert tree["work"] == {"slices": 3000, "exams": 87, "patients": 75, "resamples": 4}
    for figures in (tree["seconds"], tree["floor"]["copies"], tree["to_floor"]):
        assert len(figures["each"]) == 2
        assert 0 < figures["lowest"] <= figures["median"] <= figures["highest"]
    assert tree["peak_mb"] > 50
    assert tree["peers_not_run"] == {}
    assert tree["peers"]["scikit_learn"]["reckoned_from"] == 2


def test_rows_for_people_say_it_all(tree: dict[str, Any]) -> None:
    rows = {what: (measured, aim) for what, measured, aim in evaluate_rows(tree)}
    assert all(aim == "" for _, aim in rows.values()), "aims are of RSNA's size"
    assert "reckoned from 2 resamples" in next(said for what, (said, _) in rows.items() if "scikit-learn" in what)
    stated = tree | {"work": tree["work"] | {"slices": SLICES, "resamples": 1000}}
    stated["machine"] = tree["machine"] | {"cores_used": 2}
    assert {"≤ 60 s", "≤ 4,000 MB"} <= {aim for _, _, aim in evaluate_rows(stated)}
    assert "3,000 slices of 87 exams of 75 patients; 4 resamples" in evaluate_circumstances(tree)


def test_the_predictions_are_of_rsnas_kind(tmp_path: Path) -> None:
    work = EvaluateWork(str(tmp_path / "p.parquet"), 60_000, 1733, 1509, 2)
    write_predictions(work)
    table = Predictions.read_parquet(tmp_path / "p.parquet")
    assert len(table) == 60_000
    assert (len(np.unique(table.exam)), len(np.unique(table.patient))) == (1733, 1509)
    assert table.labels[:, -1].mean() == pytest.approx(0.144, abs=0.01)
    assert (table.labels[:, :-1].any(axis=1) == table.labels[:, -1]).all()
    assert 0.9 < measures(work)()["auc"] < 0.99


def test_the_whole_is_rsnas() -> None:
    work = EvaluateBench().work(Path())
    assert (work.slices, work.exams, work.patients) == (SLICES, EXAMS, PATIENTS)


@pytest.mark.slow
def test_the_command_writes_what_it_prints(tmp_path: Path) -> None:
    (tmp_path / "peers").mkdir()
    words = ["bench", "evaluate", "--slices", "500", "--resamples", "2", "--rounds", "1"]
    words += ["--peers", str(tmp_path / "peers"), "--out", str(tmp_path / "bench.json"), "--json"]
    done = ichnos(*words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "bench.json").read_text())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"slices": 99}, "--slices is at least 100"),
        ({"resamples": 0}, "--resamples at least 1"),
        ({"rounds": 0}, "--rounds and --cores are at least 1"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        EvaluateBench(**changes)
