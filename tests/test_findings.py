"""Findings that contradict themselves cannot be made, and their published schema is theirs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ichnos.findings import ExamFindings
from ichnos.subtypes import CLASSES, Subtype

ROOT = Path(__file__).parents[1]


def of(subtype: Subtype, probability: float, *slices: int) -> dict[str, Any]:
    return {
        "subtype": subtype,
        "present": bool(slices),
        "probability": probability,
        "threshold_balanced": 0.5,
        "threshold_high_sensitivity": 0.2,
        "slices": slices,
        "key_slice": slices[-1] if slices else None,
    }


def tree() -> dict[str, Any]:
    """Subdural on slices 1 and 2 of three."""
    numbers = dict.fromkeys(CLASSES, 0.1) | {Subtype.SUBDURAL: 0.8, Subtype.ANY: 0.9}
    return {
        "source": {
            "ichnos": "0",
            "bundle": "Tiny",
            "bundle_digest": "0" * 64,
            "population": "made up",
            "calibrated": True,
        },
        "urgent": True,
        "any": of(Subtype.ANY, 0.9, 1, 2),
        "subtypes": [of(c, 0.8, 1, 2) if c is Subtype.SUBDURAL else of(c, 0.1) for c in CLASSES[:-1]],
        "slices": [{"index": i, "offset_mm": 5.0 * i, "probabilities": dict(numbers)} for i in range(3)],
    }


def test_findings_come_back_as_they_were() -> None:
    findings = ExamFindings.model_validate(tree())
    assert findings.present == (Subtype.SUBDURAL,)
    assert findings[Subtype.SUBDURAL].key_slice == 2
    assert ExamFindings.model_validate_json(findings.to_json()) == findings
    plain = json.loads(findings.to_json())
    assert (plain["form"], plain["version"]) == ("ichnos-findings", 1)
    assert "Not a medical device" in plain["notice"]


def test_a_class_that_the_bundle_does_not_name() -> None:
    changed = tree()
    changed["subtypes"] = changed["subtypes"][1:]
    for each in changed["slices"]:
        del each["probabilities"][Subtype.EPIDURAL]
    with pytest.raises(KeyError):
        ExamFindings.model_validate(changed)[Subtype.EPIDURAL]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("any", "probability"), 0.7, "any hemorrhage cannot be less probable"),
        (("any", "probability"), 1.2, "less than or equal to 1"),
        (("any", "probability"), float("nan"), "finite number"),
        (("any",), of(Subtype.ANY, 0.9), "a subtype is present, so any hemorrhage is"),
        (("urgent",), False, "is urgent"),
        (("subtypes", 4, "key_slice"), 0, "is not among its slices"),
        (("subtypes", 4, "key_slice"), None, "has slices and a key slice"),
        (("subtypes", 4, "slices"), (2, 1), "ascending"),
        (("subtypes", 4, "slices"), (2, 3), "was not read"),
        (("subtypes", 4, "slices"), (-1, 2), "greater than or equal to 0"),
        (("subtypes", 0, "subtype"), Subtype.SUBDURAL, "in their order, each once"),
        (("subtypes",), [], "in their order, each once"),
        (("slices",), [], "at least one"),
        (("slices", 0, "index"), 1, "numbered from 0"),
        (("slices", 0, "probabilities"), {"any": 1.0}, "for each reported class"),
        (("slices", 0, "probabilities", Subtype.ANY), 0.5, "any hemorrhage is less probable"),
        (("patient",), "Doe", "Extra inputs"),
    ],
)
def test_findings_that_contradict_themselves(path: tuple[Any, ...], value: Any, complaint: str) -> None:
    changed = tree()
    node = changed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(ValidationError, match=complaint):
        ExamFindings.model_validate(changed)


def test_the_published_schema_is_up_to_date() -> None:
    check = [sys.executable, str(ROOT / "tools" / "findings_schema.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run: python tools/findings_schema.py"


def test_the_published_schema_wants_all_that_is_always_there() -> None:
    schema = json.loads((ROOT / "docs" / "findings.schema.json").read_text())
    assert {"form", "version", "notice", "doubts"} <= set(schema["required"])
    of_any = schema["$defs"]["ClassFinding"]["properties"]["present"]["description"]
    assert "a subtype at its own" in " ".join(of_any.split())
