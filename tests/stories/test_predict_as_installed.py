"""`ichnos predict` as it is after the install: the included bundle, a real head, no network."""

import json
import subprocess
import sys
from pathlib import Path

from ichnos.subtypes import CLASSES

WITHOUT_NETWORK = """
import runpy, socket, sys

def refuse(*_, **__):
    raise SystemExit("it asked for the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
sys.argv[0] = "ichnos"
runpy.run_module("ichnos", run_name="__main__")
"""


def test_a_real_head_is_read_offline_and_whole(shared_data: Path, tmp_path: Path) -> None:
    words = ["predict", str(shared_data / "ge-head-tilt"), "--out", str(tmp_path / "out"), "--format", "json,html,sr"]
    command = [sys.executable, "-c", WITHOUT_NETWORK, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    folder = tmp_path / "out" / "exam-001"
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    assert [each["index"] for each in findings["slices"]] == list(range(28))
    assert all(set(each["probabilities"]) == set(CLASSES) for each in findings["slices"])
    assert findings["any"]["probability"] >= max(each["probability"] for each in findings["subtypes"])
    assert "a demonstration" in findings["doubts"][0]
    assert "not a medical device" in (folder / "report.html").read_text(encoding="utf-8").lower()
    assert (folder / "sr.dcm").stat().st_size > 1000
