"""The command line: help for every verb, one line an error, exit codes that a machine can tell apart."""

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ichnos.cli import failures
from ichnos.cli.main import app, run
from ichnos.cli.parsing import parse_shares
from ichnos.errors import RecipeError, SetError, UsageError
from ichnos.subtypes import Subtype

ROOT = Path(__file__).parents[2]


def ichnos(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ichnos", *words])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def verbs(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if not children:
        return [path]
    return [each for name, child in children.items() for each in verbs(child, (*path, name))]


VERBS = verbs(typer.main.get_command(app))


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help_and_stands_in_the_docs(verb: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert len(result.output.split("Usage:")[1].splitlines()[2].strip()) > 20, "no sentence of help"
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"ichnos {' '.join(verb)}" in page.read_text() for page in pages), "not in README or docs"


def test_recipes_as_text_and_as_json() -> None:
    listed = CliRunner().invoke(app, ["recipes"])
    assert "paper_model_3" in listed.stdout
    shown = CliRunner().invoke(app, ["recipes", "paper_model_3", "--json"])
    assert json.loads(shown.stdout)["classes"] == ["intraparenchymal", "intraventricular", "subarachnoid", "subdural"]
    cost = "densenet169: 12.5 million parameters, 3.36 GFLOP a slice at 224 px, about 4.4 at its 256 px"
    assert cost in CliRunner().invoke(app, ["recipes", "wang_slice"]).stdout
    text = CliRunner().invoke(app, ["recipes", "paper_model_3"]).stdout
    assert text.index("\nKnown: ") < text.index("\nGuessed, ") < text.index("\nDiffers: ")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("recipes", "paper_model_9"), 2, "no recipe 'paper_model_9'; there are"),
        (("train", "paper_model_1", "--data", "nowhere", "--out", "run"), 1, "there is no such folder"),
        (("train", "paper_model_1", "--data", "x", "--out", "r", "--set", "fit.lr=1"), 2, "no such field: fit.lr"),
        (("train", "paper_model_1", "--data", "x", "--out", "r", "--set", "fit.epochs"), 2, "wants FIELD=VALUE"),
        (("evaluate", "nowhere", "--data", "nowhere", "--out", "o"), 1, "there is no such folder"),
        (("study", "paper", "--data", "nowhere", "--out", "o"), 1, "there is no such folder"),
        (("study", "paper", "--data", "x", "--out", "o", "--length", "long"), 2, "--length is paper or from-scratch"),
        (("study", "patients", "reader", "--data", "nowhere", "--out", "o"), 1, "there is no such folder"),
        (("study", "patients", "reader", "--data", "x", "--out", "o", "--shares", "0.5,2"), 2, "at most 1, got 2"),
        (("phantom", "--exams", "0", "--out", "o"), 2, "at least one exam"),
        (("phantom", "--exams", "1", "--out", "o", "--prevalence", "extradural=1"), 2, "--prevalence wants"),
        (("phantom", "--exams", "1", "--out", "o", "--slices", "few"), 2, "--slices wants"),
        (("phantom", "--exams", "1", "--out", "o", "--patients", "mine"), 2, "--patients wants emergency or trauma"),
        (("prepare", "rsna", "nowhere", "--out", "o"), 1, "nowhere"),
        (("prepare", "ct-ich", "nowhere", "--out", "o"), 1, "nowhere"),
        (("prepare", "folder", "nowhere", "--labels", "l.csv", "--out", "o"), 1, "does not exist"),
        (("prepare", "phantom", "nowhere", "--out", "o"), 1, "nowhere"),
        (("export", "nowhere", "--out", "b"), 1, "no checkpoint at"),
        (("export", "--out", "b"), 2, "Missing"),
        (("export", "nowhere", "--out", ".", "--force"), 1, "is a folder"),
        (("bundle", "show", "nowhere"), 1, "no bundle at"),
        (("bundle", "show", "/"), 1, "/, a folder, is no bundle; give the file that `ichnos export` wrote"),
        (
            ("predict", "nowhere", "--out", "out", "--bundle", ""),
            1,
            "an empty name, or the folder where you are, is no",
        ),
        (("prepare", "rsna", "nowhere", "--out", "o", "--folds", "2"), 2, "--folds"),
        (("prepare", "rsna", "nowhere", "--out", "o", "--split-seed", "-1"), 2, "--split-seed"),
        (("prepare", "rsna", "nowhere", "--out", "o", "--workers", "0"), 2, "--workers"),
        (("prepare", "rsna", "nowhere", "--out", "o", "--workers", "-2"), 2, "--workers"),
        (("frobnicate",), 2, "No such command"),
        (("train",), 2, "Missing"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ichnos(monkeypatch, *words) == code
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == [], "a command that failed at once left something behind"


@pytest.mark.parametrize(
    ("error", "code", "complaint"),
    [
        (SetError("no set"), 1, "ichnos: no set"),
        (RecipeError("no field"), 2, "ichnos: no field"),
        (KeyboardInterrupt(), 130, "give the same command again to go on"),
        (failures.StoppedError(failures.NOTHING_KEPT), 130, "Nothing is kept"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "no space is left where standard output or a file goes"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "no space is left where standard output or a file goes"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "pip install 'ichnos[train]'"),
        (ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), 1, "pip install 'ichnos[train]'"),
        (ZeroDivisionError("oops"), 1, "please report it"),
    ],
)
def test_failures(error: BaseException, code: int, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert failures.exit_code(error) == code
    assert complaint in capsys.readouterr().err


def test_a_share_is_given_once() -> None:
    assert parse_shares(["0.06", "epidural=0.01"]) == {Subtype.ANY: 0.06, Subtype.EPIDURAL: 0.01}
    with pytest.raises(UsageError, match=r"--prevalence is given twice for any: name each class once"):
        parse_shares(["0.06", "any=0.02"])


def test_the_module_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "ichnos", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "0.1.0"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on(tmp_path: Path, sent: signal.Signals) -> None:
    words = ["phantom", "--exams", "500", "--matrix", "64", "--slices", "10-12", "--out", str(tmp_path / "cohort")]
    process = subprocess.Popen([sys.executable, "-m", "ichnos", *words], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("cohort/parts/*")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == failures.STOPPED
    assert "give the same command again to go on" in said
    assert "Traceback" not in said
