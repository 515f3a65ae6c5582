"""What `ichnos bench train` measured as rows for people: what, measured, and what was aimed at."""

from collections.abc import Iterator

from ichnos.counting import counted
from ichnos.workflows.bench.wording import (
    Row,
    Tree,
    circumstances_of,
    listed,
    long_time_of,
    rate_of,
    seconds_of,
    times_of,
    versions_of,
)

_RSNA_SLICES = {"slices": 752_803, "positive slices": 107_933}
"""Of RSNA 2019's training part (stage 2): what an epoch of all, or of the study's positives, goes through."""

_OTHER_WAY = {"median": "median", "lowest": "highest", "highest": "lowest"}
"""The shortest time is of the highest rate."""

_GPU_LEAST = 6_000
_GPU_AIM = f"≥ {_GPU_LEAST:,} slices a second (a GPU of H200's class)"

_OF_ITS_CLASS = ("H100", "H200", "GH200", "B200", "B300")
"""GPUs that are as fast or faster: of others the aim is told and not judged."""

_FED_AIMS = {16: 8_000, 2: 1_500}
"""Slices a second, from so many cores on."""

_SHARE, _BAND = 0.9, 0.1
"""Of the bare network's rate, at least; and of fp32's loss, at most: docs/gpus.md says why."""

_BAND_AIM = f"≤ {_BAND:.0%}"

_OF_PEERS = {"fed": "batches read", "trained": "trained"}
"""What a peer may have measured."""


def train_rows(tree: Tree) -> Iterator[Row]:
    """Of `ichnos bench train`. Aims are of slices of 224 px; of a CPU's training some rows say that it has none.

    What an older file does not hold has no row.
    """
    stated = tree["work"]["size"] == 224
    yield from _input_rows(tree, stated=stated)
    yield from _peer_rows(tree, "fed")
    yield from _training_rows(tree, stated=stated)
    yield from _peer_rows(tree, "trained")
    for name, reason in tree.get("peers_not_run", {}).items():
        yield f"peer {name}", f"not run: {reason}", ""
    if stated:
        yield from _epoch_rows(tree["trained"]["slices_a_second"])
    memory = tree["trained"].get("gpu_mb")
    held = "none: a CPU has no memory of its own" if memory is None else _held(memory)
    yield "GPU memory of training at most", held, ""
    yield "torch.compile", _compiled(tree), ""
    yield _numerics_row(tree.get("numerics"), tree["trained"])


def _input_rows(tree: Tree, *, stated: bool) -> Iterator[Row]:
    fed, floor = tree["fed"], tree["floor"]
    cores = tree["machine"]["cores_used"]
    least = next((rate for from_on, rate in _FED_AIMS.items() if cores >= from_on), None) if stated else None
    aim, verdict = "", ""
    if least is not None:
        aim, verdict = f"≥ {least:,} slices a second", _verdict(fed["slices_a_second"]["median"], least=least)
    yield "batches read from memory, nothing made of them", f"{rate_of(fed)}{verdict}", aim
    yield "the same bytes copied in memory, one core", rate_of(floor["copied"]), ""
    yield "reading against copying", f"{times_of(fed['to_floor'])} the rate", ""
    if cold := tree.get("cold"):
        yield "batches read from the disk, nothing made of them", f"{rate_of(cold)}{_from_disk(cold)}", ""
        yield "the same bytes read from the disk in order", f"{rate_of(floor['raw'])}{_from_disk(floor['raw'])}", ""
        yield "reading from the disk against that", f"{times_of(cold['to_floor'])} the rate", ""


def _from_disk(figures: Tree) -> str:
    """That the bytes came from there, of which a system that forgets nothing gives none."""
    share = figures["from_disk"]
    return "" if share is None else f"; a disk gave {share:.2f} × the bytes"


def _training_rows(tree: Tree, *, stated: bool) -> Iterator[Row]:
    trained, floor = tree["trained"], tree["floor"]
    how = f"{trained['precision']}{', compiled' if _is_compiled(trained) else ''}"
    gpu = stated and trained["device"] != "cpu"
    judged = gpu and any(name in trained["device"] for name in _OF_ITS_CLASS)
    verdict = _verdict(trained["slices_a_second"]["median"], least=_GPU_LEAST) if judged else ""
    yield f"Model 2 trained on {trained['device']}, {how}", f"{rate_of(trained)}{verdict}", _GPU_AIM if gpu else ""
    if beside := trained.get("beside_s"):
        yield "a run's first two steps and its end, in no rate here", seconds_of(beside), ""
    yield "the same network on one batch that lies on the device", rate_of(floor["on_device"]), ""
    yield "one step's parts, each waited for, ms", listed(tree["parts_ms"], digits=0), ""
    share = trained["to_floor"]
    verdict = _verdict(share["median"], least=_SHARE) if stated else ""
    yield "training against that", f"{times_of(share)} the rate{verdict}", f"≥ {_SHARE} ×" if stated else ""


