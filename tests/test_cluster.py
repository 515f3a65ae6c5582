"""Work on a real Ray cluster: the same bytes as without it, what a lost worker did is done again, clear errors."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import ANY

import pytest

from ichnos import cluster as module
from ichnos.cluster import Cluster, connected
from ichnos.ct import LabelledExam
from ichnos.data import preparing
from ichnos.data.preparing import prepare
from ichnos.data.sources import ExamReference
from ichnos.dicom.exams import FoundExam
from ichnos.dicom.series_rules import SeriesRules
from ichnos.errors import ClusterError, WorkerError
from ichnos.inference import Bundle, write_bundle
from ichnos.processes import in_processes
from ichnos.progress import SILENT
from ichnos.reporting.exam import Format
from ichnos.workflows.predict import _read_elsewhere as read_elsewhere
from tests import storages
from tests.clusters import Machines, two_machines
from tests.data.in_memory import InMemorySource
from tests.data.sources.rsna_trees import write_tree, zip_tree
from tests.data.test_preparing import contents
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness, manifest
from tests.reporting.exam.results import write_nifti
from tests.stories.running import ichnos
from tests.test_processes import refuse, square


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """With a storage that every one of them finds by its environment."""
    with storages.s3(), two_machines() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(machines: Machines) -> Iterator[Cluster]:
    found = Cluster(machines.address)
    with connected(found):
        yield found


@dataclass(frozen=True)
class DeadlySource(InMemorySource):
    """Reading exam 7 ends the process that reads it, as a lack of memory would, the first `deaths` times."""

    marks: Path = Path()
    deaths: int = 1

    def read(self, reference: ExamReference) -> LabelledExam:
        with (self.marks / f"{reference.exam}-{os.getpid()}").open("a") as mark:
            mark.write(".")
        if reference.exam == "e007" and len(list(self.marks.glob("e007-*"))) <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(reference)


def beyond(number: int) -> int:
    raise ModuleNotFoundError("No module named 'gdcm'", name="gdcm")


@pytest.mark.slow
def test_every_item_is_done_once_and_errors_come_out(cluster: Cluster) -> None:
    assert sorted(in_processes(square, range(20), cluster)) == [n * n for n in range(20)]
    assert list(in_processes(square, [], cluster)) == []
    with pytest.raises(ValueError, match="not"):
        list(in_processes(refuse, [1, 2, 3], cluster))
    with pytest.raises(ClusterError, match=r"lacks the module gdcm; install the same ichnos"):
        list(in_processes(beyond, [1], cluster))


@pytest.mark.slow
def test_what_ends_the_process_is_left_to_the_command(cluster: Cluster) -> None:
    """Ray takes SIGTERM for itself, and would end the command with another exit code than a stopped one's."""
    assert not getattr(signal.getsignal(signal.SIGTERM), "__module__", "").startswith("ray")


@pytest.mark.slow
def test_a_machine_without_the_module_is_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def work(number):\n    return number\n")
    monkeypatch.syspath_prepend(tmp_path)  # of this process alone: the cluster's were told of its modules before
    work = importlib.import_module("only_here").work
    with pytest.raises(ClusterError, match=r"a machine of the cluster .*only_here.*install the same ichnos"):
        list(in_processes(work, [1], cluster))


@pytest.mark.slow
def test_a_set_is_the_same_with_a_cluster_and_without(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "SLICES_A_SHARD", 10)
    prepare(InMemorySource(), tmp_path / "here", SILENT, workers=1)
    prepare(InMemorySource(), tmp_path / "there", SILENT, workers=cluster)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert len(list((tmp_path / "there" / "shards").iterdir())) == 6


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_its_shard_alone(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "SLICES_A_SHARD", 10)
    (tmp_path / "marks").mkdir()
    source = DeadlySource(marks=tmp_path / "marks")
    prepare(source, tmp_path / "there", SILENT, workers=cluster)
    tries = {exam: sum(m.stat().st_size for m in (tmp_path / "marks").glob(f"{exam}-*")) for exam in _exams(12)}
    assert tries == dict.fromkeys(_exams(12), 1) | {"e006": 2, "e007": 2}, (
        "only exams of the shard of e007 are repeated"
    )
    prepare(InMemorySource(), tmp_path / "here", SILENT, workers=1)
    assert contents(tmp_path / "there") == contents(tmp_path / "here"), "nothing torn is left, nothing differs"


