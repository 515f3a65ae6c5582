"""What the contenders of `ichnos bench train` answered, as figures: rates, and ratios taken round by round."""

from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.workflows.bench.figures import parts_of, ratios, spread

Tree = dict[str, Any]

Answers = Mapping[str, Sequence[Tree]]
"""Of each contender, a round each."""

_FLOORS = ("copied", "on_device", "eager", "raw")
"""What nothing is faster than, and the network without torch.compile."""

_OF_PEERS = ("fed", "trained")
"""What a peer may have measured: it answers with `seconds` and `slices` of each."""


def our_figures(answers: Answers, peaks: Mapping[str, int | None]) -> Tree:
    """What ours have answered, with the peak memory of each in MB."""
    rates = {name: _rates(said) for name, said in answers.items() if "slices" in said[0]}

    def told(name: str) -> Tree:
        return {"slices_a_second": spread(rates[name]), "peak_mb": peaks[name]}

    floor = {name: told(name) for name in _FLOORS if name in rates}
    if "eager" in floor:
        floor["eager"] |= {"compiled_to_it": ratios(rates["on_device"], rates["eager"])}
    trained = told("trained") | {"to_floor": ratios(rates["trained"], rates["on_device"])}
    trained |= {"beside_s": spread([each["beside"] for each in answers["trained"]])}
    trained |= {"gpu_mb": answers["trained"][-1]["gpu_mb"]}
    figures = {
        "fed": told("fed") | {"to_floor": ratios(rates["fed"], rates["copied"])},
        "trained": trained | answers["on_device"][0]["about"],
        "parts_ms": parts_of(answers["parts"]),
        "floor": floor,
    }
    if "cold" in rates:
        figures["cold"] = told("cold") | {"to_floor": ratios(rates["cold"], rates["raw"])}
        for name, each in (("cold", figures["cold"]), ("raw", floor["raw"])):
            each["from_disk"] = _share(answers[name])
    return figures


def peer_figures(about: Tree, answers: Answers, name: str, peaks: Mapping[str, int | None]) -> Tree:
    """What a peer says of itself, and of all that it measured its rate and how many times as fast ours is."""
    figures: Tree = about | {"peak_mb": peaks[name]}
    for what in _OF_PEERS:
        if what in answers[name][0]:
            theirs, ours = _rates([each[what] for each in answers[name]]), _rates(answers[what])
            figures[what] = {"slices_a_second": spread(theirs), "ours_to_it": ratios(ours, theirs)}
    return figures


def _rates(said: Sequence[Tree]) -> list[float]:
    """Slices a second."""
    return [each["slices"] / each["seconds"] for each in said]


def _share(said: Sequence[Tree]) -> float | None:
    """The least of any round's bytes that a disk gave; None where nobody counts."""
    shares = [each["from_disk"] for each in said]
    return None if None in shares else round(min(shares), 3)
