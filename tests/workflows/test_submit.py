"""A submission to RSNA 2019: test images without labels, six rows an image, whole and in order."""

import csv
from pathlib import Path

import numpy as np
import pytest

from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources.rsna import RsnaSource
from ichnos.errors import InputError
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.progress import SILENT
from ichnos.recipes.reader import RECIPE as READER
from ichnos.subtypes import CLASSES
from ichnos.workflows import submit
from ichnos.workflows.submit import check_submission, read_sample
from tests.data.sources.rsna_trees import EXAMS, SLICES, image_id, write_tree, zip_tree
from tests.stories.running import ichnos
from tests.workflows.bright import bright_bundle, bright_set

IMAGES = [image_id(exam, index) for exam in range(EXAMS) for index in range(SLICES)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RSNA's test folder; patients are told apart by the tree's own numbers, of which a split needs three."""
    root = write_tree(tmp_path_factory.mktemp("kaggle") / "root", images="stage_2_test")
    (root / "stage_2_train.csv").unlink()
    return root


@pytest.fixture(scope="module")
def data(root: Path) -> Path:
    out = root.parent / "set"
    done = ichnos("prepare", "rsna", str(root), "--test", "--out", str(out), "--workers", "1")
    assert done.exit_code == 0, done.stderr
    assert "no labels" in done.stderr
    return out


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_bundle(tmp_path_factory.mktemp("bundle") / "tiny.ichnos")


def write_sample(path: Path, images: list[str]) -> Path:
    rows = [f"{image}_{c.value},0.5" for image in images for c in CLASSES]
    path.write_text("\n".join(["ID,Label", *rows, ""]))
    return path


def read(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="") as stream:
        head, *rows = list(csv.reader(stream))
    assert head == ["ID", "Label"]
    return [name for name, _ in rows], np.array([float(p) for _, p in rows]).reshape(-1, 6)


def test_a_set_of_test_images_has_no_labels(data: Path, tmp_path: Path) -> None:
    header = PreparedSet(data).header
    assert (header.source, header.labelled, header.slices) == ("rsna", (), EXAMS * SLICES)
    refused = ichnos("evaluate", str(bright_bundle(tmp_path / "b")), "--data", str(data), "--out", str(tmp_path / "x"))
    assert refused.exit_code == 2
    assert "labels none of the classes" in refused.stderr
    trained = ichnos("train", "paper_model_1", "--data", str(data), "--out", str(tmp_path / "run"))
    assert "no labels of single slices" in trained.stderr


def test_the_order_is_the_samples(data: Path, bundle: Path, tmp_path: Path) -> None:
    order = [IMAGES[k] for k in np.random.default_rng(0).permutation(len(IMAGES))]
    sample = write_sample(tmp_path / "sample.csv", order)
    out = tmp_path / "submission.csv"
    done = ichnos("submit", str(bundle), "--data", str(data), "--out", str(out), "--sample", str(sample))
    assert done.exit_code == 0, done.stderr
    names, probabilities = read(out)
    assert names == [f"{image}_{c.value}" for image in order for c in CLASSES]
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (probabilities[:, -1:] >= probabilities[:, :-1]).all()
    assert len(np.unique(probabilities[:, 0])) > 1
    plain = tmp_path / "plain.csv"
    assert ichnos("submit", str(bundle), "--data", str(data), "--out", str(plain)).exit_code == 0
    names_too, probabilities_too = read(plain)
    assert sorted(names_too) == sorted(names)
    assert names_too[::6] == sorted(names_too[::6])
    place = names_too.index(names[0])
    assert probabilities_too[place // 6].tolist() == probabilities[0].tolist()
    again = ichnos("submit", str(bundle), "--data", str(data), "--out", str(plain))
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_an_image_that_is_missing_is_refused_or_filled_by_request(data: Path, bundle: Path, tmp_path: Path) -> None:
    sample = write_sample(tmp_path / "sample.csv", [*IMAGES, "ID_0000000ff"])
    out = tmp_path / "submission.csv"
    words = ("submit", str(bundle), "--data", str(data), "--out", str(out), "--sample", str(sample))
    refused = ichnos(*words)
    assert refused.exit_code == 1
    assert "1 image of the submission" in refused.stderr
    assert "--fill-from" in refused.stderr
    assert not out.exists()
    labelled = bright_set(tmp_path / "labelled")
    filled = ichnos(*words, "--fill-from", str(labelled))
    assert filled.exit_code == 0, filled.stderr
    assert "1 image could not be read" in filled.stderr
    header = PreparedSet(labelled).header
    wanted = [header.positives[c.value] / header.slices for c in CLASSES]
    assert read(out)[1][-1] == pytest.approx(wanted)


def test_an_image_that_was_left_out_is_missing_too(root: Path, bundle: Path, tmp_path: Path) -> None:
    copy = write_tree(tmp_path / "copy", images="stage_2_test")
    damaged = copy / "stage_2_test" / f"{IMAGES[3]}.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    data = tmp_path / "set"
    assert ichnos("prepare", "rsna", str(copy), "--test", "--out", str(data), "--workers", "1").exit_code == 0
    refused = ichnos("submit", str(bundle), "--data", str(data), "--out", str(tmp_path / "s.csv"))
    assert refused.exit_code == 1
    assert IMAGES[3] in refused.stderr


def test_other_sets_and_models_are_refused(data: Path, bundle: Path, tmp_path: Path) -> None:
    other = bright_set(tmp_path / "other")
    done = ichnos("submit", str(bundle), "--data", str(other), "--out", str(tmp_path / "s.csv"))
    assert done.exit_code == 1
    assert "other names than RSNA 2019's images" in done.stderr


def test_what_is_wrong_is_told_before_the_network_is_asked(
    data: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RSNA's 121,232 test slices take hours of a laptop."""

    def asked(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(submit, "outputs_of", asked)
    other = bright_set(tmp_path / "other")
    lacking = write_sample(tmp_path / "lacking.csv", [*IMAGES, "ID_0000000ff"])
    torn = tmp_path / "torn.csv"
    torn.write_text("ID,Label\nID_1_any,0.5\n")
    for where, sample, said in (
        (other, None, "other names than RSNA"),
        (data, lacking, "1 image of the submission"),
        (data, torn, "wanted are six of each"),
    ):
        with pytest.raises(InputError, match=said):
            submit.write_submission(bundle, where, tmp_path / "s.csv", SILENT, bundle=True, sample=sample)
    with pytest.raises(AssertionError, match="asked"):  # and it is, where all is well
        submit.write_submission(bundle, data, tmp_path / "s.csv", SILENT, bundle=True)


def run_of(folder: Path, origin: dict[str, object]) -> Path:
    """As training would leave it: of random weights."""
    small = {"backbone": "small-cnn", "init": "random"}
    recipe = READER.derive(network=small, synthetic=None, augmentation=None, **{"input.size": 32})
    told = {"epoch": 1, "validation_loss": 0.5, "origin": origin}
    save_checkpoint(folder / "best.safetensors", SliceClassifier.seeded(recipe, 1), told)
    return folder


def test_a_set_that_the_model_has_learnt_from_is_refused(tmp_path: Path) -> None:
    data, out = tmp_path / "set", tmp_path / "s.csv"
    prepare(RsnaSource(write_tree(tmp_path / "root")), data, SILENT, workers=1)
    fingerprint = PreparedSet(data).header.fingerprint
    words = ("--data", str(data), "--out", str(out))
    own = bright_bundle(tmp_path / "own.ichnos", f"0123456789abcdef+{fingerprint}")
    for model in (own, run_of(tmp_path / "run", {"source": "rsna", "set": fingerprint, "everyone": False})):
        refused = ichnos("submit", str(model), *words)
        assert refused.exit_code == 2
        assert "has learnt from this very set" in refused.stderr
        assert "--allow-seen" in refused.stderr
        assert not out.exists()
    assert ichnos("submit", str(own), *words, "--allow-seen").exit_code == 0
    assert len(read(out)[0]) == 6 * EXAMS * SLICES
    out.unlink()
    other = ichnos("submit", str(bright_bundle(tmp_path / "other.ichnos", "0123456789abcdef")), *words)
    assert other.exit_code == 0, other.stderr
    assert "this set has labels, which Kaggle's test images have not" in other.stderr


def test_a_run_is_told_to_become_a_bundle(data: Path, bundle: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"source": "rsna", "set": "0123456789abcdef", "everyone": False})
    done = ichnos("submit", str(run), "--data", str(data), "--out", str(tmp_path / "s.csv"), "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert "These probabilities are not calibrated" in done.stderr
    assert f"ichnos export {run} --data SET --out FILE" in " ".join(done.stderr.split())
    plain = ichnos("submit", str(bundle), "--data", str(data), "--out", str(tmp_path / "b.csv"))
    assert "not calibrated" not in plain.stderr


def test_the_zip_is_read_too(root: Path, tmp_path: Path) -> None:
    archive = zip_tree(root, tmp_path / "kaggle.zip")
    out = tmp_path / "set"
    done = ichnos("prepare", "rsna", str(archive), "--test", "--out", str(out), "--workers", "1")
    assert done.exit_code == 0, done.stderr
    assert PreparedSet(out).header.slices == EXAMS * SLICES
    none = ichnos("prepare", "rsna", str(tmp_path), "--test", "--out", str(tmp_path / "none"))
    assert none.exit_code == 1
    assert "no test images" in none.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Image,Label\n", "first line"),
        ("ID,Label\nID_1_oops,0.5\n", "row 2"),
        ("ID,Label\n" + "".join(f"ID_1_{c},0.5\n" for c in CLASSES[:5]), "5 rows of 1 images"),
        ("ID,Label\n" + "".join(f"ID_1_{c},0.5\n" for c in (*CLASSES, "any")), "each once"),
    ],
)
def test_samples_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_sample(tmp_path / "sample.csv")


def test_an_empty_line_of_a_sample_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("ID,Label\n" + "".join(f"ID_1_{c},0.5\n" for c in CLASSES) + "\n")
    assert len(read_sample(tmp_path / "sample.csv")) == len(CLASSES)


@pytest.mark.parametrize("bad", [[0.1] * 5 + [0.05], [np.nan] * 6, [0.1] * 5 + [1.1]])
def test_what_is_submitted_is_checked(bad: list[float]) -> None:
    with pytest.raises(InputError):
        check_submission({"ID_1": np.array(bad)}, {"ID_1": None})
