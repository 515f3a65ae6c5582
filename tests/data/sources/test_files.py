"""Files in folders and in zips: all of them, in an order that depends on names alone."""

from pathlib import Path

import pytest

from ichnos.data.sources.files import FolderStore


def _names(root: Path, folder: str = "") -> list[str]:
    return sorted(name for name, _, _ in FolderStore(root).find(folder))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("root/a/1", "root/b/2", "elsewhere/c/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    return tmp_path / "root"


def test_links_to_folders_and_files_are_followed(root: Path, tmp_path: Path) -> None:
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "one").symlink_to(root / "a" / "1")
    files = sorted(FolderStore(root).find(""))
    assert files == [(name, name, 3) for name in ("a/1", "b/2", "b/one", "linked/c/3")]
    assert FolderStore(root).read("linked/c/3") == b"123"


def test_circles_of_links_end(root: Path, tmp_path: Path) -> None:
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a" / "self")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert _names(root) == ["a/1", "a/self", "b/2", "linked/c/3"]


def test_a_folder_in_the_tree_keeps_its_own_name(root: Path) -> None:
    (root / "0").symlink_to(root / "b")
    assert _names(root) == ["a/1", "b/2"]


def test_of_two_links_the_first_by_name_counts(root: Path, tmp_path: Path) -> None:
    for name in ("z", "m"):
        (root / name).symlink_to(tmp_path / "elsewhere")
    assert _names(root) == ["a/1", "b/2", "m/c/3"]


def test_a_link_to_nothing_is_listed_to_be_counted(root: Path) -> None:
    (root / "gone").symlink_to(root / "nowhere")
    assert sorted(FolderStore(root).find(""))[-1] == ("gone", "gone", 0)


def test_a_linked_root_is_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert _names(tmp_path / "link") == ["a/1", "b/2"]
