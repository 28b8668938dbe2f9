from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import InputError
from mevlip.flare.questions import Question, read_input_folder
from mevlip.tasks import TaskType
from tests.conftest import record

Write = Callable[..., Path]


def test_reads_every_file_in_path_order(write_questions: Write) -> None:
    write_questions([record("q3")], folder="Xray/b")
    root = write_questions([record("q1"), record("q2")], folder="Clinical/a")
    questions = read_input_folder(root).questions
    assert [q.text for q in questions] == ["q1", "q2", "q3"]
    assert [q.position for q in questions] == [0, 1, 2]
    assert questions[2].where == "Xray/b/set_questions_val.json[0]"


def test_records_are_kept_as_they_are(write_questions: Write) -> None:
    odd = record(image=["imagesVal/a.png", "imagesVal/b.png"], Extra={"nested": [1, None]}, TaskType=None)
    [question] = read_input_folder(write_questions([odd])).questions
    assert question.record == odd
    assert question.image_names == ("imagesVal/a.png", "imagesVal/b.png")


@pytest.mark.parametrize(
    "name",
    ["set_questions_val_withGT.json", "SET_QUESTIONS_VAL_WITHGT.json", "predictions.json", "._set_questions_val.json"],
)
def test_truth_output_and_hidden_files_are_never_questions(write_questions: Write, name: str) -> None:
    write_questions([record("wrong")], name=name)
    root = write_questions([record("right")])
    assert [q.text for q in read_input_folder(root).questions] == ["right"]


def test_other_json_counts_only_without_a_question_file_beside_it(write_questions: Write) -> None:
    write_questions([record("copy")], name="backup.json")
    write_questions([record("right")])
    root = write_questions([record("other")], folder="Xray/other", name="items.json")
    assert sorted(q.text for q in read_input_folder(root).questions) == ["other", "right"]


@pytest.mark.parametrize(
    "content", [{}, [], [1, 2], [{"Question": "no image"}], "text", [{"ImageName": "a", "Question": 3}]]
)
def test_other_json_that_is_no_question_list_is_passed_over(write_questions: Write, content: Any) -> None:
    root = write_questions([record()])
    (root / "meta").mkdir()
    (root / "meta" / "dataset.json").write_text(json.dumps(content))
    folder = read_input_folder(root)
    assert len(folder.questions) == 1 and not folder.problems


@pytest.mark.parametrize("content", [b"{not json", b"\xff\xfe\x00", b"[" * 100_000, b""])
def test_a_malformed_question_file_is_named_and_the_others_are_read(write_questions: Write, content: bytes) -> None:
    root = write_questions([record()])
    (root / "bad").mkdir()
    (root / "bad" / "x_questions_val.json").write_bytes(content)
    folder = read_input_folder(root)
    assert len(folder.questions) == 1
    assert folder.problems[0].startswith("bad/x_questions_val.json: ")


def test_a_folder_that_cannot_be_read_is_named(write_questions: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_questions([record()])
    (root / "closed").mkdir()
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    folder = read_input_folder(root)
    assert len(folder.questions) == 1
    assert folder.problems == ("closed: cannot be read (Permission denied)",)


def test_an_entry_that_is_no_record_is_named(write_questions: Write) -> None:
    folder = read_input_folder(write_questions([record("a"), 7, record("b")]))
    assert [q.text for q in folder.questions] == ["a", "b"]
    assert folder.problems == ("Xray/set/set_questions_val.json[1]: a int is not a question record; left out",)


def test_byte_order_marks_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a_questions_val.json").write_text(json.dumps([record("é")], ensure_ascii=False), "utf-8-sig")
    assert read_input_folder(tmp_path).questions[0].text == "é"


def test_a_linked_question_file_outside_is_refused(write_questions: Write, tmp_path: Path) -> None:
    (tmp_path / "outside_questions_val.json").write_text(json.dumps([record("secret")]))
    root = write_questions([record("right")])
    (root / "link").mkdir()
    (root / "link" / "x_questions_val.json").symlink_to(tmp_path / "outside_questions_val.json")
    folder = read_input_folder(root)
    assert [q.text for q in folder.questions] == ["right"]
    assert "leaves the input folder" in folder.problems[0]


def test_an_output_folder_inside_the_input_is_not_read(write_questions: Write) -> None:
    write_questions([record("old output")], folder="out", name="copy.json")
    root = write_questions([record("right")])
    assert [q.text for q in read_input_folder(root, root / "out").questions] == ["right"]
    assert len(read_input_folder(root, root).questions) == 2, "the input folder itself may be the output folder"


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_input_folder(tmp_path / "absent")
    with pytest.raises(InputError, match="No question file"):
        read_input_folder(tmp_path)
    (tmp_path / "x_questions_val.json").write_text("{")
    with pytest.raises(InputError, match="x_questions_val.json: is not valid JSON"):
        read_input_folder(tmp_path)


@pytest.mark.parametrize(
    ("spelling", "task"),
    [
        ("multi-label classification", TaskType.MULTI_LABEL),
        ("Instance_Detection", TaskType.INSTANCE_DETECTION),
        ("", None),
        ("clasification", None),
        (None, None),
        (3, None),
    ],
)
def test_declared_task_may_be_anything(spelling: Any, task: TaskType | None) -> None:
    assert Question(0, "f", 0, record(TaskType=spelling), Path()).declared is task
    absent = {key: value for key, value in record().items() if key != "TaskType"}
    assert Question(0, "f", 0, absent, Path()).declared is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["Question", "ImageName", "TaskType", "Answer", "x"]), json_values))
def test_any_record_can_be_looked_at(fields: dict[str, Any]) -> None:
    question = Question(0, "f", 0, fields, Path())
    question.text.encode("utf-8")
    assert all(isinstance(name, str) for name in question.image_names)
    assert question.declared is None or question.declared in TaskType
