"""First weights: random, ImageNet's, the phantom's, a checkpoint's, or EfficientNet-B0's in the common PyTorch form."""

import hashlib
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ichnos.errors import WeightsError
from ichnos.models.backbones import fit_stem
from ichnos.models.checkpoint import load_checkpoint, part
from ichnos.models.classifier import SliceClassifier
from ichnos.models.imagenet_weights import DIGEST_PREFIX, imagenet_file
from ichnos.models.phantom_weights import FILES, phantom_weights
from ichnos.progress import SILENT, Progress
from ichnos.recipe import SliceRecipe

_BACKBONE = "backbone."
_HEAD = "head."
_STEM = "_conv_stem.weight"


@dataclass(frozen=True)
class InitialWeights:
    """Which weights a classifier began with."""

    backbone: str
    """`random`, `imagenet`, `phantom`, `phantom-2.5d`, or the name of the file."""
    head: str
    """`random`, `phantom-2.5d`, or the name of the file."""
    remark: str
    """One sentence for the journal and for people."""
    digest: str | None = None
    """16 hex digits of the SHA-256 of the file that they were read from."""


def initialise(classifier: SliceClassifier, init: str, *, seed: int, progress: Progress = SILENT) -> InitialWeights:
    """Give a classifier its first weights, as `Network.init` names them. What they leave open is random by the seed.

    Raises WeightsError where a file is absent, damaged, or does not fit the backbone to the last tensor.
    """
    fresh = SliceClassifier.seeded(classifier.recipe, seed)
    classifier.load_state_dict(fresh.state_dict())
    if init == "random":
        return InitialWeights("random", "random", f"random first weights, seed {seed}")
    if init == "imagenet":
        _fill_backbone(classifier, _read_common_form(imagenet_file(progress)), init)
        return InitialWeights(
            "imagenet", "random", f"backbone from ImageNet, head random, seed {seed}", weights_digest(init)
        )
    if init in FILES:
        weights = phantom_weights(FILES[init])
        name = (init, f"{init} (synthetic heads)")
        digest = weights_digest(init)
        return _take(classifier, weights.backbone, weights.head, weights.recipe, name, digest, seed)
    path = Path(init).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"network.init is none of imagenet, phantom, phantom-2.5d, random, nor a file: no file at {path}"
        )
    if path.suffix == ".safetensors":
        return _take_checkpoint(classifier, path, seed)
    _fill_backbone(classifier, _read_common_form(path), path.name)
    digest = weights_digest(init)
    remark = f"backbone from {path.name} (SHA-256 {digest}), head random, seed {seed}"
    return InitialWeights(path.name, "random", remark, digest)


def weights_digest(init: str) -> str | None:
    """16 hex digits of the SHA-256 of the file that `init` names (8 for ImageNet's); None for random or no file."""
    if init == "random":
        return None
    if init == "imagenet":
        return DIGEST_PREFIX
    path = FILES[init] if init in FILES else Path(init).expanduser()
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _take_checkpoint(classifier: SliceClassifier, path: Path, seed: int) -> InitialWeights:
    checkpoint = load_checkpoint(path)
    tensors = checkpoint.classifier_tensors()
    digest = weights_digest(str(path))
    origin = f"{path.name} ({checkpoint.recipe.name}, SHA-256 {digest})"
    backbone, head = part(tensors, _BACKBONE), part(tensors, _HEAD)
    return _take(classifier, backbone, head, checkpoint.recipe, (path.name, origin), digest, seed)


def _take(
    classifier: SliceClassifier,
    backbone: dict[str, Tensor],
    head: dict[str, Tensor],
    theirs: SliceRecipe,
    name_and_origin: tuple[str, str],
    digest: str | None,
    seed: int,
) -> InitialWeights:
    """The backbone always; the head where it is one of the same classes and width."""
    name, origin = name_and_origin
    _fill_backbone(classifier, backbone, name)
    difference = _head_difference(classifier.recipe, theirs, head)
    if difference:
        return InitialWeights(
            name, "random", f"backbone from {origin}; head random, seed {seed}, as {difference}", digest
        )
    classifier.head.load_state_dict(head)
    return InitialWeights(name, name, f"backbone and head from {origin}", digest)


def _head_difference(ours: SliceRecipe, theirs: SliceRecipe, head: dict[str, Tensor]) -> str | None:
    """Why their head cannot be taken; None where it can."""
    if not head:
        return "none comes with it"
    if theirs.classes != ours.classes:
        return f"its classes are {', '.join(theirs.classes)}"
    if theirs.network.head.hidden != ours.network.head.hidden:
        return f"its head has {theirs.network.head.hidden} hidden units"
    return None


def _fill_backbone(classifier: SliceClassifier, tensors: dict[str, Tensor], name: str) -> None:
    """Every tensor of the backbone must be there, and none left over; BatchNorm's step counts may be absent."""
    own = classifier.backbone.state_dict()
    given = {key: tensor for key, tensor in tensors.items() if key in own}
    counts = {key for key in own if key.endswith(".num_batches_tracked")}
    missing = own.keys() - given.keys() - counts
    surplus = tensors.keys() - own.keys()
    if missing or surplus:
        odd = sorted(missing or surplus)
        what = "lacks" if missing else "has unknown"
        raise WeightsError(f"{name} is not EfficientNet-B0: it {what} {len(odd)} tensors, such as {odd[0]}")
    given[_STEM] = fit_stem(given[_STEM], own[_STEM].shape[1])
    for key, tensor in given.items():
        if tensor.shape != own[key].shape:
            shapes = f"{tuple(tensor.shape)}, wanted {tuple(own[key].shape)}"
            raise WeightsError(f"{name} is not EfficientNet-B0: {key} has shape {shapes}")
    classifier.backbone.load_state_dict(given, strict=False)


def _read_common_form(path: Path) -> dict[str, Tensor]:
    """The feature tensors of a PyTorch file, renamed as MONAI names them, the 1000-class layer left out."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} cannot be read as PyTorch weights ({first}); take another copy of it") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is no plain table of tensors; save a state_dict with torch.save")
    return {_monai_name(key): tensor for key, tensor in state.items() if not key.startswith("_fc.")}


def _monai_name(key: str) -> str:
    """`_blocks.5._bn1.weight`, numbered through, → `_blocks.3.5._bn1.weight`, with the stage before it."""
    match = re.fullmatch(r"_blocks\.(\d+)\.([^0-9].*)", key)
    if not match:
        return key
    block = int(match[1])
    stage = sum(block >= first for first in _FIRST_BLOCKS) - 1
    return f"_blocks.{stage}.{block}.{match[2]}"


_FIRST_BLOCKS = (0, 1, 3, 5, 8, 11, 15)
"""Of B0's seven stages, which repeat 1, 2, 2, 3, 3, 4 and 1 times (Tan & Le 2019, table 1)."""
