"""What tests of every room may ask for."""

import os
from pathlib import Path

import pytest

os.environ.pop("ICHNOS_BUNDLE", None)  # what whoever runs the tests takes unasked is not what they test


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that are not part of the project; a test that asks for them skips where they are absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("ICHNOS_SHARED_DATA", beside))
    if not root.is_dir():
        pytest.skip("no real data: set ICHNOS_SHARED_DATA to the folder that holds ct-ich, ge-head-tilt and the rest")
    return root
