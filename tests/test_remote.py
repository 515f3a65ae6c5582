"""Input and output on a storage that speaks S3: the same bytes as from and to a disk, and clear errors."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ichnos.data import preparing
from ichnos.data.sources import Source
from ichnos.data.sources.folder import FolderSource
from ichnos.data.sources.phantom import PhantomSource
from ichnos.errors import OutputError
from ichnos.files import LOCK
from ichnos.inference import write_bundle
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.progress import SILENT
from ichnos.remote import RemotePath
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from tests import storages
from tests.data.in_memory import InMemorySource, Messages
from tests.data.sources.rsna_trees import write_tree, zip_tree
from tests.data.test_preparing import contents
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness, manifest
from tests.reporting.exam.results import write_nifti
from tests.storages import BUCKET, download, files, upload
from tests.stories.predicting import zipped
from tests.stories.running import Ran, ichnos

pytestmark = pytest.mark.slow  # the first of them waits some seconds for the storage


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    with storages.s3() as address:
        yield address


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "SLICES_A_SHARD", 10)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("bundle") / "tiny.ichnos"
    write_bundle(path, manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    return str(path)


def prepared(source: str, root: str, out: str, *words: str) -> Ran:
    return ichnos("prepare", source, root, "--out", out, "--workers", "1", *words)


def set_of(folder: Path) -> dict[str, str]:
    """A local set's files; a lock that nobody holds may stay behind there."""
    return {name: digest for name, digest in contents(folder).items() if name != LOCK}


# ---- exams


def test_exams_are_read_from_a_storage_and_findings_written_there(storage: str, bundle: str, tmp_path: Path) -> None:
    exams = tmp_path / "exams"
    for name, study in {"b": 1, "a/deep": 2, "a": 3}.items():
        write(exams / name, as_series(head_datasets(), study, study=study))
    write_nifti(exams / "head.nii")
    zipped(exams / "c.zip", write(tmp_path / "apart", as_series(head_datasets(), 4, study=4)))
    (exams / "a" / "Thumbs.db").write_bytes(b"clutter")
    (exams / "empty.dcm").write_bytes(b"")
    url = upload(exams, f"{BUCKET}/exams")
    words = ["--bundle", bundle, "--format", "sr,html", "--json"]
    local = ichnos("predict", str(exams), "--out", str(tmp_path / "local"), *words)
    remote = ichnos("predict", url, "--out", f"{BUCKET}/findings", *words)
    assert (remote.exit_code, remote.stdout) == (local.exit_code, local.stdout), remote.stderr
    assert len(json.loads(local.stdout)["exams"]) == 5
    assert contents(download(f"{BUCKET}/findings", tmp_path / "fetched")) == contents(tmp_path / "local")


def test_findings_are_not_mixed_with_others_on_a_storage(storage: str, bundle: str, tmp_path: Path) -> None:
    exam = write(tmp_path / "exam", as_series(head_datasets(), 1))
    files().pipe_file(f"{BUCKET}/taken/letter.txt", b"of somebody")
    for words in ([], ["--force"]):
        ran = ichnos("predict", str(exam), "--out", f"{BUCKET}/taken", "--bundle", bundle, *words)
        assert ran.exit_code == 1
        said = "other things than findings of ours (1); give --out another URL" if words else "something already; give"
        assert f"{BUCKET}/taken holds {said}" in ran.stderr
    assert files().find(f"{BUCKET}/taken") == ["exams/taken/letter.txt"]


def test_findings_on_a_storage_are_replaced_with_force(storage: str, bundle: str, tmp_path: Path) -> None:
    exams = [write(tmp_path / name, as_series(head_datasets(), n, study=n)) for n, name in enumerate("ab", start=1)]
    out, words = f"{BUCKET}/again", ["--bundle", bundle, "--format", "sr,html"]
    assert ichnos("predict", *map(str, exams), "--out", out, *words).exit_code == 0
    files().pipe_file(f"{out}/exam-002/note.txt", b"of somebody")
    ran = ichnos("predict", str(exams[1]), "--out", out, *words)
    assert ran.exit_code == 1
    assert f"{out} holds something already; give --out a new URL, or --force to replace findings" in ran.stderr
    assert ichnos("predict", str(exams[1]), "--out", out, *words, "--force").exit_code == 0
    assert ichnos("predict", str(exams[1]), "--out", str(tmp_path / "local"), *words).exit_code == 0
    fetched = contents(download(out, tmp_path / "fetched"))
    assert "exam-002/note.txt" in fetched, "what others put there stays"
    assert {name: digest for name, digest in fetched.items() if "note" not in name} == contents(tmp_path / "local")


@pytest.mark.parametrize("name", ["exam-001/report.html", "report.html", "summary.json", "exam-1/findings.json"])
def test_force_takes_nothing_of_another_programs_from_a_storage(
    storage: str, bundle: str, tmp_path: Path, name: str
) -> None:
    exam = write(tmp_path / "exam", as_series(head_datasets(), 1))
    out = f"{BUCKET}/others/{name.replace('/', '-')}"
    files().pipe_file(f"{out}/{name}", b"<html>of another program</html>")
    ran = ichnos("predict", str(exam), "--out", out, "--bundle", bundle, "--force")
    assert ran.exit_code == 1
    assert "give --out another URL" in ran.stderr
    assert files().cat_file(f"{out}/{name}") == b"<html>of another program</html>"


