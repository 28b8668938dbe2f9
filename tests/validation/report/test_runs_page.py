"""The page of runs, opened in a real browser, and the command that writes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mevlip_validation.cli.runs import runs as command
from mevlip_validation.leaderboard import boards
from mevlip_validation.report.runs import write_runs
from mevlip_validation.score_files import read_runs
from tests.conftest import HANG
from tests.validation.report.browser import needs_browser, open_page
from tests.validation.score_files import counting, make_score, write_scores

pytestmark = pytest.mark.slow

EVIL = "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>"
OTHER = "sha256:" + "1" * 64


def write_folder(root: Path) -> Path:
    """20 runs: 17 alike, one without counts, one of an older protocol, one of another truth; one has an evil name."""
    for n in range(17):
        accuracy = make_score(round(0.5 + n / 50, 3), low=0.4, high=0.9)
        beside = make_score(0.1, measure="second", signature="macro/second|1")
        literal = make_score(round(0.9 - n / 50, 3), "flare25")
        error = counting("inf" if n == 3 else 40.0 - n, low=1.0, high=50.0)
        written = f"2025-02-{n + 1:02}T00:00:00+00:00"
        write_scores(root / f"run{n:02}/s.json", accuracy, beside, literal, error, written=written)
    write_scores(root / "evil/s.json", make_score(0.1), predictions=EVIL, missing=["a[0]"] * 3)
    write_scores(root / "older/s.json", make_score(0.99, signature="macro/balanced-accuracy|0"))
    write_scores(root / "elsewhere/s.json", make_score(1.0), digest=OTHER)
    (root / f"not-{EVIL.replace('/', '')}.json").write_text("[]")
    return root


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    found, others = read_runs(write_folder(root / "scores"))
    written = root / "runs.html"
    assert write_runs(written, "scores", boards(found), others) == written.stat().st_size
    return written


@pytest.fixture(scope="module")
def page(path: Path) -> Iterator[Any]:
    with open_page(path) as opened:
        yield opened


def shown(page: Any, board: int = 0) -> list[str]:
    """Names of the runs in a table that are not hidden, in order."""
    rows = page.locator("table.board").nth(board).locator("tbody tr:not([hidden]) th")
    return [row.evaluate("head => head.dataset.value") for row in rows.all()]


def heads(page: Any) -> list[str]:
    return [
        re.sub(r"\s+", " ", head.inner_text()).strip()
        for head in page.locator("table.board").first.locator("thead th:not([hidden])").all()
    ]


def head(page: Any, text: str) -> Any:
    return page.locator("table.board").first.locator("thead th:not([hidden])", has_text=text).first


@needs_browser
def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(page: Any, path: Path) -> None:
    assert page.complaints == [path.as_uri()]
    assert page.title() == "Runs in scores"
    assert EVIL in page.locator("table.board").first.inner_text(), "a name is text, whatever it spells"
    assert page.inner_text("#count") == "20 of 20 runs"


@needs_browser
def test_the_best_come_first_and_each_truth_and_definition_has_its_table(page: Any) -> None:
    assert shown(page)[:2] == ["run16", "run15"] and shown(page)[-2:] == ["run00", "evil"]
    assert shown(page, 1) == ["older"] and shown(page, 2) == ["elsewhere"]
    text = page.inner_text("main")
    assert "macro/balanced-accuracy|0 here, macro/balanced-accuracy|1 there" in text
    assert "stand in no column with the others" in text and "split, scored by other definitions" in text


@needs_browser
def test_the_best_of_a_column_is_marked_in_words_and_intervals_stand_beside(page: Any) -> None:
    best = page.locator("table.board").first.locator("td.best:not([hidden])")
    assert [cell.inner_text().split("\n")[0].strip() for cell in best.all()] == [
        "★ best 0.820 [0.400, 0.900]",
        "★ best 24.0 [1.000, 50.0]",
    ]
    assert page.locator("table.board").first.locator("tfoot td:not([hidden])").nth(1).inner_text() == "0.250"


@needs_browser
def test_columns_are_sorted_from_the_keyboard(page: Any) -> None:
    counting_head = head(page, "Counting")
    counting_head.locator("button").focus()
    page.keyboard.press("Enter")
    assert counting_head.get_attribute("aria-sort") == "ascending"
    assert shown(page)[0] == "run16" and shown(page)[-2:] == ["run03", "evil"], "infinite is bad, absent is last"
    page.keyboard.press("Space")
    assert counting_head.get_attribute("aria-sort") == "descending"
    assert shown(page)[:2] == ["run03", "run00"] and shown(page)[-1] == "evil"
    head(page, "Classification").locator("button").click()
    assert counting_head.get_attribute("aria-sort") == "none" and shown(page)[0] == "run16"
    head(page, "run").locator("button").click()
    assert shown(page)[:2] == ["evil", "run00"]
    head(page, "written").locator("button").click()
    assert shown(page)[0] == "run16"
    head(page, "rank").locator("button").click()
    assert shown(page)[0] == "run16" and shown(page)[-1] == "evil"


@needs_browser
def test_columns_and_rows_are_chosen(page: Any) -> None:
    assert len(heads(page)) == 5, "run, rank, two tasks under macro, written"
    page.check("input[name=measures]")
    assert len(heads(page)) == 6
    page.select_option("select[name=protocol]", "flare25")
    assert len(heads(page)) == 4 and "flare25" in heads(page)[2]
    page.select_option("select[name=protocol]", "")
    assert len(heads(page)) == 7
    page.fill("input[name=text]", "RUN1")
    assert len(shown(page)) == 7 and page.inner_text("#count") == "7 of 20 runs"
    page.fill("input[name=text]", "")
    page.uncheck("input[name=measures]")
    page.select_option("select[name=protocol]", "macro")


@needs_browser
def test_a_partial_run_says_so_and_published_scores_stand_apart(page: Any) -> None:
    assert page.locator(".partial").all_inner_texts() == ["partial: 3 missing"]
    section = page.locator("#published")
    assert "other sets, not reproduced here" in section.inner_text() and "Hexapus" in section.inner_text()
    assert page.locator("table.board", has_text="Hexapus").count() == 0


def test_tables_say_what_they_are_and_cells_which_row_and_column_they_belong_to(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("<table") == text.count("<caption>") > 4
    assert "<th>" not in text and text.count('scope="row"') > 20
    assert EVIL not in text and "onerror=alert" in text


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(command, list(map(str, arguments)))


def test_the_command_prints_the_runs_and_writes_page_and_json(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "scores")
    done = run(root, "--html", tmp_path / "r/runs.html", "--json", tmp_path / "runs.json")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[3:5]] == ["run16", "run15"]
    assert done.stdout.count("best first by the mean rank under macro") == 3
    assert f"page: {tmp_path}/r/runs.html (" in done.stdout
    assert "passed over: not-" in done.stderr and "is not a file of scores" in done.stderr
    assert len(json.loads((tmp_path / "runs.json").read_text())["boards"]) == 3


def test_an_unknown_protocol_and_an_empty_folder_are_the_users_mistakes(tmp_path: Path) -> None:
    write_scores(tmp_path / "a/s.json", make_score(0.5))
    done = run(tmp_path, "--protocol", "flare27")
    assert done.exit_code == 2 and "No run has scores under 'flare27'; there are macro." in done.output
    (tmp_path / "b").mkdir()
    code = "import sys; from mevlip_validation.cli.runs import runs; runs(sys.argv[1:])"
    ended = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, timeout=HANG)
    assert ended.returncode == 0 and "0.500 *" in ended.stdout, ended.stderr
    assert run(tmp_path / "b").exception.cause == f"{tmp_path}/b has no file of scores"


def test_characters_that_cannot_be_seen_are_escaped(tmp_path: Path) -> None:
    hidden = "\x1b[2J\u202e"
    write_scores(tmp_path / "a.json", make_score(0.5, task=hidden, measure=hidden, protocol=hidden), predictions=hidden)
    found, others = read_runs(tmp_path)
    write_runs(tmp_path / "r.html", hidden, boards(found, hidden), others)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert not [char for char in text if not char.isprintable() and char not in "\n\t"]
    assert "\\x1b[2J\\u202e" in text
