"""DICOMDIR: the index of a CD, and the files it refers to (PS3.10 8, PS3.3 F)."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import MediaStorageDirectoryStorage

from ichnos.dicom.elements import items, texts
from ichnos.dicom.finding import FoundFile, Unreadable
from ichnos.dicom.parsing import quiet_pydicom
from ichnos.remote import RemotePath

_RECORDS, _FILE_ID = 0x00041220, 0x00041500

_OUTSIDE = "a DICOMDIR refers to a file outside its folder, which is not read"
_ABSENT = "a DICOMDIR refers to a file that is not there; copy the disc again"


def is_directory(start: bytes) -> bool:
    """Whether a file's first bytes say that it is a DICOMDIR."""
    return start[128:132] == b"DICM" and MediaStorageDirectoryStorage.encode() in start[132:512]


def referenced_files(directory: FoundFile) -> Iterator[FoundFile | Unreadable]:
    """The files that a DICOMDIR names, each once; only such as lie in its folder or below."""
    try:
        with quiet_pydicom():
            elements = dcmread(BytesIO(directory.read()), specific_tags=[_RECORDS])
            names = [texts(record, _FILE_ID) for record in items(elements, _RECORDS)]
    except Exception:
        yield Unreadable(directory.given, "a DICOMDIR is damaged; give the folder instead")
        return
    try:
        named = _on_storage(directory.path) if isinstance(directory.path, RemotePath) else _on_disk(directory.path)
    except OSError as error:
        yield Unreadable(directory.given, f"the folder of a DICOMDIR cannot be listed: {error.strerror}")
        return
    seen: set[FoundFile | Unreadable] = set()
    for name in dict.fromkeys(filter(None, names)):
        found = named(directory, name)
        if isinstance(found, Unreadable) or found not in seen:
            yield found
        seen.add(found)


def _on_disk(path: Path) -> Callable[[FoundFile, tuple[str, ...]], FoundFile | Unreadable]:
    """What finds a name's file; each folder is listed once at most."""

    @cache
    def in_capitals(folder: Path) -> dict[str, Path]:
        return {each.name.upper(): each for each in sorted(folder.iterdir(), reverse=True)}

    def named(directory: FoundFile, name: tuple[str, ...]) -> FoundFile | Unreadable:
        try:
            found = _below(path.parent, name, in_capitals)
            if found is None:
                return Unreadable(directory.given, _OUTSIDE)
            if not found.is_file():
                return Unreadable(directory.given, _ABSENT)
            return FoundFile(found, directory.given, found.stat().st_size)
        except (OSError, ValueError):  # no permission; a name too long, or of characters that no name has
            return Unreadable(directory.given, "a DICOMDIR refers to a file that cannot be opened; give the folder")

    return named


def _leads_out(name: tuple[str, ...]) -> bool:
    return any(part in ("", ".", "..") or "/" in part or "\0" in part for part in name)


def _on_storage(path: RemotePath) -> Callable[[FoundFile, tuple[str, ...]], FoundFile | Unreadable]:
    """The same where it lies on a storage, whose list of files is asked for once: it has no links, and no folders."""
    there = dict(path.parent.files())
    in_capitals = {name.upper(): name for name in sorted(there, reverse=True)}

    def named(directory: FoundFile, name: tuple[str, ...]) -> FoundFile | Unreadable:
        if _leads_out(name):
            return Unreadable(directory.given, _OUTSIDE)
        exact = "/".join(name)
        found = exact if exact in there else in_capitals.get(exact.upper())
        if found is None:
            return Unreadable(directory.given, _ABSENT)
        return FoundFile(path.parent / found, directory.given, there[found])

    return named


def _below(folder: Path, name: tuple[str, ...], in_capitals: Callable[[Path], dict[str, Path]]) -> Path | None:
    """The file of a ReferencedFileID, in whatever case it was copied; None where it would lie outside the folder."""
    if _leads_out(name):
        return None
    path = folder
    for part in name:
        exact = path / part
        if not exact.exists() and path.is_dir():
            exact = in_capitals(path).get(part.upper(), exact)
        path = exact
    real, inside = (Path(os.path.realpath(each)) for each in (path, folder))  # links that run in a circle raise nothing
    return path if real.is_relative_to(inside) else None
