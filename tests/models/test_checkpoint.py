"""Checkpoints come back as they were written, or say why not."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ichnos.errors import OutputError, WeightsError
from ichnos.models import SliceClassifier, load_checkpoint, load_classifier, save_checkpoint
from ichnos.recipe import SliceRecipe


@pytest.fixture
def written(recipe: SliceRecipe, tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, SliceClassifier.seeded(recipe, 1), {"epoch": 3}, extra={"more": torch.arange(3)})
    return path


def rewrite_header(path: Path, change) -> None:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["ichnos"])
    change(header)
    save_file(load_file(path), path, metadata={"ichnos": json.dumps(header)})


def test_round_trip(written: Path, recipe: SliceRecipe):
    classifier, read, metadata = load_classifier(written)
    assert read == recipe
    assert metadata == {"epoch": 3}
    assert not classifier.training
    wanted = SliceClassifier.seeded(recipe, 1).state_dict()
    assert all(torch.equal(wanted[key], value) for key, value in classifier.state_dict().items())
    assert load_checkpoint(written).tensors["more"].tolist() == [0, 1, 2]


def test_same_content_same_bytes(written: Path, recipe: SliceRecipe, tmp_path: Path):
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, SliceClassifier.seeded(recipe, 1), {"epoch": 3}, extra={"more": torch.arange(3)})
    assert other.read_bytes() == written.read_bytes()


def test_channels_last_weights_come_back(recipe: SliceRecipe, tmp_path: Path):
    classifier = SliceClassifier.seeded(recipe, 1).to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "a.safetensors", classifier, {})
    read, _, _ = load_classifier(tmp_path / "a.safetensors")
    assert all(torch.equal(classifier.state_dict()[key], value) for key, value in read.state_dict().items())


def test_absent(tmp_path: Path):
    with pytest.raises(WeightsError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 2000, 1_000_000])
def test_truncated(written: Path, keep: int):
    os.truncate(written, keep)
    with pytest.raises(WeightsError, match="damaged"):
        load_checkpoint(written)


def test_flipped_bit(written: Path):
    content = bytearray(written.read_bytes())
    content[-5000] ^= 1
    written.write_bytes(content)
    with pytest.raises(WeightsError, match="digest"):
        load_checkpoint(written)


def test_newer_version(written: Path):
    rewrite_header(written, lambda header: header.update(version=99))
    with pytest.raises(WeightsError, match=r"version 99.*newer ichnos"):
        load_checkpoint(written)


def test_unknown_recipe(written: Path):
    rewrite_header(written, lambda header: header["recipe"].update(colour="red"))
    with pytest.raises(WeightsError, match="no such field: colour"):
        load_checkpoint(written)


def test_foreign_safetensors(tmp_path: Path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="no checkpoint of ichnos"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_failed_write_keeps_what_was_there(written: Path, recipe: SliceRecipe, monkeypatch: pytest.MonkeyPatch):
    before = written.read_bytes()

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="disk is full"):
        save_checkpoint(written, SliceClassifier.seeded(recipe, 2), {})
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]
