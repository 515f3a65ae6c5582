"""A bundle comes back as it was written, or says in one line why not. Nothing in it is ever run or unpacked."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from pydantic import ValidationError

from ichnos.cli import bundle as bundle_command
from ichnos.errors import BundleError, OutputError
from ichnos.inference import INCLUDED, load_bundle
from ichnos.inference.bundle import CARD, MANIFEST, NETWORK, read_bundle, write_bundle
from ichnos.inference.manifest import Manifest, content_digest
from ichnos.inference.onnx_file import check_self_contained
from ichnos.readout import Bound
from tests.inference.networks import brightness, manifest

CONTENT = brightness().SerializeToString()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.ichnos"
    write_bundle(path, manifest(), CONTENT, "# Tiny\n")
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], *, resign: bool = True) -> None:
    content = members(path)
    tree = json.loads(content[MANIFEST])
    change(tree)
    if resign:
        tree["digest"] = content_digest(tree)
    rezip(path, content | {MANIFEST: json.dumps(tree).encode()})


def test_round_trip(written: Path) -> None:
    bundle = read_bundle(written)
    assert bundle.network == CONTENT
    assert bundle.card == "# Tiny\n"
    assert bundle.manifest.model_copy(update={"digests": {}}) == manifest()
    assert len(bundle.digest) == 64
    assert bundle.name == f"Tiny ({bundle.digest[:12]})"


def test_the_same_content_gives_the_same_bytes_and_another_another_digest(written: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "twin", manifest(), CONTENT, "# Tiny\n")
    assert (tmp_path / "twin").read_bytes() == written.read_bytes()
    write_bundle(tmp_path / "other", manifest(), CONTENT, "# Other\n")
    assert read_bundle(tmp_path / "other").digest != read_bundle(written).digest


def test_members_are_stored_not_deflated(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        assert [m.filename for m in archive.infolist()] == [MANIFEST, NETWORK, CARD]
        assert {m.compress_type for m in archive.infolist()} == {zipfile.ZIP_STORED}


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        read_bundle(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"not a bundle", b"PK\x03\x04 torn"])
def test_foreign_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(BundleError, match="is no bundle, or it is truncated"):
        read_bundle(tmp_path / "b")


def test_foreign_zip(tmp_path: Path) -> None:
    rezip(tmp_path / "b", {"a.txt": b"a"})
    with pytest.raises(BundleError, match=r"no bundle of ichnos: it holds no bundle\.json"):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(written: Path, share: float) -> None:
    os.truncate(written, int(written.stat().st_size * share))
    with pytest.raises(BundleError, match="truncated"):
        read_bundle(written)


@pytest.mark.parametrize("name", [NETWORK, CARD])
def test_a_member_that_was_changed(written: Path, name: str) -> None:
    content = members(written)
    rezip(written, content | {name: content[name] + b" "})
    with pytest.raises(BundleError, match=r"is not what the bundle was made with"):
        read_bundle(written)


def test_a_threshold_that_was_changed(written: Path) -> None:
    rewrite(
        written,
        lambda tree: tree["readout"]["exams"]["any"]["balanced"].update(threshold=0.9),
        resign=False,
    )
    with pytest.raises(BundleError, match=r"bundle\.json was changed"):
        read_bundle(written)


def test_a_threshold_outside_0_to_1_is_refused(written: Path) -> None:
    for threshold in (-0.1, 1.5):
        rewrite(written, lambda tree, t=threshold: tree["readout"]["exams"]["any"]["balanced"].update(threshold=t))
        with pytest.raises(BundleError, match="threshold"):
            read_bundle(written)


def test_a_readout_that_bounds_any_on_both_sides_is_of_version_5() -> None:
    told = manifest()
    between = {"readout": told.readout.model_dump(mode="json") | {"bound": "between"}}
    tree = told.model_dump(mode="json") | between
    with pytest.raises(ValidationError, match="of version 5, not 2"):
        Manifest.model_validate(tree)
    assert Manifest.model_validate(tree | {"version": 5, "map_side": 4}).readout.bound is Bound.BETWEEN


def test_only_a_cascade_is_of_version_3(written: Path) -> None:
    """So that what read bundles before cascades reads those of one model, and refuses a cascade by its version."""
    assert json.loads(members(written)[MANIFEST])["version"] == 2
    rewrite(written, lambda tree: tree.update(version=3))
    with pytest.raises(BundleError, match="a bundle of one model with these networks is of version 2, not 3"):
        read_bundle(written)


def test_another_network_is_of_version_4_and_says_how_large_its_maps_are(tmp_path: Path) -> None:
    """So that what read bundles of EfficientNet-B0 alone reads those as before, and refuses others by their version."""
    told = manifest()
    assert "map_side" not in json.loads(told.text())
    other = told.recipe.derive(**{"network.backbone": "small-cnn", "network.init": "random"})
    changed = told.model_dump(mode="json") | {"recipe": other.model_dump(mode="json"), "version": 4}
    for cells in (8, 0):
        write_bundle(tmp_path / "b", Manifest.model_validate(changed | {"map_side": cells}), CONTENT, "# Tiny\n")
        read = read_bundle(tmp_path / "b").manifest
        assert (read.version, read.map_cells, read.has_maps) == (4, cells, cells > 0)
    for wrong in ({"version": 2}, {"map_side": None}):
        with pytest.raises(ValidationError, match="version"):
            Manifest.model_validate(changed | {"map_side": 8} | wrong)
    assert (told.map_cells, told.has_maps) == (4, True)


def test_weights_in_16_bits_are_of_version_6() -> None:
    """So that what read bundles before refuses them by their version, and no other bundle says anything of weights."""
    told = manifest()
    assert "weights" not in json.loads(told.text())
    tree = told.model_dump(mode="json") | {"weights": "int16", "map_side": 4}
    with pytest.raises(ValidationError, match="of version 6, not 2"):
        Manifest.model_validate(tree)
    assert json.loads(Manifest.model_validate(tree | {"version": 6}).text())["weights"] == "int16"


def test_a_newer_form_is_named_before_anything_else(written: Path) -> None:
    rewrite(written, lambda tree: tree.update(version=7, something="new"), resign=False)
    with pytest.raises(BundleError, match=r"version 7, this ichnos reads version 6; install a newer ichnos"):
        read_bundle(written)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tree: tree.update(form="other"), "is no bundle of ichnos"),
        (lambda tree: tree.pop("version"), "names no version"),
        (lambda tree: tree.update(colour="red"), "no such field: colour"),
        (lambda tree: tree["readout"]["temperatures"].update(any=0), "temperatures"),
        (lambda tree: tree["readout"]["temperatures"].pop("any"), "every output needs one temperature"),
        (lambda tree: tree["readout"]["slices"].pop("any"), "slices must be given for every reported class"),
        (lambda tree: tree["readout"].update(any_rule="max"), "any is explicit exactly where"),
        (lambda tree: tree.update(title="two\nlines"), "title"),
        (lambda tree: tree["digests"].pop(CARD), "must have a digest for"),
        (lambda tree: tree["digests"].update({"../evil": "0" * 64}), "must have a digest for"),
        (lambda tree: tree["recipe"]["input"].update(size=100), "multiple of 32"),
    ],
)
def test_a_manifest_that_makes_no_sense(written: Path, change: Callable[[dict[str, Any]], object], complaint: str):
    rewrite(written, change)
    with pytest.raises(BundleError, match=complaint) as raised:
        read_bundle(written)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"form": "ichnos-bundle"}'])
def test_a_manifest_that_is_no_json_of_ours(written: Path, content: bytes) -> None:
    rezip(written, members(written) | {MANIFEST: content})
    with pytest.raises(BundleError):
        read_bundle(written)


@pytest.mark.parametrize("extra", ["evil.py", "../outside", "/etc/passwd", "weights.bin"])
def test_more_members_than_a_bundle_has(written: Path, extra: str) -> None:
    rezip(written, members(written) | {extra: b"x"})
    with pytest.raises(BundleError, match="holds 1 file that a bundle has not"):
        read_bundle(written)


def test_a_member_that_is_missing(written: Path) -> None:
    rezip(written, {MANIFEST: members(written)[MANIFEST]})
    with pytest.raises(BundleError, match=r"lacks MODEL_CARD\.md, slice\.onnx"):
        read_bundle(written)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(written: Path) -> None:
    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr(CARD, b"another card")
    with pytest.raises(BundleError, match="holds 1 file"):
        read_bundle(written)


def test_a_compressed_member_is_no_bomb(written: Path) -> None:
    rezip(written, members(written) | {CARD: b"0" * 1_000_000}, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="is compressed or encrypted"):
        read_bundle(written)


def test_a_member_that_is_too_large(written: Path) -> None:
    rezip(written, members(written) | {CARD: b"0" * (2 << 20)})
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md has 2,097,152 bytes, at most 1,048,576"):
        read_bundle(written)


def test_what_a_reader_would_refuse_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "b.ichnos").write_bytes(b"a good one")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md would have 2 MB, and a bundle holds at most 1"):
        write_bundle(tmp_path / "b.ichnos", manifest(), CONTENT, "0" * (2 << 20))
    assert (tmp_path / "b.ichnos").read_bytes() == b"a good one"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        write_bundle(tmp_path / "file" / "b", manifest(), CONTENT, "")


def test_weights_in_other_files_are_refused() -> None:
    model = brightness()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(BundleError, match="external data"):
        check_self_contained(model.SerializeToString())


def test_weights_in_other_files_are_found_in_constants_too() -> None:
    model = brightness()
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    with pytest.raises(BundleError, match="external data"):
        check_self_contained(model.SerializeToString())


def test_operators_that_are_not_onnxs_own_are_refused() -> None:
    model = brightness()
    model.graph.node.append(helper.make_node("Run", ["hu"], ["y"], domain="evil.ops"))
    with pytest.raises(BundleError, match=r"domain 'evil\.ops'"):
        check_self_contained(model.SerializeToString())


def test_operator_sets_that_are_not_onnxs_own_are_refused() -> None:
    model = brightness()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(BundleError, match=r"com\.microsoft"):
        check_self_contained(model.SerializeToString())


def test_onnxs_own_operators_of_trees_are_none_of_others() -> None:
    model = brightness()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    model.graph.node.append(helper.make_node("Normalizer", ["hu"], ["y"], domain="ai.onnx.ml"))
    check_self_contained(model.SerializeToString())
    for near in ("ai.onnx.training", "ai.onnx.preview.training", "ai.onnx.ml.evil", "AI.ONNX.ML"):
        model.opset_import[-1].domain = near
        with pytest.raises(BundleError, match="not ONNX's own"):
            check_self_contained(model.SerializeToString())


def test_functions_are_refused() -> None:
    model = brightness()
    model.functions.append(helper.make_function("", "f", ["x"], ["y"], [], [helper.make_opsetid("", 20)]))
    with pytest.raises(BundleError, match="functions of its own"):
        check_self_contained(model.SerializeToString())


def test_operators_within_graphs_within_graphs_are_found() -> None:
    inner = helper.make_graph([helper.make_node("Run", [], ["y"], domain="evil")], "g", [], [])
    model = brightness()
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    with pytest.raises(BundleError, match="domain 'evil'"):
        check_self_contained(model.SerializeToString())


@pytest.mark.parametrize("content", [b"", b"\x00", b"garbage", b"\x3a\xff\xff\xff\xff\x7f", b"\xff" * 30])
def test_what_is_no_onnx_file(content: bytes) -> None:
    with pytest.raises(BundleError, match="is no ONNX file"):
        check_self_contained(content)


def test_the_reader_sees_what_onnx_sees() -> None:
    check_self_contained(CONTENT)
    onnx.checker.check_model(onnx.load_from_string(CONTENT))


@given(at=st.floats(0, 0.999), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_one_clear_error_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, at: float, bit: int
) -> None:
    """Nothing: a zip file holds dates and permissions that nobody reads."""
    path = tmp_path_factory.mktemp("flipped") / "b"
    write_bundle(path, manifest(), CONTENT, "# Tiny\n")
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        bundle = read_bundle(path)
    except BundleError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may also be read
    else:
        assert (bundle.network, bundle.card) == (CONTENT, "# Tiny\n")


def test_the_environment_names_the_bundle_that_is_taken_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ICHNOS_BUNDLE", "")
    assert load_bundle().bundle.digest == read_bundle(INCLUDED).digest
    write_bundle(tmp_path / "mine.ichnos", manifest(), brightness().SerializeToString(), "the card of mine")
    monkeypatch.setenv("ICHNOS_BUNDLE", str(tmp_path / "mine.ichnos"))
    mine = read_bundle(tmp_path / "mine.ichnos")
    assert load_bundle().bundle.digest == mine.digest
    assert load_bundle(INCLUDED).bundle.digest != mine.digest
    bundle_command.show()
    assert capsys.readouterr().out == "the card of mine\n"
    monkeypatch.setenv("ICHNOS_BUNDLE", str(tmp_path / "absent"))
    with pytest.raises(BundleError, match="the environment variable ICHNOS_BUNDLE: no bundle at"):
        load_bundle()
