"""Preparing a set: lossless, continued after a stop, the same bytes every time, nothing lost or made up."""

import errno
import hashlib
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from ichnos.data import preparing
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import split
from ichnos.errors import OutputError, SetError, SourceError
from ichnos.files import LOCK
from ichnos.progress import SILENT
from tests.data.in_memory import InMemorySource, Messages


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "SLICES_A_SHARD", 10)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_every_slice_comes_back_as_it_was(tmp_path: Path) -> None:
    source = InMemorySource()
    prepared = prepare(source, tmp_path / "set", SILENT, workers=1)
    scan = source.scan(SILENT, tmp_path)
    row = 0
    for reference in scan.exams:
        exam = source.read(reference)
        for one in exam.slices:
            np.testing.assert_array_equal(prepared.hu(row), one.hu)
            np.testing.assert_array_equal(prepared.labels[row], one.labels)
            mask = prepared.mask(row)
            assert (mask is None) == (one.mask is None)
            if mask is not None:
                np.testing.assert_array_equal(mask, one.mask)
            assert prepared.index.row(row, named=True)["age"] == exam.attributes["age"]
            row += 1
    assert row == prepared.header.slices == 60
    assert prepared.header.positives["epidural"] == 15
    assert prepared.header.positives["any"] == 15 + 9


def test_two_runs_give_the_same_bytes_whatever_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(InMemorySource(), tmp_path / "one", SILENT, workers=1)
    prepare(InMemorySource(), tmp_path / "threads", SILENT, workers=3)
    monkeypatch.setattr(preparing, "_WORTH_PROCESSES", 2)
    prepare(InMemorySource(), tmp_path / "processes", SILENT, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "threads") == contents(tmp_path / "processes")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_run_continues_and_reads_nothing_twice(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    stopped = InMemorySource(fail_at=7, log=log)
    with pytest.raises(KeyboardInterrupt):
        prepare(stopped, tmp_path / "set", SILENT, workers=workers)
    with pytest.raises(SetError, match="not finished"):
        PreparedSet(tmp_path / "set")
    prepare(replace(stopped, fail_at=None), tmp_path / "set", SILENT, workers=1)
    read = [int(line) for line in log.read_text().split()]
    assert sorted(set(read)) == list(range(12))
    under_way = 1 if workers == 1 else 2 * 2 * workers  # the stopped shard's first exam, or two shards a thread
    assert len(read) - len(set(read)) <= under_way
    prepare(InMemorySource(), tmp_path / "whole", SILENT, workers=1)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def _prepare_slowly(out: Path, workers: int) -> None:
    preparing.SLICES_A_SHARD = 10
    prepare(_SlowSource(exams=40), out, SILENT, workers=workers)


class _SlowSource(InMemorySource):
    def read(self, reference):  # type: ignore[no-untyped-def]
        time.sleep(0.02)
        return super().read(reference)


@pytest.mark.parametrize(("after", "workers"), [(0.15, 1), (0.4, 1), (0.15, 2)])
def test_a_run_that_was_killed_continues_to_the_same_bytes(tmp_path: Path, after: float, workers: int) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_prepare_slowly, args=(tmp_path / "set", workers))
    process.start()
    deadline = time.monotonic() + 30
    while not list((tmp_path / "set").glob("shards/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    prepare(_SlowSource(exams=40), tmp_path / "set", SILENT, workers=1)
    prepare(_SlowSource(exams=40), tmp_path / "whole", SILENT, workers=1)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_an_unreadable_slice_is_skipped_counted_and_named(tmp_path: Path) -> None:
    source = InMemorySource(unreadable=("e003-2", "e004-0"))
    prepared = prepare(source, tmp_path / "set", SILENT, workers=1)
    assert prepared.header.slices == 58
    assert prepared.header.skipped == 2
    assert prepared.skipped.rows() == [
        ("e003", "e003-2", "its pixels are truncated"),
        ("e004", "e004-0", "its pixels are truncated"),
    ]
    assert "e003-2" not in prepared.index["name"].to_list()


def test_a_prepared_set_is_not_prepared_again_nor_overwritten_by_another_source(tmp_path: Path) -> None:
    log = tmp_path / "log"
    prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)
    prepare(InMemorySource(log=log), tmp_path / "set", SILENT, workers=1)
    assert not log.exists()
    with pytest.raises(OutputError, match="holds a set from in-memory already"):
        prepare(InMemorySource(name="other"), tmp_path / "set", SILENT, workers=1)


def test_a_prepared_set_says_that_it_is_and_is_left_as_it_was(tmp_path: Path) -> None:
    prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)
    before = {path: path.stat().st_mtime_ns for path in [tmp_path / "set", *(tmp_path / "set").rglob("*")]}
    said = Messages()
    prepare(InMemorySource(), tmp_path / "set", said, workers=1)
    assert "already prepared" in " ".join(said.texts)
    assert {path: path.stat().st_mtime_ns for path in [tmp_path / "set", *(tmp_path / "set").rglob("*")]} == before


