"""Class maps against masks: what the scorecard says of hits above chance."""

from pathlib import Path

import numpy as np
import pytest

from ichnos.data.set import PreparedSet
from ichnos.evaluation.resampling import PatientResamples
from ichnos.reporting.evaluation_tables import localisation
from ichnos.subtypes import Subtype
from ichnos.workflows.localise import MapsAgainstMasks
from tests.workflows.bright import bright_set

SEED, RESAMPLES = 3, 60

GRIDS = {4: 1, 3: 4}
"""Cells a side, and how many of them the mask of rows and columns 8 to 16 of 32 overlaps."""


def test_hits_above_chance_have_an_interval_by_patient(tmp_path: Path) -> None:
    """Of maps whose largest cell is drawn; half of the patients' have fewer cells, so that chance differs too."""
    prepared = PreparedSet(bright_set(tmp_path / "set", masks=True))
    collected = MapsAgainstMasks(prepared, (Subtype.ANY,))
    marked = collected.marked(np.arange(len(prepared.index))).astype(np.intp)
    patients = prepared.index["patient"].to_numpy().astype(np.str_)[marked]
    few = np.unique(patients, return_inverse=True)[1] % 2 == 1
    rng = np.random.default_rng(0)
    hits, chances = np.empty(len(marked)), np.empty(len(marked))
    for side, chosen in ((4, ~few), (3, few)):
        cells = rng.random((int(chosen.sum()), 1, side, side)).astype(np.float32)
        collected(marked[chosen], cells)
        top = cells.reshape(len(cells), -1).argmax(axis=1)
        first, last = 8 * side // 32, -(-16 * side // 32)
        inside = [first <= place // side < last and first <= place % side < last for place in top.tolist()]
        hits[chosen], chances[chosen] = inside, (last - first) ** 2 / side**2
        assert (last - first) ** 2 == GRIDS[side]
    tree = collected.tree(seed=SEED, resamples=RESAMPLES)
    assert tree is not None
    row = tree["classes"]["any"]

    drawn = PatientResamples.draw(np.concatenate([patients[~few], patients[few]]), SEED, RESAMPLES)
    names = np.unique(patients)
    for name, values in (("pointing", hits), ("chance", chances), ("above_chance", hits - chances)):
        assert row[name]["value"] == pytest.approx(values.mean())
        own = [values[patients == patient] for patient in names]
        means = [np.concatenate([np.tile(own[k], n) for k, n in enumerate(each)]).mean() for each in drawn.weights]
        assert (row[name]["low"], row[name]["high"]) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
        assert row[name]["low"] < row[name]["high"]
    sides = row["pointing"]["low"] - row["chance"]["high"], row["pointing"]["high"] - row["chance"]["low"]
    assert (row["above_chance"]["low"], row["above_chance"]["high"]) != pytest.approx(sides), "on the same resamples"

    table = localisation({"localisation": tree})
    titles = [column.title for column in table.columns]
    (written,) = table.written()
    above = row["above_chance"]
    wanted = f"{above['value']:+.3f} [{above['low']:+.3f}, {above['high']:+.3f}]".replace("-", "\u2212")
    assert str(written[titles.index("Above chance")]) == wanted
    assert str(written[titles.index("By chance")]).startswith(f"{row['chance']['value']:.3f} [")
    assert any(note.startswith("Above chance: ") for note in table.notes)
