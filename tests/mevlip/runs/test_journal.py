from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mevlip.answers import ParsedAnswer
from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip.inference.completion import Completion
from mevlip.inference.engine import Answer
from mevlip.runs.journal import JOURNAL_NAME, Journal, question_key
from mevlip.tasks import TaskType
from tests.conftest import record


def result(position: int, answer: str = "A", failed: bool = False) -> Answer:
    parsed = ParsedAnswer(answer, "strict")
    completion = Completion("B because", 3, 0.5, {"A": 0.25, "B": 0.75})
    return Answer(position, TaskType.CLASSIFICATION, "classification", 0.5, parsed, completion, ("note",), failed)


def test_finished_answers_come_back_in_the_next_run(tmp_path: Path) -> None:
    first = Journal(tmp_path / "out", "run")
    first.append([("k0", result(0)), ("k1", result(1, "é\u2028"))])
    first.close()
    assert Journal(tmp_path / "out", "run").done == {"k0": result(0), "k1": result(1, "é\u2028")}


def test_failed_questions_are_tried_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([("k0", result(0, failed=True)), ("k1", result(1))])
    journal.close()
    assert set(Journal(tmp_path, "run").done) == {"k1"}


def test_another_run_starts_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "threshold 0.3")
    journal.append([("k0", result(0))])
    journal.close()
    assert Journal(tmp_path, "threshold 0.4").done == {}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_off_by_a_crash_loses_only_itself(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([("k0", result(0)), ("k1", result(1))])
    journal.close()
    path = tmp_path / JOURNAL_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path, "run")
    assert "k0" in again.done and again.done["k0"] == result(0)
    again.append([("k2", result(2))])
    again.close()
    assert "k2" in Journal(tmp_path, "run").done


def test_a_finished_run_leaves_no_journal(tmp_path: Path) -> None:
    Journal(tmp_path, "run").discard()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_answered_nothing_leaves_no_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run")
    journal.append([("k0", result(0, failed=True))])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        Journal(tmp_path / "out", "run")


def test_the_key_changes_with_record_place_and_image(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")

    def key(position: int = 0, **fields: object) -> str:
        return question_key(Question(position, "f", 0, record(image="a.png", **fields), tmp_path), ImageStore(tmp_path))

    before = key()
    assert key() == before != key(position=1)
    assert key(Split="test") != before
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    assert key() != before
    (tmp_path / "a.png").unlink()
    assert key(Question="\ud800") != key()


def test_the_key_knows_images_in_archives(tmp_path: Path) -> None:
    question = Question(0, "f", 0, record(image="imagesVal/a.png"), tmp_path)

    def key(content: bytes | None = None) -> str:
        if content:
            with zipfile.ZipFile(tmp_path / "imagesVal.zip", "w") as packed:
                packed.writestr("a.png", content)
        with ImageStore(tmp_path) as store:
            return question_key(question, store)

    keys = [key(), key(b"one"), key(b"other")]
    assert len(set(keys)) == 3 and key() == keys[-1]
