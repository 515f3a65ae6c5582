"""Networks of exams: padding changes nothing, one slice is an exam, an untrained head says what the slices said."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ichnos import recipes
from ichnos.errors import TrainingError
from ichnos.inference.onnx_file import check_self_contained
from ichnos.models.cost import multiply_adds_of_exam
from ichnos.models.exam_checkpoint import load_exam_network, save_exam_network
from ichnos.models.exam_export import export_exam_network
from ichnos.models.exam_heads.head import Exams, beside
from ichnos.models.exam_heads.inputs import ShownInputs
from ichnos.models.exam_network import ExamNetwork, SliceSizes
from ichnos.recipe import ExamInput, ExamRecipe, SequenceHead

ALONG = ("gru", "lstm", "conv-lstm", "transformer", "two-stage")
KINDS = (*ALONG, "dense")
FEATURES, SIDE = 5, 3
READER = recipes.find("reader").of_one_model


def network(kind: str, *, trained: bool = True, **head: object) -> ExamNetwork:
    """A small one, with everything to see; trained: as if, with weights in its last layers too."""
    inputs = (ExamInput.FEATURES, ExamInput.LOGITS) if kind == "dense" else tuple(ExamInput)
    said = {"kind": kind, "hidden": 8, "layers": 2, "attention_heads": 2, "inputs": inputs} | head
    recipe = ExamRecipe(name="x", title="X", slices=READER, head=SequenceHead.model_validate(said))
    made = ExamNetwork.seeded(recipe, SliceSizes(FEATURES, SIDE), seed=1).eval()
    generator = torch.Generator().manual_seed(3)
    made.fit(*(each for each in exam(50, seed=9)[:2]), exam(50, seed=9)[3])
    for layer in made.core.modules():
        if trained and isinstance(layer, nn.Linear):
            layer.weight.data.normal_(std=0.3, generator=generator)
    return made


def exam(slices: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, logits, offsets and maps."""
    draw = torch.Generator().manual_seed(100 * seed + slices)
    offsets = torch.cumsum(1 + 6 * torch.rand(slices, generator=draw), dim=0)
    return (
        torch.randn(slices, FEATURES, generator=draw),
        2 * torch.randn(slices, 6, generator=draw),
        offsets - offsets[0],
        torch.rand(slices, 6, SIDE, SIDE, generator=draw),
    )


def padded(exams: list[tuple[Tensor, ...]]) -> Exams:
    """Noise, not zeros, behind the shorter ones."""
    longest = max(len(each[0]) for each in exams)
    valid = torch.tensor([[k < len(each[0]) for k in range(longest)] for each in exams])
    laid = [
        torch.stack([torch.cat([part, 7 * torch.ones(longest - len(part), *part.shape[1:])]) for part in parts])
        for parts in zip(*exams, strict=True)
    ]
    return Exams(laid[0], laid[1], laid[2], laid[3], valid, valid.sum(dim=1))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=8)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_batch_of_exams_is_as_many_batches_of_one(kind: str, lengths: list[int]) -> None:
    made = network(kind)
    exams = [exam(length, seed) for seed, length in enumerate(lengths)]
    with torch.no_grad():
        together = made(padded(exams))[-1]
        for row, each in zip(together, exams, strict=True):
            torch.testing.assert_close(row[: len(each[0])], made.answer(*each), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [("gru", 3), ("lstm", 4)])
def test_multiplications_are_counted_where_the_kernel_is_one_call(kind: str, gates: int) -> None:
    """By hand: each gate's dense layer on input and state, both ways along the exam, and the output layer."""
    made = network(kind, layers=1, inputs=(ExamInput.FEATURES, ExamInput.LOGITS))
    each = 2 * gates * 8 * ((FEATURES + 6) + 8) + 2 * 8 * 6
    assert multiply_adds_of_exam(made.recipe, made.sizes, 12) == 12 * each


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [1, 2, 12])
def test_an_untrained_head_says_what_the_slices_said(kind: str, slices: int) -> None:
    features, logits, offsets, maps = exam(slices)
    with torch.no_grad():
        assert torch.equal(network(kind, trained=False).answer(features, logits, offsets, maps), logits)
        assert not torch.allclose(network(kind).answer(features, logits, offsets, maps), logits)


@pytest.mark.parametrize("kind", ALONG)
def test_every_slice_sees_those_below_and_above(kind: str) -> None:
    given = exam(7)
    made = network(kind, inputs=("features", "logits"))
    with torch.no_grad():
        before = made.answer(*given)
        for k in (0, 6):
            other = [each.clone() for each in given]
            other[0][k] += 1
            other[3][k] += 1
            changed = (made.answer(*other) - before).abs().amax(dim=1)
            assert (changed > 1e-7).all(), "a slice at the end is seen from the other end"


def test_dense_layers_see_each_slice_by_itself() -> None:
    given = exam(7)
    made = network("dense", inputs=("features",))
    with torch.no_grad():
        before = made.answer(*given)
        given[0][3] += 1
        changed = (made.answer(*given) - before).abs().amax(dim=1) > 1e-7
    assert changed.tolist() == [False] * 3 + [True] + [False] * 3
    assert multiply_adds_of_exam(made.recipe, made.sizes, 12) == 12 * (FEATURES * 8 + 8 * 8 + 8 * 6)


def test_differences_end_where_the_exam_ends() -> None:
    values = torch.tensor([[[1.0], [4.0], [6.0], [99.0]]])
    below, above = beside(values, torch.tensor([[True, True, True, False]]))
    assert below.flatten().tolist()[:3] == [0, 3, 2]
    assert above.flatten().tolist()[:3] == [3, 2, 0]
    alone = beside(values[:, :1], None)
    assert [each.flatten().tolist() for each in alone] == [[0], [0]]


