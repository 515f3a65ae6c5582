"""Our DICOM objects in the hands of others: dciodvfy and dcmtk judge and read them, Orthanc stores them.

From Debian: dicom3tools, dcmtk, orthanc, orthanc-dicomweb. Where one is not installed its tests skip.
"""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from pydicom import dcmread

from ichnos.phantom import CohortSettings
from ichnos.progress import SILENT
from ichnos.reporting.exam import Format, write_outputs
from ichnos.subtypes import CLASSES
from ichnos.workflows.phantom import write_cohort
from tests.dicom.head_files import enhanced, file_of, head_datasets, write
from tests.reporting.exam.results import result_of
from tests.reporting.exam.tools import errors_by_dciodvfy, tool

EVERYTHING = dict.fromkeys(CLASSES, (3, 4, 5))


@pytest.fixture(scope="module", params=["named", "rsna", "tilted", "enhanced", "ge", "faint", "nowhere", "lossy"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every object of one exam with every class called, for exams as different as they come."""
    folder = tmp_path_factory.mktemp(request.param)
    response = 1.0
    match request.param:
        case "named":
            known = {"PatientName": "Müller^Jörg", "StudyDate": "20240105", "StudyTime": "101112", "StudyID": "7"}
            source = write(folder / "in", head_datasets(SpecificCharacterSet="ISO_IR 100", **known))
        case "rsna":
            settings = CohortSettings(exams=1, seed=3, prevalence={}, matrix=64, slices=(12, 12))
            root = write_cohort(settings, folder / "in", SILENT, workers=1)
            (source,) = {path.parent for path in root.rglob("*.dcm")}
        case "tilted":
            source = write(folder / "in", head_datasets(1))
        case "enhanced":
            source = folder / "in"
            source.mkdir()
            (source / "multi").write_bytes(file_of(enhanced(head_datasets())))
        case "lossy":
            source = write(folder / "in", head_datasets(LossyImageCompression="01"))  # no ratio, no method
        case "faint" | "nowhere":
            source = write(folder / "in", head_datasets())
            response = 0.01 if request.param == "faint" else 0.0
        case _:
            source = request.getfixturevalue("shared_data") / "ge-head-tilt"
    written = write_outputs(result_of(source, called=EVERYTHING, response=response), Format, folder / "out")
    return [folder / "out" / name for name in written.files if name.endswith(".dcm")]


def test_dciodvfy_finds_no_error(objects: list[Path]) -> None:
    assert len(objects) == 2 + 2 * len(CLASSES)
    for path in objects:
        errors = errors_by_dciodvfy(path)
        assert not errors, f"{path.name}: {errors}"


def test_dsrdump_reads_report_and_key_objects(objects: list[Path]) -> None:
    dsrdump = tool("dsrdump")
    for name, title in (("sr.dcm", "Imaging Measurement Report"), ("key-objects.dcm", "Of Interest")):
        (path,) = [each for each in objects if each.name == name]
        done = subprocess.run([dsrdump, str(path)], capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stderr
        assert not [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))], done.stderr
        assert title in done.stdout


@dataclass(frozen=True)
class Orthanc:
    """A server of this test's own, on this machine."""

    dicom: int
    http: int

    def get(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=20) as answer:
            return json.load(answer)

    def stored(self) -> set[str]:
        """The SOP Instance UIDs that it holds."""
        return {each["MainDicomTags"]["SOPInstanceUID"] for each in self.get("/instances?expand")}

    def forget(self) -> None:
        """Throw away all that it holds."""
        for patient in self.get("/patients"):
            urlopen(Request(f"http://127.0.0.1:{self.http}/patients/{patient}", method="DELETE"), timeout=20).close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    program = tool("Orthanc")
    plugin = next(Path("/usr").glob("share/orthanc/plugins/libOrthancDicomWeb.so"), None)
    if plugin is None:
        pytest.skip("Orthanc has no DICOMweb here: apt-get install orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    server = Orthanc(free_port(), free_port())
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAet": "PACS",
        "DicomPort": server.dicom,
        "HttpPort": server.http,
        "Plugins": [str(plugin)],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "ConcurrentJobs": 1,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "settings.json")], stdout=log, stderr=log)
    try:
        wait_for(server, process)
        yield server
    finally:
        process.kill()  # what it has stored is ours to throw away, so it need not end in good order
        process.wait()


def wait_for(server: Orthanc, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            server.get("/instances")
        except (URLError, OSError):
            time.sleep(0.2)
        else:
            return
    pytest.fail("Orthanc did not start")


def instance(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def test_orthanc_takes_them_by_c_store(objects: list[Path], orthanc: Orthanc) -> None:
    send = [tool("dcmsend"), "-aec", "PACS", "127.0.0.1", str(orthanc.dicom)]
    orthanc.forget()
    done = subprocess.run([*send, *map(str, objects)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {instance(path) for path in objects} == orthanc.stored()


def test_orthanc_takes_them_by_stow(objects: list[Path], orthanc: Orthanc) -> None:
    border = b"ichnos-border"
    parts = [
        b"--" + border + b"\r\nContent-Type: application/dicom\r\n\r\n" + p.read_bytes() + b"\r\n" for p in objects
    ]
    request = Request(
        f"http://127.0.0.1:{orthanc.http}/dicom-web/studies",
        data=b"".join([*parts, b"--" + border + b"--"]),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={border.decode()}',
            "Accept": "application/dicom+json",
        },
    )
    orthanc.forget()
    with urlopen(request, timeout=60) as answer:
        said = json.load(answer)
    assert len(said["00081199"]["Value"]) == len(objects)
    assert not said.get("00081198", {}).get("Value"), "some failed"
    assert {instance(path) for path in objects} == orthanc.stored()
