"""What tests of every room may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.pop("ICHNOS_BUNDLE", None)  # what whoever runs the tests takes unasked is not what they test
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests stand side by side, a core each, and their images are small


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that none of them is left to the end, beside idle cores."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Figures are made and not drawn, which takes longer than all else that a small report needs. For tests that look
    at numbers and words; those of reporting/ draw."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, file, **_: file.write(b"undrawn"))
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks and images so small that torch's threads only wait for each other, for long where tests run side by
    side."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unexported() -> Iterator[None]:
    """A field study's costs are made up. They have tests of their own, and to export a network takes longer than to
    train one that is so small."""
    untimed = {"parameters": 1, "multiply_adds": 1, "slices": 36, "bundle_bytes": 1, "seconds": 0.1, "note": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ichnos.workflows.field.costs_of_runs", lambda runs, _: dict.fromkeys(runs, untimed))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that are not part of the project; a test that asks for them skips where they are absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("ICHNOS_SHARED_DATA", beside))
    if not root.is_dir():
        pytest.skip("no real data: set ICHNOS_SHARED_DATA to the folder that holds ct-ich, ge-head-tilt and the rest")
    return root
