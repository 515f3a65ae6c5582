"""Several processes that train one run: what they learn, who writes, what happens when one of them fails.

Two processes of one machine's CPU, which talk through gloo; begun by one torchrun, or by two as if by two machines.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BRAIN
from ichnos.models import load_checkpoint
from ichnos.networks import Head
from ichnos.recipe import Fit, InputSpec, Network, SliceRecipe
from ichnos.training import Execution, session, train
from tests.training.conftest import parts
from tests.training.shared import SLICES, Scenario, words
from tests.training.test_training import PowerCutError, Recorder, cut, lines

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BATCH = 5


@pytest.fixture(scope="module")
def plain() -> SliceRecipe:
    """Two epochs of five steps in which nothing is drawn at random but the order of slices."""
    return SliceRecipe(
        name="tiny",
        title="Tiny",
        input=InputSpec(windows=(BRAIN,), size=32),
        network=Network(backbone="small-cnn", init="random", head=Head(hidden=None, dropout=0.0)),
        fit=Fit(learning_rate=1e-3, schedule="cosine", batch_size=BATCH, epochs=2, reestimate_batchnorm=True, seed=3),
    ).derive(**{"sampling": "balanced", "fit.averaging": {"kind": "ema"}})


def torchrun(scenarios: list[Scenario], *words_of_it: str) -> subprocess.Popen[str]:
    """Begin to go through scenarios with torchrun's processes."""
    command = [sys.executable, "-m", "torch.distributed.run", *words_of_it, *words(scenarios)]
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    here |= {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(launchers: list[subprocess.Popen[str]]) -> None:
    """Wait for them; whatever becomes of the test, nothing stays behind."""
    try:
        for launcher in launchers:
            said, _ = launcher.communicate(timeout=400)
            assert launcher.returncode == 0, said[-3000:]
    finally:
        for launcher in launchers:
            launcher.terminate()  # torchrun ends its processes
            launcher.wait()


def together(scenarios: list[Scenario]) -> None:
    """Go through scenarios by two processes of one machine."""
    end([torchrun(scenarios, "--nproc-per-node", "2")])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def runs(plain: SliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process's run `alone`, and all that two processes did; the processes are begun once for everything."""
    folder = tmp_path_factory.mktemp("runs")
    train(plain, *parts(*SLICES, size=32), folder / "alone", device="cpu")
    step = plain.derive(**{"fit.epochs": 1, "fit.steps_per_epoch": 1})
    train(step, *parts(*SLICES, size=32), folder / "step alone", device="cpu")
    with patch.object(session, "SECONDS_BETWEEN_SAVES", 0.0), pytest.raises(PowerCutError):
        train(plain, *parts(*SLICES, size=32), folder / "begun alone", device="cpu", progress=Recorder(7, cut))
    recipe, augmented = plain.model_dump_json(), plain.derive(**{"augmentation.p": 0.5}).model_dump_json()
    bare = plain.derive(**{"fit.reestimate_batchnorm": False, "fit.averaging": None})
    together(
        [
            Scenario("step together", step.model_dump_json(), str(folder)),
            Scenario("together", recipe, str(folder)),
            Scenario("begun alone", recipe, str(folder)),
            Scenario("augmented", augmented, str(folder)),
            Scenario("again", augmented, str(folder)),
            Scenario("in pieces", recipe, str(folder), accumulate=9),
            Scenario("memory in validation", bare.model_dump_json(), str(folder), "memory in validation"),
            *(
                Scenario(name, recipe, str(folder), name, by, at)
                for name, by, at in (
                    ("read", 1, 3),
                    ("nan", 1, 3),
                    ("signal", 1, 3),
                    ("other slices", 1, 0),
                )
            ),
        ]
    )
    return folder


def outcome(runs: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads((runs / f"{name}.{rank}.json").read_text()) for rank in range(2)]


def assert_as_alone(runs: Path, name: str) -> None:
    """Weights, averages and metrics, to rounding.

    Adam moves a weight by the learning rate however small its gradient is: where that is nearly nothing, rounding
    chooses the way, and one weight in ten thousand may go another.
    """
    alone, other = (load_checkpoint(runs / each / "last.safetensors").tensors for each in ("alone", name))
    assert alone.keys() == other.keys()
    weights = [key for key in alone if key.startswith(("classifier.", "averaged."))]
    differences = torch.cat([(alone[key].double() - other[key].double()).abs().flatten() for key in weights])
    assert (differences > 1e-5).sum() <= len(differences) / 10_000
    assert differences.max() < 1e-3
    ours, theirs = lines(runs / "alone"), lines(runs / name)
    assert [(each["epoch"], each["step"]) for each in theirs] == [(1, 5), (2, 10)]
    for mine, yours in zip(ours, theirs, strict=True):
        for part in ("training", "validation"):
            assert yours[part]["n"] == mine[part]["n"], "nobody is counted twice"
            assert yours[part]["loss_mean"] == pytest.approx(mine[part]["loss_mean"], abs=1e-5)
            assert yours[part]["auc"] == mine[part]["auc"]


def test_the_gradient_of_a_shared_batch_is_that_of_the_whole(runs: Path):
    """After one step Adam's first moment is a tenth of the gradient."""
    alone, shared = (
        load_checkpoint(runs / name / "last.safetensors").tensors for name in ("step alone", "step together")
    )
    moments = [key for key in alone if key.endswith("exp_avg")]
    assert len(moments) == 14
    for key in moments:
        assert alone[key].abs().max() > 1e-3, "there is something to learn"
        assert torch.allclose(alone[key], shared[key], atol=1e-6), key


def test_two_processes_learn_what_one_learns(runs: Path):
    """Batches of 5 give one of them 3 slices and the other 2."""
    assert_as_alone(runs, "together")
    best = [load_checkpoint(runs / name / "best.safetensors").metadata for name in ("alone", "together")]
    assert best[0]["epoch"] == best[1]["epoch"]
    environment = json.loads((runs / "together" / "environment.json").read_text())
    assert environment["processes"] == 2
    assert len(list((runs / "together" / "tensorboard").iterdir())) == 1, "one of them writes"
    assert [each["epochs"] for each in outcome(runs, "together")] == [2, 2]


def test_two_machines_learn_what_two_processes_of_one_learn(runs: Path, plain: SliceRecipe, tmp_path: Path):
    """A launcher a machine; the second one's disk holds nothing of the run."""
    port = free_port()
    folders = [tmp_path / f"machine {number}" for number in range(2)]
    launchers: list[subprocess.Popen[str]] = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        machine = [
            "--nnodes",
            "2",
            "--node-rank",
            str(number),
            "--master-addr",
            "127.0.0.1",
            "--master-port",
            str(port),
        ]
        scenario = Scenario("together", plain.model_dump_json(), str(folder))
        launchers.append(torchrun([scenario], *machine, "--nproc-per-node", "1"))
    end(launchers)
    run = folders[0] / "together"
    first, second = (load_checkpoint(each / "last.safetensors").tensors for each in (runs / "together", run))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    for mine, yours in zip(lines(runs / "together"), lines(run), strict=True):
        assert {**mine, "seconds": 0} == {**yours, "seconds": 0}
    environment = json.loads((run / "environment.json").read_text())
    assert environment["processes"] == 2
    assert {each.name for each in folders[1].iterdir()} == {"together.1.json", "threads.1.json"}


def test_no_thread_of_torchs_outlives_python(runs: Path):
    """One that lets go of a tensor then would abort the process, after all was done."""
    for rank in range(2):
        left = json.loads((runs / f"threads.{rank}.json").read_text())
        assert left, "there is at least the one that says so"
        assert not [name for name in left if "gloo" in name]


def test_a_run_goes_on_with_more_processes(runs: Path):
    assert_as_alone(runs, "begun alone")


def test_a_stopped_run_goes_on_with_fewer_processes(runs: Path, plain: SliceRecipe):
    assert [each["error"] for each in outcome(runs, "signal")] == ["Interrupted", "Interrupted"], "one was asked to"
    kept = load_checkpoint(runs / "signal" / "last.safetensors").metadata["state"]
    assert (kept["epoch"], kept["step"]) == (0, 3), "the step under way was finished, and kept"
    shutil.copytree(runs / "signal", runs / "fewer")
    train(plain, *parts(*SLICES, size=32), runs / "fewer", device="cpu")
    assert_as_alone(runs, "fewer")


def test_uneven_shares_are_learnt_from_in_as_many_pieces(runs: Path):
    """3 slices here and 2 there: two pieces each, whose BatchNorm is that of both."""
    assert [each["epochs"] for each in outcome(runs, "in pieces")] == [2, 2]
    whole, pieces = (lines(runs / name) for name in ("alone", "in pieces"))
    assert [entry["training"]["n"] for entry in pieces] == [entry["training"]["n"] for entry in whole]
    environment = json.loads((runs / "in pieces" / "environment.json").read_text())
    assert (environment["processes"], environment["accumulate"]) == (2, 9)


def test_what_is_drawn_at_random_is_settled_by_the_seed(runs: Path):
    first, second = (load_checkpoint(runs / name / "last.safetensors").tensors for name in ("augmented", "again"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_slices_that_cannot_be_read_on_one_end_all(runs: Path):
    first, second = outcome(runs, "read")
    assert first["error"] == "FailedElsewhereError"
    assert "process 2 of 2 failed: a fault of ichnos (OSError" in first["said"]
    assert second["error"] == "OSError"
    kept = load_checkpoint(runs / "read" / "last.safetensors").metadata["state"]
    assert (kept["epoch"], kept["step"]) == (0, 3)


def test_a_loss_that_is_not_finite_on_one_ends_all_and_is_not_kept(runs: Path, plain: SliceRecipe):
    first, second = outcome(runs, "nan")
    assert first["error"] == "TrainingError"
    rows = np.array(json.loads(first["said"].split("rows ")[1].split(" of the")[0]))
    assert "the loss of step 4 is nan" in first["said"]
    assert len(rows) == 2, "those of the second one's share"
    assert second == {"error": "FailedElsewhereError", "said": first["said"], "epochs": None}
    assert not (runs / "nan" / "last.safetensors").exists()


def test_memory_that_runs_out_on_one_in_validation_ends_all(runs: Path):
    first, second = outcome(runs, "memory in validation")
    said = "out of memory on cpu in validation, with batches of 64 slices: free the computer's memory"
    assert (second["error"], second["said"].startswith(said)) == ("TrainingError", True)
    assert (first["error"], first["said"].startswith(f"process 2 of 2 failed: {said}")) == (
        "FailedElsewhereError",
        True,
    )
    kept = load_checkpoint(runs / "memory in validation" / "last.safetensors").metadata["state"]
    assert (kept["epoch"], kept["step"]) == (0, 5), "all that was learnt"


def test_memory_that_runs_out_on_one_in_a_step_says_which_batch_fits(plain: SliceRecipe, tmp_path: Path):
    """In the midst of a step nobody can be told: the other one finds its connection closed."""
    recipe = plain.derive(**{"fit.batch_size": 8, "augmentation.p": 0.5}).model_dump_json()
    together([Scenario("memory", recipe, str(tmp_path), "memory")])
    first, second = outcome(tmp_path, "memory")
    assert second["error"] == "TrainingError", second
    said = (
        "out of memory on cpu with batches of 4 slices on each process; 2 fit on this one: give the same command with "
        "--accumulate 2, which learns from the same batches in pieces"
    )
    assert second["said"].startswith(said)
    assert "--set fit.batch_size=4 and another folder" in second["said"]
    assert first["error"] == "WorkerError"
    assert "another process of this training is gone" in first["said"]
    together([Scenario("memory", recipe, str(tmp_path), "memory", accumulate=2)])
    assert [each["epochs"] for each in outcome(tmp_path, "memory")] == [2, 2], "what was said does fit"


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_learn_what_one_learns(plain: SliceRecipe, tmp_path: Path):
    train(plain, *parts(*SLICES, size=32), tmp_path / "alone", device="cuda", execution=Execution(precision="32-true"))
    together([Scenario("together", plain.model_dump_json(), str(tmp_path), device="cuda")])
    ours, theirs = lines(tmp_path / "alone"), lines(tmp_path / "together")
    for mine, yours in zip(ours, theirs, strict=True):
        assert yours["validation"]["loss_mean"] == pytest.approx(mine["validation"]["loss_mean"], rel=0.1)


def test_machines_with_other_slices(runs: Path):
    first, second = outcome(runs, "other slices")
    assert first["error"] == "TrainingError"
    assert "process 2 of 2 has another slices than the first" in first["said"]
    assert second["error"] == "FailedElsewhereError"
    assert not (runs / "other slices" / "recipe.json").exists()
