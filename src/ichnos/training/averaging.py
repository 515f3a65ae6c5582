"""Weights averaged along training: what is evaluated and kept, while training goes on with its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ichnos.models.checkpoint import part
from ichnos.recipe import Averaging

_AVERAGED = "averaged."


class AveragedWeights:
    """A network's averaged weights and buffers, beside the network itself."""

    def __init__(self, averaging: Averaging, network: nn.Module) -> None:
        self._averaging = averaging
        self._network = network
        self._averages = _copied(network.state_dict())

    def after_step(self, steps: int) -> None:
        """Follow the network. steps: taken in the whole run, this one among them."""
        if self._averaging.kind == "ema":
            decay = min(self._averaging.decay, (1 + steps) / (10 + steps))
            self._move(1 - decay)

    @property
    def lacks_statistics(self) -> bool:
        """Whether BatchNorm's statistics are of no network that there has been, so must be measured afresh."""
        return self._averaging.kind == "swa"

    @contextmanager
    def judged(self, epoch: int) -> Iterator[None]:
        """Put the averages, the end of this epoch (from 1) among them, into the network; its own weights come back.

        Where the block is left by an error or Ctrl-C, the end of the epoch does not count: it will come again.
        """
        own, averages = _copied(self._network.state_dict()), _copied(self._averages)
        if self._averaging.kind == "swa":
            self._move(1 / max(1, epoch - self._averaging.start + 1))
        self._put(self._averages)
        try:
            yield
        except BaseException:
            self._averages = averages
            raise
        finally:
            self._put(own)

    def tensors(self) -> dict[str, Tensor]:
        """For last.safetensors, by name."""
        return {_AVERAGED + name: tensor for name, tensor in self._averages.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what tensors() gave."""
        for name, tensor in part(tensors, _AVERAGED).items():
            self._averages[name].copy_(tensor)

    @torch.no_grad()
    def _move(self, by: float) -> None:
        """So far from the average towards the network; whole numbers, such as counts, are taken as they are."""
        for name, tensor in self._network.state_dict().items():
            average = self._averages[name]
            if average.is_floating_point():
                average.lerp_(tensor, by)
            else:
                average.copy_(tensor)

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in self._network.state_dict().items():
            tensor.copy_(tensors[name])


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
