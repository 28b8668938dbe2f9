from __future__ import annotations

import errno
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mevlip.answers import ParsedAnswer
from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip.inference.completion import Completion
from mevlip.inference.engine import Answer
from mevlip.runs.journal import Journal, journals, question_key
from mevlip.tasks import TaskType
from tests.conftest import record

RUN = {"version": "0.1", "threshold": 0.3}


def result(position: int, answer: str = "A", failed: bool = False) -> Answer:
    parsed = ParsedAnswer(answer, "strict")
    completion = Completion("B because", 3, 0.5, {"A": 0.25, "B": 0.75})
    return Answer(position, TaskType.CLASSIFICATION, "classification", 0.5, parsed, completion, ("note",), failed)


def written(folder: Path, count: int = 2) -> Path:
    """The file of a run that was interrupted after some answers."""
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, RUN)
    journal.append([(f"k{i}", result(i)) for i in range(count)])
    journal.close()
    [path] = journals(folder)
    return path


def test_finished_answers_come_back_in_the_next_run(tmp_path: Path) -> None:
    first = Journal(tmp_path, RUN)
    first.append([("k0", result(0)), ("k1", result(1, "é"))])
    first.close()
    assert Journal(tmp_path, RUN).done == {"k0": result(0), "k1": result(1, "é")}


def test_failed_questions_are_tried_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append([("k0", result(0, failed=True)), ("k1", result(1))])
    journal.close()
    assert set(Journal(tmp_path, RUN).done) == {"k1"}


def test_a_run_with_other_settings_says_what_differs_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path)
    other = Journal(tmp_path, {**RUN, "threshold": 0.4})
    assert other.done == {} and other.deaths == {}
    [warning] = [one.getMessage() for one in caplog.records]
    assert "holds 2 answers of an unfinished run with another threshold;" in warning
    other.close()
    assert set(Journal(tmp_path, RUN).done) == {"k0", "k1"}, "the first run can still be finished"


def test_all_journals_go_when_one_run_is_finished(tmp_path: Path) -> None:
    written(tmp_path)
    Journal(tmp_path, {**RUN, "threshold": 0.4}).discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_off_by_a_crash_loses_only_itself(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path, RUN)
    assert again.done == {"k0": result(0)}
    again.append([("k2", result(2))])
    again.close()
    assert set(Journal(tmp_path, RUN).done) == {"k0", "k2"}


@pytest.mark.parametrize(
    "damage",
    [b"garbage\n", b"\xff\xfe\n", b'0123456789abcdef ["answer", "k9", {}]\n', b"[" * 100_000 + b"\n", b"\n"],
    ids=["words", "bytes", "checksum", "nested", "empty"],
)
def test_a_damaged_line_loses_only_itself(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    assert set(Journal(tmp_path, RUN).done) == {"k0", "k1", "k2"}
    assert "1 damaged lines are passed over" in caplog.text


def test_an_altered_answer_is_not_believed(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    assert content.count(b'"text": "A"') == 2
    path.write_bytes(content.replace(b'"text": "A"', b'"text": "Z"', 1))
    assert set(Journal(tmp_path, RUN).done) == {"k1"}


def test_an_answer_that_could_not_be_written_is_not_taken_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append([("k0", result(0, "A\u2028B")), ("k1", result(1))])
    journal.close()
    assert set(Journal(tmp_path, RUN).done) == {"k1"}


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_whatever_is_in_the_file_a_run_can_begin(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = written(tmp_path_factory.mktemp("out"))
    content = path.read_bytes()
    path.write_bytes(content[:at] + noise + content[at:])
    done = Journal(path.parent, RUN).done
    assert done.items() <= {"k0": result(0), "k1": result(1)}.items()


def test_a_pipe_in_place_of_the_file_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert Journal(tmp_path, RUN).done == {}
    assert path.is_file()


def test_a_run_that_died_knows_what_it_was_asking(tmp_path: Path) -> None:
    Journal(tmp_path, RUN).asking(["k0", "k1"])  # and no more: the process is gone
    second = Journal(tmp_path, RUN)
    assert second.deaths == {"k0": 1, "k1": 1}
    second.append([("k0", result(0))])
    second.asking(["k1"])
    third = Journal(tmp_path, RUN)
    assert (set(third.done), third.deaths) == ({"k0"}, {"k1": 2})
    third.close()
    assert Journal(tmp_path, RUN).deaths == {"k1": 2}, "an orderly end is nobody's death"


@pytest.mark.parametrize("end", ["answered", "failed", "closed"])
def test_a_question_that_was_survived_is_not_suspected(tmp_path: Path, end: str) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append([("k0", result(0))])
    journal.asking(["k1"])
    if end == "closed":
        journal.close()
    else:
        journal.append([("k1", result(1, failed=end == "failed"))])
    assert Journal(tmp_path, RUN).deaths == {}


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append([("k0", result(0))])

    class Full:
        """A file on a disk that takes ten more bytes."""

        def __init__(self, file: Any) -> None:
            self._file = file
            self._room = 10

        def write(self, content: memoryview) -> int:
            if not self._room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self._room = 0
            return int(self._file.write(content[:10]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    monkeypatch.setattr(journal, "_file", Full(journal._file))
    with pytest.raises(EnvironmentProblem, match=r"cannot be written \(No space left on device\)"):
        journal.append([("k1", result(1))])
    journal.close()
    monkeypatch.undo()
    again = Journal(tmp_path, RUN)
    assert set(again.done) == {"k0"}
    assert journals(tmp_path)[0].read_bytes().count(b"\n") == 2, "no torn line is left"


def test_a_finished_run_leaves_no_journal(tmp_path: Path) -> None:
    Journal(tmp_path, RUN).discard()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_answered_nothing_leaves_no_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append([("k0", result(0, failed=True))])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_each_line_says_its_kind(tmp_path: Path) -> None:
    lines = written(tmp_path).read_text("utf-8").splitlines()
    assert [json.loads(line.split(" ", 1)[1])[0] for line in lines] == ["run", "answer", "answer"]


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
