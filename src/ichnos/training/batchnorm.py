"""BatchNorm statistics: of a whole batch where several processes share it, and measured afresh before an evaluation.

The second is for short runs, whose running averages lag behind: MONAI's EfficientNet moves its running statistics by
1 % a step, so that after a hundred steps from scratch a third of them is still the initial 0 and 1, and the network
evaluates as noise although it has learnt.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm as _Norm  # what all of torch's, and ours, have in common

from ichnos.errors import TrainingError
from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.memory import told_without_room
from ichnos.training.ranks import Ranks
from ichnos.training.slices import TrainingSlices, spread

_IMAGES = 1024
"""Training images to measure on: the statistics no longer move with more (Izmailov et al. 2018 use a whole pass)."""


def share_batchnorm(network: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Make every BatchNorm of `network` measure the batches of all processes together, in place; weights stay.

    So training is the same with any number of processes. On CUDA it is torch's own, which knows no other devices.
    """
    if ranks.size == 1:
        return
    for child in network.modules():
        if isinstance(child, _Norm) and type(child).forward not in (_Norm.forward, SharedBatchNorm.forward):
            raise TrainingError(
                f"this network's normalisation ({type(child).__name__}) does more than to normalise, which several "
                "processes cannot share; train it by one (without --devices and torchrun)"
            )
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _Norm):
                setattr(parent, name, SharedBatchNorm.of(child, ranks.group))


def unshared(network: nn.Module, ranks: Ranks) -> nn.Module:
    """A copy whose training tells other processes nothing and waits for none: its BatchNorm takes what it knows."""
    copy = deepcopy(network, {id(ranks.group): ranks.group})  # a connection has no copy
    for norm in _norms(copy):
        norm.eval()
    return copy


class SharedBatchNorm(_Norm):
    """BatchNorm over the shares of all processes, of any sizes above 0, on a CPU."""

    group: Any

    @classmethod
    def of(cls, norm: _Norm, group: Any) -> "SharedBatchNorm":
        """One with the parameters and buffers of `norm`, the same tensors."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        shared.weight, shared.bias = norm.weight, norm.bias
        shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
        shared.num_batches_tracked = norm.num_batches_tracked
        shared.group = group
        return shared.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Images and volumes alike."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """(n, channels, ...) → the same shape, in training by the mean and variance of all processes' images."""
        if not self.training:
            return super().forward(input)
        places = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        images = input.float()
        here = images.new_tensor([images.numel() / images.shape[1]])
        total = _AllSum.apply(torch.cat([images.sum(places), here]), self.group)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = images - mean.view(shape)
        variance = _AllSum.apply((centred**2).sum(places), self.group) / count
        self._track(mean.detach(), (variance * count / (count - 1)).detach())
        scale = torch.rsqrt(variance + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        normed = centred * scale.view(shape)
        return (normed if self.bias is None else normed + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        by = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, by)
        self.running_var.lerp_(variance, by)


class _AllSum(torch.autograd.Function):
    """The sum over all processes; its gradient is that of all their losses."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = mine.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        distributed.all_reduce(total, group=ctx.group)
        return total, None


def reestimate_batchnorm(
    fabric: Fabric, module: nn.Module, training: TrainingSlices, batch_size: int, ranks: Ranks | None = None
) -> None:
    """Set BatchNorm's statistics to their plain average over up to 1,024 training images, evenly spread.

    Without augmentation, dropout and drop-connect; a function of the weights and images alone, so a resumed run gets
    the same. `module` is as Fabric wrapped it, or as it was before. A frozen backbone keeps the statistics that it came
    with. Several processes share each batch.
    """
    norms = [norm for norm in _norms(module) if norm.weight.requires_grad]
    _measure(fabric, module, norms, training, batch_size, ranks or Ranks())


def measure_batchnorm(fabric: Fabric, module: nn.Module, training: TrainingSlices, batch_size: int) -> int:
    """The same for a network that is adapted to other images, whether it was frozen or not; returns how many layers."""
    norms = _norms(module)
    _measure(fabric, module, norms, training, batch_size, Ranks())
    return len(norms)


def _norms(module: nn.Module) -> list[_Norm]:
    return [norm for norm in module.modules() if isinstance(norm, _Norm)]


def _measure(
    fabric: Fabric, module: nn.Module, norms: list[_Norm], training: TrainingSlices, batch_size: int, ranks: Ranks
) -> None:
    if not norms:
        return
    rows = training.rows[spread(len(training), _IMAGES)]
    batches = [ranks.share(batch) for batch in in_batches(rows, max(batch_size, 2 * ranks.size))]
    asked = f"batches of {max(map(len, batches))} slices"
    with (
        told_without_room("the measuring of BatchNorm's statistics", asked, fabric.device),
        torch.no_grad(),
        fabric.autocast(),
        _averaging(module, norms),
        read_ahead(training.images, batches, fabric.device) as images,
    ):
        for planes in images:
            module(planes)


@contextmanager
def _averaging(module: nn.Module, norms: Sequence[_Norm]) -> Iterator[None]:
    """Only BatchNorm in training mode, its statistics reset and averaged; mode and momentum come back after."""
    was_training = module.training
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to say: cumulative average
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.train(was_training)
