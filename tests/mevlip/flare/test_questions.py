from __future__ import annotations

import json
import os
import socket
import stat
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
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["Question", "ImageName", "TaskType", "Answer", "x"]), json_values))
def test_any_record_can_be_looked_at(fields: dict[str, Any]) -> None:
    question = Question(0, "f", 0, fields, Path())
    question.text.encode("utf-8")
    assert all(isinstance(name, str) for name in question.image_names)
    assert question.declared is None or question.declared in TaskType


@pytest.fixture
def beside_a_good_file(write_questions: Write) -> Path:
    """The place of a question file beside a folder whose one question is good."""
    root = write_questions([record("right")])
    (root / "odd").mkdir()
    return root / "odd" / "x_questions_val.json"


def read_beside(path: Path) -> str:
    """Reads the folder and gives the one problem, which must be the odd file's."""
    folder = read_input_folder(path.parents[1])
    assert [question.text for question in folder.questions] == ["right"]
    [problem] = folder.problems
    assert problem.startswith("odd/x_questions_val.json: ")
    return problem


@pytest.mark.timeout(60)
def test_a_pipe_among_question_files_is_named_and_not_waited_for(beside_a_good_file: Path) -> None:
    os.mkfifo(beside_a_good_file)
    assert "is a named pipe, not a regular file" in read_beside(beside_a_good_file)


def test_a_link_to_itself_is_named(beside_a_good_file: Path) -> None:
    beside_a_good_file.symlink_to(beside_a_good_file.name)
    assert "symbolic links" in read_beside(beside_a_good_file)


@pytest.mark.timeout(60)
def test_a_device_is_named_and_never_read(beside_a_good_file: Path) -> None:
    beside_a_good_file.symlink_to("/dev/zero")
    assert "leaves the input folder" in read_beside(beside_a_good_file)
    beside_a_good_file.unlink()
    try:
        os.mknod(beside_a_good_file, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # what /dev/zero is
        beside_a_good_file.open("rb").close()
    except PermissionError:
        pytest.skip("only root may make a device, and only where the file system lets it be opened")
    assert "is a device, not a regular file" in read_beside(beside_a_good_file)


def test_a_socket_and_a_folder_of_that_name_are_passed_over(beside_a_good_file: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(beside_a_good_file.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(beside_a_good_file.name)
        assert "cannot be read" in read_beside(beside_a_good_file)
    beside_a_good_file.unlink()
    beside_a_good_file.mkdir()
    assert len(read_input_folder(beside_a_good_file.parents[1]).questions) == 1


def test_a_question_file_larger_than_allowed_is_not_read(beside_a_good_file: Path) -> None:
    with beside_a_good_file.open("wb") as file:
        file.truncate(1 << 36)  # sparse: it takes no room
    assert "is larger than the allowed 64 MiB" in read_beside(beside_a_good_file)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("1e999", "1e999"),
        ("-1E+400", "-1E+400"), ("7" * 5000, "a whole number of 5000 digits"),
        ("[" * 200 + "]" * 200, "nested more than 64 deep"), ("[" * 90_000 + "]" * 90_000, "nested more than 64 deep"),
        ('{"a":' * 5000 + '"[]}"' + "}" * 5000, "nested more than 64 deep"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_written_is_named_and_becomes_null(tmp_path: Path, value: str, said: str) -> None:
    """The other fields stay, so that the row still matches its record, and so do the other records."""
    one, other = json.dumps(record("first")), json.dumps(record("[{second"))
    text = f'[{one[:-1]}, "Extra": {value}, "Deep": {{"x": [1, {value}]}}}}, {other}]'
    (tmp_path / "x_questions_val.json").write_text(text)
    folder = read_input_folder(tmp_path)
    first, second = (question.record for question in folder.questions)
    assert {key: first[key] for key in record()} == record("first") and second == record("[{second")
    assert set(first) == {*record(), "Extra", "Deep"}
    json.dumps(first, allow_nan=False)
    assert len(folder.problems) == 2
    for problem, field in zip(sorted(folder.problems), ("'Deep'", "'Extra'"), strict=True):
        assert problem.startswith(f"x_questions_val.json[0]: field {field} ") and said in problem
    if "deep" not in said:
        assert (first["Extra"], first["Deep"]) == (None, {"x": [1, None]})


def test_what_is_deep_but_not_too_deep_is_kept(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    (tmp_path / "x_questions_val.json").write_text(json.dumps([record(Extra=deep)]))
    folder = read_input_folder(tmp_path)
    assert folder.questions[0].record["Extra"] == deep and not folder.problems


def test_a_key_that_comes_twice_is_named_and_its_last_value_counts(tmp_path: Path) -> None:
    text = json.dumps([record("old")])[:-2] + ', "Question": "new", "Extra": {"a": 1, "a": 2}}]'
    (tmp_path / "x_questions_val.json").write_text(text)
    folder = read_input_folder(tmp_path)
    assert folder.questions[0].record == record("new", Extra={"a": 2})
    assert folder.problems == (
        "x_questions_val.json[0]: field 'Question' names 'Question' twice; the last value counts",
        "x_questions_val.json[0]: field 'Extra' names 'a' twice; the last value counts",
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_of_json_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a_questions_val.json").write_text(json.dumps([record("é \U0001f600")], ensure_ascii=False), encoding)
    assert read_input_folder(tmp_path).questions[0].text == "é \U0001f600"


def test_problems_of_one_file_are_counted_after_the_twentieth(tmp_path: Path) -> None:
    (tmp_path / "a_questions_val.json").write_text(json.dumps([record(), *range(500)]))
    problems = read_input_folder(tmp_path).problems
    assert len(problems) == 21 and problems[-1].endswith("... and 480 more entries that are not records")


def test_names_of_files_are_shown_without_control_characters(write_questions: Write) -> None:
    root = write_questions([record()], name="\x1b[2J_questions_\u202eval.json")
    assert read_input_folder(root).questions[0].where == "Xray/set/\\x1b[2J_questions_\\u202eval.json[0]"


@given(
    st.recursive(
        st.none() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_a_record_holds_can_be_written_as_strict_json(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "strict"
    folder.mkdir(exist_ok=True)
    (folder / "a_questions_val.json").write_text(json.dumps([record(Extra=value)]))
    [question] = read_input_folder(folder).questions
    json.dumps(question.record, allow_nan=False)
    if "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value):
        assert question.record["Extra"] == value
