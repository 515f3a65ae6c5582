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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that are not part of the project; a test that asks for them skips where they are absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("ICHNOS_SHARED_DATA", beside))
    if not root.is_dir():
        pytest.skip("no real data: set ICHNOS_SHARED_DATA to the folder that holds ct-ich, ge-head-tilt and the rest")
    return root
