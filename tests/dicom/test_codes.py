"""The table of codes: no row twice, each with its source, and none that the standard's own table contradicts."""

from pydicom.sr._concepts_dict import concepts

from ichnos.dicom.codes import FINDINGS, TABLE
from ichnos.subtypes import CLASSES


def test_every_row_is_there_once_and_says_where_it_was_read() -> None:
    assert len({(row.value, row.scheme) for row in TABLE}) == len(TABLE)
    assert all(row.source for row in TABLE)
    assert all(len(row.meaning) <= 64 for row in TABLE)  # LO, PS3.5 6.2


def test_rows_that_the_standard_has_mean_the_same_there() -> None:
    seen = 0
    for row in TABLE:
        meanings = {known[row.value][0].lower() for known in concepts[row.scheme].values() if row.value in known}
        seen += bool(meanings)
        assert not meanings or any(each.startswith(row.meaning.lower()) for each in meanings), row.meaning
    assert seen >= 14


def test_every_class_has_a_code_of_its_own() -> None:
    assert tuple(FINDINGS) == CLASSES
    assert len({(each.finding, each.site) for each in FINDINGS.values()}) == len(CLASSES)
