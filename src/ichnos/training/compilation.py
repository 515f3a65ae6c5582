"""torch.compile: where training uses it, and why it does not where it does not."""

import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ichnos.progress import Progress
from ichnos.training.augmentation import AugmentedClassifier
from ichnos.training.devices import Execution
from ichnos.training.memory import is_out_of_memory
from ichnos.training.ranks import Ranks

_LONGEST_REASON = 300
"""Characters: a compiler's complaint can fill pages."""


def compile_where_it_works(
    augmented: AugmentedClassifier,
    module: nn.Module,
    fabric: Fabric,
    ranks: Ranks,
    execution: Execution,
    batch_size: int,
    progress: Progress,
) -> bool:
    """Compile the network if that is asked for, or on one CUDA device unless it is refused; returns whether it is.

    module: `augmented` as Fabric wrapped it. It is tried at once, on a batch of nothing in training and in evaluation,
    and where that fails the network stays as it was, and one message says why.
    """
    if not (fabric.device.type == "cuda" and ranks.size == 1 if execution.compile is None else execution.compile):
        return False
    name = augmented.classifier.recipe.name
    if ranks.size > 1:
        progress.message(f"{name}: not compiled, as torch.compile does not know BatchNorm that several processes share")
        return False
    begun = time.perf_counter()
    augmented.compile_network()
    reason = _why_not(augmented, module, fabric, batch_size)
    if reason is not None:
        augmented.leave_network()
        progress.message(f"{name}: not compiled, as {reason}")
        return False
    progress.message(f"{name}: compiled in {time.perf_counter() - begun:.0f} s")
    return True


def is_of_compiler(error: BaseException) -> bool:
    """Whether torch.compile raised it, of a shape that it had not met before, say."""
    return any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__)


def _why_not(augmented: AugmentedClassifier, module: nn.Module, fabric: Fabric, batch_size: int) -> str | None:
    """None where it works. Weights, statistics and modes are as before; there are no gradients left."""
    road = augmented.classifier.recipe.input
    planes = torch.zeros((batch_size, road.stacked, road.size, road.size), dtype=torch.uint8, device=fabric.device)
    outlined = len(augmented.classifier.recipe.segmented)
    was_training = module.training
    before = {name: tensor.clone() for name, tensor in augmented.state_dict().items()}
    try:
        fabric.backward(_as_learnt(module.train(), planes, outlined))
        with torch.inference_mode():
            module.eval()(planes)
            if outlined:  # how well is asked in evaluation, by the road of training
                _as_learnt(module, planes, outlined)
    except Exception as error:  # whatever a compiler may raise
        if is_out_of_memory(error):
            return f"memory has no room for a batch of {batch_size} slices by compiled code"
        return f"torch.compile failed: {_first_lines(error)}"
    finally:
        augmented.load_state_dict(before)
        augmented.zero_grad(set_to_none=True)
        module.train(was_training)
    return None


def _as_learnt(module: Any, planes: Tensor, outlined: int) -> Tensor:
    """A scalar of all that a step asks of the network. outlined: of how many classes there are masks."""
    if not outlined:
        return module(planes).float().sum()
    masks = torch.zeros((len(planes), outlined, *planes.shape[2:]), dtype=torch.bool, device=planes.device)
    logits, outlines, _ = module(planes, None, masks)
    return logits.float().sum() + outlines.float().sum()


def _first_lines(error: Exception) -> str:
    """torch names its backend in the first line, and what that said in the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([type(error).__name__ + ":", *lines[:2]])[:_LONGEST_REASON]
