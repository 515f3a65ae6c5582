"""Any image model of timm (https://github.com/huggingface/pytorch-image-models), which need not be installed."""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ichnos.errors import MissingExtraError, WeightsError
from ichnos.models.backbones.backbone import Backbone


class TimmBackbone(Backbone):
    """A model of timm without its pooling and its classifier.

    What comes out is asked of the model itself, with one black image: a feature map, channels first or last, gives
    class maps; anything else (a transformer's tokens, whose mean is taken) gives none.
    """

    def __init__(self, name: str, channels: int, size: int) -> None:
        """Raises MissingExtraError where timm is absent or cannot be imported, WeightsError where it has no such model
        for this size."""
        super().__init__()
        self.model = _created(name, channels, size)
        self.name = name
        settings: Mapping[str, Any] = getattr(self.model, "pretrained_cfg", {}) or {}
        self.classifier = _names(settings.get("classifier"))
        first = _names(settings.get("first_conv"))
        if not first:
            raise WeightsError(f"timm:{name} does not say which layer takes the image; choose another network")
        self.stem = f"model.{first[0]}.weight"
        _, *shape = self._shape(channels, size)
        # of a square image the map is square, so the odd one out are the channels; timm's own num_features are not
        # those of every model's last map
        self.channels_last = len(shape) == 3 and shape[1] != shape[2]
        self.feature_channels = shape[0] if len(shape) == 3 and not self.channels_last else shape[-1]
        self.cells = shape[1] if len(shape) == 3 else 0

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, feature_channels, h, w), or (n, feature_channels) where there is no map."""
        made = self.model(inputs)
        if made.ndim == 4:
            return made.permute(0, 3, 1, 2) if self.channels_last else made
        return made.mean(dim=1) if made.ndim == 3 else made

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From timm's own names, without the classifier that the model names."""
        classifiers = tuple(f"{name}." for name in self.classifier)
        return {f"model.{key}": tensor for key, tensor in released.items() if not key.startswith(classifiers)}

    def _shape(self, channels: int, size: int) -> tuple[int, ...]:
        """Of what the model makes of one image. Raises WeightsError where it takes none of this size."""
        was_training = self.model.training
        try:
            with torch.no_grad():
                shape = tuple(self.model.eval()(torch.zeros(1, channels, size, size)).shape)
        except Exception as error:  # each of timm's models refuses in its own way
            raise WeightsError(
                f"timm:{self.name} takes no images of {size} pixels ({_first_line(error)}); give another input.size"
            ) from error
        finally:
            self.model.train(was_training)
        return shape


def _created(name: str, channels: int, size: int) -> nn.Module:
    timm = _timm(name)
    if not timm.is_model(name):
        raise WeightsError(f"timm {timm.__version__} has no model {name!r}; `timm.list_models()` says which it has")
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, global_pool="", in_chans=channels)
    except Exception as error:  # models that cannot do without their classifier, or that take three channels only
        raise WeightsError(
            f"timm cannot build {name} for {channels} channels of {size} pixels: {_first_line(error)}"
        ) from error


def _timm(name: str) -> Any:
    """The module. name: of what is wanted of it."""
    try:
        return importlib.import_module("timm")
    except Exception as error:  # a torchvision of another build than torch's fails in ways of its own
        if isinstance(error, ModuleNotFoundError) and error.name == "timm":
            raise MissingExtraError(
                f"timm:{name} needs timm, which is not installed; install it with pip install 'ichnos[timm]'"
            ) from error
        raise MissingExtraError(
            f"timm:{name} needs timm, which is installed and cannot be imported ({_first_line(error)}); beside torch "
            f"{torch.__version__} it needs the torchvision of the same release and build"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _names(given: object) -> tuple[str, ...]:
    """One name, several, or none: timm's settings have all three."""
    if isinstance(given, str):
        return (given,)
    return tuple(str(each) for each in given) if isinstance(given, list | tuple) else ()
