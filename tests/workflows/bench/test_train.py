"""What `ichnos bench train` measures is there, of the work that was asked for; no time is judged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichnos.errors import BenchmarkError, UsageError
from ichnos.progress import SILENT
from ichnos.workflows.bench.table import train_circumstances, train_rows
from ichnos.workflows.bench.train import TrainBench, bench_train
from ichnos.workflows.bench.train_own import TrainWork, copied, fed, write_cache


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    return bench_train(TrainBench("cpu", slices=12, size=32, steps=1, batch_size=4, rounds=1), SILENT)


@pytest.mark.slow
def test_everything_is_measured_and_can_be_written(tree: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    words = "ichnos bench train --device cpu --slices 12 --size 32 --steps 1 --batch-size 4 --rounds 1"
    assert tree["asked"] == words
    assert tree["work"] == {"slices": 12, "size": 32, "steps": 1, "batch_size": 4, "bytes": 12 * 32 * 32}
    for figures in (tree["fed"], tree["trained"], *tree["floor"].values()):
        assert figures["slices_a_second"]["median"] > 0
    assert list(tree["parts_ms"]) == ["read", "to the device", "augment", "forward", "backward", "optimizer"]
    assert tree["parts_ms"]["backward"]["median"] > 0
    assert (tree["trained"]["device"], tree["trained"]["precision"]) == ("cpu", "32-true")
    shares = tree["trained"]["to_floor"]["each"]
    rates = tree["trained"]["slices_a_second"]["each"], tree["floor"]["on_device"]["slices_a_second"]["each"]
    assert shares == pytest.approx([one / other for one, other in zip(*rates, strict=True)], rel=1e-2)


@pytest.mark.slow
def test_rows_for_people_say_it_all(tree: dict[str, Any]) -> None:
    rows = {what: (measured, aim) for what, measured, aim in train_rows(tree)}
    assert all(aim == "" for _, aim in rows.values()), "aims are of 224 px"
    assert "Model 2 trained on cpu, 32-true" in rows
    stated = tree | {"work": tree["work"] | {"size": 224}, "machine": tree["machine"] | {"cores_used": 2}}
    assert {"≥ 1,500 slices a second", "≥ 0.9 ×"} <= {aim for _, _, aim in train_rows(stated)}
    assert "12 slices of 32×32" in train_circumstances(tree)


def test_every_slice_of_a_round_is_read(tmp_path: Path) -> None:
    work = TrainWork(str(tmp_path / "cache"), str(tmp_path / "runs"), "cpu", 40, 32, 1, 16)
    write_cache(work, SILENT)
    assert (tmp_path / "cache").stat().st_size == work.bytes
    assert len(np.unique(np.concatenate(work.batches(0)))) == 40
    assert [len(batch) for batch in work.batches(0)] == [14, 13, 13]
    assert not np.array_equal(work.batches(0)[0], work.batches(1)[0]), "a file cache would know a round that repeats"
    assert fed(work)()["slices"] == copied(work)()["slices"] == 40


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"steps": 0}, "at least 1"), ({"size": 100}, "a multiple of 32"), ({"slices": 8}, "at least --batch-size")],
)
def test_a_mistake_is_one_line(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        TrainBench(**changes)


@pytest.mark.slow
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(BenchmarkError, match="torch sees no CUDA device"):
        bench_train(TrainBench("cuda", slices=12, size=32, steps=1, batch_size=4, rounds=1), SILENT)
