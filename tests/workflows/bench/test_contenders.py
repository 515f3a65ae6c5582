"""Processes that are measured answer, fail with a reason, and are charged with their own memory alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ichnos.errors import BenchmarkError
from ichnos.workflows.bench import launch
from ichnos.workflows.bench.contenders import Contender, run_command
from ichnos.workflows.bench.wording import peak_of

ANSWERS = """
import json, sys
print(json.dumps({"title": "a peer"}), flush=True)
for number, _ in enumerate(sys.stdin):
    print(json.dumps({"seconds": 0.5, "number": number}), flush=True)
"""


def script(folder: Path, text: str) -> list[str]:
    (folder / "script.py").write_text(text)
    return [sys.executable, str(folder / "script.py")]


def test_it_answers_once_each_time(tmp_path: Path) -> None:
    with Contender("peer", script(tmp_path, ANSWERS), tmp_path) as contender:
        assert contender.about == {"title": "a peer"}
        assert [contender.once()["number"] for _ in range(3)] == [0, 1, 2]
        taken = contender.close()
    assert taken is not None
    assert taken.seconds > 0
    assert taken.exit_code == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_the_kind", "No module named 'nothing_of_the_kind'"),
        ("from ichnos.errors import WeightsError\nraise WeightsError('no weights')", "gave no answer: no weights"),
        ("", "it said nothing"),
        ("print('Loading weights', flush=True); input()", "'Loading weights', which is no line of JSON"),
        ("print('[1]', flush=True); input()", "no line of JSON"),
    ],
)
def test_what_is_no_contender_says_why(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BenchmarkError, match="peer gave no answer") as raised:
        Contender("peer", script(tmp_path, text), tmp_path)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("print('{}', flush=True); input(); raise MemoryError('too much')", "MemoryError: too much"),
        ("print('{}', flush=True); input(); print('{}', flush=True)", "without `seconds`"),
        ("print('{}', flush=True)", "it said nothing"),
    ],
)
def test_one_that_fails_later_says_why(tmp_path: Path, text: str, reason: str) -> None:
    with (
        Contender("peer", script(tmp_path, text), tmp_path) as contender,
        pytest.raises(BenchmarkError) as raised,
    ):
        contender.once()
    assert reason in str(raised.value)


def test_memory_is_the_commands_own(tmp_path: Path) -> None:
    held = np.ones(40_000_000)  # 320 MB in this process, which must not be charged to a child
    small = run_command(script(tmp_path, "pass"), tmp_path)
    large = run_command(script(tmp_path, "b = b'1' * 200_000_000"), tmp_path)
    assert held.nbytes / 1e6 > 300
    assert small.peak_mb < 100
    assert 200 < large.peak_mb < 300
    assert small.cpu_seconds > 0


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="a command that is measured failed: SystemError: no"):
        run_command(script(tmp_path, "raise SystemError('no')"), tmp_path)


SLOW_TO_END = """
import json, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests themselves run in the background
try:
    print(json.dumps({"title": "a peer"}), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)  # as a training that finishes its step
    Path(sys.argv[1]).write_text("ended")
"""


def test_what_is_stopped_has_ended_before_its_folder_goes(tmp_path: Path) -> None:
    """Ctrl-C reaches the command and whoever began it alike."""
    left = tmp_path / "left"
    (tmp_path / "script.py").write_text(SLOW_TO_END)
    launcher = Path(launch.__file__)
    words = [sys.executable, str(launcher), str(tmp_path / "taken.json"), sys.executable, str(tmp_path / "script.py")]
    with subprocess.Popen(
        [*words, str(left)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
        assert left.exists()


def test_a_peer_that_ends_badly_has_no_memory_to_tell() -> None:
    assert peak_of({"peak_mb": None}) == "memory not known"
    assert peak_of({"peak_mb": 1200}) == "1,200 MB"
