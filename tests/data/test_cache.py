"""The cache: exactly the road's output, continued after a stop, made anew when anything does not match."""

import errno
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock

from ichnos.ct import Window
from ichnos.data import cache
from ichnos.data.cache import open_cache
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.errors import OutputError, SetError
from ichnos.files import LOCK
from ichnos.inputs import to_planes
from ichnos.progress import SILENT
from ichnos.recipe import InputSpec, Normalisation, Population, WindowMerge
from ichnos.subtypes import Subtype
from tests.data.in_memory import InMemorySource, Messages

SPEC = InputSpec(windows=(Window(40, 80), Window(80, 200)), size=32)
ALL = Population(slices="all")


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedSet:
    monkeypatch.setattr(cache, "_BLOCK", 8)
    return prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)


def test_it_holds_what_the_road_gives(prepared: PreparedSet) -> None:
    spec = SPEC.model_copy(update={"merge": WindowMerge.STACK})
    whole = open_cache(prepared, spec, ALL, SILENT, workers=1)
    assert whole.images.shape == (60, 2, 32, 32)
    assert whole.rows.tolist() == list(range(60))
    for row in (0, 17, 59):
        np.testing.assert_array_equal(whole.images[row], to_planes(spec, prepared.hu(row)))
    with pytest.raises(ValueError, match="read-only"):
        whole.images[0] = 0


def test_only_the_populations_slices_are_in_it(prepared: PreparedSet) -> None:
    positives = open_cache(prepared, SPEC, Population(without=(Subtype.EPIDURAL,)), SILENT, workers=1)
    assert positives.rows.tolist() == np.flatnonzero(prepared.labels.any(axis=1)).tolist()
    wanted = prepared.rows_of(Population(without=(Subtype.EPIDURAL,)))
    assert len(wanted) == 9
    assert (positives.rows[positives.positions_of(wanted)] == wanted).all()


