"""Which shard a question falls into: all of one picture into one, whatever else is in the folder."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mevlip.flare.questions import Question, read_input_folder
from mevlip.flare.shards import Shard, question_pictures, shard_numbers
from mevlip.flare.store import ImageStore
from tests.conftest import EXAMPLES, record

Write = Callable[..., Path]

NAMES = st.text("abcdé\ud800/", min_size=1, max_size=3)
QUESTIONS = st.lists(st.tuples(st.lists(NAMES, max_size=3), st.text(max_size=2)), max_size=20)
TOTALS = st.integers(1, 9)


def numbers(questions: list[tuple[list[str], str]], total: int) -> list[int]:
    return shard_numbers([pictures for pictures, _ in questions], [text for _, text in questions], total)


@given(QUESTIONS, TOTALS)
def test_every_question_has_one_shard_and_shares_it_with_all_of_its_pictures(
    questions: list[tuple[list[str], str]], total: int
) -> None:
    found = numbers(questions, total)
    assert len(found) == len(questions) and all(1 <= number <= total for number in found)
    for (pictures, text), number in zip(questions, found, strict=True):
        for (others, other_text), other in zip(questions, found, strict=True):
            if set(pictures) & set(others) or (not pictures and not others and text == other_text):
                assert number == other


@given(QUESTIONS, TOTALS, st.randoms())
def test_a_shard_does_not_depend_on_order(questions: list[tuple[list[str], str]], total: int, random: object) -> None:
    order = list(range(len(questions)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found = numbers(questions, total)
    assert numbers([questions[place] for place in order], total) == [found[place] for place in order]


@given(QUESTIONS, QUESTIONS, TOTALS)
@example([(["a"], "")], [(["b", "a"], "")], 9)
def test_a_shard_does_not_depend_on_questions_about_other_pictures(
    questions: list[tuple[list[str], str]], others: list[tuple[list[str], str]], total: int
) -> None:
    apart = [([f"other/{name}" for name in pictures], f"other {text}") for pictures, text in others]
    assert numbers([*questions, *apart], total)[: len(questions)] == numbers(questions, total)


def test_shards_are_those_of_every_earlier_version() -> None:
    """A cluster's shards may be made by different machines; what they agree on must not change unnoticed."""
    assert shard_numbers([["a/b.png"], ["c.png", "a/b.png"], ["d.png"], []], ["", "", "", "Why?"], 8) == [4, 4, 5, 4]


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1", "1/0", "-1/2", "1/2/3", " 1/2", "1/2 ", "a/b", "01/2", "\u0661/\u0662", ""]
)
def test_what_is_not_a_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a shard is I/N with I from 1 to N, such as 2/8"):
        Shard.parse(text)


@given(st.integers(1, 999_999), st.integers(1, 999_999))
def test_a_shard_reads_as_it_is_written(number: int, total: int) -> None:
    shard = Shard(min(number, total), total)
    assert Shard.parse(str(shard)) == shard


def pictures(root: Path) -> list[list[str]]:
    folder = read_input_folder(root)
    with ImageStore(folder.root) as store:
        return [question_pictures(question, folder.root, store) for question in folder.questions]


def test_a_picture_has_one_name_however_records_write_it(write_questions: Write) -> None:
    names = ["imagesVal/a.png", "imagesTr/a.png", "./imagesVal//a.png", " imagesVal/a.png"]
    root = write_questions([record(image="imagesVal/a.png")])
    [file] = root.rglob("*.json")
    write_questions([record(image="imagesVal/a.png")])
    file.write_text(json.dumps([record(image=name) for name in names]), "utf-8")
    assert pictures(root) == [["Xray/set/imagesVal/a.png"]] * 4


def test_archived_pictures_and_missing_ones_have_names_too(write_questions: Write) -> None:
    names = ["imagesVal/a.png", "gone.png", "../../../etc/passwd", "/etc/passwd", "x\0y"]
    root = write_questions([record(image="imagesVal/a.png")])
    [file] = root.rglob("*.json")
    file.write_text(json.dumps([record(image=[name, 5, ""]) for name in names]), "utf-8")
    with zipfile.ZipFile(root / "Xray/set/imagesVal.zip", "w") as archive:
        archive.write(root / "Xray/set/imagesVal/a.png", "imagesVal/a.png")
    shutil.rmtree(root / "Xray/set/imagesVal")
    assert pictures(root) == [
        ["Xray/set/imagesVal.zip/imagesVal/a.png"], ["Xray/set/gone.png"], ["../etc/passwd"], ["/etc/passwd"],
        ["Xray/set/x\0y"],
    ]  # fmt: skip


def test_shards_do_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(EXAMPLES, tmp_path / "elsewhere"))
    found = []
    for root in (EXAMPLES, copied):
        folder = read_input_folder(root)
        with ImageStore(folder.root) as store:
            parts = [Shard(number, 4).select(folder.questions, folder.root, store) for number in range(1, 5)]
        assert sorted((question for part in parts for question in part), key=place) == list(folder.questions)
        found.append([[question.position for question in part] for part in parts])
    assert found[0] == found[1] and all(found[0])


def place(question: Question) -> int:
    return question.position
