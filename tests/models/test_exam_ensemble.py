"""Networks of exams and of slices, joined in one graph of an exam."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from ichnos.evaluation.combination import Linear
from ichnos.inference.onnx_file import check_self_contained
from ichnos.models.ensemble import EnsembleGraph
from ichnos.models.exam_ensemble import ExamEnsembleGraph, export_exam_ensemble
from ichnos.models.exam_network import ExamNetwork
from ichnos.models.export import CascadeGraph, SliceGraph
from ichnos.recipe import Population
from ichnos.subtypes import SUBTYPES
from tests.models.test_ensemble import FARTHER, NEAR, WIDE, classifier, combinations
from tests.models.test_exam_network import exam, network
from tests.models.test_export import slices

Members = tuple[ExamNetwork | None, ...]

WIDTHS = (5, 3, 5)
"""Features of each: those of the second, who has no network of exams, are looked at by nobody."""


def asked(slices: int) -> tuple[Tensor, Tensor, Tensor]:
    """What three members' slice networks say of one exam, side by side, and where its slices lie."""
    parts = [exam(slices, seed=seed) for seed in (4, 5, 6)]
    features = torch.cat([part[0][:, :width] for part, width in zip(parts, WIDTHS, strict=True)], dim=1)
    return features, torch.cat([part[1] for part in parts], dim=1), parts[0][2]


def wanted(how: str, networks: Members, slices: int) -> np.ndarray:
    """By each member alone, joined in numpy."""
    parts, offsets = [exam(slices, seed=seed) for seed in (4, 5, 6)], exam(slices, seed=4)[2]
    with torch.no_grad():
        said = [
            part[1] if each is None else each.answer(part[0], part[1], offsets)
            for each, part in zip(networks, parts, strict=True)
        ]
    return combinations(3)[how].apply(np.stack([each.double().numpy() for each in said]))


@pytest.mark.parametrize("how", ["mean", "stacking", "rank"])
def test_each_member_is_heard_with_its_own_part(how: str) -> None:
    networks = (network("transformer"), None, network("transformer", trained=False))
    graph = ExamEnsembleGraph(networks, WIDTHS, combinations(3)[how])
    for count in (1, 7):
        with torch.no_grad():
            said = graph(*asked(count)).numpy()
        np.testing.assert_allclose(said, wanted(how, networks, count), rtol=1e-4, atol=1e-4)
    unheard = wanted(how, (None, None, None), 7)
    assert np.abs(said - unheard).max() > 0.1, "a head that adds nothing shows nothing"


@pytest.mark.slow
def test_onnx_runtime_says_the_same_of_exams_of_any_length() -> None:
    networks = (network("gru"), None, network("transformer"))
    content = export_exam_ensemble(networks, WIDTHS, combinations(3)["rank"], classes=6)
    check_self_contained(content)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for count in (1, 2, 7, 40):
        given = dict(zip(("features", "logits", "offsets"), (each.numpy() for each in asked(count)), strict=True))
        said = np.asarray(session.run(["answers"], given)[0])
        logits = wanted("rank", networks, count)
        assert np.abs(1 / (1 + np.exp(-said)) - 1 / (1 + np.exp(-logits))).max() < 1e-4


def test_the_graph_of_slices_gives_what_the_members_say_side_by_side() -> None:
    near = classifier(NEAR)
    positives = near.recipe.derive(population=Population(), classes=SUBTYPES)
    cascade = CascadeGraph(near, type(near).seeded(positives, 4).eval())
    inner = EnsembleGraph(
        [SliceGraph([classifier(FARTHER, 1)]), SliceGraph([classifier(WIDE, 2)])],
        Linear.mean((0.5, 0.5), 6),
        (0.5, 0.5),
    )
    graph = EnsembleGraph([cascade, inner], None, (0.5, 0.5))
    hu = torch.from_numpy(slices()[:2])
    stacks = torch.from_numpy(np.clip(np.arange(len(hu))[:, None] + np.arange(-2, 3), 0, len(hu) - 1))
    with torch.inference_mode():
        logits, features, maps = graph(hu, stacks)
        each = [member(hu, stacks) for member in (cascade, inner)]
    torch.testing.assert_close(logits, torch.cat([said[0] for said in each], dim=1))
    torch.testing.assert_close(features, torch.cat([said[1] for said in each], dim=1))
    assert (logits.shape[1], maps.shape[1]) == (12, 6)
    widths = [member.features for member in (cascade, inner)]
    assert widths == [said[1].shape[1] for said in each]
    assert graph.features == sum(widths)


def test_a_graph_that_stands_for_two_members_is_asked_once() -> None:
    one, other = SliceGraph([classifier(WIDE, 1)]), SliceGraph([classifier(WIDE, 2)])
    asked: list[object] = []
    for each in (one, other):
        each.register_forward_hook(lambda module, *_: asked.append(module))
    hu = torch.from_numpy(slices()[:2])
    with torch.inference_mode():
        logits, _, _ = EnsembleGraph([one, other, one], None, (1 / 3,) * 3)(hu)
        assert asked == [one, other]
        wanted = torch.cat([one(hu)[0], other(hu)[0], one(hu)[0]], dim=1)
    torch.testing.assert_close(logits, wanted)
