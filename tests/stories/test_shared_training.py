"""`ichnos train` by several processes, as the command begins them and as torchrun does: output, signals, lost ones."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ichnos.data.preparing import prepare
from ichnos.data.splits import split
from ichnos.models import load_checkpoint
from ichnos.progress import SILENT
from tests.data.in_memory import InMemorySource
from tests.stories.running import ichnos

pytestmark = pytest.mark.slow

TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


def setting(**changes: object) -> list[str]:
    """A small network on the paper's three windows."""
    tree = {
        "network.backbone": "small-cnn",
        "network.init": "random",
        "input.size": 32,
        "augmentation": "null",
        "fit.batch_size": 8,
        "fit.patience": "null",
        "fit.milestones": "[]",
    } | changes
    return [word for field, value in tree.items() for word in ("--set", f"{field}={value}")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = prepare(InMemorySource(exams=24, slices=3), tmp_path_factory.mktemp("set") / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made.path


def command(*words: str) -> subprocess.Popen[str]:
    """`python words...`, in a session of its own, so that a signal to it is to it alone."""
    return subprocess.Popen(
        [sys.executable, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Whatever becomes of the test, nothing stays behind."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    wait_until(lambda: path.exists() and path.stat().st_size > 0, process)


def epochs_of(run: Path) -> int:
    return len((run / "journal.jsonl").read_text().splitlines())


def wait_until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 200
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "nothing was trained"
        time.sleep(0.05)


def children(process: subprocess.Popen[str]) -> list[int]:
    table = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in table.read_text().split()]


def test_devices_trains_stops_and_goes_on(data: Path, tmp_path: Path):
    """The signal is sent to the command alone, as a scheduler sends it."""
    run = tmp_path / "run"
    words = ["-m", "ichnos", "train", "three_windows", "--data", str(data), "--out", str(run), "--device", "cpu"]
    words += setting(**{"fit.epochs": 5000, "fit.stop_after": 5000})
    with ended(command(*words, "--devices", "2")) as process:
        wait_for(run / "journal.jsonl", process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert out == ""
    assert err.count("random first weights") == err.count("Stopped.") == 1, "one of them tells"
    assert json.loads((run / "environment.json").read_text())["processes"] == 2
    checkpoint = load_checkpoint(run / "last.safetensors")
    epochs = checkpoint.metadata["state"]["epoch"]
    assert len((run / "journal.jsonl").read_text().splitlines()) == epochs > 0
    assert not list(run.glob(".*.tmp"))


def test_torchrun_loses_a_process(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = ["train", "three_windows", "--data", str(data), "--out", str(run), "--device", "cpu"]
    words += setting(**{"fit.epochs": 5000})
    with ended(command(*TORCHRUN, "-m", "ichnos", *words)) as process:
        wait_for(run / "last.safetensors", process)
        os.kill(children(process)[-1], signal.SIGKILL)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "another process of this training is gone" in err or "Stopped." in err, err
    assert "a fault of ichnos" not in err, err
    assert load_checkpoint(run / "last.safetensors").metadata["state"]["epoch"] > 0


def killed(words: list[str], run: Path, *, first: bool) -> tuple[int, str]:
    """Train by two processes, and kill one in the middle, as the kernel does where memory runs out: what the command
    says and its exit code. That standard error is closed says that both have ended."""
    with ended(command(*words, "--devices", "2")) as process:
        wait_for(run / "last.safetensors", process)
        (second,) = children(process)
        if first:
            os.kill(process.pid, signal.SIGKILL)
        else:  # noticed late: by then whatever watches processes has seen it too, and must let this one say so
            process.send_signal(signal.SIGSTOP)
            os.kill(second, signal.SIGKILL)
            time.sleep(6)
            process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=100)
    assert err.count("another process of this training is gone, killed or with its machine") == 1, err
    assert "the run goes on from its last save with the same command" in err
    assert "Traceback" not in err, err
    return process.returncode, err


def test_devices_loses_the_second_process(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = ["-m", "ichnos", "train", "three_windows", "--data", str(data), "--out", str(run), "--device", "cpu"]
    code, err = killed([*words, *setting(**{"fit.epochs": 5000})], run, first=False)
    assert code == 1, err
    assert load_checkpoint(run / "last.safetensors").metadata["state"]["epoch"] > 0


def test_devices_loses_the_first_process_and_one_alone_goes_on(data: Path, tmp_path: Path):
    """The first is the one that writes."""
    run = tmp_path / "run"
    words = ["-m", "ichnos", "train", "three_windows", "--data", str(data), "--out", str(run), "--device", "cpu"]
    words += setting(**{"fit.epochs": 5000})
    code, err = killed(words, run, first=True)
    assert code == -signal.SIGKILL, err
    saved = load_checkpoint(run / "last.safetensors").metadata["state"]["epoch"]
    with ended(command(*words)) as alone:
        wait_until(lambda: epochs_of(run) > saved + 1, alone)
        alone.send_signal(signal.SIGTERM)
        _, err = alone.communicate(timeout=100)
    assert alone.returncode == 130, err
    assert "goes on where it stopped" in err
    lines = [json.loads(line)["epoch"] for line in (run / "journal.jsonl").read_text().splitlines()]
    assert lines == list(range(1, len(lines) + 1)), "no epoch is trained or told twice, none is left out"


def test_what_several_processes_do_not_train(data: Path, tmp_path: Path):
    words = ["--data", str(data), "--out", str(tmp_path / "run"), "--device", "cpu", "--devices", "2"]
    refused = ichnos("train", "ensemble", *words)
    assert refused.exit_code == 1
    assert "is an ensemble: several processes train networks of single slices and cascades" in refused.stderr
    many = ichnos("train", "three_windows", *words, *setting(), "--devices", "0")
    assert "at least one device, got 0" in many.stderr
