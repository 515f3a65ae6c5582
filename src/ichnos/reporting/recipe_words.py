"""What a recipe says of its input, its networks and its training, in words: for a manuscript."""

from collections.abc import Callable, Mapping

from ichnos.counting import counted
from ichnos.recipe import (
    EXAM,
    AnyKind,
    EnsembleRecipe,
    ExamFit,
    ExamRecipe,
    Fit,
    InputSpec,
    Sampling,
    SequenceHead,
    SliceRecipe,
    exam_networks,
    join,
)
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
        f"at most {counted(fit.last_epoch, 'epoch')}",
        "augmented" if stage.augmentation else "not augmented",
    ]
    parts += [f"weights averaged ({fit.averaging.kind.upper()})"] if fit.averaging else []
    parts += ["an auxiliary head of masks"] if stage.segmentation else []
    return ", ".join(parts)


def exam_training_words(fit: ExamFit) -> str:
    """The same of a network of exams."""
    rate = f"Adam at {fit.learning_rate:g}" + (", cosine" if fit.schedule == "cosine" else "")
    return f"{rate}, batches of {counted(fit.batch_size, 'exam')}, at most {counted(fit.last_epoch, 'epoch')}"


def epoch_words(fit: Fit | ExamFit) -> str:
    """Which epoch is kept."""
    best = "the lowest loss" if fit.best == "loss" else "the highest mean AUC"
    return best + (f", stopped after {fit.patience} without a better one" if fit.patience else "")


_HEADS = {
    "gru": "a GRU in both directions",
    "lstm": "an LSTM in both directions",
    "conv-lstm": "a convolutional LSTM in both directions",
    "transformer": "a transformer",
    "two-stage": "two GRU, one after the other,",
    "dense": "dense layers",
}


def joined_words(recipe: AnyKind) -> str:
    """How several models within become one; of one model nothing."""
    match recipe:
        case EnsembleRecipe():
            mean = "the weighted mean" if len(set(recipe.shares)) > 1 else "the mean"
            how = {
                "mean": f"{mean} of their logits",
                "rank": f"{mean} of the places of their logits",
                "stacking": "a logistic regression a class on their logits, fitted on validation patients",
            }[recipe.combine]
            exams = {name: member for name, member in recipe.members.items() if isinstance(member, ExamRecipe)}
            over = [f"in {name} {joined_words(member)}" for name, member in exams.items()]
            return "; ".join([f"{len(recipe.members)} members, {how}", *over])
        case ExamRecipe():
            over = _HEADS[recipe.head.kind] if isinstance(recipe.head, SequenceHead) else "boosted trees"
            over += " over each slice" if recipe.head.kind == "dense" else " over each exam"
            within = joined_words(recipe.slices)
            return f"{within}; then {over}" if within else over
        case _:
            return "" if isinstance(recipe, SliceRecipe) else recipe.in_words


def by_words(
    recipes: Mapping[str, AnyKind],
    say: Callable[[SliceRecipe], str],
    say_of_exams: Callable[[ExamFit], str] | None = None,
) -> str:
    """What is said of every stage of these recipes, and of their networks of exams, with whom it is of: see `grouped`.

    A stage is `recipe/stage` where not all stages of a recipe are alike, a network of exams `recipe/exam`.
    """
    told: dict[str, str] = {}
    for name, recipe in recipes.items():
        said = {path: say(stage) for path, stage in recipe.stages.items()}
        alike = len(set(said.values())) == 1
        told |= {name: next(iter(said.values()))} if alike else {f"{name}/{path}": w for path, w in said.items()}
        if say_of_exams is not None:
            told |= {f"{name}/{join(path, EXAM)}": say_of_exams(e.fit) for path, e in exam_networks(recipe).items()}
    return grouped(told)


def grouped(told: Mapping[str, str]) -> str:
    """Each sentence once, with whom it is of: `a (x, y); b (z)`. Where there is one for all, it alone."""
    who: dict[str, list[str]] = {}
    for name, words in told.items():
        who.setdefault(words, []).append(name)
    if len(who) == 1:
        return next(iter(who))
    return "; ".join(f"{words} ({', '.join(names)})" for words, names in who.items())