def test_workers_do_not_change_it(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    one = open_cache(prepared, SPEC, ALL, SILENT, workers=1).images.tobytes()
    monkeypatch.setattr(cache, "_BLOCK", 10)  # six blocks of the 60 slices
    for worth_processes in (7, 6):
        shutil.rmtree(prepared.path / "caches")
        monkeypatch.setattr(cache, "_WORTH_PROCESSES", worth_processes)
        assert open_cache(prepared, SPEC, ALL, SILENT, workers=2).images.tobytes() == one


def test_the_normalisation_comes_after_it(prepared: PreparedSet) -> None:
    assert SPEC.model_copy(update={"normalisation": Normalisation.UNIT}).fingerprint() == SPEC.fingerprint()


def test_neighbours_of_the_same_exam_are_shown_from_one_cache(prepared: PreparedSet) -> None:
    spec = SPEC.model_copy(update={"neighbours": 1})
    plain = open_cache(prepared, SPEC, ALL, SILENT, workers=1)
    stacked = open_cache(prepared, spec, Population(), SILENT, workers=1)
    assert len(list((prepared.path / "caches").iterdir())) == 1
    assert stacked.images.shape == (60, 3, 32, 32)
    rows = np.array([5, 6, 9])  # the second exam's first, second and last slice
    wanted = [[5, 5, 6], [5, 6, 7], [8, 9, 9]]
    np.testing.assert_array_equal(stacked.images[rows], [[plain.images[r][0] for r in three] for three in wanted])
    np.testing.assert_array_equal(stacked.images[np.int64(6)], stacked.images[rows][1])


def test_two_series_of_one_exam_are_no_neighbours(prepared: PreparedSet) -> None:
    """The first two exams' slices, of one exam now, lie in the same places."""
    again = PreparedSet(prepared.path)
    first = pl.when(pl.col("exam") == "e001").then(pl.lit("e000")).otherwise(pl.col("exam")).alias("exam")
    again.__dict__["index"] = again.index.with_columns(first)
    assert again.exams[[0, 5, 10]].tolist() == ["e000 s000", "e000 s001", "e002"]
    spec = SPEC.model_copy(update={"neighbours": 1})
    mixed, apart = (open_cache(each, spec, ALL, SILENT, workers=1).images for each in (again, prepared))
    np.testing.assert_array_equal(mixed[np.arange(10)], apart[np.arange(10)])


@pytest.mark.parametrize("processes", [False, True])
def test_a_set_made_anew_in_the_same_place_has_its_own_pixels(
    processes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_WORTH_PROCESSES", 1 if processes else 99)
    for slices in (4, 5):
        made = prepare(InMemorySource(slices=slices), tmp_path / "set", SILENT, workers=1)
        images = open_cache(made, SPEC, ALL, SILENT, workers=2).images
        for row in range(len(images)):
            np.testing.assert_array_equal(images[row], to_planes(SPEC, made.hu(row)))
        shutil.rmtree(tmp_path / "set")


def test_two_trainings_make_it_once(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and takes what that made."""
    built: list[int] = []
    real = cache.fill_block

    def fill(*args):  # type: ignore[no-untyped-def]
        built.append(args[-1][0])
        time.sleep(0.02)
        return real(*args)

    monkeypatch.setattr(cache, "fill_block", fill)
    with ThreadPoolExecutor(2) as pool:
        caches = list(pool.map(lambda _: open_cache(prepared, SPEC, ALL, SILENT, workers=1), range(2)))
    assert len(built) == len(set(built))
    assert caches[0].images.tobytes() == caches[1].images.tobytes()


def test_waiting_for_another_process_is_said(prepared: PreparedSet) -> None:
    folder = prepared.path / "caches" / f"{SPEC.fingerprint()}-all"
    folder.mkdir(parents=True)
    lock = FileLock(folder / LOCK, thread_local=False)
    lock.acquire()
    said = Messages()
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(open_cache, prepared, SPEC, ALL, said, 1)
        deadline = time.monotonic() + 20
        while not said.texts and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said.texts == ["another process is making the cache at 32 px: waiting for it"]
        assert not opened.done()
        lock.release()
        assert len(opened.result().rows) == 60


def test_a_read_only_sets_cache_lies_in_the_users_cache_folder(
    prepared: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def denied(path: Path, *arguments: object, **options: object) -> None:
        if path.is_relative_to(prepared.path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mkdir(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", denied)  # tests may run as root, who may write everywhere
    monkeypatch.setenv("ICHNOS_CACHE", str(tmp_path / "mine"))
    for _ in range(2):
        said = Messages()
        images = open_cache(prepared, SPEC, ALL, said, workers=1).images
        np.testing.assert_array_equal(images[7], to_planes(SPEC, prepared.hu(7)))
        place = tmp_path / "mine" / "sets" / prepared.header.fingerprint
        assert f"cannot be written: its cache is kept in {place}" in said.texts[0]
    assert len(list(place.rglob("images.u8"))) == 1
    assert not (prepared.path / "caches").exists()


def test_a_read_only_set_with_its_cache_needs_no_other(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(prepared, SPEC, ALL, SILENT, workers=1)
    monkeypatch.setattr(cache, "can_be_written", lambda folder: False)
    said = Messages()
    open_cache(prepared, SPEC, ALL, said, workers=1)
    assert said.texts == []


def stopped_in_the_middle(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    real, filled = cache.fill_block, []

    def fill(*args):  # type: ignore[no-untyped-def]
        if args[-1][0] == 4 and not filled.count(-1):
            filled.append(-1)
            raise KeyboardInterrupt
        filled.append(args[-1][0])
        return real(*args)

    monkeypatch.setattr(cache, "fill_block", fill)
    with pytest.raises(KeyboardInterrupt):
        open_cache(prepared, SPEC, ALL, SILENT, workers=1)
    return filled


def test_a_stopped_one_continues(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = stopped_in_the_middle(prepared, monkeypatch)
    images = open_cache(prepared, SPEC, ALL, SILENT, workers=1).images
    assert filled == [0, 1, 2, 3, -1, 4, 5, 6, 7]
    for row in range(60):
        np.testing.assert_array_equal(images[row], to_planes(SPEC, prepared.hu(row)))


def test_a_torn_log_line_is_not_believed(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = stopped_in_the_middle(prepared, monkeypatch)
    log = next((prepared.path / "caches").rglob("blocks.log"))
    log.write_text(log.read_text() + "5")
    images = open_cache(prepared, SPEC, ALL, SILENT, workers=1).images
    assert filled[-4:] == [4, 5, 6, 7]
    np.testing.assert_array_equal(images[41], to_planes(SPEC, prepared.hu(41)))


@pytest.mark.parametrize("change", ["version", "input", "set", "rows"])
def test_one_of_another_version_input_or_set_is_made_anew(prepared: PreparedSet, change: str) -> None:
    right = open_cache(prepared, SPEC, ALL, SILENT, workers=1).images.tobytes()
    folder = next((prepared.path / "caches").iterdir())
    header = json.loads((folder / "header.json").read_text())
    header[change] = "another"
    (folder / "header.json").write_text(json.dumps(header))
    (folder / "images.u8").write_bytes(b"\7" * len(right))
    assert open_cache(prepared, SPEC, ALL, SILENT, workers=1).images.tobytes() == right


def test_a_cut_off_one_is_made_anew(prepared: PreparedSet) -> None:
    right = open_cache(prepared, SPEC, ALL, SILENT, workers=1).images.tobytes()
    path = next((prepared.path / "caches").rglob("images.u8"))
    path.write_bytes(right[:1000])
    assert open_cache(prepared, SPEC, ALL, SILENT, workers=1).images.tobytes() == right


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_disk_full_says_so_of_the_cache(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(OutputError, match="the disk is full"):
            open_cache(prepared, SPEC, ALL, SILENT, workers=1)
    np.testing.assert_array_equal(
        open_cache(prepared, SPEC, ALL, SILENT, workers=1).images[3], to_planes(SPEC, prepared.hu(3))
    )


def test_a_population_without_slices_says_so(tmp_path: Path) -> None:
    prepared = prepare(InMemorySource(exams=6, slices=1), tmp_path / "set", SILENT, workers=1)
    object.__setattr__(prepared, "labels", np.zeros((6, 5), dtype=np.bool_))
    with pytest.raises(SetError, match=r"no slice of this population.*Labels of whole exams give no positive slices"):
        open_cache(prepared, SPEC, Population(), SILENT, workers=1)
