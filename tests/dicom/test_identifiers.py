"""UIDs: which are valid, and valid ones for those that are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ichnos.dicom import derived_uid, is_valid_uid, valid_uid


@pytest.mark.parametrize(
    ("uid", "valid"),
    [
        ("1.2.840.10008.1.2", True),
        ("2.25.0", True),
        ("ID_a79b194880", False),
        ("", False),
        ("1", False),
        ("1.02", False),
        ("1..2", False),
        ("3.1", False),
        ("1.2.", False),
        ("1." + "9" * 63, False),
        ("1." + "9" * 62, True),
    ],
)
def test_valid(uid: str, valid: bool) -> None:
    assert is_valid_uid(uid) is valid


@given(st.text(max_size=80))
def test_every_text_gets_a_valid_uid_the_same_each_time(text: str) -> None:
    assert is_valid_uid(valid_uid(text))
    assert valid_uid(text) == valid_uid(text)
    assert valid_uid(valid_uid(text)) == valid_uid(text)


def test_the_mapping_does_not_change_between_versions() -> None:
    assert valid_uid("1.2.3") == "1.2.3"
    assert valid_uid("ID_a79b194880") == "2.25.162136351959164921541892675576567097353"


@given(st.lists(st.text(max_size=20), max_size=4), st.lists(st.text(max_size=20), max_size=4))
def test_derived_uids_are_valid_and_differ_where_the_parts_do(a: list[str], b: list[str]) -> None:
    assert is_valid_uid(derived_uid(*a))
    assert (derived_uid(*a) == derived_uid(*b)) == (a == b)


def test_derived_uids_do_not_change_between_versions() -> None:
    assert derived_uid("sr", "1.2.3") == "2.25.198444020323625764149359834789959926679"
    assert derived_uid("a", "b") != derived_uid("ab")
