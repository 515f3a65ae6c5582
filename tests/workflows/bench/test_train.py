"""What `ichnos bench train` measures is there, of the work that was asked for; no time is judged."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ichnos import recipes
from ichnos.errors import OutputError, TrainingError, UsageError
from ichnos.processes import cores
from ichnos.progress import SILENT
from ichnos.training import Execution
from ichnos.workflows.bench import train as module
from ichnos.workflows.bench import train_own
from ichnos.workflows.bench.contenders import Taken
from ichnos.workflows.bench.train import Sizes, TrainBench, bench_train, usual_sizes
from ichnos.workflows.bench.train_cold import POSSIBLE
from ichnos.workflows.bench.train_numerics import learnt_both_ways
from ichnos.workflows.bench.train_own import copied, fed, gpu_mb
from ichnos.workflows.bench.train_table import train_circumstances, train_rows
from ichnos.workflows.bench.train_work import TrainWork, write_cache

PEER = """
import json, pathlib, sys
work = json.loads(pathlib.Path(sys.argv[1]).read_text())
assert pathlib.Path(work["cache"]).stat().st_size == work["slices"] * work["size"] ** 2
assert (work["device"], work["pictured"], work["untimed"], work["steps"]) == ("cpu", 12, 2, 1)
print(json.dumps({"title": "a stack", "versions": {"stack": "1"}, "threads": 1}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": 3.0, "fed": {"seconds": 2.0, "slices": 4}}), flush=True)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    peers = tmp_path_factory.mktemp("peers")
    (peers / "train_stack.py").write_text(PEER)
    (peers / "train_absent.py").write_text("import no_such_stack")
    options = TrainBench("cpu", slices=12, size=32, steps=1, batch_size=4, rounds=1, peers=peers)
    return bench_train(options, SILENT)


@pytest.mark.slow
def test_everything_is_measured_and_can_be_written(tree: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    words = "ichnos bench train --device cpu --slices 12 --size 32 --steps 1 --batch-size 4 --rounds 1"
    assert tree["asked"] == words
    assert tree["work"] == {"slices": 12, "size": 32, "steps": 1, "batch_size": 4} | {
        "bytes": 12 * 32 * 32,
        "pictures": 12,
    }
    for figures in (tree["fed"], tree["trained"], *tree["floor"].values()):
        assert figures["slices_a_second"]["median"] > 0
    assert list(tree["parts_ms"]) == ["read", "to the device", "augment", "forward", "backward", "optimizer"]
    assert tree["parts_ms"]["backward"]["median"] > 0
    assert (tree["trained"]["device"], tree["trained"]["precision"]) == ("cpu", "32-true")
    assert tree["trained"]["compiled"] is False
    assert tree["trained"]["beside_s"]["median"] > 0, "two steps, at least"
    shares = tree["trained"]["to_floor"]["each"]
    rates = tree["trained"]["slices_a_second"]["each"], tree["floor"]["on_device"]["slices_a_second"]["each"]
    assert shares == pytest.approx([one / other for one, other in zip(*rates, strict=True)], rel=1e-2)


@pytest.mark.slow
@pytest.mark.skipif(not POSSIBLE, reason="this system forgets no file when asked")
def test_reading_from_the_disk_is_held_against_the_disk(tree: dict[str, Any]) -> None:
    rates = tree["cold"]["slices_a_second"]["each"], tree["floor"]["raw"]["slices_a_second"]["each"]
    shares = [one / other for one, other in zip(*rates, strict=True)]
    assert tree["cold"]["to_floor"]["each"] == pytest.approx(shares, rel=1e-2)
    rows = {what for what, _, _ in train_rows(tree)}
    assert {"the same bytes read from the disk in order", "reading from the disk against that"} <= rows


@pytest.mark.slow
def test_peers_have_rates_and_ratios_of_what_they_measured(tree: dict[str, Any]) -> None:
    stack = tree["peers"]["stack"]
    assert stack["fed"]["slices_a_second"]["each"] == [2.0]
    assert stack["fed"]["ours_to_it"]["median"] == pytest.approx(tree["fed"]["slices_a_second"]["median"] / 2, rel=1e-2)
    assert "trained" not in stack
    rows = {what: measured for what, measured, _ in train_rows(tree)}
    assert rows["batches read by a stack (stack 1, 1 thread)"].startswith("2 slices a second (2 to 2)")
    assert "No module named 'no_such_stack'" in rows["peer absent"]


@pytest.mark.slow
def test_rows_for_people_say_it_all(tree: dict[str, Any]) -> None:
    rows = {what: (measured, aim) for what, measured, aim in train_rows(tree)}
    assert all(aim == "" for _, aim in rows.values()), "aims are of 224 px"
    assert "Model 2 trained on cpu, 32-true" in rows
    assert rows["GPU memory of training at most"][0] == "none: a CPU has no memory of its own"
    assert rows["torch.compile"][0].startswith("not used: on a CPU only where")
    assert rows["losses against fp32 without torch.compile"] == ("nothing to compare: training here is just that", "")
    stated = tree | {"work": tree["work"] | {"size": 224}, "machine": tree["machine"] | {"cores_used": 2}}
    assert {"≥ 1,500 slices a second", "≥ 0.9 ×"} <= {aim for _, _, aim in train_rows(stated)}
    share = tree["trained"]["to_floor"]["median"]
    said = next(measured for what, measured, _ in train_rows(stated) if what == "training against that")
    assert said.endswith("the rate: held" if share >= 0.9 else "the rate: **missed**")
    assert "12 slices of 32×32" in train_circumstances(tree)


def test_every_slice_of_a_round_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_own, "AT_LEAST", 0.0)
    work = TrainWork(str(tmp_path / "cache"), str(tmp_path / "runs"), "cpu", 40, 32, 1, 16)
    write_cache(work, SILENT)
    assert (tmp_path / "cache").stat().st_size == work.bytes
    assert len(np.unique(np.concatenate(work.batches(0)))) == 40
    assert [len(batch) for batch in work.batches(0)] == [14, 13, 13]
    assert not np.array_equal(work.batches(0)[0], work.batches(1)[0]), "a file cache would know a round that repeats"
    assert fed(work)()["slices"] == copied(work)()["slices"] == 40


@pytest.mark.parametrize("contender", [fed, copied])
def test_few_slices_are_read_and_copied_again(
    contender: Callable[[TrainWork], Callable[[], dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_own, "AT_LEAST", 0.1)
    work = TrainWork(str(tmp_path / "cache"), str(tmp_path / "runs"), "cpu", 40, 32, 1, 16)
    write_cache(work, SILENT)
    done = contender(work)()
    assert 0.1 <= done["seconds"] < 10
    assert done["slices"] > 40
    assert done["slices"] % 40 == 0, "each as often"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"precision": "fp8"}, "--precision is one of 32-true, bf16-mixed, 16-mixed, got fp8"),
        ({"steps": 0}, "at least 1"),
        ({"size": 100}, "a multiple of 32"),
        ({"slices": 8}, "at least --batch-size"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        TrainBench(**changes)


@pytest.fixture
def unmade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins to make a cache fails the test."""

    def make(*_: object) -> None:
        pytest.fail("the cache was made, or begun")

    monkeypatch.setattr(np.random, "default_rng", make)


@pytest.mark.parametrize(
    ("device", "complaint"),
    [("cuda", "torch sees no CUDA device; use --device cpu"), ("cuda:x", "no such device: cuda:x; there are auto")],
)
@pytest.mark.usefixtures("unmade")
def test_a_device_that_is_not_there_is_told_before_a_cache_is_made(
    device: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=complaint):
        bench_train(TrainBench(device, slices=12, size=32, steps=1, batch_size=4, rounds=1), SILENT)


@pytest.mark.usefixtures("full")
def test_too_small_a_disk_is_told_before_a_cache_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = TrainBench("cpu", slices=752_803)
    with pytest.raises(OutputError, match=r"take 38\.5 GB, and .* has 2\.0 GB free; .*TMPDIR") as raised:
        bench_train(options, SILENT)
    assert str(tmp_path) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, unmade: None) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000_000))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_a_disk_that_fills_while_a_cache_is_made(tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to("/dev/full")
    work = TrainWork(str(tmp_path / "cache"), str(tmp_path / "runs"), "cpu", 40, 32, 1, 16)
    with pytest.raises(OutputError, match=r"cannot be written to .*: No space left on device; free .*TMPDIR"):
        write_cache(work, SILENT)


LEARNT = {
    "precision": "bf16-mixed",
    "compiled": True,
    "epochs": 6,
    "slices": 256,
    "batch_size": 32,
    "losses": [0.7, 0.5, 0.35],
    "single": [0.7, 0.48, 0.34],
    "largest_difference": 0.0417,
}


SECONDS = {"fed": 0.1, "copied": 0.1, "trained": 0.25, "on_device": 0.2, "eager": 0.5, "parts": 0.2} | {
    "cold": 0.4,
    "raw": 0.2,
}
ABOUT = {"device": "NVIDIA H200", "precision": "bf16-mixed", "compiled": True, "compilation": ""}


class OnPretendedGpu:
    """A contender that answers as one on a GPU would: no process, and numbers that are made up."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        assert command[-1] == name
        assert (folder / "work.json").exists()
        self.name = name

    def __enter__(self) -> "OnPretendedGpu":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def close(self) -> Taken:
        return Taken(0, 1.0, 1.0, 900.4)

    def once(self) -> dict[str, Any]:
        if self.name == "numerics":
            return {"seconds": 1.0, "learnt": LEARNT}
        answer: dict[str, Any] = {"seconds": SECONDS[self.name], "slices": 2048}
        memory = {"allocated": 9120, "reserved": 10240}
        more = {"trained": {"gpu_mb": memory, "beside": 1.5}, "on_device": {"about": ABOUT}}
        more |= {"parts": {"parts": {"read": 1.0}}, "cold": {"from_disk": 1.02}, "raw": {"from_disk": None}}
        return answer | more.get(self.name, {})


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(module, "Contender", OnPretendedGpu)
    monkeypatch.setattr(module, "_on_gpu", lambda device: device == "cuda")
    monkeypatch.setattr(module, "choose", lambda device, precision: None)
    options = TrainBench("cuda", slices=32, steps=8, rounds=2, cores=1)
    return json.loads(json.dumps(bench_train(options, SILENT), allow_nan=False))


def test_a_gpu_is_measured_on_a_cache_of_rsnas_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_sizes("cpu").slices == 4096
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert usual_sizes("auto") == usual_sizes("cuda") == Sizes(752_803, 500, 256, cores())
    assert usual_sizes("cpu").cores == 2


def test_the_command_that_is_told_asks_for_the_same_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_on_gpu", lambda device: device == "cuda")
    small = TrainBench("cuda", slices=4096, batch_size=32)
    assert "--slices 4096" in small.words
    assert "--batch-size 32" in small.words
    usual = usual_sizes("cuda")
    whole = TrainBench("cuda", slices=usual.slices, steps=usual.steps, batch_size=usual.batch_size, cores=usual.cores)
    assert whole.words == "ichnos bench train --device cuda"
    assert TrainBench("cpu").words == "ichnos bench train --device cpu"


def test_one_command_reports_all_of_a_gpu(pretended: dict[str, Any]) -> None:
    rows = {what: (measured, aim) for what, measured, aim in train_rows(pretended)}
    measured, aim = rows["Model 2 trained on NVIDIA H200, bf16-mixed, compiled"]
    assert measured == "8,192 slices a second (8,192 to 8,192), 900 MB: held"
    assert aim == "≥ 6,000 slices a second (a GPU of H200's class)"
    assert pretended["trained"]["compiled"] is True
    assert rows["training against that"] == ("0.80 × (0.80 to 0.80) the rate: **missed**", "≥ 0.9 ×")
    assert rows["a run's first two steps and its end, in no rate here"] == ("1.5 s (1.5 to 1.5)", "")
    assert rows["an epoch of RSNA's 752,803 slices, reckoned from Model 2's rate"][0] == "1.53 min (1.53 to 1.53)"
    assert (
        rows["an epoch of RSNA's 107,933 positive slices, reckoned from Model 2's rate"][0] == "13.2 s (13.2 to 13.2)"
    )
    assert rows["GPU memory of training at most"][0] == "9,120 MB by tensors, 10,240 MB with what torch keeps"
    assert rows["torch.compile"][0].startswith("2.50 × (2.50 to 2.50) the rate without it, which is 4,096 slices")
    measured, aim = rows["losses against fp32 without torch.compile"]
    assert measured.startswith("bf16-mixed, compiled: 0.700 to 0.350, fp32: 0.700 to 0.340; at most 4.2% apart in any")
    assert aim == "≤ 10%"


@pytest.mark.parametrize(("compiled", "said"), [(None, ""), (True, " --compile"), (False, " --no-compile")])
def test_compiling_is_asked_for_or_refused(compiled: bool | None, said: str) -> None:
    options = TrainBench("cpu", compile=compiled)
    assert options.words == f"ichnos bench train --device cpu{said}"
    assert TrainWork("", "", "cpu", 40, 32, 1, 16, None, compiled).execution.compile is compiled


def test_why_a_gpus_code_is_not_compiled_is_in_the_table(pretended: dict[str, Any]) -> None:
    pretended["trained"] |= {"compiled": False, "compilation": "not compiled, as torch.compile failed: no g++"}
    rows = {what: measured for what, measured, _ in train_rows(pretended)}
    assert rows["torch.compile"] == "not compiled, as torch.compile failed: no g++"
    assert "Model 2 trained on NVIDIA H200, bf16-mixed" in rows


@pytest.mark.parametrize(("said", "shown"), [("True", ", compiled"), ("False", "")])
def test_a_table_of_the_first_version_says_the_same(said: str, shown: str, pretended: dict[str, Any]) -> None:
    pretended["trained"] |= {"compiled": said}
    assert f"Model 2 trained on NVIDIA H200, bf16-mixed{shown}" in {what for what, _, _ in train_rows(pretended)}


def test_the_shortest_epoch_is_of_the_highest_rate(pretended: dict[str, Any]) -> None:
    pretended["trained"]["slices_a_second"] = {"median": 10.0, "lowest": 5.0, "highest": 20.0}
    rows = {what: measured for what, measured, _ in train_rows(pretended)}
    assert rows["an epoch of RSNA's 752,803 slices, reckoned from Model 2's rate"] == "20.9 h (10.5 to 41.8)"


def test_memory_of_a_gpu_is_torchs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 9_120_400_000)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 10_240_000_000)
    assert gpu_mb(torch.device("cuda")) == {"allocated": 9120, "reserved": 10240}
    assert gpu_mb(torch.device("cpu")) is None


@pytest.mark.slow
def test_half_precision_is_held_against_single_precision(tmp_path: Path) -> None:
    base = recipes.find("paper_model_2").of_one_model
    changes = {"network.backbone": "small-cnn", "network.init": "random", "input.size": 32, "fit.learning_rate": 1e-3}
    recipe = base.derive(**changes, **{"fit.milestones": (), "fit.patience": None, "fit.batch_size": 8})
    told = learnt_both_ways(recipe, "cpu", Execution(precision="bf16-mixed"), tmp_path)
    assert (told["precision"], told["compiled"], told["slices"]) == ("bf16-mixed", False, 64)
    assert len(told["losses"]) == len(told["single"]) == told["epochs"]
    assert told["single"][-1] < 0.9 * told["single"][0], "there is something to learn"
    apart = max(abs(a - b) / b for a, b in zip(told["losses"], told["single"], strict=True))
    assert 0 < told["largest_difference"] == pytest.approx(apart)
    assert told["largest_difference"] <= 0.1, "the band of docs/gpus.md"
