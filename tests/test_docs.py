"""The docs cannot drift: every command they show parses, every page they link to is there, results are up to date."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from ichnos.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "results").glob("*.md"))

TAKEN_OUT = "no interval: its percentiles lie above it"
"""What stands in a scorecard in the place of a plain interval that does not hold its number."""


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in block.replace("\\\n", "").splitlines():
                command = line.strip().removeprefix(".venv/bin/")
                if command.startswith("ichnos "):
                    found.append((page.name, command.partition("  #")[0].strip()))
    return found


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda value: value)
def test_every_command_in_the_docs_parses(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    context = group.make_context("ichnos", words, resilient_parsing=False)
    while isinstance(group, click.Group):
        name, child, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert child is not None
        context = child.make_context(name, rest, parent=context)
        group = child


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_results_are_those_of_the_scorecards() -> None:
    check = [sys.executable, str(ROOT / "tools" / "results_table.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/results_table.py"


def test_the_tables_of_benchmarks_are_those_of_their_results() -> None:
    check = [sys.executable, str(ROOT / "tools" / "bench_table.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/bench_table.py"


def test_the_table_of_networks_is_what_is_known_of_them() -> None:
    check = [sys.executable, str(ROOT / "tools" / "networks_table.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/networks_table.py"


def test_the_tables_of_the_field_are_those_of_the_scorecards() -> None:
    check = [sys.executable, str(ROOT / "tools" / "field_table.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/field_table.py"


def test_what_pays_in_the_guide_is_what_the_intervals_say() -> None:
    """The word for a method follows from the intervals beside it, and these stand in the scorecards."""
    told = [each for study in MEASURED for each in intervals(json.loads((ROOT / "results" / study).read_text()))]
    known, tested = {said for said, _ in told}, {said for said, few in told if not few}
    table = (ROOT / "docs" / "field.md").read_text().partition("## Methods")[2].partition("## On real CT")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert rows[0][3:5] == ["does it pay here?", "measured here"]
    for method, _, _, verdict, measured, *_ in rows[1:]:
        said = re.findall(r"([+−]\d\.\d{3}) \((−?\d\.\d{3}) to (−?\d\.\d{3})", measured)
        assert not set(said) - known, f"{method}: no scorecard has this"
        assert len(said) == len(re.findall(r"[+−]\d\.\d{3}", re.sub(r"\([^()]*\)", "", measured))), (
            f"{method}: bare number"
        )
        away = {"pays" if "−" not in low else "loses" for _, low, high in said if ("−" in low) == ("−" in high)}
        words = {"not measured here", "not shown: no interval"} if not said else away or {"not shown"}
        words = words if not said or set(said) & tested else {"descriptive only"}
        assert len(words) == 1 or not said, f"{method}: pays and loses"
        assert any(verdict.strip("*").startswith(word) for word in words), f"{method}: {verdict}, where it {words}"


MEASURED = (
    *("field-ct-ich.json", "parts-ct-ich.json", "epidural-ct-ich.json", "adapt-ct-ich.json"),
    "from-scratch-ct-ich.json",
)


def intervals(tree: object, few: bool = False) -> Iterator[tuple[tuple[str, str, str], bool]]:
    """Every value with its interval in a scorecard, as the guide writes them, and whether it is descriptive only."""
    if isinstance(tree, dict):
        few = few or tree.get("descriptive_only") is True
        if tree.get("low") is not None and {"value", "high"} <= tree.keys():
            yield (_said(tree["value"], "+"), _said(tree["low"]), _said(tree["high"])), few
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from intervals(each, few)


def _said(value: float, sign: str = "-") -> str:
    return f"{value:{sign}.3f}".replace("-", "−")


def test_the_table_of_means_is_that_of_their_results() -> None:
    check = [sys.executable, str(ROOT / "tools" / "means_table.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/means_table.py"


def test_no_page_names_a_path_of_some_machine() -> None:
    for page in [*PAGES, *(ROOT / "results").glob("*.json")]:
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp)/", page.read_text()), page.name


def test_the_readmes_seconds_are_the_benchmarks() -> None:
    told = json.loads((ROOT / "results" / "bench-predict-shipped.json").read_text())
    warm, cold = told["exam"]["seconds"]["median"], told["command"]["seconds"]["median"]
    said = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"36 slices in {warm:.2f} s on two cores of an {told['machine']['processor']}, in {cold:.2f} s from a" in said
    )


def test_the_tables_of_scale_are_those_of_the_measured_rates() -> None:
    check = [sys.executable, str(ROOT / "tools" / "scale_table.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/scale_table.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"\ndef {name}(" in (ROOT / file).read_text(), f"{page.name} names {file}::{name}"


def test_files_with_plain_intervals_of_calibration_errors_are_named() -> None:
    """Intervals of the kind that is made now hold the error itself, so only older ones had to be taken out."""
    (paragraph,) = [each for each in (ROOT / "results" / "README.md").read_text().split("\n\n") if "(ECE)" in each]
    named = {file.name for name in re.findall(r"`([\w.*-]+)`", paragraph) for file in (ROOT / "results").glob(name)}
    older = {file.name for file in (ROOT / "results").glob("*.json") if TAKEN_OUT in file.read_text()}
    assert older
    assert older <= named
