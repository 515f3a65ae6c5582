"""What a recipe says of its input, its networks and its training, in words: for a manuscript."""

from collections.abc import Callable, Mapping

from ichnos.recipe import AnyKind, EnsembleRecipe, ExamRecipe, InputSpec, Sampling, SequenceHead, SliceRecipe
from ichnos.recipe import WindowMerge as Merge
from ichnos.subtypes import Subtype


def road_words(road: InputSpec) -> str:
    """What a network sees of a slice, from HU on: `L40 W80 and L80 W200, their mean, 96 px`."""
    windows = " and ".join(f"L{window.level:g} W{window.width:g}" for window in road.windows)
    parts = [windows]
    if len(road.windows) > 1:
        parts.append("their mean" if road.merge is Merge.MEAN else "a channel each")
    if road.raw_hu:
        parts.append("raw HU beside them")
    if road.neighbours:
        parts.append(f"{road.slices} slices {road.neighbour_spacing:g} mm apart")
    return ", ".join([*parts, f"{road.size} px"])


def network_words(stage: SliceRecipe) -> str:
    """The backbone, and whether it is trained."""
    return stage.network.backbone + (", frozen" if stage.network.frozen else "")


def balance_words(stage: SliceRecipe) -> str:
    """What is done about classes of few slices."""
    loss = stage.fit.loss
    parts = [
        {
            Sampling.NATURAL: "each slice once an epoch",
            Sampling.BALANCED: "the classes take turns in each batch",
            Sampling.EXAM: "one slice of each exam in turn",
        }[stage.sampling]
    ]
    if loss.kind != "bce":
        parts.append(f"{loss.kind} loss")
    if loss.positives == "balanced":
        parts.append("a class's positives weigh as much as its negatives")
    if loss.weights:
        said = ", ".join(f"{c.value} {weight:g}" for c, weight in loss.weights.items())
        parts.append(f"outputs weighted ({said})")
    if stage.synthetic:
        share = f"{100 * stage.synthetic.share:g} % of each batch has drawn lesions"
        parts.append(f"{share} ({', '.join(stage.synthetic.subtypes)})" if _some(stage) else share)
    return ", ".join(parts)


def _some(stage: SliceRecipe) -> bool:
    """Whether only some of the subtypes are drawn."""
    return stage.synthetic is not None and set(stage.synthetic.subtypes) < set(Subtype) - {Subtype.ANY}


def training_words(stage: SliceRecipe) -> str:
    """How it is trained: rate, batch, epochs, augmentation, averaged weights."""
    fit = stage.fit
    parts = [
        f"Adam at {fit.learning_rate:g}" + (", cosine" if fit.schedule == "cosine" else ""),
        f"batches of {fit.batch_size}",
        f"at most {fit.epochs} epochs",
        "augmented" if stage.augmentation else "not augmented",
    ]
    parts += [f"weights averaged ({fit.averaging.kind.upper()})"] if fit.averaging else []
    parts += ["an auxiliary head of masks"] if stage.segmentation else []
    return ", ".join(parts)


def epoch_words(stage: SliceRecipe) -> str:
    """Which epoch is kept."""
    best = "the lowest loss" if stage.fit.best == "loss" else "the highest mean AUC"
    patience = stage.fit.patience
    return best + (f"; stopped after {patience} epochs without a better one" if patience else "")


def joined_words(recipe: AnyKind) -> str:
    """How several models within become one; of one model nothing."""
    match recipe:
        case EnsembleRecipe():
            how = {
                "mean": "the weighted mean of their logits",
                "rank": "the weighted mean of the places of their logits",
                "stacking": "a logistic regression a class on their logits, fitted on validation patients",
            }[recipe.combine]
            return f"{len(recipe.members)} members, {how}"
        case ExamRecipe():
            over = f"a {recipe.head.kind} over each exam" if isinstance(recipe.head, SequenceHead) else "boosted trees"
            within = joined_words(recipe.slices)
            return f"{within}; then {over}" if within else over
        case _:
            return "" if isinstance(recipe, SliceRecipe) else recipe.in_words


def by_words(recipes: Mapping[str, AnyKind], say: Callable[[SliceRecipe], str]) -> str:
    """What is said of every stage of these recipes, each sentence once, with who it is of: `a (x, y); b (z/gate)`.

    Of one recipe of one model the sentence alone.
    """
    who: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        said = {path: say(stage) for path, stage in recipe.stages.items()}
        if len(set(said.values())) == 1:
            who.setdefault(next(iter(said.values())), []).append(name)
            continue
        for path, words in said.items():
            who.setdefault(words, []).append(f"{name}/{path}")
    if len(who) == 1:
        return next(iter(who))
    return "; ".join(f"{words} ({', '.join(names)})" for words, names in who.items())
