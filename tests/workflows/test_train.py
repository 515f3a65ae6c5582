"""What training says before it begins: options that part of a recipe has no use of."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ichnos import recipes
from ichnos.training import Execution
from ichnos.workflows import train as module
from tests.training.test_training import Recorder


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("bigru", Execution(precision="bf16-mixed", compile=True), ["--precision bf16-mixed, --compile"]),
        ("bigru", Execution(accumulate=2), ["--accumulate 2"]),
        ("bigru", Execution(precision="32-true", compile=False), []),
        ("bigru", Execution(), []),
        ("paper_model_2", Execution(precision="bf16-mixed", accumulate=2), []),
    ],
)
def test_what_a_network_of_exams_does_without_is_said_once(
    name: str, asked: Execution, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Execution] = []

    def stages(*_: object, execution: Execution, **__: object) -> dict[str, object]:
        given.append(execution)
        return {}

    monkeypatch.setattr(module, "open_data", lambda *_: SimpleNamespace(splits=None))
    monkeypatch.setattr(module, "train_stages", stages)
    told, recipe = Recorder(), recipes.find(name).recipe
    module.train_model(recipe, tmp_path, tmp_path, told, execution=asked)
    ends = "; its network of exams trains in 32-true, on whole batches, not compiled"
    assert told.messages == [f"{name}: its networks of slices alone take {each}{ends}" for each in said]
    assert given == [asked], "the slice stage trains as asked"
