"""Other stacks on the same work: scripts of a clone's benchmarks/peers, as contenders."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ichnos
from ichnos.errors import BenchmarkError
from ichnos.workflows.bench.contenders import Contender

PEERS = Path(ichnos.__file__).parents[2] / "benchmarks" / "peers"
"""Where the scripts of other stacks lie in a clone; an installed package has none."""


def begin_peers(
    benchmark: str, scripts: Path | None, folder: Path, open_ones: ExitStack
) -> tuple[list[Contender], dict[str, str]]:
    """The scripts `BENCHMARK_*.py` that could be begun on the folder's work.json, and for the others why not."""
    begun: list[Contender] = []
    refused: dict[str, str] = {}
    for script in sorted(scripts.glob(f"{benchmark}_*.py")) if scripts else []:
        name = script.stem.removeprefix(f"{benchmark}_")
        try:
            command = [_python_of(script, name), str(script.resolve()), str(folder / "work.json")]
            begun.append(open_ones.enter_context(Contender(name, command, folder)))
        except BenchmarkError as error:
            refused[name] = str(error)
    return begun, refused


def _python_of(script: Path, name: str) -> str:
    """Ours, or that of a virtual environment beside the script: of its name and `.venv`, else of the same peer of
    another benchmark, as predict_keras.venv is for train_keras.py."""
    own = script.with_suffix(".venv")
    for environment in (own, *sorted(script.parent.glob(f"*_{name}.venv"))):
        python = environment / "bin" / "python"
        if python.exists():
            return str(python.absolute())
    return sys.executable


def ask_in_turn(
    ours: Sequence[Contender], peers: Sequence[Contender], refused: dict[str, str], answers: dict[str, list[Any]]
) -> None:
    """One round: what every contender answers goes to the others of its name. A peer that ends instead goes into
    `refused`, with why, and is asked no more. Raises BenchmarkError where one of ours ends."""
    for each in ours:
        answers.setdefault(each.name, []).append(each.once())
    for each in [peer for peer in peers if peer.name not in refused]:
        try:
            answers.setdefault(each.name, []).append(each.once())
        except BenchmarkError as error:
            refused[each.name] = str(error)
            answers.pop(each.name, None)
