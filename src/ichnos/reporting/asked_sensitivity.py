"""What the high-sensitivity point was asked to find, from a scorecard, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

Tree = Mapping[str, Any]


def asked_of_folds(card: Tree) -> float | None:
    """Of a study by folds, each of whose readouts was asked for the same; None where one from before does not say."""
    return card["folds"][0]["readout"].get("high_sensitivity")


def asked_of(card: Tree | None) -> float | None:
    """Of a study by folds or an evaluation; None where its points were set by nobody, or it does not say."""
    if card is None:
        return None
    return asked_of_folds(card) if card["form"] == "ichnos-folds" else card["model"].get("high_sensitivity")


def asked_words(asked: Iterable[float | None]) -> str:
    """`95 %`, of several models `80 % and 95 %`; nothing where one of them does not say."""
    shares = set(asked)
    known = sorted(share for share in shares if share is not None)
    return " and ".join(f"{100 * share:g} %" for share in known) if len(known) == len(shares) else ""
