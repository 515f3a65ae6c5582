"""What `ichnos predict` writes into: free, or with what an earlier call wrote and --force takes away."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichnos.counting import counted
from ichnos.errors import OutputError
from ichnos.files import explained, is_torn, remove_torn
from ichnos.findings import NOTICE, ExamFindings
from ichnos.remote import Place, RemotePath, ahead
from ichnos.reporting.exam import batch_page, is_output, outputs_in, take_away

FINDINGS = "findings.json"
SUMMARY = "summary.json"

_EXAM = re.compile(r"exam-\d{3,}")


def see_that_it_is_free(out: Place, *, force: bool) -> None:
    """That the folder is absent or empty; with force, or one that an earlier call made. Nothing is made or changed."""
    with explained(out):
        found = _on_storage(out, force=force) if isinstance(out, RemotePath) else _in_folder(out, force=force)
    kind = "URL" if isinstance(out, RemotePath) else "folder"
    if found.there and not force:
        raise OutputError(f"{out} holds something already; give --out a new {kind}, or --force to replace findings")
    if found.foreign:
        raise OutputError(
            f"{out} holds other things than findings of ours ({found.foreign}); give --out another {kind}"
        )
    if found.unclaimed:
        raise OutputError(
            f"{out} holds {counted(found.unclaimed, 'exam folder')} with files of the names that --force takes away "
            f"and no {FINDINGS} of ichnos: they may be another program's; give --out another {kind}"
        )


@dataclass(frozen=True)
class _Found:
    """Whether there is anything; how much that no call wrote, and how many exams' folders, where that is asked for."""

    there: bool
    foreign: int = 0
    unclaimed: int = 0


def _in_folder(out: Path, *, force: bool) -> _Found:
    there = list(out.iterdir()) if out.exists() else []
    if not force:
        return _Found(bool(there))
    unclaimed = [path for path in there if _is_of_an_exam(path) and not _may_be_emptied(path)]
    return _Found(bool(there), sum(not _is_ours(path) for path in there), len(unclaimed))


def _on_storage(out: RemotePath, *, force: bool) -> _Found:
    there = out.exists()
    if not there or not force:
        return _Found(there)
    names = [name for name, _ in out.files() if not is_torn(name)]
    foreign = [name for name in names if not _exam_of(name) and not _is_of_the_call(out, name)]
    emptied = {_exam_of(name) for name in names if name.count("/") == 1 and is_output(name.rpartition("/")[2])} - {None}
    unclaimed = [
        exam for exam in emptied if f"{exam}/{FINDINGS}" not in names or not _is_findings(out / f"{exam}/{FINDINGS}")
    ]
    # not a name below it: `out` is a file
    return _Found(there=True, foreign=len(foreign) if names else 1, unclaimed=len(unclaimed))


def _exam_of(name: str) -> str | None:
    """The exam's folder that a file of a storage lies in, by its name below `out`."""
    folder, slash, _ = name.partition("/")
    return folder if slash and _EXAM.fullmatch(folder) else None


def _is_of_the_call(out: RemotePath, name: str) -> bool:
    if name == SUMMARY:
        return _says_summary(out / name)
    return name == batch_page.NAME and batch_page.is_one(out / name)


def _is_ours(path: Path) -> bool:
    return is_torn(path.name) or _is_a_summary(path) or _is_of_an_exam(path) or batch_page.is_one(path)


def _is_a_summary(path: Path) -> bool:
    if path.name != SUMMARY or path.is_symlink() or not path.is_file():
        return False
    return _says_summary(path)


def _says_summary(path: Place) -> bool:
    tree = _tree(path)
    return tree.get("notice") == NOTICE and "exams" in tree


def _is_of_an_exam(folder: Path) -> bool:
    return _EXAM.fullmatch(folder.name) is not None and folder.is_dir() and not folder.is_symlink()


def _may_be_emptied(folder: Path) -> bool:
    """Whether an earlier call wrote what --force takes away from an exam's folder.

    Its findings are written first and taken away last: where a call was stopped midway they are there, or nothing is.
    """
    path = folder / FINDINGS
    if path.is_symlink() or path.exists():
        return path.is_file() and not path.is_symlink() and _is_findings(path)
    return not outputs_in(folder)


def _is_findings(path: Place) -> bool:
    return _tree(path).get("form") == ExamFindings.model_fields["form"].default


def _tree(path: Place) -> dict[str, Any]:
    """What the file holds; empty where it is no JSON of an object."""
    try:
        tree = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}


def clear(out: Place) -> None:
    """Take away what an earlier call wrote, of exams that are not there any more too; what others put there stays."""
    with explained(out):
        if isinstance(out, RemotePath):
            _clear_storage(out)
            return
        for name in (SUMMARY, batch_page.NAME):
            (out / name).unlink(missing_ok=True)
        remove_torn(out)
        for folder in sorted(filter(_is_of_an_exam, out.iterdir())):
            remove_torn(folder)
            take_away(folder)
            (folder / FINDINGS).unlink(missing_ok=True)  # the last: it says that the others were ours
            if not any(folder.iterdir()):
                folder.rmdir()


def _clear_storage(out: RemotePath) -> None:
    names = [name for name, _ in out.files()]
    inside = [name for name in names if _exam_of(name)]
    outputs = [name for name in inside if name.count("/") == 1 and is_output(name.rpartition("/")[2])]
    findings = [name for name in inside if name == f"{_exam_of(name)}/{FINDINGS}"]
    torn = [name for name in names if is_torn(name)]
    for gone in ([SUMMARY, batch_page.NAME, *torn], outputs, findings):  # in the order of a folder, and for its reason
        for done in ahead(lambda name: (out / name).unlink(missing_ok=True), gone):
            done()
