"""UIDs: which are valid, and valid ones for those that are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ichnos.dicom import is_valid_uid, valid_uid


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
