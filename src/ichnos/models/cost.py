"""What a network costs: its parameters and multiplications, counted on its shapes alone, without any numbers."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ichnos.models.backbones import build_backbone
from ichnos.models.exam_heads.head import Exams
from ichnos.models.exam_network import ExamNetwork, SliceSizes
from ichnos.networks import COUNTED_AT, Network
from ichnos.recipe import ExamRecipe


def parameters_of(network: nn.Module) -> int:
    """How many numbers are learnt (BatchNorm's running statistics are not)."""
    return sum(parameter.numel() for parameter in network.parameters())


def cost_of(network: Network, channels: int = 3, size: int = COUNTED_AT, slices: int | None = None) -> tuple[int, int]:
    """Parameters of a backbone without its head, and its multiply-adds for one image of size × size.

    slices: of how many slices the channels are, as build_backbone has it.

    A multiplication with its addition counts as one, as in the papers of these networks ("FLOPs"), so it is half of
    what torch's counter gives; only convolutions and dense layers count. Nothing is computed: the network is built on
    torch's `meta` device, which has shapes and no memory.
    """
    with torch.device("meta"):
        backbone = build_backbone(network, channels, size, slices).eval()
        images = torch.zeros(1, channels, size, size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone(images)
    return parameters_of(backbone), counter.get_total_flops() // 2


def multiply_adds_of_exam(recipe: ExamRecipe, sizes: SliceSizes, slices: int) -> int:
    """Of a network of exams for one exam of so many slices, counted as `cost_of` counts; without the slices' own."""
    classes = len(recipe.classes)
    with torch.device("meta"):
        network = ExamNetwork.seeded(recipe, sizes, seed=0).eval()
        maps = torch.zeros(1, slices, classes, sizes.map_side, sizes.map_side) if sizes.map_side else None
        features, logits = torch.zeros(1, slices, sizes.features), torch.zeros(1, slices, classes)
        exam = Exams(features, logits, torch.zeros(1, slices), maps)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(exam)
    return counter.get_total_flops() // 2
