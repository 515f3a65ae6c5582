"""ResNet-50 (He 2016, https://arxiv.org/abs/1512.03385), the form in which torchvision trained and released it."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ichnos.models.backbones.backbone import Backbone

_EXPANSION = 4
"""Channels that a bottleneck gives, over those of its stage (He 2016, figure 5)."""


class Bottleneck(nn.Module):
    """1×1 → 3×3 → 1×1 around a shortcut; the stride lies on the 3×3, as torchvision has it ("ResNet 1.5").

    `attention` is what weighs the branch before it is added to the shortcut: nothing in a plain ResNet.
    """

    def __init__(self, given: int, planes: int, width: int, stride: int, groups: int) -> None:
        """given: channels of the input; planes: of the stage; width: of the 3×3 convolution."""
        super().__init__()
        made = planes * _EXPANSION
        self.conv1 = nn.Conv2d(given, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, made, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(made)
        self.attention = self.make_attention(made)
        self.downsample = (
            nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))
            if stride != 1 or given != made
            else nn.Identity()
        )

    def make_attention(self, channels: int) -> nn.Module:
        """What weighs the branch of so many channels."""
        del channels
        return nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, given, h, w) → (n, 4 · planes, h/stride, w/stride)."""
        branch = self.bn1(self.conv1(inputs)).relu()
        branch = self.bn2(self.conv2(branch)).relu()
        branch = self.attention(self.bn3(self.conv3(branch)))
        return (branch + self.downsample(inputs)).relu()


class ResNet(Backbone):
    """ResNet-50 down to its last feature map; with groups and another width the families that are built of it."""

    stem = "conv1.weight"
    feature_channels = 512 * _EXPANSION
    skip_channels = 128 * _EXPANSION
    bottleneck: type[Bottleneck] = Bottleneck

    def __init__(
        self, channels: int = 3, *, blocks: Sequence[int] = (3, 4, 6, 3), groups: int = 1, group_width: int = 64
    ) -> None:
        """blocks: of the four stages. group_width: channels a group of the first stage's 3×3 convolutions."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            self._stage(stage, count, groups, group_width) for stage, count in enumerate(blocks)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, 2048, S/32, S/32)."""
        stem = self.maxpool(self.bn1(self.conv1(inputs)).relu())
        return self.layer4(self.layer3(self.layer2(self.layer1(stem))))

    def with_skip(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See Backbone."""
        stem = self.maxpool(self.bn1(self.conv1(inputs)).relu())
        skip = self.layer2(self.layer1(stem))
        return self.layer4(self.layer3(skip)), skip

    def _stage(self, stage: int, count: int, groups: int, group_width: int) -> nn.Sequential:
        """The first block halves the map, but for that of the first stage, whose stem has done so."""
        planes = 64 << stage
        width = planes * group_width // 64 * groups
        first = self.bottleneck(64 if not stage else planes // 2 * _EXPANSION, planes, width, 2 if stage else 1, groups)
        others = (self.bottleneck(planes * _EXPANSION, planes, width, 1, groups) for _ in range(count - 1))
        return nn.Sequential(first, *others)

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From torchvision's names, which are ours."""
        return {key: tensor for key, tensor in released.items() if not key.startswith("fc.")}
