"""Taking thinking and answer of a freely written text apart."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.reading import ANSWER_CLOSES, ANSWER_OPENS, THINK_CLOSES, THINK_OPENS, split_thinking

MARKS = (THINK_OPENS, THINK_CLOSES, ANSWER_OPENS, ANSWER_CLOSES)
words = st.text("ab <>/\n", max_size=20).map(lambda text: text.replace("<", "< "))
"""Texts without a mark, which may look like one."""


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("<think>It is round.</think><answer>B</answer>", "It is round.", "B"),
        ("<think>\nIt is round.\n</think>\n\n<answer>\nB\n</answer>", "It is round.", "B"),
        ("It is round.</think>B", "It is round.", "B"),
        ("It is round.</think><answer>B", "It is round.", "B"),
        ("<think>x</think><answer>A</answer> or <answer>B</answer>", "x", "B"),
        ("<think>x</think><answer>A</answer> or <answer>", "x", "A"),
        ("<think>maybe <answer>A</answer></think><answer>B", "maybe <answer>A</answer>", "B"),
        ("<think>maybe <answer>A</answer></think>", "maybe <answer>A</answer>", "A"),
        ("I say <answer>A</answer>", "I say", "A"),
        ("<answer>A</answer> and </answer>", "", "A"),
        ("</answer>A", "", "</answer>A"),
        ("B", "", "B"),
        ("<think>It is round and", "", "<think>It is round and"),
        ("", "", ""),
    ],
)
def test_the_last_answer_counts_else_what_follows_the_thinking_else_everything(
    text: str, thinking: str, answer: str
) -> None:
    assert split_thinking(text) == (thinking, answer)


@given(words, words, st.text("\n ", max_size=3), words)
def test_what_was_written_between_the_marks_is_found(thought: str, answer: str, gap: str, rest: str) -> None:
    text = f"{THINK_OPENS}{thought}{THINK_CLOSES}{gap}{ANSWER_OPENS}{answer}{ANSWER_CLOSES}{rest}"
    assert split_thinking(text) == (thought.strip(), answer.strip())
    assert split_thinking(text.removesuffix(ANSWER_CLOSES + rest)) == (thought.strip(), answer.strip())
    assert split_thinking(f"{thought}{THINK_CLOSES}{gap}{answer}") == (thought.strip(), answer.strip())


@given(words)
def test_a_text_without_marks_is_the_answer(text: str) -> None:
    assert split_thinking(text) == ("", text.strip())


@given(st.lists(st.sampled_from([*MARKS, "a", "<", " ", "\n"]), max_size=12).map("".join))
def test_any_text_is_taken_apart_into_parts_of_itself(text: str) -> None:
    thinking, answer = split_thinking(text)
    assert thinking in text and answer in text
    assert thinking == thinking.strip() and answer == answer.strip()
    if not any(mark in text for mark in (THINK_CLOSES, ANSWER_OPENS)):
        assert (thinking, answer) == ("", text.strip())


@pytest.mark.parametrize("mark", MARKS)
def test_a_long_text_takes_no_longer_than_it_must(mark: str) -> None:
    before = time.perf_counter()
    split_thinking(mark * 200_000)
    assert time.perf_counter() - before < 1
