"""What is timed of a training run, what of the disk, and what peers are begun with; no time is judged."""

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ichnos.progress import SILENT
from ichnos.workflows.bench import train_cold, train_own
from ichnos.workflows.bench.contenders import Contender
from ichnos.workflows.bench.peers import PEERS, _python_of
from ichnos.workflows.bench.train import OURS, _of_rounds
from ichnos.workflows.bench.train_figures import our_figures, peer_figures
from ichnos.workflows.bench.train_own import _StepClock
from ichnos.workflows.bench.train_table import numerics_circumstances, numerics_rows, train_rows
from ichnos.workflows.bench.train_work import TrainWork, write_cache


def work_in(folder: Path, **changes: Any) -> TrainWork:
    work = TrainWork(str(folder / "cache"), str(folder / "runs"), "cpu", 12, 32, 1, 4, **changes)
    write_cache(work, SILENT)
    return work


def test_neither_the_first_steps_nor_the_end_of_a_run_are_charged_to_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up takes 100 s, each of the first two steps 10, each further one 1, and what comes after them 50."""
    seconds = iter([120.0, 123.0])
    monkeypatch.setattr(train_own.time, "perf_counter", lambda: next(seconds))
    clock = _StepClock(torch.device("cpu"), first=2, last=5)
    with clock.task("Training", 5) as task:
        task.advance(0)
        for _ in range(5):
            task.advance()
    assert clock.seconds == 3.0


def test_so_many_steps_are_trained_as_are_timed_and_two_before(tmp_path: Path) -> None:
    work = work_in(tmp_path)
    assert (work.untimed, work.recipe.fit.steps_per_epoch) == (2, 3)


def test_the_bare_network_is_asked_before_and_after_training() -> None:
    at = OURS.index("trained")
    assert (OURS[at - 1], OURS[at + 1]) == ("on_device", "on_device")
    said = [{"seconds": float(k), "slices": 8, "about": {}} for k in range(1, 7)]
    assert _of_rounds(said, 3) == [{"seconds": each, "slices": 16, "about": {}} for each in (3.0, 7.0, 11.0)]
    assert _of_rounds([{"seconds": 1.0}, {"seconds": 2.0}], 2) == [{"seconds": 1.0}, {"seconds": 2.0}]


def test_figures_are_ratios_of_one_round() -> None:
    rate = {"fed": 4.0, "copied": 2.0, "trained": 8.0, "on_device": 6.0, "cold": 10.0, "raw": 1.0}
    answers = {
        name: [{"seconds": each, "slices": 24}, {"seconds": 2 * each, "slices": 24}] for name, each in rate.items()
    }
    for name, more in {
        "trained": {"beside": 3.0, "gpu_mb": None},
        "on_device": {"about": {"device": "cpu"}},
        "cold": {"from_disk": 1.0},
        "raw": {"from_disk": 0.5},
    }.items():
        answers[name] = [each | more for each in answers[name]]
    answers["parts"] = [{"parts": {"read": 1.0}}] * 2
    answers["stack"] = [{"seconds": 9.0, "trained": {"seconds": 16.0, "slices": 24}}] * 2
    figures = our_figures(answers, dict.fromkeys(answers, 7))
    assert figures["trained"]["to_floor"]["each"] == [0.75, 0.75]
    assert figures["cold"]["to_floor"]["each"] == [0.1, 0.1]
    assert (figures["cold"]["from_disk"], figures["floor"]["raw"]["from_disk"]) == (1.0, 0.5)
    peer = peer_figures({"title": "a stack"}, answers, "stack", {"stack": None})
    assert peer["trained"]["ours_to_it"]["each"] == [2.0, 1.0]
    assert "fed" not in peer


@pytest.mark.skipif(not train_cold.POSSIBLE, reason="this system forgets no file when asked")
def test_all_is_read_after_the_file_was_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[int] = []
    monkeypatch.setattr(train_cold, "AT_LEAST", 0.0)
    monkeypatch.setattr(os, "posix_fadvise", lambda file, start, size, how: forgotten.append(how))
    work = work_in(tmp_path)
    assert work.cold.read_bytes() == Path(work.cache).read_bytes()
    for contender in (train_cold.cold, train_cold.raw):
        once = contender(work)
        assert [once()["slices"], once()["slices"]] == [12, 12]
    assert forgotten == [os.POSIX_FADV_DONTNEED] * 4


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="nobody counts what a disk gives")
def test_it_is_told_what_a_disk_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_cold, "AT_LEAST", 0.0)
    told = iter([1000, 1000 + 12 * 32 * 32 // 2])
    monkeypatch.setattr(train_cold, "_bytes_from_disks", lambda: next(told))
    assert train_cold.raw(work_in(tmp_path))()["from_disk"] == 0.5


def test_a_peer_has_the_environment_of_its_namesake(tmp_path: Path) -> None:
    script = tmp_path / "train_keras.py"
    assert _python_of(script, "keras") == sys.executable
    for name in ("predict_keras", "train_keras"):
        python = tmp_path / f"{name}.venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        assert _python_of(script, "keras") == str(python), "its own before that of another benchmark"
    assert _python_of(tmp_path / "train_torch.py", "torch") == sys.executable


LEARNT = {"precision": "bf16-mixed", "compiled": False, "epochs": 2, "slices": 256, "batch_size": 32} | {
    "losses": [0.7, 0.6],
    "single": [0.69, 0.5],
    "largest_difference": 0.2,
}


def test_losses_of_half_precision_stand_epoch_by_epoch() -> None:
    tree: dict[str, Any] = {"numerics": LEARNT, "trained": {"device": "cpu"}, "work": {"size": 224}}
    rows = [(measured, aim) for _, measured, aim in numerics_rows(tree)]
    assert rows == [
        ("bf16-mixed: 0.7000, fp32: 0.6900, 1.4% apart: held", "≤ 10%"),
        ("bf16-mixed: 0.6000, fp32: 0.5000, 20.0% apart: **missed**", "≤ 10%"),
    ]
    assert [measured for _, measured, _ in numerics_rows(tree | {"numerics": None})] == ["not measured"]
    machine = {"cores_used": 2, "processor": "P", "system": "S", "python": "3", "other_work": None}
    said = numerics_circumstances(tree | {"asked": "ichnos", "machine": machine, "versions": {}, "rounds": 1})
    assert "Model 2 trained twice on cpu, on 256 made-up slices of 224×224 with bright spots, 32 a step" in said


def test_a_file_of_before_has_no_row_of_what_it_does_not_hold() -> None:
    tree = json.loads((PEERS.parents[1] / "results" / "bench-train.json").read_text())
    for name in ("cold", "peers", "peers_not_run"):
        tree.pop(name, None)
    tree["trained"].pop("beside_s", None)
    tree["floor"].pop("raw", None)
    rows = {what for what, _, _ in train_rows(tree)}
    assert "reading from the disk against that" not in rows
    assert "training against that" in rows


def rows_on(device: str, cores: int, rate: float) -> dict[str, tuple[str, str]]:
    """Of the numbers in results/, as if they were of another machine."""
    tree = json.loads((PEERS.parents[1] / "results" / "bench-train.json").read_text())
    tree["machine"]["cores_used"] = cores
    tree["trained"] |= {"device": device, "slices_a_second": dict.fromkeys(("median", "lowest", "highest"), rate)}
    return {what: (measured, aim) for what, measured, aim in train_rows(tree)}


@pytest.mark.parametrize(
    ("cores", "aim"),
    [(1, ""), (2, "≥ 1,500 slices a second"), (15, "≥ 1,500 slices a second"), (24, "≥ 8,000 slices a second")],
)
def test_the_aim_of_reading_is_that_of_so_many_cores_at_least(cores: int, aim: str) -> None:
    measured, stated = rows_on("cpu", cores, 10)["batches read from memory, nothing made of them"]
    assert stated == aim
    assert measured.endswith(": held") == bool(aim)


@pytest.mark.parametrize(
    ("device", "rate", "verdict"),
    [("NVIDIA H200", 7000, ": held"), ("NVIDIA H200", 5000, ": **missed**"), ("NVIDIA T4", 900, "")],
)
def test_a_gpu_of_the_aims_class_is_judged_by_it(device: str, rate: float, verdict: str) -> None:
    measured, aim = rows_on(device, 16, rate)[f"Model 2 trained on {device}, 32-true"]
    assert aim == "≥ 6,000 slices a second (a GPU of H200's class)"
    assert (measured.partition(" MB")[2] or "") == verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "keras"])
def test_a_peer_answers_for_both(name: str, tmp_path: Path) -> None:
    script = PEERS / f"train_{name}.py"
    python = _python_of(script, name)
    if name == "keras" and python == sys.executable:
        pytest.skip("no environment of Keras")
    pytest.importorskip("cv2")
    work = work_in(tmp_path, pictures=str(tmp_path / "pictures"), pictured=12)
    (tmp_path / "work.json").write_text(json.dumps(asdict(work)))
    with Contender(name, [python, str(script), str(tmp_path / "work.json")], tmp_path) as contender:
        assert set(contender.about) == {"title", "versions", "threads"}
        answer = contender.once()
    assert answer["trained"]["slices"] == 4, "one step is timed"
    assert answer["fed"]["slices"] % 12 == 0
    assert answer["trained"]["seconds"] > 0
    import cv2

    images = np.memmap(work.cache, dtype=np.uint8, mode="r", shape=work.shape)
    written = sorted((tmp_path / "pictures").iterdir())
    assert len(written) == 12
    assert np.array_equal(cv2.imread(str(written[5]), cv2.IMREAD_GRAYSCALE), images[5, 0]), "without loss"
    shutil.rmtree(tmp_path / "pictures")
