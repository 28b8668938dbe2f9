"""The report of a system beside another one, opened in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip_validation.analysis import evaluate_questions
from mevlip_validation.matching import match, read_truth
from mevlip_validation.report import write_report
from mevlip_validation.score import score
from tests.conftest import record
from tests.validation.report.browser import needs_browser, open_page

pytestmark = pytest.mark.slow

BOX, HERE, THERE = [40, 60, 120, 160], [300, 20, 380, 100], [44, 60, 120, 160]
OTHER = "the <b>other</b>"


def ask(question: str, truth: Any, here: Any, there: Any, task: str = "classification") -> tuple[Any, ...]:
    return record(question, "a.png", TaskType=task, Answer=truth), here, there


PLATE = json.dumps({"1": [BOX], "X": [[200, 60, 280, 160]]})
QUESTIONS = [
    ask("Both right? A: This, B: That", "A", "A", "A"),
    ask("Right here? A: This, B: That", "A", "A", "B"),
    ask("Right there? A: This, B: That", "A", "B", "A"),
    ask("Missing here? A: This, B: That", "A", None, "A"),
    ask("Full stop? A: This, B: That", "A", "A.", "A"),
    ask("Where is it, as a bounding box?", json.dumps([BOX]), json.dumps([HERE]), json.dumps([THERE]), "Detection"),
    ask("Many cells?", "10", "10 cells", "10", "counting"),
    ask("How many?", "10", "8", "90", "counting"),
    ask("How many more?", "1000", "0", "990", "counting"),
    ask("Chromosomes as JSON?", PLATE, json.dumps({"2": [BOX], "Y": [[0, 0, 30, 30]]}), PLATE, "Instance detection"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    folder = root / "truth/Ultrasound/planted"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((200, 400, 3), np.uint8)).save(folder / "a.png")
    records = [question for question, *_ in QUESTIONS]
    (folder / "x_questions_val.json").write_text(json.dumps(records))
    here, there = (
        match(truths, [{**q[0], "Answer": q[side]} for q in QUESTIONS if q[side] is not None])
        for truths, side in ((read_truth(root / "truth"), 1), (read_truth(root / "truth"), 2))
    )
    others = {OTHER: evaluate_questions(there.rows)}
    scores = score(here.rows, {OTHER: there.rows}, 20)
    results = evaluate_questions(here.rows)
    write_report(root / "r.html", "here", root / "truth", here, results, scores, {}, others, 20)
    return root / "r.html"


@pytest.fixture(scope="module")
def page(report: Path) -> Iterator[Any]:
    with open_page(report) as opened:
        yield opened


def choose(page: Any, **wanted: str) -> list[str]:
    """Sets the filters and returns the questions shown, without their options."""
    for name in ("task", "correctness", "why", "flip", "order"):
        page.select_option(f"select[name={name}]", wanted.get(name, "worst" if name == "order" else ""))
    shown = page.locator(".card > p:not(.place):not(.why)").all_text_contents()
    return [text.split("?")[0] for text in shown]


@needs_browser
def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(page: Any, report: Path) -> None:
    choose(page)
    assert page.locator(".card").count() == len(QUESTIONS)
    assert page.complaints == [report.as_uri()]


@needs_browser
def test_the_worst_come_first_unless_another_order_is_chosen(page: Any) -> None:
    assert choose(page)[:3] == ["How many more", "Right there", "Missing here"], "no points; the greatest error first"
    assert choose(page)[-1] == "Many cells" and choose(page, order="best")[0] == "Both right"
    assert choose(page, order="error")[:3] == ["How many more", "How many", "Many cells"]
    assert choose(page, order="file")[:2] == ["Both right", "Right here"]


@needs_browser
def test_flipped_questions_are_found(page: Any) -> None:
    assert choose(page, flip="here", order="file") == ["Right here"], "missing there counts as wrong, partly right not"
    assert choose(page, flip="there", task="Classification") == ["Right there", "Missing here"]
    assert choose(page, flip="more", order="file") == ["Right here", "How many"]
    assert "How many more" in choose(page, flip="fewer")


@needs_browser
def test_a_card_shows_both_answers_and_the_boxes_of_both_apart(page: Any) -> None:
    choose(page, task="Detection")
    card = page.locator(".card")
    assert card.locator(".badge").all_text_contents() == ["✗ here: wrong", "✓ there: right"]
    text = card.locator("dl").text_content()
    assert json.dumps([HERE]) in text and json.dumps([THERE]) in text and OTHER in text
    look = "rect => [getComputedStyle(rect).stroke, getComputedStyle(rect).strokeDasharray]"
    kinds = ("target", "prediction", "other")
    colors, dashes = zip(*(card.locator(f"rect.{kind}").evaluate(look) for kind in kinds), strict=True)
    assert len(set(colors)) == len(set(dashes)) == 3, "neither the color nor the dashes alone"
    label = card.locator("svg").get_attribute("aria-label")
    assert label.endswith(", 1 target box, 1 prediction box, 1 other box")
    for kind, box in (("prediction", HERE), ("other", THERE)):
        assert [float(card.locator(f"rect.{kind}").get_attribute(name)) for name in ("x", "y")] == box[:2]


@needs_browser
def test_a_question_that_protocols_score_differently_says_why(page: Any) -> None:
    found = choose(page, why="any", order="file")
    assert found == ["Missing here", "Full stop", "Many cells"]
    assert page.locator(".why").all_text_contents()[1:] == [
        "flare25 and flare26 compare exact text, macro reads the option that is meant.",
        "flare26 reads the first number, flare25 only a bare one: its error becomes infinite.",
    ]
    assert choose(page, why="1") == ["Full stop"]
    text = page.locator("#analysis").inner_text()
    assert "choice text" in text and "no prediction" in text and "left out" in text


@needs_browser
def test_flips_are_counted_by_task(page: Any) -> None:
    table = page.locator("#analysis table", has_text="right there only")
    rows = [row.locator("th, td").all_text_contents() for row in table.locator("tbody tr").all()]
    assert rows[0] == ["Classification", "2", "1", "2", "0"]


@needs_browser
def test_chromosomes_that_are_taken_for_others_stand_in_a_matrix(page: Any) -> None:
    table = page.locator("table.confusion", has_text="true identity")
    heads = table.locator("thead th").all_text_contents()
    lines = table.locator("tbody tr").all()
    rows = {line.locator("th").text_content(): line.locator("td").all_text_contents() for line in lines}
    assert heads[1:] == [*map(str, range(1, 23)), "X", "Y", "other", "missed"]
    assert rows["1"][heads.index("2") - 1] == "1" and rows["X"][-1] == "1"
    assert rows["spurious"][heads.index("Y") - 1] == "1"
    assert sum(cell != "" for row in rows.values() for cell in row) == 3
    assert "2 true boxes: 1 found, 0 of them with their identity, 1 missed; 1 predicted boxes lie on none." in (
        page.locator("#analysis").inner_text()
    )


def test_every_table_has_a_caption_and_every_head_a_scope(report: Path) -> None:
    text = report.read_text("utf-8")
    assert text.count("<table") == text.count("<caption>")
    assert "<th>" not in text
    assert text.count('<figure role="img" aria-label="Chart: ') == text.count("<figure")
    assert OTHER not in text


def test_data_sets_have_intervals(report: Path) -> None:
    assert "score, 95 % interval" in report.read_text("utf-8")
