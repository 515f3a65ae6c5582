"""The base install is the reader: small, and enough to read exams where nothing else can be imported."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ichnos.inference import write_bundle
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness, manifest

ROOT = Path(__file__).parents[1]
LIMIT_MB = 450
PIP_MB = 30
"""What a fresh environment holds besides: pip and setuptools."""


def base() -> set[str]:
    """Everything that ichnos needs without extras, by name, as pyproject.toml and the installed packages declare it."""
    found: set[str] = set()
    waiting: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += requires(name) or []
    return found


def beyond_base() -> list[str]:
    """The top-level modules of everything that is installed and no part of the base install."""
    known = base() | {"ichnos"}
    return [
        module
        for module, names in packages_distributions().items()
        if not {canonicalize_name(name) for name in names} & known
    ]


def test_the_base_install_is_below_its_limit() -> None:
    size = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file())
    for name in base():
        for file in distribution(name).files or []:
            path = Path(str(file.locate()))
            size += path.stat().st_size if path.is_file() else 0
    assert 100 < size / 1e6 < LIMIT_MB - PIP_MB


def test_the_base_install_has_nothing_of_what_only_training_needs() -> None:
    heavy = {"torch", "monai", "polars", "scipy", "scikit-learn", "blosc2", "matplotlib", "kornia", "onnx", "nibabel"}
    assert not heavy & base()
    assert {"onnxruntime", "pydicom", "highdicom", "python-gdcm"} <= base()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A script that runs `ichnos` where whatever base does not need is absent."""
    blocked = beyond_base()
    assert {"torch", "monai", "polars", "scipy", "sklearn", "blosc2", "matplotlib", "pytest", "filelock"} <= {*blocked}
    script = tmp_path_factory.mktemp("bare") / "bare.py"
    script.write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({sorted(blocked)!r}))\nfrom ichnos.cli.main import run\nrun()\n"
    )
    return script


def ran(script: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_exams_are_read_and_written_in_every_form_without_the_rest(bare: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "tiny.ichnos"
    write_bundle(bundle, manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    folder = write(tmp_path / "in", as_series(head_datasets(), 1))
    out = tmp_path / "out"
    forms = "json,sr,key-objects,heatmap,html"
    done = ran(bare, "predict", folder, "--bundle", bundle, "--out", out, "--format", forms, "--json")
    assert done.returncode == 0, done.stderr
    (exam,) = json.loads(done.stdout)["exams"]
    assert {"findings.json", "sr.dcm", "key-objects.dcm", "report.html"} <= {Path(file).name for file in exam["files"]}
    assert ran(bare, "inspect", folder).returncode == 0
    assert ran(bare, "bundle", "show", bundle).returncode == 0


def test_what_needs_an_extra_says_which(bare: Path, tmp_path: Path) -> None:
    done = ran(bare, "train", "paper_model_1", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "pip install 'ichnos[train]'" in done.stderr
    assert "Traceback" not in done.stderr
