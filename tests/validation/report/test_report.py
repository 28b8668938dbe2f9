"""The HTML report, opened in a real browser."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TaskType
from mevlip_validation.analysis import evaluate_questions
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.matching import Matched, match, read_truth
from mevlip_validation.report import write_report
from mevlip_validation.report.gallery import gallery
from mevlip_validation.score import score
from tests.conftest import record, run_mevlip
from tests.validation.report.browser import needs_browser, open_page

pytestmark = pytest.mark.slow

BOX, PREDICTED = (40, 60, 120, 160), (300, 20, 380, 100)
EVIL = "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>"


def write_truth(root: Path) -> list[dict[str, Any]]:
    """A picture of 400 x 200 pixels, black but for a white box, and questions about it."""
    folder = root / "Ultrasound/planted"
    folder.mkdir(parents=True)
    values = np.zeros((200, 400, 3), np.uint8)
    values[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    Image.fromarray(values).save(folder / "a.png")
    records = [
        record("Where is it, as a bounding box?", "a.png", TaskType="Detection", Answer=json.dumps([BOX])),
        record(f"Which? A: {EVIL}, B: That", "a.png", Answer="B"),
        record("Which? A: This, B: That", "gone.png", Answer="A"),
        record("How many?", "a.png", TaskType="counting", Answer="4"),
        *(record(f"Which of {n}? A: This, B: That", "a.png", Answer="AB"[n % 2]) for n in range(40)),
    ]
    (folder / "planted_questions_val.json").write_text(json.dumps(records))
    return records


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    records = write_truth(root / "truth")
    answers = [json.dumps([PREDICTED]), "A", "A", "4", *"A" * 40]
    predictions = [{**one, "Answer": answer} for one, answer in zip(records, answers, strict=True)]
    matched = match(read_truth(root / "truth"), predictions)
    scores = score(matched.rows, {CONSTANT: constant_rows(matched.rows, matched.rows)}, 50)
    path = root / "report.html"
    results = evaluate_questions(matched.rows)
    assert write_report(path, "planted", root / "truth", matched, results, scores, {}) == path.stat().st_size
    return path


@pytest.fixture(scope="module")
def page(report: Path) -> Iterator[Any]:
    with open_page(report) as opened:
        yield opened


def choose(page: Any, **wanted: str) -> list[str]:
    """Sets the filters and returns the questions shown."""
    for name in ("task", "dataset", "correctness"):
        page.select_option(f"select[name={name}]", wanted.get(name, ""))
    page.fill("input[name=text]", wanted.get("text", ""))
    return page.locator(
        ".card > p:not(.place)"
    ).all_text_contents()  # unlike the inner text, also of what is not rendered yet


@needs_browser
def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(page: Any, report: Path) -> None:
    while page.is_visible("#more"):
        page.click("#more")
    assert page.locator(".card").count() == 44
    assert page.complaints == [report.as_uri()]
    assert page.title() == "Scores of planted", "a question's text is text, whatever it spells"


@needs_browser
def test_filters_work_without_a_server(page: Any) -> None:
    assert choose(page, task="Counting") == ["How many?"]
    assert page.inner_text("#count") == "1 of 44 questions"
    assert choose(page, task="Detection", correctness="right") == []
    assert len(choose(page, correctness="wrong")) == 22
    assert choose(page, text="GONE?") == [] and choose(page, text="how MANY") == ["How many?"]
    assert choose(page, dataset="planted", text="onerror") == [f"Which? A: {EVIL}, B: That"]
    assert len(choose(page)) == 24, "a page at a time"


@needs_browser
def test_boxes_are_drawn_at_the_pixels_of_the_image(page: Any) -> None:
    choose(page, task="Detection")
    svg = page.locator(".card svg")
    frame = svg.bounding_box()
    scale = min(frame["width"] / 400, frame["height"] / 200)
    left = frame["x"] + (frame["width"] - 400 * scale) / 2
    for kind, box in (("target", BOX), ("prediction", PREDICTED)):
        drawn = page.locator(f"rect.{kind}").bounding_box()
        corners = (drawn["x"], drawn["y"], drawn["x"] + drawn["width"], drawn["y"] + drawn["height"])
        expected = (
            left + box[0] * scale,
            frame["y"] + box[1] * scale,
            left + box[2] * scale,
            frame["y"] + box[3] * scale,
        )
        assert corners == pytest.approx(expected, abs=2.5), kind


@needs_browser
def test_the_true_box_frames_the_white_pixels(page: Any) -> None:
    choose(page, task="Detection")
    shot = Image.open(io.BytesIO(page.locator(".card svg").screenshot())).convert("RGB")
    values = np.asarray(shot, dtype=int)[3:-3, 3:-3]  # without the page's white at a fraction of a pixel
    green = (values[..., 1] > 180) & (values[..., 0] < 120) & (values[..., 2] < 160)
    white = values.min(axis=2) > 200
    for axis in (0, 1):
        line, inside = (np.flatnonzero(found.any(axis=axis)) for found in (green, white))
        assert abs(line[0] - inside[0]) <= 4 and abs(line[-1] - inside[-1]) <= 4


def test_the_page_has_every_part(report: Path) -> None:
    text = report.read_text("utf-8")
    for part in ("Signatures", "Published for 2026", "Confusion matrices", "Router", "Empty answers", ".9733"):
        assert part in text
    assert text.count("<svg") >= 3, "charts"
    assert set(re.findall(r"https?://([\w.]+)", text)) <= {"www.w3.org", "purl.org", "creativecommons.org"}, "XML names"
    assert EVIL not in text


def test_pictures_stop_at_the_bound_and_those_of_wrong_answers_come_first(tmp_path: Path) -> None:
    records = write_truth(tmp_path / "truth")
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"truth/Ultrasound/planted/{index}.png")
        records.append(record(f"Noise {index}? A: This, B: That", f"{index}.png", Answer="A"))
    path = tmp_path / "truth/Ultrasound/planted/planted_questions_val.json"
    path.write_text(json.dumps(records))
    answers = [*(one["Answer"] for one in records[:-1]), "B"]
    matched = match(read_truth(path), [{**r, "Answer": a} for r, a in zip(records, answers, strict=True)])
    pictures, content = gallery(evaluate_questions(matched.rows), path.parent, most_bytes=20_000)
    assert (pictures.images, pictures.shown) == (4, 1)
    shown = [one["question"] for one in content["questions"] if one["pictures"]]
    assert shown == ["Noise 2? A: This, B: That"]


@pytest.mark.slow
def test_without_rows_of_a_kind_the_report_is_still_written(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/x_questions_val.json").write_text(
        json.dumps([record("Describe.", "a.png", TaskType="report", Answer="Well.")])
    )
    truths = read_truth(tmp_path / "t")
    matched = match(truths, [])
    assert matched.rows[0].task is TaskType.REPORT
    results, scores = evaluate_questions(matched.rows), score(matched.rows)
    write_report(tmp_path / "r.html", "t", tmp_path / "t", matched, results, scores, {"GREEN": "v1"})
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "questions without a prediction" in text and "GREEN was computed by v1" in text
    assert Matched(()).is_complete


@pytest.mark.slow
def test_the_command_writes_it_and_tells_its_size(tmp_path: Path) -> None:
    records = write_truth(tmp_path / "truth")
    (tmp_path / "p.json").write_text(json.dumps(records))
    done = run_mevlip(
        "score",
        tmp_path / "p.json",
        "--truth",
        tmp_path / "truth",
        "--report",
        tmp_path / "r/report.html",
        "--resamples",
        20,
    )
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path}/r/report.html (" in done.stdout and "MB)" in done.stdout


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_what_is_not_installed_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "mevlip_validation.report.charts", raising=False)
    with pytest.raises(EnvironmentProblem, match=rf"needs {package}.*me-vlip\[report\]"):
        write_report(tmp_path / "r.html", "t", tmp_path, Matched(()), [], [], {})


def test_characters_that_cannot_be_seen_are_escaped(tmp_path: Path) -> None:
    hidden = "\x1b[2J\u202e\ud800"
    folder = tmp_path / "truth/Xray/set\x1b"
    folder.mkdir(parents=True)
    asked = record(f"Which?{hidden} A: This, B: That", f"{hidden}.png", Answer="A", Modality=hidden)
    (folder / "x_questions_val.json").write_text(json.dumps([asked] * 2))
    matched = match(read_truth(tmp_path / "truth"), [{**asked, "Answer": hidden}] * 2)
    scores = score(matched.rows, {CONSTANT: constant_rows(matched.rows, matched.rows)}, 5)
    write_report(tmp_path / "r.html", hidden, tmp_path / "truth", matched, evaluate_questions(matched.rows), scores, {})
    page = (tmp_path / "r.html").read_text("utf-8")
    assert not [char for char in page if not char.isprintable() and char not in "\n\t"]
    for place in ("<title>Scores of", "<td>", "content"):
        assert place in page
    assert "\\x1b[2J\\u202e\\ud800" in page
