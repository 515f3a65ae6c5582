"""The house: what may be imported when, and that no file outgrows its room."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "ichnos"
HEAVY = (
    "torch",
    "monai",
    "matplotlib",
    "polars",
    "scipy",
    "sklearn",
    "blosc2",
    "kornia",
    "onnx",
    "nibabel",
    "skl2onnx",
    "ray",
    "fsspec",
)
RUNNER = "from ichnos.cli.main import app; from typer.testing import CliRunner;"


@pytest.mark.parametrize(
    "program",
    [
        "import ichnos",
        f"{RUNNER} assert CliRunner().invoke(app, ['--help']).exit_code == 0",
        f"{RUNNER} assert CliRunner().invoke(app, ['recipes']).exit_code == 0",
        "import ichnos.inputs, ichnos.dicom.read, ichnos.ct, ichnos.predictions",
        "import ichnos.inference, ichnos.workflows.predict, ichnos.findings, ichnos.readout",
        f"{RUNNER} assert CliRunner().invoke(app, ['bundle', 'show', 'nowhere']).exit_code == 1",
        "import ichnos.dicom.exams, ichnos.dicom.decoding, ichnos.workflows.inspect",
        "import ichnos.reporting.exam.page, ichnos.reporting.exam.heatmaps, ichnos.reporting.exam.structured_report",
    ],
)
def test_the_light_half_imports_nothing_heavy(program: str) -> None:
    check = f"{program}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_no_file_outgrows_its_room_and_every_one_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert text.startswith('"""'), f"{path.name} does not open with a sentence"
        assert text.count("\n") <= 400, f"{path.name} has {text.count(chr(10))} lines"
        assert path.stem not in {"utils", "common", "helpers", "misc"}


def test_pydicom_lives_in_one_room() -> None:
    users = {p.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob("*.py") if "import pydicom" in p.read_text()}
    users |= {p.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob("*.py") if "from pydicom" in p.read_text()}
    assert users <= {"dicom", "reporting", "service"}


def test_names_imported_on_first_use_are_no_modules() -> None:
    check = "import ichnos.reporting as r, pathlib; names = [n for n in r.__all__ if not hasattr(r, n)]"
    check += "; print(*names, *({p.stem for p in pathlib.Path(r.__path__[0]).glob('*')} & {*r.__all__}))"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_findings_alone_wait_for_no_writer_of_dicom_or_pages() -> None:
    check = "import ichnos.workflows.predict, sys; print(*{'highdicom', 'jinja2'} & {*sys.modules})"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_importing_ichnos_opens_no_engine_and_no_reader() -> None:
    check = "import ichnos, sys; print(*{'onnxruntime', 'pydicom', 'numpy'} & {*sys.modules})"
    check += "; print(callable(ichnos.load_bundle), callable(ichnos.read_exam))"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "True"]


def test_where_there_is_no_terminal_nobody_waits_for_progress_bars() -> None:
    check = "from ichnos.cli.progress import on_standard_error; on_standard_error(); import ichnos.cli.main"
    check += "; import sys; print('rich' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
