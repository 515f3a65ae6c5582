"""DICOMDIR: the index of a CD, and the files it refers to (PS3.10 8, PS3.3 F)."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import MediaStorageDirectoryStorage

from ichnos.dicom.elements import items, texts
from ichnos.dicom.finding import FoundFile, Unreadable
from ichnos.dicom.parsing import quiet_pydicom

_RECORDS, _FILE_ID = 0x00041220, 0x00041500


def is_directory(start: bytes) -> bool:
    """Whether a file's first bytes say that it is a DICOMDIR."""
    return start[128:132] == b"DICM" and MediaStorageDirectoryStorage.encode() in start[132:512]


def referenced_files(directory: FoundFile) -> Iterator[FoundFile | Unreadable]:
    """The files that a DICOMDIR on disk names, each once; only such as lie in its folder or below."""
    try:
        with quiet_pydicom():
            elements = dcmread(BytesIO(directory.read()), specific_tags=[_RECORDS])
            names = [texts(record, _FILE_ID) for record in items(elements, _RECORDS)]
    except Exception:
        yield Unreadable(directory.given, "a DICOMDIR is damaged; give the folder instead")
        return
    folder = directory.path.parent
    seen: set[Path] = set()
    for name in names:
        if not name or name in seen:
            continue
        path = _below(folder, name)
        if path is None:
            yield Unreadable(directory.given, "a DICOMDIR refers to a file outside its folder, which is not read")
        elif not path.is_file():
            yield Unreadable(directory.given, "a DICOMDIR refers to a file that is not there; copy the disc again")
        elif path not in seen:
            seen.add(path)
            yield FoundFile(path, directory.given, path.stat().st_size)


def _below(folder: Path, name: tuple[str, ...]) -> Path | None:
    """The file of a ReferencedFileID, in whatever case it was copied; None where it would lie outside the folder."""
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in name):
        return None
    path = folder
    for part in name:
        exact = path / part
        if not exact.exists() and path.is_dir():
            exact = next((each for each in path.iterdir() if each.name.upper() == part.upper()), exact)
        path = exact
    return path if path.resolve().is_relative_to(folder.resolve()) else None
