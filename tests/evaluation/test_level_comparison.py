"""Two models at three levels, and Holm's correction."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.delong import delong
from ichnos.evaluation.level_comparison import Row, compare_exact_match, compare_levels
from ichnos.evaluation.levels import Level
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.paired_cases import StatedCalls
from ichnos.predictions import Predictions
from ichnos.readout import POINTS
from ichnos.subtypes import SUBTYPES, Subtype

TWO = (Subtype.SUBDURAL, Subtype.ANY)


def model(skill: float, seed: int, patients: int = 40, exams: int = 2) -> Predictions:
    """Five slices an exam; the labels do not depend on skill or seed."""
    rng = np.random.default_rng(3)
    n = patients * exams * 5
    bleeding = (rng.random(patients) < 0.5).repeat(exams * 5)
    labels = (rng.random((n, 2)) < 0.4) & bleeding[:, None]
    noise = np.random.default_rng(seed).normal(0, 1, (n, 2))
    return Predictions(
        TWO,
        np.array([f"p{k:02d}" for k in range(patients)]).repeat(exams * 5),
        np.array([f"e{k:03d}" for k in range(patients * exams)]).repeat(5),
        np.array([f"s{k:04d}" for k in range(n)]),
        np.tile(np.arange(5.0), patients * exams),
        1 / (1 + np.exp(-(skill * labels + noise))),
        labels,
    )


def rows(first: Predictions, second: Predictions, resamples: int = 400) -> dict[tuple[Level, Subtype], Row]:
    return {(r.level, r.subtype): r for r in compare_levels(first, second, seed=0, resamples=resamples)}


def test_a_better_model_shows_at_every_level() -> None:
    result = rows(model(0.3, 1), model(3.0, 2))
    assert {level for level, _ in result} == set(Level)
    for (level, _), row in result.items():
        assert row.bootstrap.sign == 1
        assert row.bootstrap_holm is not None
        assert (row.bootstrap.bootstrap_p or 0) <= row.bootstrap_holm < 0.05
        assert (row.delong is None) == (level is not Level.PATIENT), "slices hang together, and exams of a patient"
    exam = result[Level.EXAM, Subtype.ANY]
    assert exam.n == 80
    assert result[Level.PATIENT, Subtype.ANY].n == 40
    json.dumps([row.to_json() for row in result.values()], allow_nan=False)


def test_exams_are_compared_by_their_largest_slice() -> None:
    for exams in (1, 2):
        first, second = model(0.5, 1, exams=exams), model(1.0, 2, exams=exams)
        scores = [each.probabilities[:, 1].reshape(-1, 5).max(axis=1) for each in (first, second)]
        wanted = delong(*scores, first.labels[:, 1].reshape(-1, 5).any(axis=1))
        assert wanted is not None
        row = rows(first, second)[Level.EXAM, Subtype.ANY]
        assert row.bootstrap.estimate.value == pytest.approx(wanted.difference)
        assert row.delong == (wanted if exams == 1 else None)


def test_exams_that_recur_are_no_part_of_delongs_family() -> None:
    result = rows(model(0.5, 1), model(1.0, 2))
    tested = [row for row in result.values() if row.delong is not None]
    assert [(row.level, row.subtype) for row in tested] == [(Level.PATIENT, c) for c in TWO]
    assert [row.delong_holm for row in tested] == holm([row.delong.p for row in tested if row.delong])
    one_each = rows(model(0.5, 1, exams=1), model(1.0, 2, exams=1))
    assert all((row.delong is None) == (level is Level.SLICE) for (level, _), row in one_each.items())


def test_the_same_answers_are_not_tested_and_no_part_of_the_family() -> None:
    """As of a cascade, whose `any` is its gate's."""
    gate, other = model(1.0, 1, exams=1), model(1.4, 2, exams=1)
    cascade = replace(gate, probabilities=np.column_stack([other.probabilities[:, 0], gate.probabilities[:, 1]]))
    result = rows(gate, cascade)
    for level in (Level.SLICE, Level.EXAM):
        row = result[level, Subtype.ANY].to_json()
        assert row["identical"]
        assert row["difference"]["value"] == 0
        assert (row["difference"]["bootstrap_p"], row["difference"]["holm_p"]) == (None, None)
        assert "gate" in row["difference"]["untested"]
        assert row["delong"] is None or (row["delong"]["p"], row["delong"]["holm_p"]) == (None, None)
    subdural = [row for (_, c), row in result.items() if c is Subtype.SUBDURAL]
    assert [row.bootstrap_holm for row in subdural] == holm([row.bootstrap_tested for row in subdural])


def called(table: Predictions, threshold: float) -> StatedCalls:
    calls = replace(table, probabilities=(table.probabilities >= threshold).astype(np.float64))
    return StatedCalls(dict.fromkeys(POINTS, calls))