# ---- sets


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_rsna_is_prepared_from_a_storage_to_the_same_set(storage: str, tmp_path: Path, form: str) -> None:
    root = write_tree(tmp_path / "root", images="stage_2_test")
    given = zip_tree(root, tmp_path / "rsna.zip") if form == "zip" else root
    url = upload(given, f"{BUCKET}/rsna-{form}")
    assert prepared("rsna", str(given), str(tmp_path / "local"), "--test").exit_code == 0
    ran = prepared("rsna", url, str(tmp_path / "set"), "--test")
    assert ran.exit_code == 0, ran.stderr
    assert contents(tmp_path / "set") == contents(tmp_path / "local")


def test_folders_and_phantoms_are_read_from_a_storage_as_from_a_disk(storage: str, tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    settings = CohortSettings(exams=2, seed=3, prevalence=RAISED_PREVALENCE, matrix=64, slices=(10, 10))
    write_cohort(settings, root, SILENT, 1)
    url = RemotePath(upload(root, f"{BUCKET}/phantom"))
    rows = ["SOPInstanceUID,epidural,intraparenchymal,intraventricular,subarachnoid,subdural"]
    rows += [f"{path.stem},0,0,0,0,1" for path in (root / "stage_2_train").iterdir()]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    labels = RemotePath(upload(tmp_path / "labels.csv", f"{BUCKET}/labels.csv"))
    pairs: list[tuple[Source, Source]] = [
        (PhantomSource(root, 1), PhantomSource(url, 1)),
        (FolderSource(root, tmp_path / "labels.csv", 1), FolderSource(url, labels, 1)),
    ]
    for disk, remote in pairs:
        for name in ("disk", "remote"):
            (tmp_path / f"{disk.name}-{name}").mkdir()
        found = disk.scan(SILENT, tmp_path / f"{disk.name}-disk")
        there = remote.scan(SILENT, tmp_path / f"{disk.name}-remote")
        assert (list(there.exams), there.contents) == (list(found.exams), found.contents)
        assert len(found.exams) == 2
        for reference in found.exams:
            ours, theirs = disk.read(reference), remote.read(reference)
            assert (theirs.skipped, theirs.attributes) == (ours.skipped, ours.attributes)
            for one, other in zip(ours.slices, theirs.slices, strict=True):
                np.testing.assert_array_equal(one.hu, other.hu)
                np.testing.assert_array_equal(one.labels, other.labels)
                assert (one.mask is None) == (other.mask is None) == (disk.name == "folder")
                if one.mask is not None:
                    np.testing.assert_array_equal(one.mask, other.mask)


def test_parts_of_files_are_as_on_a_disk(storage: str) -> None:
    files().pipe_file(f"{BUCKET}/parts", bytes(range(100)))
    path = RemotePath(f"{BUCKET}/parts")
    assert path.read_part(10, 5) == bytes(range(10, 15))
    assert path.read_part(98, 5) == bytes([98, 99]), "less where the file ends"
    assert path.read_part(100, 5) == path.read_part(5000, 5) == b""
    with path.open("rb", ahead=7) as stream:
        assert (stream.read(3), stream.seek(-2, 2), stream.read()) == (bytes([0, 1, 2]), 98, bytes([98, 99]))


def test_a_set_is_written_to_a_storage_shard_by_shard(storage: str, small_shards: None, tmp_path: Path) -> None:
    out = RemotePath(f"{BUCKET}/sets/whole")
    there = prepare_set(InMemorySource(), out, SILENT, workers=1)
    local = prepare_set(InMemorySource(), tmp_path / "local", SILENT, workers=1)
    assert there.header == local.header
    assert there.skipped.equals(local.skipped)
    fetched = download(str(out), tmp_path / "fetched")
    assert contents(fetched) == set_of(tmp_path / "local")
    assert "shards/00005.blosc2" in contents(fetched)
    files().pipe_file(f"{out}/parts/00000.index.parquet", b"what a run left that was killed at its very end")
    before = files().info(f"{out}/header.json")["LastModified"]
    said = Messages()
    prepare_set(InMemorySource(), out, said, workers=1)
    assert files().info(f"{out}/header.json")["LastModified"] == before
    assert contents(download(str(out), tmp_path / "again")) == contents(fetched)
    assert f"{out} is already prepared" in " ".join(said.texts)
    with pytest.raises(OutputError, match=f"{out} holds a set that was made of other files"):
        prepare_set(InMemorySource(exams=14), out, SILENT, workers=1)


def test_a_stopped_run_goes_on_from_what_lies_on_the_storage(storage: str, small_shards: None, tmp_path: Path) -> None:
    out = RemotePath(f"{BUCKET}/sets/stopped")
    log = tmp_path / "log"
    stopped = InMemorySource(fail_at=7, log=log)
    with pytest.raises(KeyboardInterrupt):
        prepare_set(stopped, out, SILENT, workers=1)
    with pytest.raises(OutputError, match="unfinished set of other data"):
        prepare_set(InMemorySource(exams=20), out, SILENT, workers=1)
    prepare_set(replace(stopped, fail_at=None), out, SILENT, workers=1)
    read = [int(line) for line in log.read_text().split()]
    assert sorted(set(read)) == list(range(12))
    assert len(read) - len(set(read)) <= 1  # only what the stopped shard had begun
    prepare_set(InMemorySource(), tmp_path / "local", SILENT, workers=1)
    assert contents(download(str(out), tmp_path / "fetched")) == set_of(tmp_path / "local")


class _SlowSource(InMemorySource):
    def read(self, reference):  # type: ignore[no-untyped-def]
        time.sleep(0.05)
        return super().read(reference)


def _prepare_slowly(out: str) -> None:
    preparing.SLICES_A_SHARD = 10
    prepare_set(_SlowSource(exams=16), RemotePath(out), SILENT, workers=1)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(storage: str, small_shards: None, tmp_path: Path) -> None:
    out = f"{BUCKET}/sets/killed"
    process = multiprocessing.get_context("spawn").Process(target=_prepare_slowly, args=(out,))
    process.start()
    deadline = time.monotonic() + 60
    while len(files().find(f"{out}/shards")) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert "exams/sets/killed/header.json" not in files().find(out)
    prepare_set(_SlowSource(exams=16), RemotePath(out), SILENT, workers=1)
    prepare_set(_SlowSource(exams=16), tmp_path / "local", SILENT, workers=1)
    assert contents(download(out, tmp_path / "fetched")) == set_of(tmp_path / "local")


def test_a_set_is_not_mixed_with_other_things_on_a_storage(storage: str) -> None:
    files().pipe_file(f"{BUCKET}/letters/letter.txt", b"of somebody")
    with pytest.raises(OutputError, match=r"letters holds other files already; give --out a new or empty folder"):
        prepare_set(InMemorySource(), RemotePath(f"{BUCKET}/letters"), SILENT, workers=1)


# ---- what is not there, and who may not


def test_a_bucket_that_is_not_there(storage: str, bundle: str, tmp_path: Path) -> None:
    exam = write(tmp_path / "exam", as_series(head_datasets(), 1))
    for ran in (
        prepared("rsna", "s3://nowhere/rsna", str(tmp_path / "set")),
        prepared("rsna", str(write_tree(tmp_path / "root", images="stage_2_test")), "s3://nowhere/set", "--test"),
        ichnos("predict", "s3://nowhere/exams", "--out", str(tmp_path / "out"), "--bundle", bundle),
        ichnos("predict", str(exam), "--out", "s3://nowhere/out", "--bundle", bundle),
    ):
        assert ran.exit_code == 1
        assert "bucket" in ran.stderr, ran.stderr
        assert len(ran.stderr.replace("Reading headers: done in 0:00\n", "").strip().splitlines()) == 1, ran.stderr


def test_a_folder_that_is_not_there(storage: str, bundle: str, tmp_path: Path) -> None:
    ran = prepared("rsna", f"{BUCKET}/nothing", str(tmp_path / "set"))
    assert (ran.exit_code, ran.stderr) == (
        1,
        f"ichnos: {BUCKET}/nothing does not exist; give the folder or the zip file that holds the images\n",
    )
    ran = ichnos("predict", f"{BUCKET}/nothing", "--out", str(tmp_path / "out"), "--bundle", bundle)
    assert (ran.exit_code, "it does not exist; give a folder, a zip" in ran.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_who_may_not_is_told_so(storage: str, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    exam = write(tmp_path / "exam", as_series(head_datasets(), 1))
    upload(exam, f"{BUCKET}/closed")
    requests.post(f"{storage}/moto-api/reset-auth", data="0", timeout=10)  # from now on keys are looked at
    storages.forget()
    try:
        for ran in (
            prepared("rsna", f"{BUCKET}/closed", str(tmp_path / "set")),
            ichnos("predict", f"{BUCKET}/closed", "--out", str(tmp_path / "out"), "--bundle", bundle),
            ichnos("predict", str(exam), "--out", f"{BUCKET}/new", "--bundle", bundle),
        ):
            assert ran.exit_code == 1
            assert "the storage gives no permission; check its credentials" in ran.stderr
            assert "Traceback" not in ran.stderr
    finally:
        requests.post(f"{storage}/moto-api/reset-auth", data="inf", timeout=10)
        storages.forget()


def test_a_storage_that_does_not_answer(
    storage: str, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    storages.forget()
    try:
        ran = ichnos("predict", f"{BUCKET}/exams", "--out", str(tmp_path / "out"), "--bundle", bundle)
    finally:
        storages.forget()
    assert ran.exit_code == 1
    assert "s3://exams cannot be reached, or answers with an error" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