@pytest.mark.slow
def test_a_shard_that_kills_every_worker_is_an_error_and_the_rest_is_kept(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "SLICES_A_SHARD", 10)
    monkeypatch.setattr(module, "RETRIES", 1)
    (tmp_path / "marks").mkdir()
    source = DeadlySource(marks=tmp_path / "marks", deaths=99)
    with pytest.raises(WorkerError, match=r"lost a piece of work 2 times.*give the same command again"):
        prepare(source, tmp_path / "set", SILENT, workers=cluster)
    assert len(list((tmp_path / "marks").glob("e007-*"))) == 2
    before = {path for path in (tmp_path / "marks").iterdir() if not path.name.startswith(("e006", "e007"))}
    prepare(DeadlySource(marks=tmp_path / "marks", deaths=0), tmp_path / "set", SILENT, workers=1)
    prepare(InMemorySource(), tmp_path / "here", SILENT, workers=1)
    assert contents(tmp_path / "set") == contents(tmp_path / "here")
    assert before <= set((tmp_path / "marks").iterdir())


@pytest.mark.slow
def test_the_command_prepares_rsna_on_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root", images="stage_2_test")  # no split is wanted of test images
    for out, words in {"here": ["--workers", "1"], "there": ["--cluster", cluster.address]}.items():
        ran = ichnos("prepare", "rsna", str(root), "--test", "--out", str(tmp_path / out), "--json", *words)
        assert (ran.exit_code, json.loads(ran.stdout)["slices"]) == (0, 12), "nothing of Ray's is on standard output"
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.mark.slow
def test_a_set_goes_from_a_storage_to_a_storage_by_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root", images="stage_2_test")
    given = zip_tree(root, tmp_path / "rsna.zip")
    url = storages.upload(given, "s3://exams/rsna.zip")
    words = ["prepare", "rsna", url, "--test", "--out", "s3://exams/set", "--cluster", cluster.address]
    there = ichnos(*words)
    assert there.exit_code == 0, there.stderr
    assert ichnos("prepare", "rsna", str(given), "--test", "--out", str(tmp_path / "here")).exit_code == 0
    fetched = contents(storages.download("s3://exams/set", tmp_path / "fetched"))
    assert fetched | {".lock": ANY} == contents(tmp_path / "here") | {".lock": ANY}


@pytest.mark.slow
def test_exams_are_read_on_the_cluster_to_the_same_files(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "tiny.ichnos", manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    for study in (1, 2):
        write(tmp_path / "exams" / str(study), as_series(head_datasets(), study, study=study))
    write(tmp_path / "exams" / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 9, study=9))
    write_nifti(tmp_path / "exams" / "head.nii")
    (tmp_path / "exams" / "broken.dcm").write_bytes(bytes(128) + b"DICM and no more")
    monkeypatch.chdir(tmp_path)  # which no machine of the cluster knows of
    words = ["predict", "exams", "--bundle", "tiny.ichnos", "--format", "sr,html", "--json"]
    here = ichnos(*words, "--out", "here")
    there = ichnos(*words, "--out", "there", "--cluster", cluster.address)
    assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout) == (3, here.stdout)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert len(contents(tmp_path / "there")) == 10
    assert [exam["exam"] for exam in json.loads(there.stdout)["exams"]] == [1, 2, 3, 4]


