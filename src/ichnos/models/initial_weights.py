"""First weights: random, ImageNet's, the phantom's, a checkpoint's, or a backbone's in the common PyTorch form."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ichnos.errors import WeightsError
from ichnos.models.backbones import fit_stem
from ichnos.models.checkpoint import load_checkpoint, part
from ichnos.models.classifier import SliceClassifier
from ichnos.models.imagenet_weights import digest_prefix, imagenet_file
from ichnos.models.phantom_weights import FILES, phantom_weights
from ichnos.progress import SILENT, Progress
from ichnos.recipe import Network, SliceRecipe, explain

_BACKBONE = "backbone."
_HEAD = "head."


@dataclass(frozen=True)
class InitialWeights:
    """Which weights a classifier began with."""

    backbone: str
    """`random`, `imagenet`, `phantom`, `phantom-2.5d`, `phantom-160`, or the name of the file."""
    head: str
    """`random`, `phantom-2.5d`, `phantom-160`, or the name of the file."""
    remark: str
    """One sentence for the journal and for people."""
    digest: str | None = None
    """16 hex digits of the SHA-256 of the file that they were read from."""
    learnt_from: tuple[dict[str, Any], ...] = ()
    """Where a checkpoint of ours was the file: the origins of all the data that its own training saw."""


def initialise(classifier: SliceClassifier, init: str, *, seed: int, progress: Progress = SILENT) -> InitialWeights:
    """Give a classifier its first weights, as `Network.init` names them. What they leave open is random by the seed.

    Raises WeightsError where there are none for the backbone, or where a file is absent, damaged, or does not fit the
    backbone to the last tensor.
    """
    fresh = SliceClassifier.seeded(classifier.recipe, seed)
    classifier.load_state_dict(fresh.state_dict())
    network = _network(classifier, init)
    if init == "random":
        return InitialWeights("random", "random", f"random first weights, seed {seed}")
    path = find_weights(network, progress)
    assert path is not None  # of random ones alone there is no file
    digest = weights_digest(network)
    if init == "imagenet":
        return _take_common_form(classifier, path, ("imagenet", "ImageNet"), digest, seed)
    if init in FILES:
        weights = phantom_weights(path)
        name = (init, f"{init} (synthetic heads)")
        return _take(classifier, weights.backbone, weights.head, weights.recipe, name, digest, seed)
    if path.suffix == ".safetensors":
        return _take_checkpoint(classifier, path, seed)
    return _take_common_form(classifier, path, (path.name, f"{path.name} (SHA-256 {digest})"), digest, seed)


def find_weights(network: Network, progress: Progress = SILENT) -> Path | None:
    """The file of first weights, ImageNet's downloaded if they are not in the cache yet; None for random ones.

    Raises WeightsError, in one line that says what to do, where they cannot be had.
    """
    init = network.init
    if init == "random":
        return None
    if init == "imagenet":
        return imagenet_file(progress, _released_at(network))
    path = FILES[init] if init in FILES else Path(init).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"network.init is none of imagenet, {', '.join(FILES)}, random, nor a file: no file at {path}"
        )
    return path


def weights_digest(network: Network) -> str | None:
    """16 hex digits of the SHA-256 of the file of first weights (8 for ImageNet's); None for random or no file."""
    init = network.init
    if init == "random":
        return None
    if init == "imagenet":
        return digest_prefix(_released_at(network))
    path = FILES[init] if init in FILES else Path(init).expanduser()
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _network(classifier: SliceClassifier, init: str) -> Network:
    """The recipe's network, begun from `init`. Raises WeightsError where there are no such weights of its backbone."""
    tree = classifier.recipe.network.model_dump(mode="json") | {"init": init, "frozen": False}
    try:
        return Network.model_validate(tree)
    except ValidationError as error:
        raise WeightsError(explain(error)) from error


def _released_at(network: Network) -> str:
    assert network.facts is not None  # the grammar refuses `imagenet` of networks without
    assert network.facts.weights is not None
    return network.facts.weights


def _take_common_form(
    classifier: SliceClassifier, path: Path, name_and_origin: tuple[str, str], digest: str | None, seed: int
) -> InitialWeights:
    name, origin = name_and_origin
    _fill_backbone(classifier, classifier.backbone.renamed(_read_common_form(path)), name)
    return InitialWeights(name, "random", f"backbone from {origin}, head random, seed {seed}", digest)


def _take_checkpoint(classifier: SliceClassifier, path: Path, seed: int) -> InitialWeights:
    checkpoint = load_checkpoint(path)
    tensors = checkpoint.classifier_tensors()
    digest = weights_digest(_network(classifier, str(path)))
    origin = f"{path.name} ({checkpoint.recipe.name}, SHA-256 {digest})"
    backbone, head = part(tensors, _BACKBONE), part(tensors, _HEAD)
    taken = _take(classifier, backbone, head, checkpoint.recipe, (path.name, origin), digest, seed)
    return replace(taken, learnt_from=tuple(origins(checkpoint.metadata)))


def origins(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a checkpoint's metadata: each set, and its split, that it or what it began from was trained with."""
    own = metadata.get("origin") or {}
    before = (metadata.get("first_weights") or {}).get("learnt_from", ())
    return [*(own.get("sets") or ([own] if own else [])), *before]


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
    ours = classifier.recipe.network.backbone
    if theirs.network.backbone != ours:
        raise WeightsError(f"{name} holds {theirs.network.backbone}, the recipe names {ours}: give one or the other")
    _fill_backbone(classifier, backbone, name, theirs.input.raw_channels)
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
        return f"its head has {theirs.network.head.hidden or 'no'} hidden units"
    return None


def _fill_backbone(
    classifier: SliceClassifier, tensors: dict[str, Tensor], name: str, raw: tuple[int, ...] = ()
) -> None:
    """Every tensor of the backbone must be there, and none left over; BatchNorm's step counts may be absent.

    raw: which of their input channels are raw HU.
    """
    wanted, stem = classifier.recipe.network.backbone, classifier.backbone.stem
    own = classifier.backbone.state_dict()
    given = {key: tensor for key, tensor in tensors.items() if key in own}
    counts = {key for key in own if key.endswith(".num_batches_tracked")}
    missing = own.keys() - given.keys() - counts
    surplus = tensors.keys() - own.keys()
    if missing or surplus:
        odd = sorted(missing or surplus)
        what = "lacks" if missing else "has unknown"
        raise WeightsError(f"{name} is not {wanted}: it {what} {len(odd)} tensors, such as {odd[0]}")
    given[stem] = fit_stem(given[stem], own[stem], classifier.recipe.input.raw_channels, raw)
    for key, tensor in given.items():
        if tensor.shape != own[key].shape:
            shapes = f"{tuple(tensor.shape)}, wanted {tuple(own[key].shape)}"
            raise WeightsError(f"{name} is not {wanted}: {key} has shape {shapes}")
    classifier.backbone.load_state_dict(given, strict=False)


def _read_common_form(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file: a plain table, as torch.save writes a state_dict. No code of it is run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} cannot be read as PyTorch weights ({first}); take another copy of it") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is no plain table of tensors; save a state_dict with torch.save")
    return state
