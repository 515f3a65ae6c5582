"""A small recipe, and the form in which EfficientNet-B0's ImageNet weights were released."""

import re

import pytest
import torch
from torch import Tensor

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.models import SliceClassifier
from ichnos.recipe import InputSpec, Network, SliceRecipe


@pytest.fixture(autouse=True, scope="module")
def in_one_thread(one_thread: None) -> None:
    """All images here are small."""


@pytest.fixture
def recipe() -> SliceRecipe:
    spec = InputSpec(windows=(BRAIN, BLOOD), size=32)
    return SliceRecipe(name="small", title="Small", input=spec, network=Network(init="random"))


@pytest.fixture
def released(recipe: SliceRecipe) -> dict[str, Tensor]:
    """A table of tensors named as EfficientNet-PyTorch 0.7 names them: blocks numbered through, and the last layer."""
    features = SliceClassifier.seeded(recipe, seed=7).backbone.state_dict()
    renamed = {re.sub(r"^_blocks\.\d+\.(\d+)\.", r"_blocks.\1.", key): tensor for key, tensor in features.items()}
    return renamed | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