def two_heads(folder: Path) -> list[str]:
    """Two exams below `folder`/exams; what else to type to read them."""
    write_bundle(folder / "tiny.ichnos", manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    for study in (1, 2):
        write(folder / "exams" / str(study), as_series(head_datasets(), study, study=study))
    return ["--bundle", str(folder / "tiny.ichnos"), "--format", "sr,html", "--json"]


@pytest.mark.slow
def test_exams_go_from_a_storage_to_a_storage_by_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    words = two_heads(tmp_path)
    url = storages.upload(tmp_path / "exams", "s3://exams/heads")
    here = ichnos("predict", str(tmp_path / "exams"), *words, "--out", str(tmp_path / "here"))
    there = ichnos("predict", url, *words, "--out", "s3://exams/found", "--cluster", cluster.address)
    assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout) == (0, here.stdout), there.stderr
    assert contents(storages.download("s3://exams/found", tmp_path / "fetched")) == contents(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "local"])
def test_a_cluster_that_has_no_address(machines: Machines, address: str, tmp_path: Path) -> None:
    """In a process of its own, as this one may belong to a cluster; one that was started for it ends with it."""
    words = two_heads(tmp_path)
    here = ichnos("predict", str(tmp_path / "exams"), *words, "--out", str(tmp_path / "here"))
    with TemporaryDirectory(prefix="ray-") as marked:  # Ray's sockets lie there: no path of pytest's is short enough
        environment = os.environ | {"RAY_TMPDIR": marked}
        if address == "auto":
            environment["RAY_ADDRESS"] = machines.address
        command = [sys.executable, "-m", "ichnos", "predict", str(tmp_path / "exams"), *words, "--cluster", address]
        there = subprocess.run(
            [*command, "--out", str(tmp_path / "there")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        started = list(Path(marked).glob("**/session_*"))
        left = _processes_that_name(marked)
    assert (there.returncode, there.stdout) == (0, here.stdout), there.stderr
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert bool(started) is (address == "local"), "a cluster of its own"
    assert left == []


def _processes_that_name(folder: str) -> list[str]:
    """Their command lines, of those that do not end soon."""
    for _ in range(50):
        found: list[str] = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended meanwhile
                found += [words for words in [each.read_text(errors="replace")] if folder in words]
        if not found:
            return []
        time.sleep(0.2)
    return found


def read_once_dead(
    marks: Path, deaths: int, bundle: Bundle, rules: SeriesRules, formats: tuple[Format, ...], found: FoundExam
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """As `ichnos predict` reads an exam on a machine; with exam 2 the process ends first, so many times."""
    with (marks / f"exam-{found.number}-{os.getpid()}").open("a") as mark:
        mark.write(".")
    said = read_elsewhere(bundle, rules, formats, found)
    if found.number == 2 and len(list(marks.glob("exam-2-*"))) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return said


def exams_with_deaths(folder: Path, monkeypatch: pytest.MonkeyPatch, deaths: int) -> list[str]:
    """Three exams below `folder`, of which the second ends the process that reads it; the command that reads them."""
    write_bundle(folder / "tiny.ichnos", manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    for study in (1, 2, 3):
        write(folder / "exams" / str(study), as_series(head_datasets(), study, study=study))
    (folder / "marks").mkdir()
    work = partial(read_once_dead, folder / "marks", deaths)
    monkeypatch.setattr("ichnos.workflows.predict._read_elsewhere", work)
    return ["predict", str(folder / "exams"), "--bundle", str(folder / "tiny.ichnos"), "--format", "html", "--json"]


def tries_of(marks: Path) -> dict[int, int]:
    """How often each exam was begun."""
    return {n: sum(mark.stat().st_size for mark in marks.glob(f"exam-{n}-*")) for n in (1, 2, 3)}


@pytest.mark.slow
def test_a_worker_killed_while_it_predicts_costs_its_exam_alone(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = exams_with_deaths(tmp_path, monkeypatch, deaths=1)
    there = ichnos(*words, "--out", str(tmp_path / "there"), "--cluster", cluster.address)
    assert tries_of(tmp_path / "marks") == {1: 1, 2: 2, 3: 1}
    here = ichnos(*words, "--out", str(tmp_path / "here"))
    assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout) == (0, here.stdout)
    assert contents(tmp_path / "there") == contents(tmp_path / "here"), "nothing torn is left, nothing differs"


@pytest.mark.slow
def test_an_exam_that_kills_every_worker_is_an_error_and_findings_of_others_are_kept(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    words = exams_with_deaths(tmp_path, monkeypatch, deaths=99)
    ran = ichnos(*words, "--out", str(tmp_path / "out"), "--cluster", cluster.address)
    assert ran.exit_code == 1
    assert ran.stdout == ""
    assert "the cluster lost a piece of work 2 times" in ran.stderr
    assert "all exams are then read again, so give --force: " in ran.stderr
    assert len(list((tmp_path / "marks").glob("exam-2-*"))) == 2
    assert not (tmp_path / "out" / "summary.json").exists(), "a summary without an exam would be read as complete"
    again = ichnos(*words, "--out", str(tmp_path / "out"), "--force")
    assert again.exit_code == 0
    assert len(json.loads(again.stdout)["exams"]) == 3


@pytest.mark.slow
def test_another_cluster_than_the_one_at_work_is_an_error(cluster: Cluster) -> None:
    there = connected(Cluster("127.0.0.1:9"))
    with pytest.raises(ClusterError, match=r"works on the cluster at .* already, not on 127.0.0.1:9"), there:
        pass


@pytest.mark.slow
def test_a_machine_that_does_not_see_the_data_is_an_error_and_no_set_with_holes(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one").write_text("1")
    shared = cluster.sharing(tmp_path / "data", tmp_path / "nowhere")
    assert list(in_processes(square, [3], shared)) == [9]
    (tmp_path / "data" / "a-link").symlink_to(tmp_path / "gone")
    assert list(in_processes(square, [3], cluster.sharing(tmp_path / "data"))) == [9], "a link that leads nowhere"
    (tmp_path / "data" / "one").rename(tmp_path / "data" / "two")
    hidden = Cluster(cluster.address, (*shared.shared, (str(tmp_path / "data"), ("one", "two"))))
    with pytest.raises(ClusterError, match=r"does not see in .*data what this one sees; give a folder that all"):
        list(in_processes(square, [3], hidden))


@pytest.mark.slow
def test_a_machine_lost_in_the_middle_costs_what_it_was_doing(
    machines: Machines, cluster: Cluster, tmp_path: Path
) -> None:
    """The last test of these: one machine is left. Nothing is finished before the other is gone."""
    with ThreadPoolExecutor(1) as waiting:
        done = waiting.submit(lambda: sorted(in_processes(partial(until_lost, tmp_path), range(12), cluster)))
        while len(_machines_at_work(tmp_path)) < 2:  # the second one's first process may take longer to begin
            assert not done.done(), done.exception()
            time.sleep(0.1)
        before = _machines_alive()
        machines.lose_one()
        while _machines_alive() == before:
            time.sleep(0.1)
        (tmp_path / LOST).touch()
        assert done.result() == list(range(12))
    begun = [len(each.read_text().split()) for each in tmp_path.iterdir()]
    assert max(begun) > 1, "nothing was done twice: no machine was lost"


LOST = "lost"


def _machines_alive() -> int:
    import ray

    return sum(node["Alive"] for node in ray.nodes())


def until_lost(marks: Path, number: int) -> int:
    import ray

    with (marks / str(number)).open("a") as mark:
        mark.write(f"{ray.get_runtime_context().get_node_id()}\n")
    while not (marks / LOST).exists():
        time.sleep(0.1)
    return number


def _machines_at_work(marks: Path) -> set[str]:
    return {machine for each in marks.iterdir() for machine in each.read_text().split()}


def _exams(count: int) -> list[str]:
    return [f"e{n:03d}" for n in range(count)]
