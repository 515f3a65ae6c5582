"""All exams of a call on one page: the urgent ones on top, and none that was given goes unmentioned."""

import re
from typing import Any

from ichnos import __version__
from ichnos.findings import NOTICE
from ichnos.reporting.exam.batch_page import text_of

Tree = dict[str, Any]


def read(number: int, probability: float, **changes: object) -> Tree:
    """What summary.json says of an exam in which nothing is called."""
    exam: Tree = {
        "exam": number,
        "paths": [1],
        "source": "dicom",
        "refusal": None,
        "geometry": {"slices": 30 + number},
        "doubts": [],
        "findings": f"exam-{number:03d}/findings.json",
        "urgent": False,
        "any_present": False,
        "present": [],
        "probability_any": probability,
        "files": [f"exam-{number:03d}/findings.json", f"exam-{number:03d}/report.html"],
        "refused_formats": {},
        "empty_formats": {},
    }
    return exam | changes


def refused(number: int, reason: str) -> Tree:
    """What summary.json says of an exam that was refused."""
    return read(number, 0, refusal=reason, geometry=None, findings=None, files=[], urgent=None, present=None)


def page_of(*exams: Tree, **changes: object) -> str:
    bundle = {"title": "A reader", "digest": "ab" * 32, "demonstration": None}
    tree: Tree = {"notice": NOTICE, "bundle": bundle, "exams": list(exams), "unreadable": [], "other_files": 0}
    return text_of(tree | changes)


def rows(page: str) -> list[list[str]]:
    """The text of each cell of the table of exams."""
    (table,) = re.findall(r'<table class="exams">(.*?)</table>', page, re.DOTALL)
    found = re.findall(r"<tr.*?</tr>", table.partition("<tbody>")[2], re.DOTALL)
    return [[re.sub("<[^>]*>", " ", cell).strip() for cell in re.findall(r"<td.*?</td>", row)] for row in found]


def test_urgent_exams_stand_first_and_then_the_more_probable() -> None:
    page = page_of(
        read(1, 0.1),
        read(2, 0.4, urgent=True),
        read(3, 0.45),
        read(4, 0.9, urgent=True, any_present=True, present=["epidural", "subdural"]),
        read(5, 0.1),
    )
    assert [row[0] for row in rows(page)] == ["exam 4", "exam 2", "exam 3", "exam 1", "exam 5"]
    assert [row[1] for row in rows(page)] == ["first", "first", "–", "–", "–"]
    assert rows(page)[0][2:] == ["0.900", "34", "epidural, subdural"]
    assert "5 exams read, 2 to be looked at first, 1 with a hemorrhage called" in page


def test_a_hemorrhage_of_no_subtype_is_called_too() -> None:
    page = page_of(read(1, 0.9, urgent=True, any_present=True), read(2, 0.1))
    assert [row[4] for row in rows(page)] == ["any hemorrhage", "none"]


def test_what_was_not_read_stands_there_with_the_whole_reason() -> None:
    reason = "none of its 2 series can be read: not a head CT: " + "the body is large; " * 40
    unreadable = [{"path": 2, "reason": "it is cut short", "files": 17}]
    page = page_of(read(1, 0.1), refused(2, reason), unreadable=unreadable, other_files=3)
    assert reason in page
    assert "exam 2" not in [row[0] for row in rows(page)]
    assert "1 exam not read" in page
    assert '<td class="text">2</td><td>17</td><td class="text">it is cut short</td>' in page
    assert "Passed over, neither DICOM nor NIfTI: 3 files." in page


def test_of_refused_exams_alone_there_is_a_page() -> None:
    page = page_of(refused(1, "its ImageType says PERFUSION"), refused(2, "not a head CT"))
    assert "Head CT, 2 exams" in page
    assert "None could be read." in page
    assert "its ImageType says PERFUSION" in page


def test_exams_link_to_their_own_page_where_there_is_one() -> None:
    page = page_of(read(1, 0.9), read(2, 0.1, files=["exam-002/findings.json"], refused_formats={"html": "a fault"}))
    assert re.findall(r'href="([^"]*)"', page) == ["exam-001/report.html"]
    assert [row[0] for row in rows(page)] == ["exam 1", "exam 2"]
    assert "a fault" in page


def test_forms_that_are_missing_are_told_once_for_all_exams_with_the_same_reason() -> None:
    volumes = [
        read(k, 0.1, refused_formats={"sr": "it names no patient", "heatmap": "it names no patient"}) for k in (1, 2, 3)
    ]
    page = page_of(*volumes, read(4, 0.1, empty_formats={"key-objects": "no slice is key"}))
    assert page.count("it names no patient") == 1
    assert '<td class="text">sr, heatmap</td><td class="text">1–3</td>' in page
    assert '<td class="text">key-objects</td><td class="text">4</td>' in page
    assert page.count("no failure: there is nothing to show") == 1


def test_doubts_stand_beside_their_exam_and_those_of_all_exams_once() -> None:
    page = page_of(read(1, 0.2, doubts=["it is thick", "a slice is lost"]), read(2, 0.1, doubts=["it is thick"]))
    assert "A doubt of every exam: it is thick." in page
    assert page.count("it is thick") == 1
    assert [row[4] for row in rows(page)] == ["none doubt: a slice is lost", "none"]
    assert "doubt: it is thick" in page_of(read(1, 0.2, doubts=["it is thick"]))


def test_it_says_what_it_is_worth_and_by_what_it_was_said() -> None:
    told = {"title": "A reader", "digest": "cd" * 32, "demonstration": "trained on two heads"}
    page = page_of(read(1, 0.1), bundle=told)
    assert page.count(NOTICE) == 2
    assert "A demonstration: trained on two heads." in page
    assert "A demonstration" not in page_of(read(1, 0.1))
    assert all(words in page for words in ("A reader", "cd" * 32, __version__))


def test_what_comes_from_files_is_text_and_no_markup() -> None:
    page = page_of(read(1, 0.1, doubts=["<b>x</b>"]), refused(2, "<script>1</script>"), other_files=1)
    assert "<script" not in page
    assert "&lt;script&gt;1&lt;/script&gt;" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_it_fetches_nothing() -> None:
    assert not re.search(r"https?://|url\(|@import|<script|<link|src=", page_of(read(1, 0.1)))
