"""The networks that a recipe can name, and what is known of each without building it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_TIMM = "timm:"

COUNTED_AT = 224
"""Pixels at which multiplications are counted: the study's size, and ImageNet's."""

COUNTED_SLICES = 3
"""Slices of the volume for which multiplications are counted."""


class Architecture(StrEnum):
    """A backbone that ichnos builds; models/backbones has a file for each family."""

    EFFICIENTNET_B0 = "efficientnet-b0"
    EFFICIENTNET_B1 = "efficientnet-b1"
    EFFICIENTNET_B2 = "efficientnet-b2"
    EFFICIENTNET_B3 = "efficientnet-b3"
    EFFICIENTNET_B4 = "efficientnet-b4"
    DENSENET121 = "densenet121"
    DENSENET169 = "densenet169"
    SE_RESNEXT50 = "se-resnext50"
    SE_RESNEXT101 = "se-resnext101"
    RESNET50 = "resnet50"
    RESNEXT50 = "resnext50"
    RESNEXT101 = "resnext101"
    CBAM_RESNET50 = "cbam-resnet50"
    SEPARABLE = "separable"
    SMALL_CNN = "small-cnn"
    JOINT_3D_RNN = "joint-3d-rnn"

    @property
    def facts(self) -> "Facts":
        """What is known of it."""
        return _FACTS[self]


class Weights(StrEnum):
    """How a bundle's graphs store their weights; either way they are reckoned with in single precision."""

    FLOAT32 = "float32"
    INT16 = "int16"
    """As whole numbers with a scale each output: half as large (ichnos.models.sixteen_bits)."""


@dataclass(frozen=True)
class Facts:
    """Of a backbone on three channels, without its head. A test counts them again on the network itself."""

    paper: str
    link: str | None
    """None where we have read no paper of it."""
    parameters: int
    multiply_adds: int
    """For one image of COUNTED_AT pixels; a multiplication with its addition is one, as in papers that say FLOPs."""
    shrinkage: int = 32
    """Pixels of the input to a cell of the last feature map, each way; sizes are multiples of it, so that padding is
    the same at each and the cells of class maps cover the whole slice."""
    volume: bool = False
    """Of a slice with its neighbours as a volume (counted: three slices, a channel each); it has no class maps."""
    weights: str | None = None
    """Where its ImageNet weights are released; the name ends in the first eight hex digits of the file's SHA-256."""

    def cost(self, size: int) -> str:
        """In words, for images of `size` pixels: multiplications grow with the number of pixels."""
        if self.volume:
            here = self.multiply_adds / COUNTED_SLICES / 1e9 * (size / COUNTED_AT) ** 2
            return f"{self.parameters / 1e6:.3g} million parameters, {here:.2g} GFLOP a slice shown at its {size} px"
        counted = f"{self.parameters / 1e6:.3g} million parameters, {self.multiply_adds / 1e9:.3g} GFLOP a slice"
        if size == COUNTED_AT:
            return f"{counted} at {COUNTED_AT} px"
        here = self.multiply_adds / 1e9 * (size / COUNTED_AT) ** 2
        return f"{counted} at {COUNTED_AT} px, about {here:.2g} at its {size} px"


def _efficientnet(file: str, parameters: int, multiply_adds: int) -> Facts:
    folder = "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0"  # Apache-2.0
    return Facts(
        "Tan & Le 2019", "https://arxiv.org/abs/1905.11946", parameters, multiply_adds, weights=f"{folder}/{file}.pth"
    )


def _torchvision(paper: str, arxiv: str, file: str, parameters: int, multiply_adds: int) -> Facts:
    weights = f"https://download.pytorch.org/models/{file}.pth"
    return Facts(paper, f"https://arxiv.org/abs/{arxiv}", parameters, multiply_adds, weights=weights)


def _se_resnext(file: str, parameters: int, multiply_adds: int) -> Facts:
    weights = f"http://data.lip6.fr/cadene/pretrainedmodels/{file}.pth"
    return Facts("Hu 2018", "https://arxiv.org/abs/1709.01507", parameters, multiply_adds, weights=weights)