def by_group(marked: NDArray[np.bool_], group: NDArray[np.str_]) -> NDArray[np.bool_]:
    return np.stack([marked[group == name].any(axis=0) for name in np.unique(group)])


def test_calls_of_a_level_are_compared_at_a_prevalence_and_all_classes_together() -> None:
    first, second = model(0.5, 1), model(1.5, 2)
    stated = called(first, 0.4), called(second, 0.7)
    calls = {Level.SLICE: stated, Level.EXAM: stated}
    found = compare_levels(first, second, called=calls, prevalence={Subtype.ANY: 0.06}, seed=0, resamples=50)
    matches = compare_exact_match(first, second, called=calls, seed=0, resamples=50)
    assert set(matches) == set(Level)
    for level, group in ((Level.SLICE, first.slice_name), (Level.EXAM, first.exam), (Level.PATIENT, first.patient)):
        truth = by_group(first.labels, group)
        said = [by_group(table.probabilities >= each, group) for table, each in ((first, 0.4), (second, 0.7))]
        match = matches[level]["balanced"]
        for side, calls_of in zip((match.first, match.second), said, strict=True):
            assert side.value == pytest.approx((calls_of == truth).all(axis=1).mean())
        measured = {row.subtype: row.measures for row in found if row.level is level}
        any_class, subdural = measured[Subtype.ANY], measured[Subtype.SUBDURAL]
        assert any_class is not None
        assert subdural is not None
        assert "ppv_at_prevalence" not in subdural.points["balanced"]
        ppv = any_class.points["balanced"]["ppv_at_prevalence"]
        for side, calls_of in zip((ppv.first, ppv.second), said, strict=True):
            found_share = calls_of[truth[:, 1], 1].mean() * 0.06
            assert side.value == pytest.approx(found_share / (found_share + calls_of[~truth[:, 1], 1].mean() * 0.94))
        assert "p" not in ppv.difference.to_json()
    with pytest.raises(UsageError, match="a prevalence lies between 0 and 1, got 6"):
        compare_levels(first, second, called=calls, prevalence={Subtype.ANY: 6}, seed=0, resamples=50)


def test_the_order_of_rows_does_not_matter() -> None:
    first, second = model(0.5, 1), model(1.0, 2)
    shuffled = second.select(np.random.default_rng(5).permutation(len(second)))
    one, other = (compare_levels(first, each, seed=0, resamples=100) for each in (second, shuffled))
    assert [r.to_json() for r in one] == [r.to_json() for r in other]


def test_one_exam_a_patient_is_no_level_of_its_own() -> None:
    result = rows(model(0.5, 1, exams=1), model(1.0, 2, exams=1), 100)
    assert {level for level, _ in result} == {Level.SLICE, Level.EXAM}


def test_a_class_without_positives_is_not_tested() -> None:
    first, second = model(0.5, 1), model(1.0, 2)
    labels = first.labels.copy()
    labels[:, 0] = False
    result = rows(replace(first, labels=labels), replace(second, labels=labels), 100)
    row = result[Level.EXAM, Subtype.SUBDURAL]
    assert row.delong is None
    assert row.bootstrap.estimate.note == "not defined (0 positives)"
    assert row.bootstrap_holm is None


@pytest.mark.parametrize(("patients", "tested"), [(9, False), (10, True)])
def test_a_class_of_few_patients_is_described_and_no_part_of_the_family(patients: int, tested: bool) -> None:
    first, second = model(0.5, 1), model(1.5, 2)
    labels = first.labels.copy()
    having = np.unique(first.patient[labels[:, 0]])
    labels[~np.isin(first.patient, having[:patients]), 0] = False
    result = rows(replace(first, labels=labels), replace(second, labels=labels))
    for (level, c), row in result.items():
        described = c is Subtype.SUBDURAL and not tested
        assert row.descriptive_only is described
        assert row.bootstrap.bootstrap_p is not None, "there would be one"
        tree = row.to_json()
        assert tree["positive_patients"] == len(np.unique(first.patient[labels[:, TWO.index(c)]]))
        assert (tree["difference"]["bootstrap_p"] is None) is described
        assert (tree["difference"]["holm_p"] is None) is described
        assert tree["difference"]["low"] is not None
        if level is Level.PATIENT:
            assert row.delong is not None
            assert (tree["delong"]["p"] is None) is (tree["delong"]["holm_p"] is None) is described
    family = [row for (_, c), row in result.items() if tested or c is Subtype.ANY]
    assert [row.bootstrap_holm for row in family] == holm([row.bootstrap.bootstrap_p for row in family])


