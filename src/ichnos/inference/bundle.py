"""The bundle: one zip file that holds a network, what its numbers mean, and its card. Data only, never code."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ichnos.counting import counted
from ichnos.errors import BundleError
from ichnos.files import replacing
from ichnos.inference.manifest import BUNDLE_VERSION, Manifest, content_digest
from ichnos.inference.onnx_file import check_self_contained
from ichnos.recipe import explain

MANIFEST, NETWORK, EXAM_NETWORK, CARD = "bundle.json", "slice.onnx", "exam.onnx", "MODEL_CARD.md"

_LARGEST = {MANIFEST: 16 << 20, NETWORK: 1 << 30, EXAM_NETWORK: 1 << 28, CARD: 1 << 20}
"""Bytes of each member: far above what any bundle of ours has, far below what would fill a memory."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the same content, the same bytes."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle as it was read and checked."""

    manifest: Manifest
    digest: str
    """64 hex digits that name its content."""
    network: bytes
    card: str
    exam_network: bytes | None = None
    """What answers for an exam's slices anew, together; None where the recipe has none."""

    @property
    def name(self) -> str:
        """The title and the beginning of the digest."""
        return f"{self.manifest.title} ({self.digest[:12]})"


def write_bundle(path: Path, manifest: Manifest, network: bytes, card: str, exam_network: bytes | None = None) -> None:
    """Write a bundle: whole or not at all, the same content with the same bytes.

    The manifest's digests are replaced by those of the members. Raises OutputError where it cannot be written,
    BundleError where a member is larger than a reader takes.
    """
    members = {NETWORK: network}
    if exam_network is not None:
        members[EXAM_NETWORK] = exam_network
    members[CARD] = card.encode()
    for name, content in members.items():
        if len(content) > _LARGEST[name]:
            raise BundleError(
                f"{name} would have {len(content) >> 20} MB, and a bundle holds at most {_LARGEST[name] >> 20}: export "
                "fewer networks, or with --weights int16"
            )
    manifest = manifest.model_copy(update={"digests": {n: hashlib.sha256(c).hexdigest() for n, c in members.items()}})
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as archive:
        for name, content in ({MANIFEST: manifest.text().encode()} | members).items():
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle. Nothing of it is unpacked to the disk or run.

    Raises BundleError where it is absent, no bundle, truncated, damaged, changed by hand, of a newer form, or where its
    network would need anything outside the file.
    """
    if path.is_dir():
        named = "an empty name, or the folder where you are," if path == Path() else f"{path}, a folder,"
        raise BundleError(
            f"{named} is no bundle; give the file that `ichnos export` wrote, or leave it out for ichnos' own"
        )
    if not path.is_file():
        raise BundleError(f"no bundle at {path}; `ichnos export` makes one")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            members = {name: _read(path, archive, name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"{path.name} is no bundle, or it is truncated or damaged ({error}); take another copy of it"
        ) from error
    manifest, digest = _manifest(path, members[MANIFEST])
    _check_parts(path, manifest, members)
    for name, wanted in manifest.digests.items():
        if hashlib.sha256(members[name]).hexdigest() != wanted:
            raise BundleError(
                f"{path.name}: {name} is not what the bundle was made with (its digest differs); take another copy of "
                "the bundle"
            )
    for name in (NETWORK, EXAM_NETWORK):
        if name in members:
            check_self_contained(members[name])
    card = members[CARD].decode("utf-8", errors="replace")
    return Bundle(manifest, digest, members[NETWORK], card, members.get(EXAM_NETWORK))


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    names = [member.filename for member in archive.infolist()]
    if MANIFEST not in names:
        raise BundleError(f"{path.name} is a zip file, but no bundle of ichnos: it holds no {MANIFEST}")
    wanted = set(_LARGEST) - {EXAM_NETWORK} | ({EXAM_NETWORK} & set(names))
    if sorted(names) != sorted(wanted):
        missing, more = sorted(wanted - set(names)), len(names) - len(wanted & set(names))
        said = f"lacks {', '.join(missing)}" if missing else f"holds {counted(more, 'file')} that a bundle has not"
        raise BundleError(f"{path.name} {said}; it was changed after it was made, or a newer ichnos made it")
    for member in archive.infolist():
        if member.file_size > _LARGEST[member.filename]:
            raise BundleError(
                f"{path.name}: {member.filename} has {member.file_size:,} bytes, at most "
                f"{_LARGEST[member.filename]:,} are read"
            )
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise BundleError(f"{path.name}: {member.filename} is compressed or encrypted; a bundle's members are not")


def _read(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(_LARGEST[name] + 1)
    if len(content) != archive.getinfo(name).file_size:
        raise BundleError(f"{path.name}: {name} is truncated; take another copy of the bundle")
    return content


def _manifest(path: Path, content: bytes) -> tuple[Manifest, str]:
    try:
        tree: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path.name}: {MANIFEST} cannot be read ({error}); take another copy") from error
    if not isinstance(tree, dict) or tree.get("form") != "ichnos-bundle":
        raise BundleError(f"{path.name} is no bundle of ichnos: its {MANIFEST} does not say so")
    _check_version(path, tree)
    digest = tree.pop("digest", None)
    if digest != content_digest(tree):
        raise BundleError(f"{path.name}: {MANIFEST} was changed after the bundle was made; take another copy of it")
    try:
        manifest = Manifest.model_validate(tree)
    except ValidationError as error:
        raise BundleError(f"{path.name}: {MANIFEST} does not make sense: {explain(error)}") from error
    return manifest, digest


def _check_parts(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """The members are those that the recipe needs, and each has its digest."""
    needed = {NETWORK, CARD} | ({EXAM_NETWORK} if manifest.reads_exams_whole else set())
    if missing := needed - members.keys():
        raise BundleError(f"{path.name} lacks {', '.join(missing)}, which its recipe needs; take another copy of it")
    if members.keys() - needed - {MANIFEST}:
        raise BundleError(
            f"{path.name} holds {EXAM_NETWORK}, and its recipe has no network of exams; it was changed after it was "
            "made; take another copy of it"
        )
    if set(manifest.digests) != needed:
        *first, last = sorted(needed, reverse=True)
        said = ", ".join(f"for {name}" for name in first)
        raise BundleError(f"{path.name}: {MANIFEST} must have a digest {said} and for {last}, and no other")


def _check_version(path: Path, tree: Mapping[str, Any]) -> None:
    version = tree.get("version")
    if not isinstance(version, int) or version < 1:
        raise BundleError(f"{path.name}: {MANIFEST} names no version; take another copy of the bundle")
    if version > BUNDLE_VERSION:
        raise BundleError(
            f"{path.name} is a bundle of version {version}, this ichnos reads version {BUNDLE_VERSION}; install a "
            "newer ichnos"
        )
