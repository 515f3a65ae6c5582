"""What stands in the legends of figures."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ichnos.evaluation.level_measures import Measuring, measure_level
from ichnos.evaluation.levels import Judged, Level
from ichnos.readout import POINTS
from ichnos.reporting.level_curves import level_curves
from ichnos.subtypes import Subtype

CLASSES: tuple[Subtype, ...] = (Subtype.SUBDURAL, Subtype.ANY)


def test_a_class_that_is_measured_against_others_is_marked_in_legends(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, _file, **_: drawn.append(figure))
    rng = np.random.default_rng(0)
    labels = rng.random((30, 2)) < 0.5
    patients, said = np.array([f"p{k}" for k in range(30)]), rng.random((30, 2))
    called: dict[str, NDArray[np.bool_]] = dict.fromkeys(POINTS, said >= 0.5)
    judged = Judged(patients, patients, said, said, labels, called)
    thresholds = {point: dict.fromkeys(CLASSES, 0.5) for point in POINTS}
    tree = measure_level(Level.EXAM, judged, thresholds, Measuring(CLASSES, CLASSES, resamples=10))
    made = level_curves("exam", judged, CLASSES, CLASSES, tree, {"subdural": ["epidural", "subdural"]})
    assert "† Subdural is measured against epidural or subdural of the set." in made.caption
    legends = [axes.get_legend() for axes in drawn[0].axes]
    texts = [[text.get_text() for text in legend.get_texts()] for legend in legends if legend]
    assert [[text.rpartition(" ")[0] for text in each] for each in texts] == [
        ["SDH † AUC", "any AUC"],
        ["SDH † AP", "any AP"],
    ]
    assert "†" not in level_curves("exam", judged, CLASSES, CLASSES, tree).caption
