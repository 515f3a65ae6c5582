"""The demonstration: the study on a small synthetic cohort, then one exam read; from nothing, on a laptop."""

from pathlib import Path

from ichnos.data.sources.phantom import PhantomSource
from ichnos.errors import OutputError
from ichnos.files import replacing
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.progress import Progress
from ichnos.reporting.exam import Format
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.predict import predict_paths
from ichnos.workflows.prepare import prepare_set
from ichnos.workflows.study import Length, StudyOptions, study_paper

COHORT = CohortSettings(exams=136, seed=2019, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(16, 24))
"""Each subtype in three exams of ten, at a quarter of the usual matrix: some 800 positive slices, made in a minute."""

INIT = "phantom"
"""In the place of ImageNet's weights, which need a network: the study's ten epochs are too short from random ones."""

CHANGES = {"input.size": "96"}
"""The size that these weights were trained at. All else is the study's own protocol; two cores need minutes for it."""

EXAM = CohortSettings(exams=1, seed=4, prevalence=dict(RAISED_PREVALENCE), slices=(30, 30))
"""One exam of another seed at the scanner's usual matrix, which no model here has seen."""

_NOTE = (
    "A demonstration on a synthetic cohort with raised prevalence, at 96 pixels, from first weights that were trained "
    "on other synthetic heads: it shows what the program does, not what such models can do. Beside this file, "
    "findings/exam-001/report.html is what the bundle that comes with ichnos says of one unseen synthetic exam."
)


def run_demo(out: Path, progress: Progress, *, device: str = "auto") -> Path:
    """Make a cohort, prepare it, run the study, read one exam, write out/report.html; what is there already is used.

    Returns the report's path; the exam's page is out/findings/exam-001/report.html.
    """
    known = {"cohort", "set", "study", "exam", "findings", "report.html"}
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    if out.exists() and any(p.name not in known for p in out.iterdir() if not p.name.startswith(".")):
        raise OutputError(f"{out} holds other files already; give --out a new or empty folder")
    cohort = write_cohort(COHORT, out / "cohort", progress)
    prepare_set(PhantomSource(cohort), out / "set", progress)
    options = StudyOptions(length=Length.PAPER, init=INIT, changes=CHANGES, note=_NOTE)
    report = study_paper(out / "set", out / "study", options, progress, device=device)
    exam = write_cohort(EXAM, out / "exam", progress)
    predict_paths([exam], out / "findings", None, progress, formats=[Format.HTML], force=True)
    with replacing(out / "report.html") as temporary:
        temporary.write_bytes(report.read_bytes())
    return out / "report.html"
