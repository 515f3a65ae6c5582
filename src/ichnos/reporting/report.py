"""The report: one HTML page that holds everything it shows and asks nothing of a network."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ichnos
from ichnos.findings import NOTICE
from ichnos.networks import init_name
from ichnos.progress import SILENT, Progress
from ichnos.reporting.class_curves import class_curves
from ichnos.reporting.confusion_matrix import confusion_matrix
from ichnos.reporting.gallery import gallery
from ichnos.reporting.learning_curves import learning_curves
from ichnos.reporting.measured import MeasuredStudy
from ichnos.reporting.overview import overview
from ichnos.reporting.rendering import rendered
from ichnos.reporting.study import ModelResult
from ichnos.reporting.style import Picture, drawn
from ichnos.reporting.table import Table
from ichnos.reporting.verdict import HYPOTHESIS, headline, verdict
from ichnos.reporting.what_models_say import what_models_say


@dataclass(frozen=True)
class Pictures:
    """All figures of a study."""

    overview: Picture
    learning: tuple[Picture, ...]
    curves: tuple[Picture, ...]
    confusion: tuple[Picture, ...]
    said: Picture
    gallery: tuple[Picture, ...]

    def all(self) -> tuple[Picture, ...]:
        """In the order in which the report shows them."""
        return (self.overview, *self.learning, *self.confusion, *self.curves, self.said, *self.gallery)


def draw(study: MeasuredStudy, progress: Progress = SILENT) -> Pictures:
    """Draw every figure of a study."""
    figures: dict[str, list[Callable[[], tuple[Picture, ...]]]] = {
        "overview": [lambda: (overview(study),)],
        "learning": [partial(_one, learning_curves, m.model, k) for k, m in enumerate(study.models, start=1)],
        "curves": [lambda: class_curves(study)],
        "confusion": [partial(_one, confusion_matrix, m) for m in study.models],
        "said": [lambda: (what_models_say(study.result),)],
        "gallery": [partial(_one, gallery, m, study.result.slice_picture) for m in study.models],
    }
    made = iter(drawn([figure for group in figures.values() for figure in group], progress))
    groups = {name: tuple(each for _ in group for each in next(made)) for name, group in figures.items()}
    (whole,), (said,) = groups.pop("overview"), groups.pop("said")
    return Pictures(overview=whole, said=said, **groups)


def _one(figure: Callable[..., Picture], *of: Any) -> tuple[Picture, ...]:
    return (figure(*of),)


def report_html(study: MeasuredStudy, tables: tuple[Table, ...], pictures: Pictures) -> str:
    """The whole page as text."""
    return rendered(
        "report.html.j2",
        study=study,
        result=study.result,
        tables={table.name: table for table in tables},
        like_for_like=[table for table in tables if table.name.startswith("like_for_like")],
        pictures=pictures,
        recipe_json=_recipe_json,
        headline=headline(study),
        hypothesis=HYPOTHESIS,
        verdict=verdict(study),
        research_only=NOTICE,
        version=ichnos.__version__,
    )


def _recipe_json(model: ModelResult) -> str:
    """The resolved recipe; of a file of weights the name alone, as its folder is somebody's machine."""
    tree = model.recipe.model_dump(mode="json")
    tree["network"]["init"] = init_name(model.recipe.network.init)
    return json.dumps(tree, indent=2, ensure_ascii=False)