@pytest.mark.parametrize("change", [{"contents": "mended labels"}, {"exams": 13}, {"slices": 4}])
def test_a_prepared_set_of_other_labels_files_or_options_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)
    before = contents(tmp_path / "set")
    with pytest.raises(OutputError, match=r"other files or labels than these.*--out a new folder, or delete"):
        prepare(replace(InMemorySource(), **change), tmp_path / "set", SILENT, workers=1)
    assert contents(tmp_path / "set") == before


def test_an_unfinished_set_of_other_data_is_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(InMemorySource(fail_at=7), tmp_path / "set", SILENT, workers=1)
    with pytest.raises(OutputError, match="unfinished set of other data"):
        prepare(InMemorySource(exams=20), tmp_path / "set", SILENT, workers=1)


def test_a_folder_with_other_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(OutputError, match="holds other files"):
        prepare(InMemorySource(), tmp_path, SILENT, workers=1)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


def test_no_exams_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="0 exams found"):
        prepare(InMemorySource(exams=0), tmp_path / "set", SILENT, workers=1)


@pytest.mark.parametrize("there", [True, False])
def test_a_source_that_is_none_leaves_things_as_they_were(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "mine").mkdir()
    with pytest.raises(SourceError):
        prepare(InMemorySource(exams=0), tmp_path / "mine", SILENT, workers=1)
    assert list(tmp_path.rglob("*")) == ([tmp_path / "mine"] if there else [])


def test_disk_full_says_so_and_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = preparing.shards.append, 0

    def append(file, pixels):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls > 25:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, pixels)

    monkeypatch.setattr(preparing.shards, "append", append)
    with pytest.raises(OutputError, match="the disk is full"):
        prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)
    assert len(list((tmp_path / "set" / "shards").iterdir())) == 2
    monkeypatch.setattr(preparing.shards, "append", real)
    log = tmp_path / "log"
    prepare(InMemorySource(log=log), tmp_path / "set", SILENT, workers=1)
    assert "0" not in log.read_text().split()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("table", ["00001.skipped", "00001.index", "index", "skipped", "splits"])
def test_disk_full_says_so_of_every_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    open_ = Path.open

    def full(path: Path, *args: object, **kwargs: object) -> object:
        to_full = Path("/dev/full") if path.name.startswith(f".{table}.parquet.") else path
        return open_(to_full, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=rf"the disk is full: {table}\.parquet"):
        split(prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1))
    monkeypatch.setattr(Path, "open", open_)
    split(prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1))
    split(prepare(InMemorySource(), tmp_path / "whole", SILENT, workers=1))
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_no_write_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OutputError, match="Permission denied; give a folder that you may write to"):
        prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)


def test_a_file_where_the_folder_should_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with FileLock(tmp_path / "set" / LOCK), pytest.raises(OutputError, match="another process"):
        prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda s: (s / "header.json").write_text("{"), "absent or damaged"),
        (lambda s: (s / "header.json").write_text('{"version": 99}'), "version 99"),
        (lambda s: (s / "header.json").unlink(), "not finished"),
        (lambda s: (s / "index.parquet").write_bytes(b"PAR1"), "index.parquet"),
        (lambda s: (s / "shards" / "00000.blosc2").write_bytes(b"\0" * 100), "shard 00000"),
        (lambda s: (s / "shards" / "00000.blosc2").unlink(), "shard 00000"),
    ],
)
def test_a_damaged_set_says_what_is_damaged(tmp_path: Path, damage, complaint: str) -> None:  # type: ignore[no-untyped-def]
    prepare(InMemorySource(), tmp_path / "set", SILENT, workers=1)
    damage(tmp_path / "set")
    with pytest.raises(SetError, match=complaint):
        _ = PreparedSet(tmp_path / "set").hu(0)
