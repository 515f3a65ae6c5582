"""On what training runs, and in which precision."""

import torch
from lightning_fabric import Fabric

from ichnos.errors import TrainingError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""What may be asked for. Mixed precision is never the default on a CPU: there it is slower."""


def choose(device: str = "auto", precision: str | None = None) -> Fabric:
    """Fabric on one device: `auto` takes CUDA where there is one. precision None: what the device gains by.

    Raises TrainingError where the device is not there or the name is unknown.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"no such device: {device}; there are auto, cpu and cuda")
    if precision is not None and precision not in PRECISIONS:
        raise TrainingError(f"no such precision: {precision}; there are {', '.join(PRECISIONS)}")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise TrainingError("device cuda was asked for, but torch sees no CUDA device; use --device cpu")
    accelerator = "cuda" if cuda and device != "cpu" else "cpu"
    return Fabric(accelerator=accelerator, devices=1, precision=precision or _best_precision(accelerator))  # pyright: ignore[reportArgumentType]


def _best_precision(accelerator: str) -> str:
    if accelerator == "cpu":
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
