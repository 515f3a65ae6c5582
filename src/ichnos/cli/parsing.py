"""Values of options that are more than one word or number."""

from collections.abc import Mapping

from ichnos.errors import UsageError
from ichnos.subtypes import SUBTYPES, Subtype


def parse_assignments(texts: list[str]) -> dict[str, str]:
    """`--set fit.epochs=3 --set input.size=128` as a mapping. Raises UsageError where one is no FIELD=VALUE."""
    pairs = [text.partition("=") for text in texts]
    for text, (field, sign, _) in zip(texts, pairs, strict=True):
        if not sign or not field:
            raise UsageError(f"--set wants FIELD=VALUE, such as fit.epochs=3, got {text!r}")
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


def parse_range(text: str) -> tuple[int, int]:
    """`20-60`, or one number for both ends."""
    try:
        low, _, high = text.partition("-")
        return int(low), int(high or low)
    except ValueError as error:
        raise UsageError(f"--slices wants FEWEST-MOST, such as 20-60, got {text!r}") from error
