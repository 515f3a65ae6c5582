"""A benchmark's tree as rows for people: what, measured, and what was aimed at."""

from collections.abc import Iterator, Mapping
from typing import cast

from ichnos.counting import counted
from ichnos.workflows.bench.wording import (
    Row,
    Tree,
    circumstances_of,
    listed,
    peak_of,
    rate_of,
    seconds_of,
    times_of,
    versions_of,
)

_STATED = {"slices": 36, "matrix": 512}
"""The exam that the aims are stated for, on two cores."""

_PREPARE_AIMS = {"pydicom_png": 5.0, "pydicom_png_pool": 2.5}

_PREDICT_AIMS = {"keras": "≥ 1.6 ×"}
"""Of peers; ≥ 2.5 × where none is named."""

_RSNA = {"slices": 752_803, "resamples": 1000}
"""What measuring predictions is stated for, on two cores."""

_FLAT = 1.25
"""Peak memory is flat where the most work takes at most a quarter more than the least, however many times as much it
is: allocators and what is imported late differ by as much."""


def predict_rows(tree: Tree) -> Iterator[Row]:
    """Of `ichnos bench predict`. Aims stand beside the work that they are stated for only."""
    stated = _STATED.items() <= tree["work"].items() and tree["machine"]["cores_used"] == 2
    for what, measured, aim in (*_exam_rows(tree), *_peer_rows(tree), *_floor_rows(tree), *_batch_rows(tree)):
        yield what, measured, aim if stated else ""


def predict_circumstances(tree: Tree) -> str:
    """On what, with what and how: one paragraph."""
    work = tree["work"]
    networks = " and ".join(map(_network_text, _networks(work)))
    bundle = "an untrained bundle" if work["bundle"] == "untrained" else "the bundle that was given"
    exam = f"{work['slices']} slices of {work['matrix']}×{work['matrix']} as uncompressed DICOM"
    return circumstances_of(
        tree,
        f"One exam: {exam}, {work['bytes'] / 1e6:.1f} MB in the system's file cache; {bundle}, "
        f"{networks}, {work['classes']} classes.",
    )


def _networks(work: Tree) -> list[Tree]:
    """Those that are averaged; a measurement from before has one kind, and says it beside the rest."""
    if isinstance(told := work.get("networks"), list):
        return cast("list[Tree]", told)
    return [{"backbone": work.get("network", "EfficientNet-B0")} | {k: work[k] for k in ("channels", "input_size")}]


def _network_text(network: Tree) -> str:
    views = "" if network.get("views", 1) == 1 else f", {network['views']} views of each slice"
    return f"{network['backbone']} on {network['channels']} channels of {network['input_size']} px{views}"


def prepare_rows(tree: Tree) -> Iterator[Row]:
    """Of `ichnos bench prepare`. Aims are of slices of 512×512 on two cores."""
    stated = tree["work"]["matrix"] == 512 and tree["machine"]["cores_used"] == 2
    for name, title in (("folder", "folders → set"), ("zip", "zip → set")):
        against = f"{times_of(tree[name]['to_decoded'])} the rate of reading and decoding alone"
        yield title, f"{rate_of(tree[name])}, {against}", "≥ 0.6 ×" if stated else ""
    kept = tree["cache"].get("to_decoded")
    against = "" if kept is None else f", {times_of(kept)} the rate of reading and decoding alone"
    yield f"set → cache of {tree['work']['cache_size']} px", f"{rate_of(tree['cache'])}{against}", ""
    yield "one slice's parts, one core, ms", listed(tree["parts_ms"]), ""
    for name, peer in tree["peers"].items():
        title = f"{peer['title']} ({versions_of(peer['versions'])}, {counted(peer['threads'], 'process', 'processes')})"
        aim = _PREPARE_AIMS.get(name) if stated else None
        roads = {"to_ours": "folders → set", "to_zip": "zip → set", "to_both": "folders → set → cache"}
        said = [f"{_judged(peer[key], aim)} as long as {road}" for key, road in roads.items() if key in peer]
        yield title, f"{rate_of(peer)}; {'; '.join(said)}", "" if aim is None else f"≥ {aim:g} ×"
    for name, reason in tree["peers_not_run"].items():
        yield f"peer {name}", f"not run: {reason}", ""
    yield "the files read and decoded by pydicom, all cores, nothing kept", rate_of(tree["floor"]["decoded"]), ""
    yield "the files' bytes read and dropped, one core", rate_of(tree["floor"]["bytes"]), ""


def _judged(ratio: Tree, aim: float | None) -> str:
    """A ratio that is to be large, and whether it is."""
    verdict = "" if aim is None else " (held)" if ratio["median"] >= aim else " (**missed**)"
    return f"{times_of(ratio)}{verdict}"