def test_distances_are_in_five_mm_and_a_gap_is_a_gap() -> None:
    made = ShownInputs(SequenceHead(inputs=("logits", "distances")), FEATURES, 6)
    exams = Exams(torch.zeros(1, 3, FEATURES), torch.zeros(1, 3, 6), torch.tensor([[0.0, 2.5, 300.0]]))
    assert made(exams)[0, :, -2:].tolist() == [[0, 0.5], [0.5, 4], [4, 0]]


def test_inputs_are_standardised_by_the_training_slices() -> None:
    features, logits = exam(60)[:2]
    features[:, 2] = 3.0  # one that never changes
    made = ShownInputs(SequenceHead(), FEATURES, 6)
    made.fit(features, logits)
    shown = made(Exams(features[None], logits[None], torch.zeros(1, 60)))[0]
    torch.testing.assert_close(shown.mean(dim=0), torch.zeros(11), atol=1e-5, rtol=0)
    spread = shown.std(dim=0, correction=0)
    torch.testing.assert_close(spread[[0, 1, 3, 4, *range(5, 11)]], torch.ones(10), atol=1e-4, rtol=0)
    assert spread[2] == 0


@pytest.mark.parametrize("components", [None, 2])
def test_rounding_is_not_blown_up(components: int | None) -> None:
    features, logits = (1 + 1e-7 * each for each in exam(60)[:2])
    made = ShownInputs(SequenceHead(components=components), FEATURES, 6)
    made.fit(features, logits)
    shown = made(Exams(features[None], logits[None], torch.zeros(1, 60)))
    assert float(shown.detach().abs().max()) < 2e-3


def test_components_are_those_of_the_training_slices() -> None:
    features, logits = exam(60)[:2]
    made = ShownInputs(SequenceHead(inputs=("features",), components=2), FEATURES, 6)
    made.fit(features, logits)
    shown = made(Exams(features[None], logits[None], torch.zeros(1, 60)))[0].numpy()
    centred = (features - features.mean(dim=0)).numpy()
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    np.testing.assert_allclose(np.abs(np.corrcoef(shown.T, expected.T)[:2, 2:]).diagonal(), 1, atol=1e-5)
    assert shown[:, 0].var() > shown[:, 1].var()
    with pytest.raises(TrainingError, match=r"head\.components=6 of 5 features"):
        ShownInputs(SequenceHead(inputs=("features",), components=6), FEATURES, 6)


def test_a_convolutional_lstm_needs_maps() -> None:
    recipe = network("conv-lstm").recipe
    with pytest.raises(TrainingError, match="the slice stage's network has none"):
        ExamNetwork(recipe, SliceSizes(FEATURES, 0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_graph_says_the_same_of_exams_of_any_length(kind: str) -> None:
    made = network(kind, components=3 if kind == "gru" else None)
    content = export_exam_network(made)
    check_self_contained(content)
    onnx.checker.check_model(onnx.load_from_string(content))
    assert str(Path(__file__).parents[2]).encode() not in content, "paths of the machine that made it"
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = ("features", "logits", "offsets", *(("maps",) if kind == "conv-lstm" else ()))
    assert {each.name for each in session.get_inputs()} == set(names)
    for slices in (1, 2, 7, 40):
        given = dict(zip(("features", "logits", "offsets", "maps"), exam(slices, seed=4), strict=True))
        with torch.no_grad():
            wanted = made.answer(*given.values()).sigmoid().numpy()
        (said,) = session.run(["answers"], {name: given[name].numpy() for name in names})
        assert np.abs(1 / (1 + np.exp(-said)) - wanted).max() < 1e-4


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    made = network("conv-lstm")
    path = tmp_path / "best.safetensors"
    save_exam_network(path, made, {"epoch": 3})
    again, metadata = load_exam_network(path)
    assert (again.recipe, again.sizes, metadata["epoch"]) == (made.recipe, made.sizes, 3)
    with torch.no_grad():
        assert torch.equal(again.answer(*exam(4)), made.answer(*exam(4)))


def test_the_second_of_two_stages_sees_probabilities_alone_and_teaches_the_first_nothing() -> None:
    """σ of what it was given and of the first's answer, their mean, that less its neighbours', and how far they are."""
    core, said, seen = network("two-stage").core, padded([exam(5)]), list[Tensor]()
    core.on_probabilities.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    first, second = core(torch.randn(1, 5, core.on_features.network.input_size), said)
    own, before = said.logits.sigmoid(), first.sigmoid()
    mean = (own + before) / 2
    given = dict(
        zip(("own", "first", "mean", "below", "above", "far"), seen[0].split([6, 6, 6, 6, 6, 2], dim=2), strict=True)
    )
    for name, wanted in (("own", own), ("first", before), ("mean", mean)):
        assert torch.allclose(given[name], wanted, atol=1e-6), name
    assert torch.allclose(given["below"][0, 1:], mean[0, 1:] - mean[0, :-1], atol=1e-6)
    assert torch.allclose(given["above"][0, :-1], mean[0, 1:] - mean[0, :-1], atol=1e-6)
    assert torch.allclose(given["far"][0, 1:, 0] * 5, said.offsets[0].diff(), atol=1e-5)
    second.sum().backward()
    assert all(each.grad is None for each in core.on_features.parameters())
    assert any(each.grad is not None for each in core.on_probabilities.parameters())
