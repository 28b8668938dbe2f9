from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.reproduction_figure import write_figure
from mevlip_validation.reproduction_output import Reproduction
from tests.validation.reproductions import NOTICE, make_rows, make_run

INTERNVL = "InternVL3-8B"


def texts_of(path: Path) -> list[str]:
    return ["".join(one.itertext()).strip() for one in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_the_figure_names_scores_tasks_and_checkpoint(tmp_path: Path) -> None:
    rows = [*make_rows(TaskType.CLASSIFICATION, 3, 1), *make_rows(TaskType.REPORT, 1, 1, "clear lungs", "a mass")]
    svg, png = write_figure(Reproduction({INTERNVL: make_run(INTERNVL, {"public": {"": rows}})}, 4), tmp_path / "new")
    texts = texts_of(svg)
    assert {task.title for task in TASKS.values()} <= set(texts)
    assert any(NOTICE in text for text in texts) and any("PARTIAL" in text for text in texts)
    assert {
        "0.613",
        "0.510",
        "301.4",
        "0.75",
        "not judged",
        "no questions",
        "ROUGE-L, more is better; not in the paper",
    } <= set(texts)
    assert "(demo, partial)" in texts
    with Image.open(png) as image:
        image.load()
        assert image.format == "PNG" and image.width > 1000


def test_infinite_errors_and_nothing_at_all_are_drawn_and_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    runs = {INTERNVL: make_run(INTERNVL, {"public": {"": make_rows(TaskType.COUNTING, 1, 1, "7", "many")}})}
    first, second = write_figure(Reproduction(runs), tmp_path / "a"), write_figure(Reproduction(runs), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert "inf" in texts_of(first[0])
    assert "not run" in texts_of(write_figure(Reproduction({}), tmp_path / "c")[0])


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(EnvironmentProblem, match=r"figure5\.svg cannot be written"):
        write_figure(Reproduction({}), tmp_path / "out")
