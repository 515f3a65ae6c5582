"""The tables of a field study, from the scorecard of one that was run."""

import json
from pathlib import Path

from ichnos.reporting.field_gains import THE_SAME, TRAINED_ONCE
from ichnos.reporting.field_tables import field_tables
from ichnos.reporting.table import Kind

STUDY = Path(__file__).parents[2] / "results" / "field-ct-ich.json"


def test_every_table_of_differences_says_that_each_recipe_was_trained_once() -> None:
    tables = field_tables(json.loads(STUDY.read_text(encoding="utf-8")))
    of_differences = {name for name, table in tables.items() if any(c.kind is Kind.CHANGE for c in table.columns)}
    assert of_differences >= {"gains", "gains_epidural", "ranking"}
    assert {name for name, table in tables.items() if TRAINED_ONCE in table.notes} == of_differences


def test_the_same_answers_are_told_and_have_no_p() -> None:
    card = json.loads(STUDY.read_text(encoding="utf-8"))
    gains = [gain for step in card["steps"] for level in step["gains"].values() for gain in level.values()]
    for row in (*gains, *card["ranking"]["rows"]):
        row.pop("identical", None)
    assert THE_SAME not in field_tables(card)["gains"].to_markdown(), "a scorecard from before does not know"
    step = next(step for step in card["steps"] if step["recipe"] == "cascade")
    for level in step["gains"].values():
        level["any"]["identical"] = True
    text = field_tables(card)["gains"].to_markdown()
    assert f"| cascade | reader | slices | +0.000 ({THE_SAME}) | – | – | +0.000 ({THE_SAME}) | – | – |" in text
    assert "Holm's correction does not count it" in text
    row = next(row for row in card["ranking"]["rows"] if row["recipe"] == "cascade")
    row["identical"] = True
    assert f"| +0.000 ({THE_SAME}) | – | – |" in field_tables(card)["ranking"].to_markdown()


def test_where_nobody_has_a_class_the_same_answers_are_no_difference() -> None:
    card = json.loads(STUDY.read_text(encoding="utf-8"))
    undefined = {"value": None, "low": None, "high": None, "defined_share": None, "note": "not defined (0 positives)"}
    for step in card["steps"]:
        for level in step["gains"].values():
            level["any"] |= {"identical": True, "difference": undefined, "pooled": undefined}
    text = field_tables(card)["gains"].to_markdown()
    assert "not defined (0 positives)" in text
    assert THE_SAME not in text


def test_gains_of_calls_have_predictive_values_where_they_were_measured() -> None:
    card = json.loads(STUDY.read_text(encoding="utf-8"))
    measured = [tree for step in card["steps"] for level in step["measures"].values() for tree in level.values()]
    for at in (at for tree in measured for at in tree["operating_points"].values()):
        for name in [name for name in at if name.startswith(("ppv", "npv"))]:
            del at[name]  # as studies from before have it
    old = field_tables(card)["gains_calls"]
    assert [column.title for column in old.columns[4:]] == [
        f"Change of {n}" for n in ("sensitivity", "specificity", "F1")
    ]
    for at in (at for tree in measured for at in tree["operating_points"].values()):
        at |= {"ppv": at["f1"], "npv": at["specificity"]}
    new = field_tables(card)["gains_calls"]
    assert [column.title for column in new.columns[6:8]] == ["Change of PPV", "Change of NPV"]
    assert new.title == "What each step gains beside AUC: sensitivity, specificity, PPV, NPV and F1, any hemorrhage"
    assert len(new.rows) == len(old.rows)
    for before, after in zip(old.rows, new.rows, strict=True):
        assert after == (*before[:6], before[6], before[5], before[6])


def test_costs_say_what_was_measured_and_how_far_times_reach() -> None:
    card = json.loads(STUDY.read_text(encoding="utf-8"))
    for entry in card["recipes"].values():
        entry["cost"] |= {"seconds": 0.29}
        for key in ("seconds_highest", "rounds", "timed_with"):
            entry["cost"].pop(key, None)
    table = field_tables(card)["cost"]
    assert table.rows[0][-1] == "0.29", "a scorecard from before has one time"
    assert "the median of three" in " ".join(table.notes)
    assert "Computed, the same on any machine: parameters" in table.notes[0]
    for entry in card["recipes"].values():
        entry["cost"] |= {"seconds_highest": 2 * entry["cost"]["seconds"], "rounds": 7}
    again = field_tables(card)["cost"]
    assert again.rows[0][-1] == "0.29 to 0.58"
    assert "lowest to the highest of 7 rounds" in " ".join(again.notes)
    assert "median" not in " ".join(again.notes)
    assert "Timed apart" not in " ".join(again.notes)
    first, *others = card["recipes"]
    card["recipes"][first]["cost"]["timed_with"] = [first, others[0]]  # and the other was timed again, with the rest
    for name in others:
        card["recipes"][name]["cost"]["timed_with"] = others
    notes = " ".join(field_tables(card)["cost"].notes)
    assert f"with none of the others: {first}. The other {len(others)} were timed together." in notes
    assert others[-1] not in notes, "what most have alike is not named out"
    minutes = [fold["seconds"] / 60 for fold in card["recipes"][first]["folds"]]
    assert field_tables(card)["cost"].rows[0][4] == f"{min(minutes):.1f} to {max(minutes):.1f}"


def test_one_reason_for_no_bundle_is_told_once() -> None:
    card = json.loads(STUDY.read_text(encoding="utf-8"))
    first, second, third, *_ = card["recipes"]
    for name in card["recipes"]:
        card["recipes"][name]["cost"]["note"] = None
    for name, why in ((first, "it is too large"), (second, "it is odd"), (third, "it is too large")):
        card["recipes"][name]["cost"]["note"] = why
    notes = field_tables(card)["cost"].notes
    assert notes[:2] == (f"{first}, {third}: it is too large", f"{second}: it is odd")
