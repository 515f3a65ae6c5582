"""The folder that `ichnos predict` writes into: free, or with what an earlier call wrote and --force takes away."""

import json
import re
from pathlib import Path
from typing import Any

from ichnos.counting import counted
from ichnos.errors import OutputError
from ichnos.files import explained
from ichnos.findings import NOTICE, ExamFindings
from ichnos.remote import Place, RemotePath
from ichnos.reporting.exam import batch_page, outputs_in, take_away

FINDINGS = "findings.json"
SUMMARY = "summary.json"


def see_that_it_is_free(out: Place, *, force: bool) -> None:
    """That the folder is absent or empty; with force, or one that an earlier call made. Nothing is made or changed."""
    if isinstance(out, RemotePath):
        with explained(out):
            if out.exists():
                raise OutputError(f"{out} holds something already; give --out a new URL, as --force is of folders only")
        return
    with explained(out):
        there = list(out.iterdir()) if out.exists() else []
        foreign = [path for path in there if not _is_ours(path)] if force else []
        unclaimed = [path for path in there if _is_of_an_exam(path) and not _may_be_emptied(path)] if force else []
    if there and not force:
        raise OutputError(f"{out} holds something already; give --out a new folder, or --force to replace findings")
    if foreign:
        raise OutputError(f"{out} holds other things than findings of ours ({len(foreign)}); give --out another folder")
    if unclaimed:
        raise OutputError(
            f"{out} holds {counted(len(unclaimed), 'exam folder')} with files of the names that --force takes away and "
            f"no {FINDINGS} of ichnos: they may be another program's; give --out another folder"
        )


def _is_ours(path: Path) -> bool:
    return _is_a_summary(path) or _is_of_an_exam(path) or batch_page.is_one(path)


def _is_a_summary(path: Path) -> bool:
    if path.name != SUMMARY or path.is_symlink() or not path.is_file():
        return False
    tree = _tree(path)
    return tree.get("notice") == NOTICE and "exams" in tree


def _is_of_an_exam(folder: Path) -> bool:
    return re.fullmatch(r"exam-\d{3,}", folder.name) is not None and folder.is_dir() and not folder.is_symlink()


def _may_be_emptied(folder: Path) -> bool:
    """Whether an earlier call wrote what --force takes away from an exam's folder.

    Its findings are written first and taken away last: where a call was stopped midway they are there, or nothing is.
    """
    path = folder / FINDINGS
    if path.is_symlink() or path.exists():
        return path.is_file() and not path.is_symlink() and _is_findings(path)
    return not outputs_in(folder)


def _is_findings(path: Path) -> bool:
    return _tree(path).get("form") == ExamFindings.model_fields["form"].default


def _tree(path: Path) -> dict[str, Any]:
    """What the file holds; empty where it is no JSON of an object."""
    try:
        tree = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}


def clear(out: Path) -> None:
    """Take away what an earlier call wrote, of exams that are not there any more too; what others put there stays."""
    with explained(out):
        for name in (SUMMARY, batch_page.NAME):
            (out / name).unlink(missing_ok=True)
        for folder in sorted(filter(_is_of_an_exam, out.iterdir())):
            take_away(folder)
            (folder / FINDINGS).unlink(missing_ok=True)  # the last: it says that the others were ours
            if not any(folder.iterdir()):
                folder.rmdir()
