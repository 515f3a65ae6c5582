"""On what training runs, in which precision, and by how many processes."""

import atexit
import gc
import inspect
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed.nn.functional  # before there are groups: it keeps for good the one that it finds
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ichnos.errors import TrainingError
from ichnos.processes import keep_freed_memory
from ichnos.training.ranks import LONGEST_WAIT
from ichnos.training.watch import watch, watch_first

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""What may be asked for. Mixed precision is never the default on a CPU: there it is slower."""


_RENAMED = "forward_sync_buffers"
_SENDS_BUFFERS = _RENAMED if _RENAMED in inspect.signature(DistributedDataParallel).parameters else "broadcast_buffers"
"""What torch calls the sending of buffers before every step; it has changed its mind."""


@dataclass(frozen=True)
class Execution:
    """How a run is carried out. None of it changes what is learnt beyond rounding, but for what `accumulate` says."""

    devices: int | None = None
    """Processes on this machine, each with a device of its own; None: one, or as many as torchrun has begun."""
    accumulate: int = 1
    """Learn from a batch in so many pieces, one after the other, where memory has no room for all of it at once.
    BatchNorm then measures each piece by itself, and what is random is drawn anew for each."""
    compile: bool | None = None
    """Compile the network (torch.compile); None: on one CUDA device, where it pays."""
    precision: str | None = None
    """32-true, bf16-mixed, 16-mixed, or None for what the device gains by (on a CPU always 32-true)."""

    def __post_init__(self) -> None:
        """Raises TrainingError."""
        if self.devices is not None and self.devices < 1:
            raise TrainingError(f"training wants at least one device, got {self.devices}")
        if self.accumulate < 1:
            raise TrainingError(f"a batch is learnt from in at least one piece, got {self.accumulate}")


AS_USUAL = Execution()
"""One process, all of a batch at once."""


@dataclass(frozen=True)
class _Processes:
    """How many there are, and who began them."""

    machines: int
    on_each: int
    environment: ClusterEnvironment | None

    @property
    def several(self) -> bool:
        return self.machines * self.on_each > 1


def choose(device: str = "auto", precision: str | None = None) -> Fabric:
    """Fabric on one device: `auto` takes CUDA where there is one. precision None: what the device gains by.

    device: auto, cpu, cuda, or cuda:1 for the second of several. Where it is the CPU this process keeps from now on
    memory that it frees: given back to the system and cleared anew, it costs a quarter of a training step.
    Raises TrainingError where the device is not there or the name is unknown.
    """
    accelerator, index = _found(device)
    _keep_memory(accelerator)
    devices = 1 if index is None else [index]
    with _quiet():
        return Fabric(accelerator=accelerator, devices=devices, precision=_precision(accelerator, precision))  # pyright: ignore[reportArgumentType]


def choose_all(device: str, execution: Execution) -> Fabric:
    """The same for all processes of a training, which are begun here where they have not been.

    The others run this process's command again from its beginning, and come here too. Raises TrainingError where there
    are fewer devices than processes.
    """
    processes = _processes(execution.devices, os.environ)
    if not processes.several:
        return choose(device, execution.precision)
    accelerator, index = _found(device)
    if index is not None:
        raise TrainingError(f"{device} is one device, and there are several processes: give --device cuda")
    if accelerator == "cuda" and torch.cuda.device_count() < processes.on_each:
        raise TrainingError(
            f"{processes.on_each} processes on this machine want a CUDA device each, and torch sees "
            f"{torch.cuda.device_count()}; give --devices {torch.cuda.device_count()}, or --device cpu"
        )
    assert processes.environment is not None
    _keep_memory(accelerator)
    # BatchNorm is shared (see batchnorm.py), so that buffers are the same everywhere and need not be sent
    unsent: dict[str, Any] = {_SENDS_BUFFERS: False}
    strategy = DDPStrategy(timeout=LONGEST_WAIT, gradient_as_bucket_view=True, **unsent)
    with _quiet():
        fabric = Fabric(
            accelerator=accelerator,
            devices=processes.on_each,
            num_nodes=processes.machines,
            strategy=strategy,
            precision=_precision(accelerator, execution.precision),
            plugins=[processes.environment],
        )
        fabric.launch()
    _watch_others(fabric, processes)
    atexit.register(_hang_up)
    return fabric


def _watch_others(fabric: Fabric, processes: _Processes) -> None:
    """In Fabric's stead, which kills the first process within 5 s of another's end, whatever it is saying or writing,
    and leaves the others waiting where the first is gone and their GPUs wait for its."""
    launcher = fabric.strategy.launcher
    if isinstance(processes.environment, TorchElasticEnvironment):
        return  # torchrun watches those that it began
    if isinstance(launcher, _SubprocessScriptLauncher) and launcher.procs:
        watch(launcher.procs)
        launcher.procs.clear()  # Fabric's own watch holds this list, and ends where it is empty
    elif fabric.local_rank:
        watch_first()


def _keep_memory(accelerator: str) -> None:
    if accelerator == "cpu":
        keep_freed_memory()


def _hang_up() -> None:
    """End torch's threads for words between processes while Python is whole.

    One of them that lets go of a tensor while Python takes itself down aborts the process, which then seems to have
    failed (https://github.com/pytorch/pytorch/pull/179291).
    """
    gc.collect()  # what shares gradients holds the group
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def _quiet() -> Iterator[None]:
    """That a process is there and in which precision says nothing to whoever trains, or stands in environment.json."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def by_several(execution: Execution) -> bool:
    """Whether several processes will train, as asked for or as torchrun has begun them."""
    return _processes(execution.devices, os.environ).several


def _processes(devices: int | None, environment: Mapping[str, str]) -> _Processes:
    if "TORCHELASTIC_RUN_ID" not in environment:
        return _Processes(1, devices or 1, LightningEnvironment())
    world, here = int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
    if devices not in (None, here):
        raise TrainingError(f"torchrun has begun {here} processes on this machine: leave out --devices {devices}")
    if world % here:
        raise TrainingError(
            f"torchrun has begun {here} processes on this machine and {world} in all: begin as many on every machine"
        )
    return _Processes(world // here, here, TorchElasticEnvironment())


def _found(device: str) -> tuple[str, int | None]:
    """cpu or cuda, and which of several where one was named."""
    name, _, number = device.partition(":")
    if name not in ("auto", "cpu", "cuda") or (number and (name != "cuda" or not number.isdecimal())):
        raise TrainingError(
            f"no such device: {device}; there are auto, cpu, cuda, and cuda:1 for the second of several"
        )
    cuda = torch.cuda.is_available()
    if name == "cuda" and not cuda:
        raise TrainingError(f"device {device} was asked for, but torch sees no CUDA device; use --device cpu")
    if number and int(number) >= torch.cuda.device_count():
        raise TrainingError(
            f"device {device} was asked for, and torch sees {torch.cuda.device_count()}: they are cuda:0 to "
            f"cuda:{torch.cuda.device_count() - 1}"
        )
    return "cuda" if cuda and name != "cpu" else "cpu", int(number) if number else None


def _precision(accelerator: str, asked: str | None) -> Any:
    if asked is not None and asked not in PRECISIONS:
        raise TrainingError(f"no such precision: {asked}; there are {', '.join(PRECISIONS)}")
    if asked is not None:
        return asked
    if accelerator == "cpu":
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
