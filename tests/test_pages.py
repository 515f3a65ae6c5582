"""How tools/ put tables into pages: between their marks alone, never where there are none."""

import importlib
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
PAGE = "before\n<!-- rates: python tools/made.py -->\nold\n<!-- /rates -->\nafter\n"


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/pages.py, on a folder of its own."""
    monkeypatch.syspath_prepend(TOOLS)
    found = importlib.import_module("pages")
    monkeypatch.setattr(found, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["made.py"])
    (tmp_path / "page.md").write_text(PAGE)
    return found


def test_a_table_is_replaced_and_nothing_else(pages: ModuleType, tmp_path: Path) -> None:
    for _ in range(2):
        assert pages.rewrite("made.py", {"page.md": {"rates": "new"}}) == 0
        assert (tmp_path / "page.md").read_text() == PAGE.replace("old", "new")


def test_checking_writes_nothing_and_says_what_is_out_of_date(
    pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.md").write_text(PAGE)
    monkeypatch.setattr(sys, "argv", ["made.py", "--check"])
    assert pages.rewrite("made.py", {"page.md": {"rates": "new"}, "other.md": {"rates": "old"}}) == 1
    assert pages.rewrite("made.py", {"page.md": {"rates": "old"}}) == 0
    assert (tmp_path / "page.md").read_text() == PAGE


@pytest.mark.parametrize(
    ("script", "name"), [("made.py", "disk"), ("another.py", "rates")], ids=["another name", "another script"]
)
def test_a_page_without_a_place_is_left_as_it_is(pages: ModuleType, tmp_path: Path, script: str, name: str) -> None:
    with pytest.raises(SystemExit, match=rf"page\.md has no place for the table {name}; write <!-- {name}: python"):
        pages.rewrite(script, {"page.md": {name: "new"}})
    assert (tmp_path / "page.md").read_text() == PAGE


def test_a_place_that_is_not_closed_is_none(pages: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE.replace("<!-- /rates -->\n", ""))
    with pytest.raises(SystemExit, match="no place"):
        pages.rewrite("made.py", {"page.md": {"rates": "new"}})


@pytest.mark.parametrize(
    "command",
    [
        "ichnos recipes",
        f"ichnos study field --recipes {','.join(f'recipe_{k}' for k in range(60))} --set fit.epochs=2 --no-ranking",
        f"ichnos study folds reader --title '{', '.join(['one of many'] * 20)} --by \"sex\"' --out here",
        f"ichnos study field {' '.join(f'--against recipe_{k}=recipe_{k + 1}' for k in range(20))}",
    ],
    ids=["short", "a list", "quoted", "many options"],
)
def test_a_shell_reads_a_block_as_the_command_that_it_shows(pages: ModuleType, command: str) -> None:
    head, *lines, foot = pages.command_block(command).splitlines()
    assert (head, foot) == ("```sh", "```")
    assert all(len(line) <= 120 for line in lines if "'" not in line)
    read = subprocess.run(
        ["bash", "-c", "ichnos() { printf '%s\\n' ichnos \"$@\"; }\n" + "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout.splitlines() == shlex.split(command)
