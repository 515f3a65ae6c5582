"""Other stacks on the same work: scripts of a clone's benchmarks/peers, as contenders."""

import sys
from contextlib import ExitStack
from pathlib import Path

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
            command = [sys.executable, str(script.resolve()), str(folder / "work.json")]
            begun.append(open_ones.enter_context(Contender(name, command, folder)))
        except BenchmarkError as error:
            refused[name] = str(error)
    return begun, refused