def _verdict(measured: float, *, least: float) -> str:
    return ": held" if measured >= least else ": **missed**"


def _peer_rows(tree: Tree, what: str) -> Iterator[Row]:
    for peer in tree.get("peers", {}).values():
        if what in peer:
            threads = counted(peer["threads"], "thread")
            title = f"{_OF_PEERS[what]} by {peer['title']} ({versions_of(peer['versions'])}, {threads})"
            rate = rate_of({"peak_mb": peer["peak_mb"]} | peer[what])
            yield title, f"{rate}; ours {times_of(peer[what]['ours_to_it'])} the rate", ""


def _epoch_rows(rate: Tree) -> Iterator[Row]:
    for name, count in _RSNA_SLICES.items():
        seconds = {which: count / rate[other] for which, other in _OTHER_WAY.items()}
        yield f"an epoch of RSNA's {count:,} {name}, reckoned from Model 2's rate", long_time_of(seconds), ""


def _held(memory: Tree) -> str:
    return f"{memory['allocated']:,} MB by tensors, {memory['reserved']:,} MB with what torch keeps"


def _compiled(tree: Tree) -> str:
    trained, eager = tree["trained"], tree["floor"].get("eager")
    if trained["device"] == "cpu" and eager is None:
        return "used" if _is_compiled(trained) else "not used: on a CPU only where --compile asks for it"
    if not _is_compiled(trained):
        return trained.get("compilation") or "not used"
    if eager is None:
        return "used"
    return f"{times_of(eager['compiled_to_it'])} the rate without it, which is {rate_of(eager)}"


def _is_compiled(trained: Tree) -> bool:
    return trained["compiled"] in (True, "True")  # text in version 1


def _numerics_row(numerics: Tree | None, trained: Tree) -> Row:
    """Whether training as it is carried out here follows single precision."""
    what = "losses against fp32 without torch.compile"
    if numerics is None:
        same = trained["precision"] == "32-true" and not _is_compiled(trained)
        return what, "nothing to compare: training here is just that" if same else "not measured", ""
    here, single = (f"{each[0]:.3f} to {each[-1]:.3f}" for each in (numerics["losses"], numerics["single"]))
    epochs = f"{numerics['epochs']} epochs of {numerics['slices']} slices with bright spots"
    apart = f"at most {numerics['largest_difference']:.1%} apart in any of {epochs}"
    return what, f"{_way(numerics)}: {here}, fp32: {single}; {apart}", _BAND_AIM


def _way(numerics: Tree) -> str:
    return numerics["precision"] + (", compiled" if numerics["compiled"] else "")


def train_circumstances(tree: Tree) -> str:
    """On what, with what and how: one paragraph."""
    work = tree["work"]
    cache = f"{work['slices']:,} slices of {work['size']}×{work['size']}, {work['bytes'] / 1e6:,.0f} MB"
    steps = f"{counted(work['steps'], 'step')} of {work['batch_size']} slices"
    return circumstances_of(tree, f"A made-up cache of {cache} in the system's file cache; {steps}.")


def numerics_rows(tree: Tree) -> Iterator[Row]:
    """Of `ichnos bench train` in another precision than fp32, or compiled: a row for each epoch's mean losses."""
    numerics = tree.get("numerics")
    if numerics is None:
        yield "losses against fp32 without torch.compile", "not measured", ""
        return
    both = zip(numerics["losses"], numerics["single"], strict=True)
    for epoch, (here, single) in enumerate(both, start=1):
        apart = abs(here - single) / single
        verdict = "held" if apart <= _BAND else "**missed**"
        said = f"{_way(numerics)}: {here:.4f}, fp32: {single:.4f}, {apart:.1%} apart: {verdict}"
        yield f"mean loss of epoch {epoch}", said, _BAND_AIM


def numerics_circumstances(tree: Tree) -> str:
    """On what, with what and how: one paragraph."""
    numerics, device = tree.get("numerics"), tree["trained"]["device"]
    if numerics is None:
        return train_circumstances(tree)
    size, batch = tree["work"]["size"], numerics["batch_size"]
    work = f"{numerics['slices']} made-up slices of {size}×{size} with bright spots, {batch} a step"
    return circumstances_of(tree, f"Model 2 trained twice on {device}, on {work}, once each.", medians=False)
