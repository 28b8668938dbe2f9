"""The oracles of the two public evaluators, against values worked out by hand from their rules, and the fuzz."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error

from benchmarks.evaluators import Undefined, flare25, flare26
from benchmarks.evaluators import __main__ as fuzz
from benchmarks.evaluators.generate import MIXED, SPELLINGS, Case, draw
from tests.conftest import HANG, ROOT

Scorer = Callable[..., dict[str, float]]
Rows = list[tuple[Any, Any]]
"""True and predicted answers, each pair to a question of its own."""
Table = dict[str, list[tuple[str, Rows, float]]]


class Missing:
    """Stands for an answer that was not predicted."""

    def __repr__(self) -> str:
        return "no answer"


MISSING = Missing()
BOX = "[0, 0, 10, 10]"
BOXES, HALF = f"[{BOX}]", "[[0, 0, 10, 5]]"
ONE = f'{{"1": {BOXES}}}'
HIT, HIT_AND_MISS = (BOXES, BOXES), 2 / 3
"""A row that is right, and the F1 with a second one whose only box is missed."""
CROSSED = "[[0, 0, 10, 10], [0, 0, 10, 9]]", "[[0, 0, 10, 9.4], [0, 0, 10, 19]]"
"""The first true box overlaps both predictions by more than a half, the second only the first, and that best of all."""
TIED = "[[0, 0, 10, 5], [0, 5, 10, 10]]", "[[0, 5, 10, 15], [0, 0, 10, 10]]"
"""All overlaps are a half; the second prediction fits both true boxes, the first only the second of them."""


def record(task: str, place: int, answer: Any) -> dict[str, Any]:
    return {"TaskType": task, "ImageName": f"{place}.png", "Question": "?", "Answer": answer}


def score(scorer: Scorer, task: str, rows: Rows) -> float:
    truth = [record(task, place, target) for place, (target, _) in enumerate(rows)]
    predictions = [record(task, place, answer) for place, (_, answer) in enumerate(rows) if answer is not MISSING]
    return scorer(truth, predictions).get(task, math.nan)


FLARE25: Table = {
    "classification": [
        ("case and outer blanks do not matter", [("Luminal b", " luminal B\n")], 1.0),
        ("a full stop does", [("B", "B.")], 0.0),
        ("inner blanks do", [("Her2 enriched", "Her2  enriched")], 0.0),
        ("the mean recall of the true classes", [("A", "A"), ("A", "B"), ("A", "A"), ("A", "C"), ("B", "B")], 0.75),
        ("a JSON value counts as Python writes it", [("true", True), ("['a']", ["a"])], 1.0),
        ("an empty truth is a class, and null an empty text", [("", "A"), ("", None), ("A", "A")], 0.75),
        ("what was not predicted costs nothing", [("A", "A"), ("B", MISSING)], 1.0),
        ("nothing predicted, no score", [("A", MISSING)], math.nan),
    ],
    "multi-label classification": [
        ("semicolons and commas separate", [("A, b; C", "a;B,c")], 1.0),
        ("counts are added up over rows", [("a;b", "a"), ("c", "d")], 0.4),
        ("a row with a JSON list is skipped", [("a", "a"), ("b", ["b"]), (["c"], "x")], 1.0),
        ("nothing readable is 0", [(["a"], "a"), ("a", None)], 0.0),
        ("no labels on both sides are 0", [("", ";")], 0.0),
    ],
    "detection": [
        ("equal boxes", [(BOXES, BOXES)], 1.0),
        ("exactly a half is too little", [(BOXES, HALF)], 0.0),
        ("true boxes choose one after the other", [CROSSED], 0.5),
        ("a flat box is four false alarms", [HIT, (BOXES, BOX)], 2 / 7),
        ("a bad box is one false alarm", [(BOXES, f"[{BOX}, [1, 2, 3], None]")], 0.5),
        ("nothing readable is 0", [(BOXES, "no boxes"), (BOXES, "")], 0.0),
        ("what cannot be read costs nothing", [HIT, (BOXES, f"```{BOXES}```"), (BOXES, "null")], 1.0),
        *[
            (f"{answer!r} is readable, but not a list, and misses", [HIT, (BOXES, answer)], HIT_AND_MISS)
            for answer in ("{}", "None", "5", f'{{"bbox": {BOX}}}', f"({BOX},)", "(0, 0, 10, 10)", "'a'", None, 5, {})
        ],
        ("an empty list misses", [HIT, (BOXES, "[]")], HIT_AND_MISS),
        ("a null truth costs nothing", [HIT, (None, BOXES), (None, None)], 1.0),
        ("nothing to find and nothing found is 0", [("[]", "[]")], 0.0),
        ("tuples in a list and floats are boxes", [(BOXES, "[(0.0, 0, 1e1, 10)]")], 1.0),
        ("an inverted box matches nothing, an empty one neither", [("[[9, 9, 0, 0], [1, 1, 1, 1]]",) * 2], 0.0),
    ],
    "instance_detection": [
        ("equal boxes", [(ONE, ONE)], 1.0),
        ("exactly a half is enough", [(ONE, f'{{"1": {HALF}}}')], 1.0),
        ("pairs are taken from the best on", [(f'{{"": {CROSSED[0]}}}', f'{{"": {CROSSED[1]}}}')], 1.0),
        ("of equal pairs the first", [(f'{{"1": {TIED[0]}}}', f'{{"1": {TIED[1]}}}')], 1.0),
        ("identities must be equal, in case too", [(f'{{"X": {BOXES}}}', f'{{"x": {BOXES}}}')], 0.0),
        ("nothing readable is 0", [(ONE, f"{{'1': {BOXES}}}"), (ONE, "")], 0.0),
        ("what cannot be read costs nothing", [(ONE, ONE), (ONE, f"```{ONE}```"), (ONE, "None")], 1.0),
        *[
            (f"{answer!r} is readable, but not an object, and misses", [(ONE, ONE), (ONE, answer)], HIT_AND_MISS)
            for answer in ("null", "[]", "5", BOXES, '"a"', None, 5, [])
        ],
        ("a truth that is not an object costs nothing", [(ONE, ONE), (None, None), ("[]", ONE)], 1.0),
        ("of equal keys the last counts", [(ONE, f'{{"1": {BOXES}, "1": [[8, 8, 9, 9]]}}')], 0.0),
        ("an identity that is null costs its row", [(ONE, ONE), (ONE, '{"1": null}')], 1.0),
        ("a flat box is four false alarms", [(ONE, ONE), (ONE, f'{{"1": {BOX}}}')], 2 / 7),
    ],
    "regression": [
        ("the mean absolute error", [("10", "12"), ("5", 4)], 1.5),
        ("exponents, underscores and true are numbers", [("1e3", "1_000"), ("1", True)], 0.0),
        *[
            (f"{answer!r} makes it infinite", [("1", "1"), ("2", answer)], math.inf)
            for answer in ("12 cells", "1,000", "[2]", "", None, [2], 10**400)
        ],
        ("so does an empty truth", [("1", "1"), ("", "2")], math.inf),
        ("what was not predicted costs nothing", [("1", "2"), ("2", MISSING)], 1.0),
    ],
}

FLARE26: Table = {
    "classification": [
        ("case and blanks do not matter", [("Her2 enriched", " her2\n ENRICHED")], 1.0),
        ("a full stop does, and so do code fences", [("B", "B."), ("B", "```\nB\n```")], 0.0),
        ("a JSON number counts without its point", [("1", 1.0), ("true", True)], 1.0),
        ("what was not predicted is empty", [("A", "A"), ("B", MISSING)], 0.5),
        ("a row without a true answer is left out", [("A", "A"), ("", "A"), (None, "A")], 1.0),
    ],
    "multi-label classification": [
        ("the mean F1 of the rows", [("a;b", "a"), ("c", "d")], 1 / 3),
        ("commas separate where nothing else does", [("a, b; c", "a, b"), ("a, b", "b,a")], 0.5),
        *[
            (f"labels as JSON: {answer!r}", [("A; b", answer)], 1.0)
            for answer in (
                '["a", "B"]',
                '{"labels": "a|b"}',
                '{"a": true, "b": 1, "c": false}',
                ["a", "b", None],
                "a\nb",
            )
        ],
        ("code fences are not stripped", [("a", '```\n["a"]\n```')], 0.0),
        *[
            (f"nothing to find and {answer!r} found is 1", [("No finding", answer)], 1.0)
            for answer in ("", "none", "N/A", "[]", "{}", None, {"a": False}, MISSING)
        ],
    ],
    "detection": [
        ("exactly a half is enough", [(BOXES, HALF)], 1.0),
        ("pairs are taken from the best on", [CROSSED], 1.0),
        ("of equal pairs the last", [TIED], 0.5),
        *[
            (f"boxes as {answer!r}", [(BOXES, answer)], 1.0)
            for answer in (
                *(BOX, f"x {BOX}", f"```json\n{BOXES}\n```", f"[{BOXES}]", f'["{BOX}"]', [0, 0, 10.0, 10]),
                *('{"x1": 0, "y1": "0", "x2": 10, "y2": 10}', '{"x": 0, "y": 0, "width": 10, "height": 10}'),
                *(f'[{{"label": "a", "bbox": {BOX}}}]', {"boxes": [[0, 0, 10, 10]]}, f'{{"a": {BOXES}}}'),
            )
        ],
        ("one bad group empties the row", [HIT, (BOXES, f"{BOX}; [1, 2]"), (BOXES, BOXES)], 0.8),
        *[
            (f"unreadable, so nothing was found: {answer!r}", [HIT, (BOXES, answer)], HIT_AND_MISS)
            for answer in (
                f"[{BOX}, 5]",
                '["0", "0", "10", "10"]',
                '{"count": 5}',
                "5",
                5,
                True,
                "no boxes",
                "[0 0 9 9]",
            )
        ],
        ("nothing to find and nothing found is 1", [("[]", "none"), ("{}", None), ("null", MISSING)], 1.0),
        ("what was not predicted is missed", [HIT, (BOXES, MISSING)], HIT_AND_MISS),
        ("an inverted box matches nothing", [("[[9, 9, 0, 0]]", "[[9, 9, 0, 0]]")], 0.0),
    ],
    "instance_detection": [
        ("identities are compared in lower case", [(f'{{"X": {BOXES}}}', f'{{"x": {BOXES}}}')], 1.0),
        ("other identities do not match", [(ONE, f'{{"2": {BOXES}}}')], 0.0),
        ("what has no identity fits every one", [(ONE, BOXES), (ONE, f'{{"": {BOXES}}}')], 1.0),
        ("code fences are not stripped: the identity is lost", [(ONE, f'```\n{{"2": {BOXES}}}\n```')], 1.0),
        ("an identity may be null", [(ONE, f'{{"1": {BOXES}, "2": null}}')], 1.0),
    ],
    "counting": [
        ("exponents are not read", [("1", "1e3"), ("2E5", "2")], 0.0),
        ("a list of two is not a number, and so 0", [("87", "[87, 3]")], 87.0),
        *[
            (f"a number: {answer!r}", [("1234", answer)], 0.0)
            for answer in ("1,234", "[1234]", "1234 cells", "about +1234.0%", '{"count": ["1234"]}', {"value": 1234})
        ],
        *[
            (f"not a number, and so 0: {answer!r}", [("5", answer)], 5.0)
            for answer in ("many", "", None, True, [], {}, "[true]", MISSING)
        ],
    ],
}


def lines(scorer: Scorer, known: Table) -> Iterator[Any]:
    for task, table in known.items():
        for rule, rows, value in table:
            yield pytest.param(scorer, task, rows, value, id=f"{scorer.__module__[-7:]} {task}: {rule}")


@pytest.mark.parametrize(
    ("scorer", "task", "rows", "value"), [*lines(flare25.score, FLARE25), *lines(flare26.score, FLARE26)]
)
def test_an_oracle_gives_what_the_rules_give(scorer: Scorer, task: str, rows: Rows, value: float) -> None:
    assert score(scorer, task, rows) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("scorer", "task", "rows", "reason"),
    [
        (flare25.score, "regression", [("1", "nan")], "not finite"),
        (flare25.score, "counting", [("inf", "1")], "not finite"),
        (flare25.score, "instance_detection", [(f'{{"1": {BOXES}, "2": null}}', ONE)], "order of a set"),
        (flare26.score, "counting", [("many", "1")], "ValueError"),
        (flare26.score, "detection", [("no boxes", BOXES)], "ValueError"),
        (flare26.score, "detection", [(BOXES, '{"x1": null, "y1": 0, "x2": 1, "y2": 1}')], "TypeError"),
        (flare26.score, "detection", [(BOXES, [1, 2, 3, 10**400])], "OverflowError"),
        (flare26.score, "multi-label classification", [([], []), ("a", "b")], "stored"),
    ],
)
def test_what_an_evaluator_leaves_open_has_no_score(scorer: Scorer, task: str, rows: Rows, reason: str) -> None:
    with pytest.raises(Undefined, match=reason):
        score(scorer, task, rows)


def test_in_flare_2025_equal_questions_are_one_row_and_the_last_counts() -> None:
    truth = [record("detection", 1, "B"), record("classification", 2, "A"), record("Classification", 1, "A")]
    predictions = [record("", 1, "A"), record("", 2, "A"), record("", 1, "B"), record("", 3, "A")]
    assert flare25.score(truth, predictions) == {"classification": 0.5, "Classification": 0.5}


def test_in_flare_2026_equal_questions_are_answered_in_order_and_surplus_countsnullcontext() -> None:
    truth = [record("Classification", 1, "A"), record("classification", 1, "B"), record("classification", 1, "C")]
    predictions = [record("", 1, "A"), record("", 2, "X"), record("", 1, "B")]
    assert flare26.score(truth, predictions) == pytest.approx({"Classification": 2 / 3, "classification": 2 / 3})


def test_flare_2026_scores_detection_and_instances_together() -> None:
    truth = [record("Detection", 1, BOXES), record("instance_detection", 2, ONE)]
    pooled = flare26.score(truth, [record("", 1, BOXES), record("", 2, "{}")])
    assert pooled == pytest.approx({"Detection": 2 / 3, "instance_detection": 2 / 3})
    assert flare25.score(truth, [record("", 1, BOXES), record("", 2, "{}")]) == {
        "Detection": 1.0,
        "instance_detection": 0.0,
    }


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")  # of classes that are only predicted
def test_the_oracle_of_flare_2025_agrees_with_the_library_that_its_evaluator_uses() -> None:
    rng = random.Random(1)
    for _ in range(200):
        rows: Rows = [(rng.choice("abc"), rng.choice("abcd")) for _ in range(rng.randint(1, 6))]
        known = balanced_accuracy_score(*zip(*rows, strict=True))
        assert score(flare25.score, "classification", rows) == pytest.approx(known)
        numbers: Rows = [(rng.uniform(-9, 9), rng.choice((rng.uniform(-9, 9), 1e300, 2))) for _ in rows]
        known = mean_absolute_error(*zip(*numbers, strict=True))
        assert score(flare25.score, "regression", numbers) == pytest.approx(known)
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="contains"):
            mean_absolute_error([1.0, 2.0], [1.0, wrong])


def test_the_oracles_import_nothing_of_this_package() -> None:
    code = (
        "import sys; from benchmarks.evaluators import flare25, flare26; "
        "print(sorted(name for name in sys.modules if name.startswith(('mevlip', 'numpy', 'sklearn'))))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout == "[]\n"


def test_files_are_drawn_again_from_equal_seeds_and_hold_what_breaks_evaluators() -> None:
    cases = [draw(3, number) for number in range(2000)]
    assert repr(cases[:50]) == repr([draw(3, number) for number in range(50)])
    assert {case.task for case in cases} == {*SPELLINGS, MIXED}
    answers = [record["Answer"] for case in cases for record in case.predictions]
    texts = "\n".join(answer for answer in answers if isinstance(answer, str))
    assert {type(answer) for answer in answers} == {str, int, float, bool, type(None), list, dict}
    assert all(part in texts for part in ("```", "1e3", "1,234", "[87, 3]", '{"count": 5}', '"x1"', '"width"', '"": '))
    keys = [[(str(record["ImageName"]), record["Question"]) for _, record in case.truth] for case in cases]
    assert sum(len(set(one)) < len(one) for one in keys) > 100, "repeated truths"
    sizes = [(len(case.truth), len(case.predictions)) for case in cases]
    assert sum(more > less for less, more in sizes) > 50 and sum(more < less for less, more in sizes) > 50


def test_a_difference_is_shrunk_to_what_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(truth: Any, predictions: Any) -> dict[str, float]:
        return {"classification": 7.0} if "x" in str(truth) else flare25.score(truth, predictions)

    monkeypatch.setitem(fuzz.ORACLES, "flare25", wrong)
    truth = tuple(("one", record("classification", place, answer)) for place, answer in enumerate(("aaxa", "b")))
    found = fuzz.difference("flare25", Case("classification", truth, (record("classification", 1, "b"),)))
    assert found
    small = fuzz.shrink(found)
    assert [one["Answer"] for _, one in small.case.truth] == ["x"]
    assert small.case.predictions == ()
    assert str(small).startswith(
        "flare25: {'classification': 7.0} by the oracle, {'classification': nan} by this package"
    )


def test_the_status_is_1_with_a_difference_and_the_smallest_file_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(fuzz.main, ["--comparisons", "60", "--seed", "1"])
    assert done.exit_code == 0, done.output
    assert "60 comparisons" in done.output and ", 0 different" in done.output
    monkeypatch.setitem(
        fuzz.ORACLES, "flare25", lambda truth, _: dict.fromkeys((one["TaskType"] for one in truth), 7.0)
    )
    done = CliRunner().invoke(fuzz.main, ["--comparisons", "60", "--seed", "1"])
    assert done.exit_code == 1
    assert "7.0} by the oracle" in done.output and "predictions\n    none" in done.output


def test_the_two_departures_are_compared_with_what_evaluators_give_without_them() -> None:
    truth = [("one", record("counting", 1, "4")), ("two", record("counting", 2, " "))]
    predictions = (record("", 1, "5"), record("", 2, "6"))
    assert flare25.score([one for _, one in truth], predictions) == {"counting": math.inf}
    assert fuzz.difference("flare25", Case("counting", tuple(truth), predictions)) is None
    hidden = (("one", record("counting", 2, "5")), *truth)
    assert fuzz.difference("flare25", Case("counting", hidden, predictions)) is None
    pooled = (("one", record("Detection", 1, BOXES)), ("one", record("instance_detection", 2, ONE)))
    assert fuzz.difference("flare26", Case(MIXED, pooled, (record("", 1, BOXES),))) is None


def test_this_package_scores_small_files_as_the_public_evaluators_do() -> None:
    tally = fuzz.compare(3000, 2026)
    assert sum(tally.equal.values()) > 2500
    assert not tally.different, "\n".join([fuzz.render(tally, 0), *map(str, fuzz.smallest(tally))])