def prepare_circumstances(tree: Tree) -> str:
    """On what, with what and how: one paragraph."""
    work = tree["work"]
    files = f"{work['slices']:,} synthetic slices of {work['matrix']}×{work['matrix']} of {work['exams']} exams"
    return circumstances_of(tree, f"{files} in RSNA's form, {work['bytes'] / 1e6:,.0f} MB in the system's file cache.")


def evaluate_rows(tree: Tree) -> Iterator[Row]:
    """Of `ichnos bench evaluate`. Aims stand beside the work that they are stated for only."""
    stated = _RSNA.items() <= tree["work"].items() and tree["machine"]["cores_used"] == 2
    rate = f"{tree['slices_a_second']['median']:,.0f} slices a second"
    yield "all measures of all levels", f"{seconds_of(tree['seconds'])}, {rate}", "≤ 60 s" if stated else ""
    yield "peak memory", peak_of(tree), "≤ 4,000 MB" if stated else ""
    for peer in tree["peers"].values():
        reckoned = f"reckoned from {peer['reckoned_from']} resamples" if "reckoned_from" in peer else "whole"
        against = f"{times_of(peer['to_ours'])} as long as ours, {peak_of(peer)}"
        yield (
            f"{peer['title']} ({versions_of(peer['versions'])})",
            f"{seconds_of(peer['seconds'])}, {reckoned}, {against}",
            "",
        )
    for name, reason in tree["peers_not_run"].items():
        yield f"peer {name}", f"not run: {reason}", ""
    yield "copying the probabilities once a resample", seconds_of(tree["floor"]["copies"]), ""
    yield "ours against that", f"{times_of(tree['to_floor'])} as long", ""


def evaluate_circumstances(tree: Tree) -> str:
    """On what, with what and how: one paragraph."""
    work = tree["work"]
    said = f"{work['slices']:,} slices of {work['exams']:,} exams of {work['patients']:,} patients"
    resamples = f"{work['resamples']:,} resamples by patient, at the levels of slices, exams and patients"
    return circumstances_of(tree, f"Made-up predictions of six classes for {said}; {resamples}.")


def growth_rows(tree: Tree) -> Iterator[Row]:
    """Of `ichnos bench growth`: a row for each size of each. A slice of much is to cost no more than one of little."""
    for name in ("prepare", "predict", "evaluate"):
        base = tree[name][0]
        for each in tree[name]:
            cost = each["microseconds_a_slice"]
            said = f"{cost['median']:,.0f} µs a slice ({cost['lowest']:,.0f} to {cost['highest']:,.0f})"
            peak = "" if each["peak_mb"] is None else f", {each['peak_mb']:,} MB"
            held = f"≤ {base['microseconds_a_slice']['median']:,.0f} µs, as at {base['times']} ×"
            if each is base:
                verdict, aim = "", "what the rows below are held to"
            else:
                ratio = cost["median"] / base["microseconds_a_slice"]["median"]
                verdict, aim = f"; {ratio:.2f} × as much: {'held' if ratio <= 1 else '**missed**'}", held
            yield f"{name}, {each['slices']:,} slices ({each['times']} ×)", f"{said}{peak}{verdict}", aim
        yield from _growing_memory(name, base, tree[name][-1])


def _growing_memory(name: str, least: Tree, most: Tree) -> Iterator[Row]:
    """The verdict on peak memory; none of one size, or where the system did not tell."""
    if least is most or least["peak_mb"] is None or most["peak_mb"] is None:
        return
    ratio = most["peak_mb"] / least["peak_mb"]
    verdict = "flat" if ratio <= _FLAT else "**not flat**"
    what = f"{name}, peak memory at {most['times']} × against {least['times']} ×"
    yield what, f"{ratio:.2f} × as much: {verdict}", f"≤ {_FLAT} ×"


def growth_circumstances(tree: Tree) -> str:
    """On what, with what and how: one paragraph."""
    prepared, predicted, evaluated = (tree["work"]["base"][name] for name in ("prepare", "predict", "evaluate"))
    return circumstances_of(
        tree,
        f"Prepare: RSNA's layout in folders, exams of {prepared['slices']} slices of {prepared['matrix']}×"
        f"{prepared['matrix']}. Predict: one call, exams of {predicted['slices']} slices of {predicted['matrix']}×"
        f"{predicted['matrix']}, EfficientNet-B0 at 224 px. Evaluate: {evaluated['resamples']:,} "
        "resamples by patient. Memory: the largest process.",
        in_turn=False,
    )


