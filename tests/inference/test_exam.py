"""From HU to findings with a tiny network whose answers can be worked out by hand."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichnos.errors import BundleError, ExamError, InputError
from ichnos.inference import INCLUDED, load_bundle
from ichnos.inference.bundle import Bundle
from ichnos.inference.engine import Engine
from ichnos.inference.exam import ExamClassifier
from ichnos.phantom import CohortSettings, make_exam
from ichnos.readout import Aggregator, OperatingPoint, Readout, Scaling, Thresholds
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from tests.inference.networks import brightness, exam, manifest, slices


def bundle_of(
    readout: Readout | None = None, network: onnx.ModelProto | None = None, population: str = "all"
) -> Bundle:
    made = manifest(readout, population)
    network = network or brightness(len(made.readout.classes))
    return Bundle(made, "0" * 64, network.SerializeToString(), "")


def points(threshold: float, sensitive: float) -> Thresholds:
    return Thresholds(
        high_sensitivity=OperatingPoint(threshold=sensitive), balanced=OperatingPoint(threshold=threshold)
    )


def readout(**changes: object) -> Readout:
    return Readout.model_validate(Readout.uncalibrated(CLASSES).model_dump() | {"calibrated": True} | changes)


def test_slices_are_read_in_order_and_any_is_never_below_a_subtype() -> None:
    # class k's logit is 0.1 (HU − 40 − 5k): `any`, the last, is the least likely of all as the network has it
    reading = ExamClassifier(bundle_of(readout()), threads=1).read(exam(20, 45, 70))
    wanted = 1 / (1 + np.exp(-0.1 * (np.array([[20], [45], [70]]) - 40 - 5 * np.arange(6))))
    np.testing.assert_allclose(reading.probabilities[:, :5], wanted[:, :5], atol=1e-5)
    np.testing.assert_allclose(reading.probabilities[:, 5], wanted[:, 0], atol=1e-5)
    assert reading.reported == CLASSES
    assert reading.maps.shape == (3, 6, 4, 4)
    assert reading.features[:, 0].tolist() == [20, 45, 70]
    found = reading.findings
    assert [each.offset_mm for each in found.slices] == [0, 5, 10]
    assert found.doubts == ()
    epidural = found[Subtype.EPIDURAL]
    assert epidural.present
    assert epidural.slices == (1, 2)
    assert epidural.key_slice == 2
    assert epidural.probability == pytest.approx(wanted[2, 0], abs=1e-5)


def test_what_is_absent_has_no_slices() -> None:
    found = ExamClassifier(bundle_of(readout()), threads=1).classify(exam(0, 10))
    assert not found.urgent
    assert not found.any.present
    assert found.present == ()
    assert all(each.slices == () and each.key_slice is None for each in (found.any, *found.subtypes))


def test_urgent_is_any_at_the_high_sensitivity_point() -> None:
    exams = {c: points(0.9, 0.2) for c in CLASSES}
    classifier = ExamClassifier(bundle_of(readout(exams=exams)), threads=1)
    assert not classifier.classify(exam(20)).urgent  # σ(−2) = 0.12
    maybe = classifier.classify(exam(30))  # σ(−1) = 0.27
    assert (maybe.urgent, maybe.any.present) == (True, False)


def test_a_subtype_is_called_only_where_any_is() -> None:
    """The threshold of a rare subtype stands on few patients: alone it raises no alarm."""
    low = {Subtype.SUBDURAL: points(0.1, 0.05)}
    strict = {c: points(0.99, 0.98) for c in CLASSES} | low
    found = ExamClassifier(bundle_of(readout(exams=strict)), threads=1).classify(exam(50))
    assert (found.present, found.any.present, found.urgent) == ((), False, False)
    loose = strict | {Subtype.ANY: points(0.4, 0.3)}
    found = ExamClassifier(bundle_of(readout(exams=loose)), threads=1).classify(exam(50))
    assert found.present == (Subtype.SUBDURAL,)
    assert found.any.present
    assert found.urgent


def test_temperatures_shifts_aggregator_and_scaling_are_applied() -> None:
    changed = readout(
        temperatures=dict.fromkeys(CLASSES, 2.0),
        shifts=dict.fromkeys(CLASSES, -0.5),
        aggregator=Aggregator(kind="top-mean", k=2),
        exam_scaling=dict.fromkeys(CLASSES, Scaling(slope=2.0, intercept=1.0)),
    )
    reading = ExamClassifier(bundle_of(changed), threads=1).read(exam(20, 60, 80))
    two = 1 / (1 + np.exp(-0.05 * (np.array([60, 80]) - 40) + 0.5))
    score = two.mean()
    wanted = 1 / (1 + np.exp(-(2 * np.log(score / (1 - score)) + 1)))
    assert reading.findings[Subtype.EPIDURAL].probability == pytest.approx(wanted, abs=1e-5)


def test_the_key_slice_is_the_most_probable_where_all_look_sure() -> None:
    found = ExamClassifier(bundle_of(readout()), threads=1).classify(exam(300, 340, 320))
    assert {each.probabilities[Subtype.ANY] for each in found.slices} == {1.0}, "to six digits they are alike"
    assert found.any.key_slice == 1


def test_derived_any() -> None:
    for rule in ("noisy-or", "max"):
        five = Readout.model_validate(Readout.uncalibrated(SUBTYPES).model_dump() | {"any_rule": rule})
        row = ExamClassifier(bundle_of(five), threads=1).read(exam(45)).probabilities[0]
        wanted = 1 - np.prod(1 - row[:5]) if rule == "noisy-or" else row[:5].max()
        assert row[5] == pytest.approx(wanted)


@given(st.lists(st.integers(-1024, 3000), min_size=1, max_size=14), st.sampled_from(["max", "noisy-or", "top-mean"]))
@settings(max_examples=30, deadline=None)
def test_any_is_never_below_a_subtype(means: list[int], kind: str) -> None:
    scaling = {c: Scaling(slope=0.5 + k, intercept=k - 2) for k, c in enumerate(CLASSES)}
    changed = readout(aggregator={"kind": kind, "k": 3}, exam_scaling=scaling)
    reading = ExamClassifier(bundle_of(changed), threads=1).read(exam(*means))
    assert (reading.probabilities[:, -1] >= reading.probabilities[:, :-1].max(axis=1)).all()
    found = reading.findings
    assert found.any.probability >= max(each.probability for each in found.subtypes)


@pytest.mark.parametrize("count", [1, 6, 7, 18])  # a batch is six slices at the tiny network's 128 px
def test_any_number_of_slices_gives_what_each_gives_alone(count: int) -> None:
    engine = Engine(bundle_of(), threads=1)
    hu = slices(*np.random.default_rng(0).integers(-100, 100, count))
    whole = engine.run(hu)
    alone = [engine.run(one[None]) for one in hu]
    np.testing.assert_allclose(whole.logits, np.concatenate([one.logits for one in alone]), atol=1e-6)
    np.testing.assert_allclose(whole.maps, np.concatenate([one.maps for one in alone]), atol=1e-6)


def test_slices_of_any_matrix() -> None:
    classifier = ExamClassifier(bundle_of(readout()), threads=1)
    small, usual = (classifier.read(exam(45, matrix=matrix)).probabilities for matrix in (256, 512))
    np.testing.assert_allclose(small, usual, atol=1e-6)


def test_an_uncalibrated_bundle_is_a_doubt() -> None:
    found = ExamClassifier(bundle_of(), threads=1).classify(exam(45), doubts=["the exam is short"])
    assert found.doubts[0] == "the exam is short"
    assert "not calibrated" in found.doubts[1]


def test_positives_only_is_refused() -> None:
    with pytest.raises(BundleError, match="has never seen a normal slice"):
        ExamClassifier(bundle_of(population="positives"))


@pytest.mark.parametrize(
    ("hu", "offsets", "complaint"),
    [
        ([], None, "the exam has no slices"),
        (slices(1, 2), [0.0], "2 slices and as many offsets in mm are wanted"),
        (slices(1, 2), [0.0, float("nan")], "finite numbers"),
        (slices(1, 2), [5.0, 0.0], "from foot to head"),
        (slices(1, 2), [5.0, 5.0], "each offset greater than the one before"),
        (slices(1).astype(np.float32), None, "int16 Hounsfield units, got float32"),
        (slices(1).astype(np.int32), None, "int16 Hounsfield units, got int32"),
        (["a slice"], None, "int16 Hounsfield units"),
        ([*slices(1), *slices(1, matrix=64)], None, r"of one matrix, got \(64, 64\) and \(512, 512\)"),
        (np.zeros((512, 512), np.int16), None, r"2D images of one matrix, got \(512,\)"),
        (np.zeros((1, 1, 512), np.int16), None, "not a head CT: the picture measures"),
        (slices(20, 45, 70), [0.0, 5.0, 10.0], "not a head CT"),
    ],
)
def test_what_is_no_exam(hu: object, offsets: list[float] | None, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        ExamClassifier(bundle_of(), threads=1).classify(hu, offsets)  # pyright: ignore[reportArgumentType]


def test_a_head_given_as_hu_is_read_with_doubts_of_what_was_not_given() -> None:
    head = make_exam(CohortSettings(exams=1, seed=11, matrix=128, slices=(20, 20)), 0)
    classifier, offsets = ExamClassifier(bundle_of(readout()), threads=1), np.arange(20) * 7.0
    whole = classifier.classify(list(head.hu), offsets, pixel_spacing=head.pixel_spacing)
    assert whole.doubts == ()
    assert [each.offset_mm for each in whole.slices] == offsets.tolist()
    (no_pixels,) = classifier.classify(head.hu, offsets).doubts
    assert no_pixels.startswith("the size of its pixels was not given")
    blind = classifier.classify(head.hu, pixel_spacing=head.pixel_spacing)
    assert blind.doubts == ("where its slices lie was not given: they were taken to be 5 mm apart, from foot to head",)
    assert blind.slices[-1].offset_mm == 19 * 5.0


def test_hu_that_show_no_head_are_refused_as_files_are() -> None:
    head = make_exam(CohortSettings(exams=1, seed=11, matrix=128, slices=(20, 20)), 0)
    classifier = ExamClassifier(bundle_of(readout()), threads=1)
    for what in (head.hu // 2, -head.hu, np.minimum(head.hu, 60)):
        with pytest.raises(ExamError, match="not a head CT"):
            classifier.classify(what, np.arange(20) * 7.0, pixel_spacing=head.pixel_spacing)
    with pytest.raises(ExamError, match="the body in it measures"):
        classifier.classify(head.hu, np.arange(20) * 7.0, pixel_spacing=(3.0, 3.0))


def test_the_number_of_cores_changes_nothing() -> None:
    hu = slices(*range(0, 90, 9))
    one, three = (Engine(bundle_of(), threads=threads).run(hu) for threads in (1, 3))
    for name in ("logits", "features", "maps"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_no_slices_run_no_network() -> None:
    with pytest.raises(InputError, match="no slices"):
        Engine(bundle_of(), threads=1).run([])


def test_a_network_that_is_none() -> None:
    with pytest.raises(BundleError, match="cannot open"):
        Engine(Bundle(manifest(), "", b"garbage", ""))


def test_a_network_with_another_interface() -> None:
    model = brightness()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 256
    with pytest.raises(BundleError, match="must take `hu`"):
        Engine(bundle_of(network=model))
    model = brightness()
    del model.graph.output[2]
    with pytest.raises(BundleError, match="must give `logits`"):
        Engine(bundle_of(network=model))


def test_a_network_of_another_number_of_classes() -> None:
    with pytest.raises(BundleError, match="no finite numbers for its classes"):
        Engine(bundle_of(network=brightness(6, outputs=4)), threads=1).run(slices(1))


def test_a_network_that_gives_no_numbers() -> None:
    with pytest.raises(BundleError, match="no finite numbers"):
        Engine(bundle_of(network=brightness(gain=float("inf"))), threads=1).run(slices(40))


def test_a_demonstration_says_so_in_everything_it_reads() -> None:
    bundle = bundle_of(readout())
    told = bundle.manifest.model_copy(update={"demonstration": "trained on two heads"})
    found = ExamClassifier(Bundle(told, bundle.digest, bundle.network, ""), threads=1).classify(exam(20))
    assert found.doubts == ("a demonstration: trained on two heads",)


def test_the_included_bundle_reads_a_head_and_says_that_it_is_a_demonstration() -> None:
    assert INCLUDED.stat().st_size < 20e6
    classifier = load_bundle()
    manifest = classifier.bundle.manifest
    assert manifest.readout.classes == CLASSES
    assert manifest.readout.calibrated
    assert manifest.scorecard_is_of == "the procedure"
    assert manifest.data is not None
    assert "CC BY 4.0" in manifest.data.licence
    assert "82 patients" in classifier.bundle.card
    head = make_exam(CohortSettings(exams=1, seed=11, slices=(20, 20)), 0)
    found = classifier.classify(head.hu, np.arange(20) * 7.0, pixel_spacing=head.pixel_spacing)
    assert "a demonstration" in found.doubts[0]
    assert len(found.slices) == 20
