"""How boosted trees are fitted: what they learn, from whom, and where there is too little to learn from."""

from dataclasses import replace

import numpy as np
import pytest

from ichnos.progress import SILENT
from ichnos.recipe import TreesHead
from ichnos.subtypes import Subtype
from ichnos.training.trees import Examined, fit_trees

HEAD = TreesHead(neighbours=2, rounds=20, learning_rate=0.3, depth=2)

PATIENTS, SLICES = 20, 12


def examined(*, telling: bool, seed: int = 5) -> Examined:
    """Exams whose bleeds run over neighbouring slices; a slice's own logit is noisy, so those beside it tell more.

    Where nothing tells, labels are drawn by each slice's own logit alone.
    """
    random = np.random.default_rng(seed)
    n = PATIENTS * SLICES
    patients = np.repeat([f"p{p:02}" for p in range(PATIENTS)], SLICES)
    bleeding = (np.arange(n) % SLICES // 4 == 1) & (np.repeat(np.arange(PATIENTS), SLICES) % 2 == 0)
    logits = random.normal(0, 2, (n, 2))
    if telling:
        labels = np.column_stack([bleeding, bleeding])
        logits += np.where(labels, 1.5, -1.5)
    else:
        labels = random.random((n, 2)) < 1 / (1 + np.exp(-logits))
    offsets = np.tile(np.arange(SLICES) * 5.0, PATIENTS)
    return Examined((Subtype.SUBDURAL, Subtype.ANY), logits, offsets, labels, patients, patients)


def loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(labels, -logits, logits)).mean())


def test_what_neighbours_tell_is_learnt_and_helps_patients_that_were_left_out() -> None:
    given = examined(telling=True)
    fitted = fit_trees(HEAD, given, SILENT)
    assert all(0 < rounds <= 20 for rounds in fitted.rounds)
    assert [tree.n_estimators_ for tree in fitted.trees if tree is not None] == list(fitted.rounds)
    before, after = loss(given.logits, given.labels), loss(fitted.unseen, given.labels)
    assert after < 0.8 * before
    for k, each in enumerate(fitted.losses):
        assert each[0] == pytest.approx(loss(given.logits[:, k], given.labels[:, k]), abs=1e-6)
        assert (
            each[fitted.rounds[k]]
            == min(each)
            == pytest.approx(loss(fitted.unseen[:, k], given.labels[:, k]), abs=1e-6)
        )
    assert fitted.notes == ()


def test_where_neighbours_tell_nothing_no_trees_are_kept() -> None:
    given = examined(telling=False)
    fitted = fit_trees(HEAD, given, SILENT)
    assert fitted.trees == (None, None)
    assert np.array_equal(fitted.unseen, given.logits)
    assert fitted.notes[0] == "subdural: no trees serve patients that were left out; its logit stays"


def test_what_is_said_of_a_patient_does_not_depend_on_their_own_labels() -> None:
    given = examined(telling=True)
    own = given.patients == "p04"
    other = replace(given, labels=np.where(own[:, np.newaxis], ~given.labels, given.labels))
    head = HEAD.model_copy(update={"rounds": 1})
    first, second = (fit_trees(head, each, SILENT) for each in (given, other))
    assert first.rounds == second.rounds == (1, 1)
    assert np.array_equal(first.unseen[own], second.unseen[own])
    assert not np.array_equal(first.unseen, second.unseen), "others do learn from them"


@pytest.mark.parametrize("labels", ["none", "all", "few"])
def test_a_class_that_few_have_or_lack_keeps_its_logit(labels: str) -> None:
    given = examined(telling=True)
    changed = given.labels.copy()
    changed[:, 0] = labels == "all"
    if labels == "few":
        changed[:, 0] = np.isin(given.patients, ["p00", "p01"])
    fitted = fit_trees(HEAD, replace(given, labels=changed), SILENT)
    assert fitted.trees[0] is None
    assert fitted.trees[1] is not None
    assert np.array_equal(fitted.unseen[:, 0], given.logits[:, 0])
    number, side = {"none": (0, "with"), "all": (0, "without"), "few": (2, "with")}[labels]
    said = f"subdural: {number} validation patients with slices {side} it, trees want 5, so the slice stage's logit"
    assert fitted.notes == (f"{said} stays as it is",)


def test_exams_of_one_slice_can_be_learnt_from() -> None:
    given = examined(telling=True)
    alone = replace(given, exams=np.array([f"e{k}" for k in range(len(given.exams))]))
    assert fit_trees(HEAD, alone, SILENT).unseen.shape == given.logits.shape


def test_the_order_of_rows_does_not_matter_to_the_table() -> None:
    given = examined(telling=True)
    order = np.random.default_rng(1).permutation(len(given.exams))
    names = ("logits", "offsets", "labels", "exams", "patients")
    shuffled = replace(given, **{name: getattr(given, name)[order] for name in names})
    assert np.array_equal(shuffled.table(HEAD), given.table(HEAD)[order])