_FACTS: Mapping[Architecture, Facts] = {
    Architecture.EFFICIENTNET_B0: _efficientnet("efficientnet-b0-355c32eb", 4_007_548, 384_534_752),
    Architecture.EFFICIENTNET_B1: _efficientnet("efficientnet-b1-f1951068", 6_513_184, 568_371_680),
    Architecture.EFFICIENTNET_B2: _efficientnet("efficientnet-b2-8bb594d6", 7_700_994, 657_555_440),
    Architecture.EFFICIENTNET_B3: _efficientnet("efficientnet-b3-5fb5a3c3", 10_696_232, 961_172_240),
    Architecture.EFFICIENTNET_B4: _efficientnet("efficientnet-b4-6ed6700e", 17_548_616, 1_501_918_432),
    Architecture.DENSENET121: _torchvision(
        "Huang 2017", "1608.06993", "densenet121-a639ec97", 6_953_856, 2_833_137_664
    ),
    Architecture.DENSENET169: _torchvision(
        "Huang 2017", "1608.06993", "densenet169-b2777c0a", 12_484_480, 3_358_179_328
    ),
    Architecture.SE_RESNEXT50: _se_resnext("se_resnext50_32x4d-a260b3a4", 25_510_896, 4_230_946_816),
    Architecture.SE_RESNEXT101: _se_resnext("se_resnext101_32x4d-3b2fe3d8", 46_906_416, 7_972_691_968),
    Architecture.RESNET50: _torchvision("He 2016", "1512.03385", "resnet50-0676ba61", 23_508_032, 4_087_136_256),
    Architecture.RESNEXT50: _torchvision(
        "Xie 2017", "1611.05431", "resnext50_32x4d-7cdf4587", 22_979_904, 4_228_431_872
    ),
    Architecture.RESNEXT101: _torchvision(
        "Xie 2017", "1611.05431", "resnext101_32x8d-8ba56ff5", 86_742_336, 16_411_967_488
    ),
    Architecture.CBAM_RESNET50: Facts("Woo 2018", "https://arxiv.org/abs/1807.06521", 26_040_624, 4_093_525_110),
    Architecture.SEPARABLE: Facts("after Korra 2022", None, 612_000, 109_095_168),
    Architecture.SMALL_CNN: Facts("after Tharek 2022", None, 388_896, 736_985_088, shrinkage=16),
    Architecture.JOINT_3D_RNN: Facts("after Ye 2019", None, 3_870_352, 1_669_042_176, volume=True),
}


class _Part(BaseModel):
    """Frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _known(name: str) -> str:
    if (name.startswith(_TIMM) and name != _TIMM) or name in set(Architecture):
        return name
    raise ValueError(f"no backbone {name!r}; there are {', '.join(Architecture)}, and timm:NAME for any model of timm")


def _none_for_zero(width: object) -> object:
    return None if width == 0 else width


class Head(_Part):
    """Global average pooling → Dense(hidden) ReLU → dropout → Dense(classes), one logit a class."""

    hidden: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_none_for_zero)] = 128
    """None (or 0): no hidden layer, pooling → dropout → Dense(classes)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    dropout_before_hidden: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """A second dropout, on the pooled features."""

    @model_validator(mode="after")
    def _one_place_one_dropout(self) -> Self:
        if self.hidden is None and self.dropout_before_hidden:
            raise ValueError("there is no hidden layer for dropout_before_hidden to lie before: give dropout alone")
        return self


_PHANTOM = ("phantom", "phantom-2.5d", "phantom-160")
"""The weights of ours that come with the package (ichnos.models.phantom_weights)."""


def init_name(init: str) -> str:
    """What `network.init` is called where others read it: without folders, which are of somebody's machine."""
    return init.replace("\\", "/").rsplit("/", 1)[-1]


class Network(_Part):
    """A backbone, where its first weights come from, and the head on it."""

    backbone: Annotated[str, AfterValidator(_known)] = "efficientnet-b0"
    """An Architecture, or `timm:NAME`, which needs timm."""
    init: str = "imagenet"
    """`imagenet`; `phantom`, `phantom-2.5d` or `phantom-160` (ours, from synthetic heads, in the package; of
    EfficientNet-B0 only); `random`; or a file: a checkpoint of ours or the backbone's weights in the common PyTorch
    form."""
    frozen: bool = False
    """Train the head alone; the backbone stays as it came, its BatchNorm statistics too."""
    head: Head = Head()

    @model_validator(mode="after")
    def _frozen_needs_weights(self) -> Self:
        if self.frozen and self.init == "random":
            raise ValueError("a frozen backbone with random weights cannot learn: give it imagenet, phantom or a file")
        return self

    @model_validator(mode="after")
    def _first_weights_are_there(self) -> Self:
        others = "give network.init as random, or a file of weights"
        if self.init == "imagenet" and (self.facts is None or self.facts.weights is None):
            raise ValueError(f"ichnos knows of no public ImageNet weights of {self.backbone}: {others}")
        if self.init in _PHANTOM and self.architecture is not Architecture.EFFICIENTNET_B0:
            known = self.facts is not None and self.facts.weights is not None
            others = f"give network.init as imagenet{', random' if known else ''}, or a file" if known else others
            raise ValueError(f"the {self.init} weights are of efficientnet-b0, not of {self.backbone}: {others}")
        return self

    @property
    def architecture(self) -> Architecture | None:
        """None where timm builds the backbone."""
        return None if self.backbone.startswith(_TIMM) else Architecture(self.backbone)

    @property
    def timm_name(self) -> str:
        """What timm calls the backbone, where timm builds it."""
        return self.backbone.removeprefix(_TIMM)

    @property
    def facts(self) -> Facts | None:
        """What is known of the backbone; None where timm builds it."""
        return None if self.architecture is None else self.architecture.facts

    def check_size(self, size: int) -> None:
        """Raise ValueError where the backbone does not take images of so many pixels."""
        if self.facts is not None and size % self.facts.shrinkage:
            raise ValueError(
                f"{self.backbone} shrinks the image {self.facts.shrinkage} times each way: size must be a multiple of "
                f"{self.facts.shrinkage}, got {size}"
            )
