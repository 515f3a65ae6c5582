"""Boosted trees over an exam: numpy's table is the graph's to the bit, and the graph says what scikit-learn says."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from sklearn.ensemble import GradientBoostingClassifier

from ichnos.ct import Window
from ichnos.inference.onnx_file import check_self_contained
from ichnos.inputs import neighbour_stacks
from ichnos.models.export import OPSET
from ichnos.models.neighbour_table import NeighbourTable
from ichnos.models.trees import FromSlice, export_trees
from ichnos.recipe import InputSpec

TABLE = NeighbourTable(outputs=2, neighbours=2, spacing_mm=5.0)

Exam = tuple[NDArray[np.float32], NDArray[np.float64]]


@pytest.fixture(scope="module")
def in_onnx() -> Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.float32]]:
    nodes, constants = TABLE.nodes("logits", "offsets", "table")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "table",
        [value("logits", onnx.TensorProto.FLOAT, ["n", 2]), value("offsets", onnx.TensorProto.FLOAT, ["n"])],
        [value("table", onnx.TensorProto.FLOAT, ["n", TABLE.columns])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda logits, offsets: session.run(None, {"logits": logits, "offsets": offsets.astype(np.float32)})[0]


def an_exam(seed: int, slices: int, spacing: float = 5.0) -> Exam:
    """Uneven: of some slices one is missing, others lie closer."""
    random = np.random.default_rng(seed)
    offsets = np.cumsum(random.choice([0.5, 1, 2], slices) * spacing).round(2) - 700
    return (3 * random.standard_normal((slices, 2))).astype(np.float32), offsets


@st.composite
def exams(draw: st.DrawFn) -> Exam:
    places = draw(st.lists(st.floats(-900, 900, allow_nan=False).map(lambda mm: round(mm, 2)), min_size=1, max_size=12))
    logits = st.floats(-40, 40, width=32)
    rows = draw(st.lists(st.tuples(logits, logits), min_size=len(places), max_size=len(places)))
    return np.array(rows, np.float32), np.array(places)


@given(exam=exams())
@settings(deadline=None, max_examples=100)
def test_the_graphs_table_is_numpys_to_the_bit(in_onnx, exam: Exam) -> None:
    rows = TABLE.rows(*exam)
    assert rows.shape == (len(exam[0]), TABLE.columns)
    assert np.array_equal(rows, in_onnx(*exam))


@given(exam=exams())
@settings(deadline=None, max_examples=50)
def test_the_order_of_slices_does_not_matter(exam: Exam) -> None:
    logits, offsets = exam
    _, once = np.unique(offsets, return_index=True)
    logits, offsets = logits[once], offsets[once]
    order = np.random.default_rng(0).permutation(len(once))
    assert np.array_equal(TABLE.rows(logits, offsets)[order], TABLE.rows(logits[order], offsets[order]))


@pytest.mark.parametrize("spacing", [5.0, 1.0, 8.0])
def test_neighbours_are_those_that_a_network_would_be_shown(spacing: float) -> None:
    logits, offsets = an_exam(3, 20, spacing)
    exact = np.rint(logits * 256) / 256
    stacks = neighbour_stacks(InputSpec(windows=(Window(40, 80),), neighbours=2, neighbour_spacing=5.0), offsets)
    assert np.array_equal(TABLE.rows(logits, offsets)[:, :10], exact[stacks].reshape(20, 10))


def test_beyond_the_ends_the_last_slice_stands_in_and_height_says_where_they_are() -> None:
    rows = TABLE.rows(np.array([[1, -1], [2, -2], [3, -3]], np.float32), np.array([10.0, 15.0, 20.0]))
    assert rows[0].tolist() == [1, -1, 1, -1, 1, -1, 2, -2, 3, -3, 3, -1, 2, -2, 0]
    assert rows[2].tolist() == [1, -1, 2, -2, 3, -3, 3, -3, 3, -3, 3, -1, 2, -2, 1]


def test_an_exam_of_one_slice_is_its_own_neighbour(in_onnx) -> None:
    exam = np.array([[0.5, -2]], np.float32), np.array([-312.5])
    assert TABLE.rows(*exam).tolist() == [[0.5, -2] * 7 + [0]]
    assert np.array_equal(TABLE.rows(*exam), in_onnx(*exam))


def test_missing_neighbours_are_the_nearest_that_there_are(in_onnx) -> None:
    exam = np.array([[1, 0], [2, 0], [3, 0]], np.float32), np.array([0.0, 5.0, 65.0])
    assert TABLE.rows(*exam)[:, :10:2].tolist() == [[1, 1, 1, 2, 2], [1, 1, 2, 2, 2], [3, 3, 3, 3, 3]]
    assert np.array_equal(TABLE.rows(*exam), in_onnx(*exam))


@pytest.fixture(scope="module")
def boosted() -> GradientBoostingClassifier:
    """Of the second output: positive where the slice above is."""
    made = [an_exam(seed, 15) for seed in range(20)]
    table = np.vstack([TABLE.rows(*exam) for exam in made])
    model = GradientBoostingClassifier(init=FromSlice(5), n_estimators=30, subsample=0.7, random_state=0)
    return model.fit(table, table[:, 7] > 1)


def said(graph: bytes, logits: NDArray[np.float32], offsets: NDArray[np.float64]) -> NDArray[np.float32]:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    features = np.zeros((len(logits), 4), np.float32)
    return session.run(None, {"features": features, "logits": logits, "offsets": offsets.astype(np.float32)})[0]


@pytest.mark.parametrize("slices", [1, 2, 40])
def test_the_graph_says_what_the_trees_say_and_lets_the_other_class_pass(
    boosted: GradientBoostingClassifier, slices: int
) -> None:
    logits, offsets = an_exam(77, slices)
    rows = TABLE.rows(logits, offsets)
    added = boosted.decision_function(rows) - FromSlice(5).logit(rows)
    assert np.abs(added).max() > 0.1
    anew = said(export_trees(TABLE, [None, boosted]), logits, offsets)
    assert np.array_equal(anew[:, 0], logits[:, 0])
    assert np.abs(anew[:, 1] - (logits[:, 1] + added)).max() < 1e-5


def test_values_on_a_threshold_go_the_same_way(boosted: GradientBoostingClassifier) -> None:
    trees = [tree.tree_ for tree in boosted.estimators_.ravel()]
    thresholds = np.unique(np.concatenate([t.threshold[(t.feature >= 0) & (t.feature < 10)] for t in trees]))
    logits = np.repeat(thresholds[:, np.newaxis], 2, axis=1).astype(np.float32)
    assert np.array_equal(logits[:, 0], thresholds), "between two 256ths lies a 512th, which single precision holds"
    rows = TABLE.rows(logits, offsets := np.arange(len(logits)) * 5.0)
    added = boosted.decision_function(rows) - FromSlice(5).logit(rows)
    anew = said(export_trees(TABLE, [None, boosted]), logits, offsets)
    assert np.abs(anew[:, 1] - (logits[:, 1] + added)).max() < 1e-5


def test_trees_that_only_lift_are_added_too() -> None:
    """Of nothing but positive leaves scores could be told in another form."""
    made = [an_exam(seed, 15) for seed in range(5)]
    table = np.vstack([TABLE.rows(np.minimum(logits, -3), offsets) for logits, offsets in made])
    model = GradientBoostingClassifier(init=FromSlice(5), n_estimators=5, max_depth=1)
    model.fit(table, np.arange(len(table)) % 10 > 0)
    assert all((tree.tree_.value[tree.tree_.feature < 0] > 0).all() for tree in model.estimators_.ravel())
    logits, offsets = np.full((4, 2), -4, np.float32), np.arange(4) * 5.0
    rows = TABLE.rows(logits, offsets)
    want = logits[:, 1] + model.decision_function(rows) - FromSlice(5).logit(rows)
    assert np.abs(said(export_trees(TABLE, [None, model]), logits, offsets)[:, 1] - want).max() < 1e-5


def test_the_same_trees_give_the_same_bytes_and_name_no_machine(boosted: GradientBoostingClassifier) -> None:
    graph = export_trees(TABLE, [None, boosted])
    assert graph == export_trees(TABLE, [None, boosted])
    assert boosted.init is not None, "what was exported is what it was"
    model = onnx.load_from_string(graph)
    assert not any(part.doc_string or part.metadata_props for part in (model, model.graph, *model.graph.node))
    assert {opset.domain for opset in model.opset_import} == {"", "ai.onnx.ml"}
    check_self_contained(graph)


def test_without_any_trees_nothing_changes() -> None:
    logits, offsets = an_exam(1, 7)
    assert np.array_equal(said(export_trees(TABLE, [None, None]), logits, offsets), logits)
