"""On what training runs, and by how many processes, as they are asked for."""

import platform
import resource
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from ichnos.errors import TrainingError
from ichnos.processes import _rank
from ichnos.recipe import SliceRecipe
from ichnos.training import Execution, train
from ichnos.training.devices import _processes, choose, choose_all
from ichnos.training.loop import _check_shares
from ichnos.training.randomness import seed_step
from ichnos.training.ranks import Ranks
from ichnos.training.sampling import BatchOrder
from tests.training.test_training import Parts

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}


def test_processes_that_torchrun_has_begun():
    found = _processes(None, TORCHRUN)
    assert (found.machines, found.on_each, found.several) == (2, 4, True)
    assert _processes(4, TORCHRUN).machines == 2
    with pytest.raises(TrainingError, match="begun 4 processes on this machine: leave out --devices 2"):
        _processes(2, TORCHRUN)
    with pytest.raises(TrainingError, match="begin as many on every machine"):
        _processes(None, TORCHRUN | {"WORLD_SIZE": "7"})
    assert not _processes(None, {}).several
    assert _processes(3, {}).on_each == 3


def test_who_writes():
    assert _rank({}) == 0
    assert _rank({"LOCAL_RANK": "3"}) == 0, "whatever it means, no training of ours has set it"
    assert _rank(TORCHRUN) == 5
    assert _rank({"LOCAL_RANK": "2", "NODE_RANK": "0", "WORLD_SIZE": "4"}) == 2


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="device cuda:2 was asked for, and torch sees 2: they are cuda:0 to cuda:1"):
        choose("cuda:2")
    with pytest.raises(TrainingError, match=r"no such device: cuda:x"):
        choose("cuda:x")
    with pytest.raises(TrainingError, match="4 processes on this machine want a CUDA device each, and torch sees 2"):
        choose_all("cuda", Execution(devices=4))
    with pytest.raises(TrainingError, match="cuda:1 is one device, and there are several processes"):
        choose_all("cuda:1", Execution(devices=2))


@pytest.mark.parametrize(
    ("device", "asked", "bf16", "given"),
    [
        ("cuda", None, "native", "bf16-mixed"),
        ("cuda", None, "emulated", "16-mixed"),
        ("cuda", None, "none", "16-mixed"),
        ("cuda", "32-true", "native", "32-true"),
        ("cuda", "bf16-mixed", "emulated", "bf16-mixed"),
        ("cuda", "16-mixed", "native", "16-mixed"),
        ("auto", None, "native", "bf16-mixed"),
        ("cpu", None, "native", "32-true"),
        ("cpu", "bf16-mixed", "none", "bf16-mixed"),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_gpu_computes_in_bf16_where_it_has_it(
    device: str, asked: str | None, bf16: str, given: str, processes: int, monkeypatch: pytest.MonkeyPatch
):
    """Emulated it is slower than single precision."""

    def supported(including_emulation: bool = True) -> bool:
        return bf16 == "native" or (bf16 == "emulated" and including_emulation)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    fabric = Mock()
    monkeypatch.setattr("ichnos.training.devices.Fabric", fabric)
    monkeypatch.setattr("ichnos.training.devices.atexit", Mock())
    choose_all(device, Execution(devices=processes, precision=asked))
    assert fabric.call_args.kwargs["precision"] == given
    assert fabric.call_args.kwargs["accelerator"] == ("cpu" if device == "cpu" else "cuda")
    assert fabric.call_args.kwargs["devices"] == processes


def test_precisions_that_there_are_not():
    with pytest.raises(TrainingError, match="no such precision: 64-true; there are 32-true, bf16-mixed, 16-mixed"):
        choose("cpu", "64-true")


def test_executions_that_make_no_sense():
    with pytest.raises(TrainingError, match="at least one device, got 0"):
        Execution(devices=0)
    with pytest.raises(TrainingError, match="at least one piece, got 0"):
        Execution(accumulate=0)


def test_each_process_draws_its_own():
    drawn = []
    for rank in (0, 1):
        seed_step(3, 1, 2, rank)
        drawn.append(torch.rand(3))
    assert not torch.equal(*drawn)
    seed_step(3, 1, 2)
    assert torch.equal(torch.rand(3), drawn[0]), "one process draws what the first of several draws"


def test_more_processes_than_slices_in_a_batch(recipe: SliceRecipe, tiny: Parts):
    order = BatchOrder(tiny[0], recipe.sampling, recipe.fit)
    _check_shares(order, Ranks(0, 4))
    with pytest.raises(TrainingError, match="a batch of 4 slices has none for some of 5 processes: train by at most 4"):
        _check_shares(order, Ranks(0, 5))


def test_shares_are_a_batch_in_its_order():
    batch = np.array([4, 9, 1, 7, 3])
    shares = [Ranks(rank, 3).share(batch).tolist() for rank in range(3)]
    assert shares == [[4, 9], [1, 7], [3]]


def test_outlines_are_of_a_whole_batch(recipe: SliceRecipe, tiny: Parts, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ichnos.training.loop._check_masks", lambda *_: None)
    outlining = recipe.derive(segmentation={})
    with pytest.raises(TrainingError, match="outlines blood, and how well is reckoned over a whole batch"):
        train(outlining, *tiny, tmp_path, device="cpu", execution=Execution(accumulate=2))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what another C library does with memory is its own")
def test_on_a_cpu_memory_is_not_cleared_anew_for_every_tensor():
    choose("cpu")
    faults = []
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(16_000_000)  # 64 MB are 15,625 pages
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults) == 0, "from some time on it has what it needs"
