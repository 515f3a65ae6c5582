"""`ichnos bench`: what is asked in vain is said at once, and what was measured is not lost."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ichnos.cli import failures
from ichnos.cli.main import app, run
from ichnos.errors import OutputError
from ichnos.workflows.bench import evaluate, growth, predict, prepare, train

BENCHMARKS = {"predict": predict, "evaluate": evaluate, "prepare": prepare, "train": train, "growth": growth}


def bench(monkeypatch: pytest.MonkeyPatch, name: str, measured: Callable[..., Any], *words: str) -> int:
    """The exit code of the command, whose measuring is replaced."""
    monkeypatch.setattr(BENCHMARKS[name], f"bench_{name}", measured)
    monkeypatch.setattr(sys, "argv", ["ichnos", "bench", name, *words])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def never(*_: object) -> None:
    pytest.fail("measured, though the result cannot be written")


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize(("out", "complaint"), [("taken/out.json", "Not a directory"), (".", "it is a folder")])
def test_where_nothing_can_be_written_nothing_is_measured(
    name: str,
    out: str,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert bench(monkeypatch, name, never, "--out", str(tmp_path / out)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"ichnos: cannot write {tmp_path / out}: {complaint}")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", BENCHMARKS)
def test_one_that_is_stopped_does_not_say_that_anything_is_kept(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "a" / "out.json"
    assert bench(monkeypatch, name, stopped, "--out", str(out)) == failures.STOPPED
    said = capsys.readouterr().err
    assert "Stopped. Nothing is kept of it" in said
    assert "What was finished is kept" not in said
    assert list(tmp_path.iterdir()) == [], "its folder is made when there is something to write"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_cannot_be_written_in_the_end_is_printed(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("ichnos.files.write_json", full)
    monkeypatch.setattr("ichnos.workflows.bench.table.growth_rows", lambda tree: [(tree["what"], "1 s", "≤ 2 s")])
    monkeypatch.setattr("ichnos.workflows.bench.table.growth_circumstances", lambda _: "On this machine.")
    measured = {"what": "a slice"}
    assert bench(monkeypatch, "growth", lambda *_: measured, *words, "--out", str(tmp_path / "out.json")) == 1
    printed = capsys.readouterr()
    assert printed.out == ('{\n  "what": "a slice"\n}\n' if words else "a slice: 1 s  (aim: ≤ 2 s)\nOn this machine.\n")
    assert "the disk is full" in printed.err


def test_help_is_not_cut_short() -> None:
    listed = CliRunner().invoke(app, ["bench", "--help"], terminal_width=80).output
    assert "growth" in listed
    assert "..." not in listed.replace("COMMAND [ARGS]...", "")
    told = " ".join(CliRunner().invoke(app, ["bench", "train", "--help"], terminal_width=80).output.split())
    assert "cuda:1 of several" in told
    assert "by default 32-true on a CPU" in told
