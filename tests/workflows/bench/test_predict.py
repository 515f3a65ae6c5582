"""What `ichnos bench predict` measures is there, of the work that was asked for; no time is judged."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ichnos import recipes
from ichnos.cli.main import run
from ichnos.dicom.exams import find_exams, read_found_exam
from ichnos.errors import InputError, UsageError
from ichnos.inference import write_bundle
from ichnos.progress import SILENT
from ichnos.workflows.bench import predict
from ichnos.workflows.bench.figures import ratios, spread
from ichnos.workflows.bench.machine import Stopwatch, on_cores
from ichnos.workflows.bench.peers import PEERS
from ichnos.workflows.bench.predict import PredictBench, bench_predict
from ichnos.workflows.bench.table import predict_circumstances, predict_rows
from ichnos.workflows.bench.workload import exam_bytes, untrained_recipe, write_exams
from tests.inference.networks import brightness, manifest
from tests.stories.running import ichnos

PEER = """
import json, pathlib, sys
work = json.loads(pathlib.Path(sys.argv[1]).read_text())
assert len(list(pathlib.Path(work["exam"]).iterdir())) == 10 and work["recipes"][0]["input"]["size"] == 128
print(json.dumps({"title": "a stack", "versions": {"stack": "1"}, "threads": 2, "same_weights": False}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": 2.0, "slices": []}), flush=True)
"""
LATER = "print('{}', flush=True)\ninput()\nraise RuntimeError('out of paper')"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny.ichnos"
    write_bundle(path, manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    return path


@pytest.fixture(scope="module")
def tree(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A benchmark of next to nothing: ten slices of 64×64, a batch of five exams in three calls."""
    peers = tmp_path_factory.mktemp("peers")
    for name, text in {"stack": PEER, "absent": "import no_such_stack", "later": LATER}.items():
        (peers / f"predict_{name}.py").write_text(text)
    (peers / "train_stack.py").write_text("raise SystemExit(1)")
    small = PredictBench(rounds=2, exams=5, slices=10, matrix=64, bundle=bundle, peers=peers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "_MOST_BYTES", 2 * exam_bytes(10, 64))
        return bench_predict(small, SILENT)


def test_everything_is_measured_and_can_be_written(tree: dict[str, Any]) -> None:
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree["asked"] == "ichnos bench predict --bundle tiny.ichnos --exams 5 --slices 10 --matrix 64 --rounds 2"
    assert tree["work"]["slices"] == 10
    assert [(each["input_size"], each["views"]) for each in tree["work"]["networks"]] == [(128, 1)]
    for figures in (tree["exam"]["seconds"], tree["command"]["seconds"], *tree["floor"].values()):
        assert len(figures["each"]) == 2
        assert 0 < figures["lowest"] <= figures["median"] <= figures["highest"]
    assert tree["arithmetic"]["multiply_adds"] > 1e6
    assert tree["arithmetic"]["exam_to_peak"]["lowest"] > 0
    assert list(tree["steps"]) == ["find", "read", "classify", "write"]
    assert tree["exam"]["peak_mb"] > 50
    assert tree["machine"]["cores_used"] <= 2
    assert "/" not in tree["machine"]["processor"].split("@")[0]


def test_peers_are_asked_and_those_that_fail_are_told(tree: dict[str, Any]) -> None:
    assert list(tree["peers"]) == ["stack"]
    peer = tree["peers"]["stack"]
    assert peer["seconds"]["median"] == 2.0
    ours = tree["exam"]["seconds"]["each"]
    assert peer["to_ours"]["each"] == pytest.approx([2 / each for each in ours], rel=1e-3)
    assert set(tree["peers_not_run"]) == {"absent", "later"}
    assert "No module named 'no_such_stack'" in tree["peers_not_run"]["absent"]
    assert "RuntimeError: out of paper" in tree["peers_not_run"]["later"]


def test_a_batch_is_read_in_as_many_calls_as_its_bytes_need(tree: dict[str, Any]) -> None:
    batch = tree["batch"]
    assert (batch["exams"], batch["exams_a_call"]) == (6, 2)
    assert set(batch["peak_mb_after"]) == {"1", "2", "6"}
    assert batch["peak_mb_after"]["1"] <= batch["peak_mb_after"]["6"]
    assert batch["exams_a_minute"] == pytest.approx(360 / batch["seconds"], rel=0.05)
    assert 0 < batch["cores_busy"] < 1.2
    assert batch["other_work"] is None or batch["other_work"] >= 0


def test_rows_for_people_say_it_all(tree: dict[str, Any]) -> None:
    rows = {what: (measured, aim) for what, measured, aim in predict_rows(tree)}
    assert "a stack (stack 1, 2 threads)" in rows
    assert rows["peer later"][0].endswith("out of paper")
    assert all(aim == "" for _, aim in rows.values()), "aims are of another exam"
    stated = tree | {"work": tree["work"] | {"slices": 36, "matrix": 512}}
    stated["machine"] = tree["machine"] | {"cores_used": 2, "other_work": 0.4}
    assert "≤ 0.7 s" in {aim for _, _, aim in predict_rows(stated)}
    assert "10 slices of 64×64" in predict_circumstances(tree)
    assert "other work took 40% of the cores' time. **So busy a machine" in predict_circumstances(stated)
    idle = stated | {"machine": stated["machine"] | {"other_work": 0.01}}
    assert "other work" not in predict_circumstances(idle)


@pytest.mark.slow
def test_the_command_prints_rows_or_json(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "peers").mkdir()
    words = ["bench", "predict", "--bundle", str(bundle), "--slices", "10", "--matrix", "64", "--rounds", "1"]
    words += ["--exams", "0", "--peers", str(tmp_path / "peers"), "--out", str(tmp_path / "bench.json")]
    done = ichnos(*words, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "bench.json").read_text())
    assert "batch" not in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--rounds", "0"], "--rounds and --cores are at least 1"),
        (["--bundle", "b", "--set", "input.size=64"], "--set changes the recipe of an untrained bundle"),
        (["--set", "input.sizes=64"], "no such field"),
        (["--slices", "5"], "slices is (fewest, most)"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ichnos", "bench", "predict", *words])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_of_peers_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no folder of peers"):
        PredictBench(peers=Path("nowhere"))


def test_exams_of_a_batch_are_exams_of_their_own(tmp_path: Path) -> None:
    size = write_exams(tmp_path, 7, slices=10, matrix=64)
    assert size == sum(path.stat().st_size for path in tmp_path.rglob("*.dcm"))
    assert size == pytest.approx(7 * exam_bytes(10, 64), rel=0.1)
    found = find_exams([tmp_path])
    assert len(found.exams) == 7
    assert all(len(each.series[0].frames) == 10 for each in found.exams)
    assert read_found_exam(found.exams[6]).exam is not None
    first = (tmp_path / "000/000.dcm").read_bytes()
    assert first[132:].find(b"1.2.840.10008.1.2.1\0") > 0, "explicit VR little endian"


def test_the_untrained_bundle_reads_all_slices_for_six_classes() -> None:
    recipe = untrained_recipe({"input.size": "96"})
    assert (recipe.input.size, recipe.population.slices, len(recipe.classes)) == (96, "all", 6)
    with pytest.raises(UsageError):
        untrained_recipe({"input.size": "97"})


@pytest.mark.parametrize(
    ("recipe", "networks"),
    [("model_2_any_160_views", [(160, 2)]), ("ensemble_pair", [(160, 2), (96, 1)])],
)
def test_peers_are_given_every_network_that_is_averaged(recipe: str, networks: list[tuple[int, int]]) -> None:
    told = manifest().model_copy(update={"recipe": recipes.find(recipe).recipe})
    each = predict.averaged_networks(told)
    assert [(r.input.size, r.test_time.views if r.test_time else 1) for r in each] == networks


@pytest.mark.parametrize("recipe", ["cascade", "bigru", "ensemble_stacked", "ensemble_field"])
def test_a_bundle_that_is_no_plain_mean_has_no_peers(recipe: str) -> None:
    told = manifest().model_copy(update={"recipe": recipes.find(recipe).recipe})
    with pytest.raises(UsageError, match=f"--bundle is {told.recipe.in_words}, and the peers"):
        predict.averaged_networks(told)


def test_figures() -> None:
    assert spread([3.0, 1.0, 2.00004]) == {"median": 2.0, "lowest": 1.0, "highest": 3.0, "each": [3.0, 1.0, 2.0]}
    assert ratios([2.0, 9.0], [1.0, 3.0])["each"] == [2.0, 3.0]


def test_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with on_cores(1) as cores:
        others = Stopwatch(cores).others()
        assert others is None or others >= 0
        if before is not None:
            assert (cores, len(os.sched_getaffinity(0))) == (1, 1)
    assert before is None or os.sched_getaffinity(0) == before


@pytest.mark.slow
def test_eager_torch_and_our_road_say_the_same(tmp_path: Path) -> None:
    changes = {"input.size": "64"}
    done = bench_predict(PredictBench(rounds=1, exams=0, slices=10, changes=changes, peers=PEERS), SILENT)
    assert set(done["peers_not_run"]) <= {"keras"}, "which needs an environment of its own"
    assert {"eager_torch", "eager_torch_in_fours", "monai"} <= set(done["peers"])
    assert not done["peers"]["monai"]["same_weights"]
    for peer in (done["peers"]["eager_torch"], done["peers"]["eager_torch_in_fours"]):
        assert peer["same_weights"]
        assert 0 < peer["largest_difference"] < 0.01, "the resize before rounding differs in the last place"