def profile_rows(predict: Tree, prepare: Tree, train: Tree) -> Iterator[tuple[str, str]]:
    """Where the time of three benchmarks goes, the most first: shares of parts that were timed one after the other."""
    steps = {name: part["median"] for name, part in predict["steps"].items()}
    yield "an exam read, warm", _shares(steps)
    parts = {name: part["median"] for name, part in prepare["parts_ms"].items()}
    resize = parts.pop("windows and resize")
    yield "a slice from its file to the set, on one core", _shares(parts)
    yield from _whole_of_preparing(prepare, sum(parts.values()) / 1000)
    seconds = prepare["machine"]["cores_used"] / prepare["cache"]["slices_a_second"]["median"]
    rest = {
        "windows and resize": resize / 1000,
        "all else (unpacking, disk, waiting)": seconds - resize / 1000,
    }
    yield "set → cache", _shares({name: max(share, 0.0) for name, share in rest.items()})
    what = f"a step of {train['work']['batch_size']} slices on {train['trained']['device']}"
    yield what, _shares({name: part["median"] for name, part in train["parts_ms"].items()})


def _whole_of_preparing(prepare: Tree, working: float) -> Iterator[tuple[str, str]]:
    """working: seconds of a core that a slice's parts take."""
    slices, cores = prepare["work"]["slices"], prepare["machine"]["cores_used"]
    yield (
        f"the whole of preparing {slices:,} slices",
        _shares({name: part["median"] for name, part in prepare["stages_s"].items()}),
    )
    seconds = cores * prepare["stages_s"]["reading and packing"]["median"] / slices
    rest = {"those parts": working, "all else (starting processes, disk, waiting)": max(seconds - working, 0.0)}
    yield "reading and packing, of all cores", _shares(rest)


def _shares(parts: Mapping[str, float]) -> str:
    whole = sum(parts.values())
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {part / whole:.0%}" for name, part in ordered)


def _exam_rows(tree: Tree) -> Iterator[Row]:
    exam, command = tree["exam"], tree["command"]
    rate = f"{exam['slices_a_second']['median']:.0f} slices a second"
    yield "one exam, warm process", f"{seconds_of(exam['seconds'])}, {rate}, {_cpu(exam)}", "≤ 0.7 s"
    parts = ", ".join(f"{name} {part['median'] * 1000:.0f}" for name, part in tree["steps"].items())
    yield "its parts, one after the other, ms", parts, ""
    yield "`ichnos predict` from a cold start", f"{seconds_of(command['seconds'])}, {_cpu(command)}", "≤ 2.0 s"
    yield "peak memory: warm process, command", f"{peak_of(exam)}, {peak_of(command)}", "≤ 600 MB"


def _peer_rows(tree: Tree) -> Iterator[Row]:
    for name, peer in tree["peers"].items():
        title = f"{peer['title']} ({versions_of(peer['versions'])}, {peer['threads']} threads)"
        against = f"{times_of(peer['to_ours'])} as long as ours"
        yield (
            title,
            f"{seconds_of(peer['seconds'])}, {against}, {peak_of(peer)}",
            _PREDICT_AIMS.get(name, "≥ 2.5 ×"),
        )
    for name, reason in tree["peers_not_run"].items():
        yield f"peer {name}", f"not run: {reason}", ""


def _floor_rows(tree: Tree) -> Iterator[Row]:
    floor = tree["floor"]
    yield "the network alone, HU in memory", seconds_of(floor["network"]), ""
    yield "reading the files' bytes alone", seconds_of(floor["files"]), ""
    yield "one exam against these two", f"{times_of(tree['exam']['to_floor'])} as long", ""
    if peak := tree.get("arithmetic"):
        what = f"its {peak['multiply_adds'] / 1e9:.1f}·10⁹ multiply-adds at the machine's peak (large matrices, BLAS)"
        yield what, f"{seconds_of(peak['seconds'])}; one exam takes {times_of(peak['exam_to_peak'])} as long", "≤ 3 ×"


def _batch_rows(tree: Tree) -> Iterator[Row]:
    batch = tree.get("batch")
    if batch is None:
        return
    calls = "" if batch["exams_a_call"] == batch["exams"] else f", {batch['exams_a_call']} a call"
    rate = f"{batch['exams_a_minute']:.0f} exams a minute, {batch['slices_a_second']:.0f} slices a second"
    yield f"{batch['exams']} exams{calls}", f"{batch['seconds']:.0f} s, {rate}", ""
    others = "" if batch["other_work"] is None else f", other work {batch['other_work']:.0%}"
    yield "cores busy with it", f"{batch['cores_busy']:.0%}{others}", "all"
    after = ", ".join(f"{n}: {peak:.0f} MB" for n, peak in batch["peak_mb_after"].items())
    yield "peak memory after so many exams", after, "flat"


def _cpu(figures: Tree) -> str:
    return f"{figures['cpu_seconds']['median']:.2f} s of processor time"
