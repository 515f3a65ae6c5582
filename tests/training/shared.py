"""One process of several that train tiny runs together, as tests start it.

`torchrun -m tests.training.shared SCENARIOS`: a JSON list of `Scenario`, which are gone through one after the other.
Each process leaves NAME.RANK.json beside each run: {"error": its kind or None, "said": its words, "epochs"}, and
threads.RANK.json: the names of those of its threads that Python finds when it takes itself down.
"""

import atexit
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import torch

from ichnos.models import SliceClassifier
from ichnos.recipe import SliceRecipe
from ichnos.training import Execution, TrainingSlices, train
from ichnos.training.loss import MultilabelLoss
from ichnos.training.session import Session
from tests.training.conftest import parts

SLICES = (22, 9)
"""Of training and validation; shares are uneven."""


ROOM = 2
"""Slices at once, where memory is short."""


@dataclass(frozen=True)
class Scenario:
    """A run, and what goes wrong in it."""

    name: str
    recipe: str
    """JSON."""
    runs: str
    """The folder in which the run `name` lies."""
    fails: str | None = None
    """`read`, `nan`, `signal`, `killed` or `other slices`: on process `by`, after `at` steps; `memory` (for more than
    ROOM slices at once) and `memory in validation`: on process `by`."""
    by: int = 1
    at: int = 3
    device: str = "cpu"
    accumulate: int = 1

    @property
    def run(self) -> Path:
        return Path(self.runs) / self.name

    def outcome(self, rank: int) -> Path:
        return Path(self.runs) / f"{self.name}.{rank}.json"


def words(scenarios: list[Scenario]) -> list[str]:
    """What to give to python or torchrun."""
    return ["-m", "tests.training.shared", json.dumps([asdict(each) for each in scenarios])]


def slices(scenario: Scenario, rank: int) -> tuple[TrainingSlices, TrainingSlices]:
    fewer = 2 if scenario.fails == "other slices" and rank == scenario.by else 0
    return parts(SLICES[0] - fewer, SLICES[1], size=32)


@contextmanager
def trouble(scenario: Scenario, rank: int) -> Iterator[None]:
    """Put it into the session's own road, which every process goes."""
    between, loss_of, logits = Session._between_steps, Session._loss_of, SliceClassifier.logits
    learnt = MultilabelLoss.forward

    def troubled(self: Session, *given):
        if self._steps_done() == scenario.at:
            if scenario.fails == "read":
                raise OSError(5, "Input/output error")
            if scenario.fails in ("signal", "killed"):
                os.kill(os.getpid(), signal.SIGTERM if scenario.fails == "signal" else signal.SIGKILL)
        return between(self, *given)

    def loss_in_trouble(self: Session, *given):
        logits, loss = loss_of(self, *given)
        return logits, loss * float("nan") if self._steps_done() == scenario.at and scenario.fails == "nan" else loss

    def short(self: MultilabelLoss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if scenario.fails == "memory" and len(logits) > ROOM:
            torch.empty(10**15)  # more than any computer has
        return learnt(self, logits, targets)

    def crowded(self: SliceClassifier, unit: torch.Tensor) -> torch.Tensor:
        if not self.training and scenario.fails == "memory in validation":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits(self, unit)

    with patch.object(Session, "_between_steps", troubled):
        if rank != scenario.by or scenario.fails is None:
            scenario = Scenario("none", "", "")
        with (
            patch.object(Session, "_loss_of", loss_in_trouble),
            patch.object(MultilabelLoss, "forward", short),
            patch.object(SliceClassifier, "logits", crowded),
        ):
            yield


def note_threads(file: Path) -> None:
    file.write_text(json.dumps([each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]))


def main() -> None:
    """Go through the scenarios; whatever ends one of them does not end the others."""
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    scenarios = [Scenario(**tree) for tree in json.loads(sys.argv[1])]
    atexit.register(note_threads, Path(scenarios[0].runs) / f"threads.{rank}.json")  # the first to register is the last
    for scenario in scenarios:
        recipe = SliceRecipe.model_validate_json(scenario.recipe)
        error, epochs = None, None
        execution = Execution(accumulate=scenario.accumulate)
        with trouble(scenario, rank):
            try:
                data, run, device = slices(scenario, rank), scenario.run, scenario.device
                epochs = train(recipe, *data, run, device=device, execution=execution).epochs
            except (Exception, KeyboardInterrupt) as raised:
                error = raised
        tree = {"error": error and type(error).__name__, "said": str(error), "epochs": epochs}
        scenario.outcome(rank).write_text(json.dumps(tree))


if __name__ == "__main__":
    main()
