"""Values of options that are more than one word or number."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ichnos.errors import UsageError
from ichnos.subtypes import SUBTYPES, Subtype

if TYPE_CHECKING:
    from ichnos.phantom import Patients


def is_bundle(model: Path) -> bool:
    """Whether a model that was named is a bundle, which is a file, or a run, which is a folder."""
    return model.is_file() or (model.suffix == ".ichnos" and not model.is_dir())


def parse_assignments(
    texts: list[str], wanted: str = "--set wants FIELD=VALUE, such as fit.epochs=3"
) -> dict[str, str]:
    """`--set fit.epochs=3 --set input.size=128` as a mapping. Raises UsageError where one is no FIELD=VALUE."""
    pairs = [text.partition("=") for text in texts]
    for text, (field, sign, _) in zip(texts, pairs, strict=True):
        if not sign or not field:
            raise UsageError(f"{wanted}, got {text!r}")
    return {field: value for field, _, value in pairs}


def parse_prevalence(text: str) -> Mapping[Subtype, float]:
    """`rsna`, `raised`, or `epidural=0.1,subdural=0.3`: the share of exams with each subtype."""
    from ichnos.phantom import RAISED_PREVALENCE, RSNA_PREVALENCE

    if text in ("rsna", "raised"):
        return dict(RSNA_PREVALENCE if text == "rsna" else RAISED_PREVALENCE)
    try:
        return {Subtype(name.strip()): float(share) for name, share in (p.split("=") for p in text.split(","))}
    except ValueError as error:
        names = ", ".join(s.value for s in SUBTYPES)
        raise UsageError(f"--prevalence wants rsna, raised or SUBTYPE=SHARE,... of {names}; got {text!r}") from error


def parse_patients(text: str) -> "Patients":
    """`emergency` or `trauma`: who is scanned."""
    from ichnos.phantom import Patients

    if text not in set(Patients):
        raise UsageError(f"--patients wants {' or '.join(Patients)}, got {text!r}")
    return Patients(text)


def parse_range(text: str) -> tuple[int, int]:
    """`20-60`, or one number for both ends."""
    try:
        low, _, high = text.partition("-")
        return int(low), int(high or low)
    except ValueError as error:
        raise UsageError(f"--slices wants FEWEST-MOST, such as 20-60, got {text!r}") from error


def parse_fractions(text: str) -> tuple[float, ...]:
    """`0.25,0.5,1` as numbers. Raises UsageError where one is none."""
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError as error:
        raise UsageError(f"--shares wants numbers with commas, such as 0.25,0.5,1; got {text!r}") from error


def parse_shares(
    texts: list[str], option: str = "--prevalence", such_as: str = "a share such as 0.06"
) -> dict[Subtype, float]:
    """`--prevalence 0.06 --prevalence epidural=0.01`: a number of each class; one alone is of any hemorrhage."""
    shares: dict[Subtype, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            of, share = Subtype(name.strip() or "any"), float(number)
        except ValueError as error:
            raise UsageError(
                f"{option} wants {such_as}, or CLASS=NUMBER of {', '.join(Subtype)}; got {text!r}"
            ) from error
        if of in shares:
            raise UsageError(f"{option} is given twice for {of}: name each class once")
        shares[of] = share
    return shares


def parse_mapping(texts: list[str]) -> dict[Subtype, tuple[Subtype, ...]]:
    """`--map subdural=epidural+subdural`: the model's class, and those of the set that it is measured against."""
    mapping: dict[Subtype, tuple[Subtype, ...]] = {}
    for text in texts:
        name, _, theirs = text.partition("=")
        try:
            mapping[Subtype(name.strip())] = tuple(Subtype(each.strip()) for each in theirs.split("+"))
        except ValueError as error:
            names = ", ".join(Subtype)
            raise UsageError(
                f"--map wants CLASS=CLASS+CLASS, such as subdural=epidural+subdural, of {names}; got {text!r}"
            ) from error
    return mapping
