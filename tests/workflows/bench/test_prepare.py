"""What `ichnos bench prepare` measures is there, of the work that was asked for; no time is judged."""

import json
import subprocess
import sys
import zipfile
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from ichnos.data.set import PreparedSet
from ichnos.data.sources.rsna import RsnaSource
from ichnos.errors import UsageError
from ichnos.progress import SILENT
from ichnos.workflows.bench import prepare_own
from ichnos.workflows.bench.prepare import OURS, PrepareBench, _work, bench_prepare
from ichnos.workflows.bench.prepare_own import PrepareWork, folder, zip_file
from ichnos.workflows.bench.table import prepare_circumstances, prepare_rows

PEERS = Path(__file__).parents[3] / "benchmarks" / "peers"

PEER = """
import json, pathlib, sys
work = json.loads(pathlib.Path(sys.argv[1]).read_text())
assert len(list(pathlib.Path(work["cohort"], "stage_2_train").iterdir())) == work["slices"]
print(json.dumps({"title": "a stack", "versions": {"stack": "1"}, "threads": 1}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": 2.0}), flush=True)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    peers = tmp_path_factory.mktemp("peers")
    (peers / "prepare_stack.py").write_text(PEER)
    (peers / "prepare_absent.py").write_text("import no_such_stack")
    return bench_prepare(PrepareBench(exams=10, matrix=64, size=32, rounds=1, peers=peers), SILENT)


@pytest.mark.slow
def test_everything_is_measured_and_can_be_written(tree: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["asked"] == "ichnos bench prepare --exams 10 --matrix 64 --size 32 --rounds 1"
    assert tree["work"]["exams"] == 10
    assert tree["work"]["slices"] > 200
    for figures in (tree["folder"], tree["zip"], tree["cache"], *tree["floor"].values()):
        rate = figures["slices_a_second"]["median"]
        assert rate == pytest.approx(tree["work"]["slices"] / figures["seconds"]["median"], rel=1e-2)
    assert set(tree["floor"]) == set(OURS[3:5])
    assert all(part["median"] > 0 for part in tree["parts_ms"].values())
    assert list(tree["parts_ms"]) == ["header", "pixels to HU", "hash", "pack", "windows and resize"]
    stack = tree["peers"]["stack"]
    assert stack["to_ours"]["median"] == pytest.approx(2 / tree["folder"]["seconds"]["median"], rel=1e-2)
    assert stack["to_zip"]["median"] == pytest.approx(2 / tree["zip"]["seconds"]["median"], rel=1e-2)
    both = tree["folder"]["seconds"]["median"] + tree["cache"]["seconds"]["median"]
    assert stack["to_both"]["median"] == pytest.approx(2 / both, rel=1e-2)
    assert tree["cache"]["to_decoded"]["median"] > 0
    assert "No module named 'no_such_stack'" in tree["peers_not_run"]["absent"]
    assert date.fromisoformat(tree["date"]) <= datetime.now(UTC).date()


@pytest.mark.slow
def test_the_peers_that_come_with_it_write_every_picture(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install opencv-python-headless")
    cv2 = sys.modules["cv2"]
    told = bench_prepare(PrepareBench(exams=10, matrix=64, size=32, rounds=1, peers=PEERS), SILENT)
    assert set(told["peers"]) == {"monai", "pydicom_png", "pydicom_png_224", "pydicom_png_pool"}, told["peers_not_run"]
    work = _work(PrepareBench(exams=10, matrix=64, size=32), tmp_path, 1, SILENT)
    (tmp_path / "work.json").write_text(json.dumps(asdict(work)))
    for name, folder_name, side in (("pydicom_png", "png", 64), ("pydicom_png_224", "png-small", 32)):
        command = [sys.executable, str(PEERS / f"prepare_{name}.py"), str(tmp_path / "work.json")]
        subprocess.run(command, input=b"go\n", check=True, capture_output=True)
        written = list((tmp_path / "out" / folder_name).iterdir())
        assert len(written) == work.slices
        assert cv2.imread(str(written[0])).shape == (side, side, 3)


def test_sets_are_prepared_as_unasked_whatever_cores_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(prepare_own, "prepare_set", lambda source, *_, workers=None: asked.extend((source, workers)))
    work = PrepareWork("cohort", "cohort.zip", str(tmp_path), slices=400, bytes=1, size=32, cores=2)
    folder(work)()
    zip_file(work)()
    assert asked == [RsnaSource(Path("cohort")), None, RsnaSource(Path("cohort.zip")), None]


def ratio(value: float) -> dict[str, float]:
    return dict.fromkeys(("median", "lowest", "highest"), value)


@pytest.mark.slow
def test_rows_for_people_say_it_all(tree: dict[str, Any]) -> None:
    rows = {what: (measured, aim) for what, measured, aim in prepare_rows(tree)}
    assert all(aim == "" for _, aim in rows.values()), "aims are of 512×512"
    assert {"folders → set", "zip → set", "set → cache of 32 px", "a stack (stack 1, 1 process)"} <= set(rows)
    stated = tree | {"work": tree["work"] | {"matrix": 512}, "machine": tree["machine"] | {"cores_used": 2}}
    assert "≥ 0.6 ×" in {aim for _, _, aim in prepare_rows(stated)}
    peers = {"pydicom_png": tree["peers"]["stack"] | {"to_ours": ratio(6.0), "to_both": ratio(4.9)}}
    (judged,) = [row for row in prepare_rows(stated | {"peers": peers}) if row[0].startswith("a stack")]
    assert "6.00 × (6.00 to 6.00) (held) as long as folders → set;" in judged[1]
    assert "4.90 × (4.90 to 4.90) (**missed**) as long as folders → set → cache" in judged[1]
    assert judged[2] == "≥ 5 ×"
    assert "synthetic slices of 64×64 of 10 exams" in prepare_circumstances(tree)


@pytest.mark.slow
def test_the_zip_and_the_folder_make_the_same_set(tmp_path: Path) -> None:
    work = _work(PrepareBench(exams=10, matrix=64), tmp_path, 1, SILENT)
    with zipfile.ZipFile(work.zip) as packed:
        assert len(packed.namelist()) == work.slices + 1
    for once in (folder(work), zip_file(work)):
        assert once()["seconds"] > 0
    one, other = (PreparedSet(tmp_path / "out" / name) for name in ("folder", "zip"))
    assert one.header.slices == other.header.slices == work.slices
    assert one.header.fingerprint == other.header.fingerprint


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"exams": 9}, "--exams is at least 10"),
        ({"rounds": 0}, "--rounds and --cores are at least 1"),
        ({"cores": 0}, "--rounds and --cores are at least 1"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        PrepareBench(**changes)