@pytest.mark.parametrize(("patients", "tested"), [(9, False), (10, True)])
def test_a_class_that_few_patients_lack_is_described_too(patients: int, tested: bool) -> None:
    """Of exams and patients; of their slices more patients have some without it."""
    first, second = model(0.5, 1, exams=1), model(1.5, 2, exams=1)
    labels = first.labels.copy()
    lacking = np.unique(first.patient)[:patients]
    labels[::5, 0] = True
    labels[np.isin(first.patient, lacking), 0] = False
    result = rows(replace(first, labels=labels), replace(second, labels=labels))
    row = result[Level.EXAM, Subtype.SUBDURAL]
    assert (row.positive_patients, row.negative_patients) == (40 - patients, patients)
    assert row.descriptive_only is not tested
    tree = row.to_json()
    assert (tree["difference"]["holm_p"] is None) is (tree["delong"]["holm_p"] is None) is not tested
    assert result[Level.SLICE, Subtype.SUBDURAL].negative_patients == 40
    assert not result[Level.SLICE, Subtype.SUBDURAL].descriptive_only


def test_tables_that_do_not_go_together_are_refused() -> None:
    first = model(0.5, 1)
    with pytest.raises(InputError, match=r"400 and 300 rows, 300 slices in both"):
        compare_levels(first, first.select(np.arange(300)), seed=0)
    with pytest.raises(InputError, match="each once"):
        compare_levels(first, first.select(np.arange(400) % 399), seed=0)
    with pytest.raises(InputError, match="labelled"):
        compare_levels(first, replace(first, labels=~first.labels), seed=0)
    with pytest.raises(InputError, match="share no class"):
        compare_levels(first, replace(first, classes=SUBTYPES[:2]), seed=0)


def by_exam(table: Predictions, k: int) -> Predictions:
    """What a readout might make of exams: the k-th largest of their slices."""
    said = np.sort(table.probabilities.reshape(-1, 5, 2), axis=1)[:, -k]
    labels = table.labels.reshape(-1, 5, 2).any(axis=1)
    exams = table.select(np.arange(0, len(table), 5))
    nameless = np.full(len(exams), "")
    return replace(exams, slice_name=nameless, probabilities=said, labels=labels, rows_of="exam")


def test_labels_of_exams_compare_no_slices() -> None:
    of_exams = [replace(model(skill, seed), labels_of="exam") for skill, seed in ((0.5, 1), (1.0, 2))]
    result, plain = rows(of_exams[0], of_exams[1]), rows(model(0.5, 1), model(1.0, 2))
    assert {level for level, _ in result} == {Level.EXAM, Level.PATIENT}
    key = (Level.EXAM, Subtype.ANY)
    assert result[key].bootstrap == plain[key].bootstrap
    fewer, more = (result[key].bootstrap_holm or 0, plain[key].bootstrap_holm or 0)
    assert fewer <= more, "Holm's correction is over what was tested"


def test_exams_are_compared_by_what_was_said_of_them() -> None:
    first, second = model(0.5, 1), model(1.0, 2)
    exams = by_exam(first, 2), by_exam(second, 2)
    shuffled = exams[0], exams[1].select(np.random.default_rng(1).permutation(80))
    found = {(r.level, r.subtype): r for r in compare_levels(first, second, exams=shuffled, seed=0, resamples=100)}
    for k, c in enumerate(TWO):
        scores = [each.probabilities[:, k] for each in exams]
        wanted = delong(*scores, exams[0].labels[:, k])
        assert wanted is not None
        assert found[Level.EXAM, c].bootstrap.estimate.value == pytest.approx(wanted.difference)
        of_patients = [each.reshape(-1, 2).max(axis=1) for each in scores]
        assert found[Level.PATIENT, c].delong == delong(*of_patients, exams[0].labels[:, k].reshape(-1, 2).any(axis=1))
    assert found[Level.SLICE, Subtype.ANY].n == 400
    alone = rows(*exams)
    assert {level for level, _ in alone} == {Level.EXAM, Level.PATIENT}
    for each in alone:
        assert alone[each].delong == found[each].delong
    key = (Level.EXAM, Subtype.ANY)
    assert alone[key].bootstrap.estimate.value == found[key].bootstrap.estimate.value


def test_slices_and_exams_are_not_compared_with_each_other() -> None:
    slices = model(0.5, 1)
    with pytest.raises(InputError, match="the first table is of slices, the second of exams; give predictions"):
        compare_levels(slices, by_exam(slices, 1), seed=0)
    with pytest.raises(InputError, match="labels of the first table are of slices, those of the second of exams"):
        compare_levels(slices, replace(slices, labels_of="exam"), seed=0)
    none = slices.select(np.array([], dtype=np.intp))
    with pytest.raises(InputError, match="empty"):
        compare_levels(none, none, seed=0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), None, pytest.approx(0.06)]
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([None]) == [None]
