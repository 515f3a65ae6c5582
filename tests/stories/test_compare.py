"""Two models' predictions compared by the command."""

import json
from pathlib import Path

import pytest

from tests.evaluation.test_level_comparison import model
from tests.stories.running import ichnos


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    paths = [tmp_path / "poor.parquet", tmp_path / "good.parquet"]
    for path, skill in zip(paths, (0.2, 2.5), strict=True):
        model(skill, seed=int(skill)).write_parquet(path)
    return str(paths[0]), str(paths[1])


def test_a_comparison_says_which_is_better_and_how_surely(tables: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "compared"
    done = ichnos("compare", *tables, "--out", str(out), "--resamples", "200", "--json")
    assert done.exit_code == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree == json.loads((out / "comparison.json").read_text())
    assert tree["first"]["file"].endswith("/poor.parquet")
    assert len(tree["rows"]) == 6, "two classes at three levels"
    for row in tree["rows"]:
        assert row["auc_second"] > row["auc_first"]
        assert row["difference"]["low"] > 0
        assert (row["delong"] is None) == (row["level"] == "slice")
    report = (out / "report.md").read_text()
    for words in ("hang together", "several exams", "Holm", "Not a medical device", "| exam | any hemorrhage | 80 |"):
        assert words in report, words
    again = ichnos("compare", *tables, "--out", str(out))
    assert again.exit_code == 1
    assert "holds a comparison already" in again.stderr


def test_what_cannot_be_compared_is_one_line(tables: tuple[str, str], tmp_path: Path) -> None:
    damaged, out = tmp_path / "damaged.parquet", str(tmp_path / "x")
    damaged.write_bytes(b"PAR1 no more")
    for other, code, words in (
        (tables[0], 2, "are one file"),
        (str(tmp_path / "absent.parquet"), 1, "no predictions at"),
        (str(damaged), 1, "damaged.parquet cannot be read"),
    ):
        done = ichnos("compare", tables[0], other, "--out", out)
        assert done.exit_code == code, done.stderr
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not Path(out).exists()
