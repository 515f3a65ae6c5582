"""Other people's tools that judge our DICOM objects; a test that asks for one skips where it is not installed."""

import shutil
import subprocess
from pathlib import Path

import pytest


def tool(name: str) -> str:
    """The path of a program from Debian's dicom3tools, dcmtk or orthanc."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install dicom3tools dcmtk orthanc orthanc-dicomweb")
    return found


def errors_by_dciodvfy(path: Path) -> list[str]:
    """What dciodvfy finds wrong with an object."""
    said = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, errors="replace").stderr
    return [line for line in said.splitlines() if line.startswith("Error")]
