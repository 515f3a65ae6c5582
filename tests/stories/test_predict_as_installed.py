"""`ichnos predict` as it is after the install: the included bundle, a real head, no network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ichnos.reporting.exam import Format
from ichnos.subtypes import CLASSES
from tests.reporting.exam.tools import errors_by_dciodvfy

WITHOUT_NETWORK = """
import runpy, socket, sys

def refuse(*_, **__):
    raise SystemExit("it asked for the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
sys.argv[0] = "ichnos"
runpy.run_module("ichnos", run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written of a real head, in every form."""
    out = tmp_path_factory.mktemp("installed") / "out"
    words = ["predict", str(shared_data / "ge-head-tilt"), "--out", str(out), "--format", ",".join(Format)]
    command = [sys.executable, "-c", WITHOUT_NETWORK, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return out / "exam-001"


def test_a_real_head_is_read_offline_and_whole(folder: Path) -> None:
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    assert [each["index"] for each in findings["slices"]] == list(range(28))
    assert all(set(each["probabilities"]) == set(CLASSES) for each in findings["slices"])
    assert findings["any"]["probability"] >= max(each["probability"] for each in findings["subtypes"])
    assert "a demonstration" in findings["doubts"][0]
    assert "not a medical device" in (folder / "report.html").read_text(encoding="utf-8").lower()
    assert (folder / "sr.dcm").stat().st_size > 1000


def test_dciodvfy_finds_no_error_in_what_is_said_of_it(folder: Path) -> None:
    """The included bundle's own maps, whose values are below 1: those that other tests make up are not."""
    objects = sorted(folder.glob("*.dcm"))
    assert {"sr.dcm", "key-objects.dcm", "heatmap-any.dcm", "map-any.dcm"} <= {path.name for path in objects}
    for path in objects:
        errors = errors_by_dciodvfy(path)
        assert not errors, f"{path.name}: {errors}"
