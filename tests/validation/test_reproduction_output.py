from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mevlip.tasks import TASKS, TaskType
from mevlip_validation.reproduction_output import Reproduction, render, table3_rows, write_reproduction, write_tex
from tests.validation.reproductions import NOTICE, make_rows, make_run
from tests.validation.test_latex import check_structure

CLS, COUNT, REPORT = TaskType.CLASSIFICATION, TaskType.COUNTING, TaskType.REPORT
INTERNVL, QWEN = "InternVL3-8B", "Qwen2.5-VL-7B"
ROWS = [*make_rows(CLS, 3, 1), *make_rows(COUNT, 1, 1, "7", "9"), *make_rows(REPORT, 1, 1, "clear lungs", "a mass")]


@pytest.fixture
def demo() -> Reproduction:
    return Reproduction({INTERNVL: make_run(INTERNVL, {"public": {"": ROWS}})})


def test_printed_and_measured_stand_in_the_same_columns(demo: Reproduction) -> None:
    header, rows = table3_rows(demo)
    assert header[3:] == (QWEN, "MedGemma-4B", INTERNVL, "InternVL3-8B with classifier")
    first, second = rows[:2]
    assert first == (
        "Classification", "balanced accuracy", "printed", "0.36 | 0.51", "0.56 | 0.68", "0.52 | 0.71", "0.53 | 0.74",
    )  # fmt: skip
    assert second[2:] == ("measured (demo)", *["not run | not run"] * 2, *["0.750 | not run"] * 2)
    assert [row[0] for row in rows if row[0]] == [task.title for task in TASKS.values()]


def test_another_measure_has_a_row_of_its_own_and_is_explained(demo: Reproduction) -> None:
    _, rows = table3_rows(demo)
    start = next(place for place, row in enumerate(rows) if row[0] == "Report generation")
    assert rows[start][1] == "GREEN" and rows[start + 1][5] == "not judged | not run"
    assert rows[start + 2][1] == "ROUGE-L (not in the paper)" and rows[start + 2][5] == "0.500 | -"
    text = render(demo)
    assert "Report generation: GREEN needs a model and was not computed; ROUGE-L (macro/rouge-l" in text
    assert "Regression: no answered questions" not in text, "the paper prints no public score of it"
    assert "Detection: no answered questions in the public folder; add its data set there" in text


def test_a_demo_is_named_wherever_its_scores_stand(demo: Reproduction, tmp_path: Path) -> None:
    write_tex(demo, tmp_path / "t.tex")
    write_reproduction(demo, tmp_path / "r.json")
    for text in (render(demo), (tmp_path / "r.json").read_text("utf-8")):
        assert f"InternVL3-8B: checkpoint toy_1 (demo), base a/b. {NOTICE}" in text
        assert "measured (demo)" in text
    tex = (tmp_path / "t.tex").read_text("utf-8")
    assert r"checkpoint toy\_1 (demo)" in tex and r"mean nothing \& cost 100 \%" in tex
    measured = [line for line in tex.splitlines() if "0.750" in line]
    assert measured and all("& demo &" in line for line in measured)


def test_checkpoints_of_two_kinds_have_rows_of_their_own() -> None:
    runs = {
        QWEN: make_run(QWEN, {"public": {"": make_rows(CLS, 1, 1)}}, "medical", ""),
        INTERNVL: make_run(INTERNVL, {"public": {"": make_rows(CLS, 3, 1)}}),
    }
    what = Reproduction(runs)
    _, (_, first, second, *_) = table3_rows(what)
    assert first[2:] == ("measured (medical)", "0.500 | not run", "not run | not run", "- | -", "- | -")
    assert second[2:] == ("measured (demo)", "- | -", "not run | not run", "0.750 | not run", "0.750 | not run")


def test_a_part_is_marked(demo: Reproduction, tmp_path: Path) -> None:
    part = Reproduction(demo.runs, limit=3)
    assert "measured (demo, partial)" in render(part) and "PARTIAL: at most 3 questions" in render(part)
    write_tex(part, tmp_path / "t.tex")
    assert "demo, partial" in (tmp_path / "t.tex").read_text("utf-8")


def test_the_latex_table_is_whole_and_names_signatures(demo: Reproduction, tmp_path: Path) -> None:
    write_tex(demo, tmp_path / "t.tex")
    text = (tmp_path / "t.tex").read_text("utf-8")
    check_structure(text)
    assert "public printed & public measured & hidden printed & hidden measured" in text
    assert r"& InternVL3-8B & demo & 0.52 & \shortstack{0.750" in text
    assert "flare25/balanced-accuracy@exact,nocase,pooled" in text and "macro/rouge-l" in text
    assert r"ROUGE-L (not in the paper) & InternVL3-8B & demo & -- & \shortstack{0.500" in text
    alone = Reproduction({INTERNVL: make_run(INTERNVL, {})})
    write_tex(alone, tmp_path / "none.tex")
    check_structure((tmp_path / "none.tex").read_text("utf-8"))


def test_the_json_has_everything_with_provenance(demo: Reproduction, tmp_path: Path) -> None:
    write_reproduction(demo, tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert (content["resamples"], content["seed"], content["limit"]) == (1000, 2025, None)
    own = content["checkpoints"][INTERNVL]
    assert (own["kind"], own["notice"], own["identity"]) == ("demo", NOTICE, {"checkpoint": "sha256:0"})
    public = own["sets"]["public"]
    assert public["truth"]["name"] == "public-folder" and public["truth"]["digest"].startswith("sha256:")
    assert list(public["systems"]) == ["base", "generalist", "TS by router"]
    assert "generalist over base" in public["comparisons"]

    def find(task: str, set_name: str) -> dict[str, Any]:
        return next(
            one for one in content["table3"] if (one["task"], one["system"], one["set"]) == (task, INTERNVL, set_name)
        )

    cell = find("classification", "public")
    assert cell["printed"] == {"measure": "balanced accuracy", "value": "0.52"} and cell["status"] == "measured"
    assert cell["measured"]["signature"].startswith("flare25/") and cell["measured"]["value"] == 0.75
    report = find("report_generation", "public")
    assert report["measured"] is None and report["not_comparable"]["measure"] == "ROUGE-L"
    assert find("classification", "hidden")["label"] is None
    bars = next(one for one in content["figure5"] if one["task"] == "classification")
    assert bars["printed"]["fine_tuned"] == "0.613" and bars["mean_of"] == ["public"]
