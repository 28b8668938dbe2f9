"""Texts made to take long: whatever is read takes time in proportion to the text, or is bounded.

The limits here only catch what hangs; what took squared time took minutes.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.answers.matching import closest, contained
from mevlip.answers.question_spec import MOST_LABELS
from mevlip.core.text import answer_fault
from mevlip.reading import fallback_answer, grammar_of, read_answer
from mevlip.tasks import TASKS, TaskType

PIECES = (
    "A: ", "A: x, ", "(", "[", "{", "((a,", "(a,b", "(,", ", a or b", " or ", "a or ", "{}", '{"1": [[1,2,3,4]], ',
    "1", "1,", "1,000,", "1.", "1 ", "semicolon ", "keys ", "key value ", "any x ", "answer ", "answer: ", "Answer is ",
    "<answer>", "<think>", "</think>", "```", "**", "`", '"', "<|x|>", "\n", "\n\n- ", "- a\n", "1. ", "chromosome ",
    "chromosome_", "[1, 2, 3, 4], ", "[1,2,3,4", "(1,2)", "(1,2)   ", " ", "\t", "1 - ", "= ", "=", "one ", "A B ",
    "A, ", "A) ", "x; ", "gap; ", "Lung mass, ", "- ", "+1", "e", "\\boxed{", "option ", "is there ", "?", ": ",
    "\\boxed{A} ", "\\boxed{{a}", "\\text{", "\\frac{1}{", "the answer is A. ", "so ", "final answer ",
    "correct best ", "**x** ", "* a", "A is correct. ", "wait, the answer is B. ", "no ", "no cat or ", "[ ] gap\n",
    "gap and ", "absent:\n", "not A, ", "could be A. ", "I cannot determine ", "I cannot tell, but ",
    "x_min: 1, y_min: 2, ", "chromosome 1 ", "(1,2) a ", "```\n1\n```\n", "1. a\n", "between 1 and ", "1 to ",
    "A: Cat\n", "A: Cat, B: Dog, ", "Here is ", "also gap. ", "is a ", "conclusion\n", "\n\nnote ", "\uff1a",
    "\u00a0", "\ufeff", "a", "\u00e9", "\\", "a/b", "a|b", "not lump ", " and ", "X: [[", '{"a":', "1: [", "1 : ",
)  # fmt: skip
LENGTH = 5_000
ASKED = {
    TaskType.CLASSIFICATION: QuestionSpec("Which? A: Cat, B: Dog", (100, 100)),
    TaskType.MULTI_LABEL: QuestionSpec("Select all: gap; crown; lump; Lung mass", (100, 100)),
}


def repeated(piece: str) -> str:
    return (piece * (LENGTH // len(piece) + 1))[:LENGTH]


@pytest.mark.timeout(60)
def test_questions_made_of_one_piece_are_read() -> None:
    for piece in PIECES:
        for question in (repeated(piece), f"Which? {repeated(piece)} x", f"Is it {repeated(piece)}?"):
            spec = QuestionSpec(question, (100, 100))
            assert len(spec.options) < 100 and len(spec.labels) <= MOST_LABELS
            assert (spec.several, spec.separator, spec.shape, spec.unit) is not None
            for task in TASKS:
                assert answer_fault(fallback_answer(task, spec, "").text) is None
                grammar_of(task, spec)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("task", TASKS)
def test_answers_made_of_one_piece_are_read(task: TaskType) -> None:
    spec = ASKED.get(task, QuestionSpec("What?", (100, 100)))
    for piece in PIECES:
        for text in (repeated(piece), f"x{repeated(piece)}y", f"[{repeated(piece)}"):
            assert answer_fault(read_answer(task, text, spec).text) is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [4000, 40_000])
def test_thousands_of_options_and_labels_are_read(count: int) -> None:
    lettered = QuestionSpec("Which? " + ", ".join(f"A: option {n}" for n in range(count)))
    assert not lettered.options, "a run of marks begins with A and goes on with B"
    numbered = QuestionSpec("Which? " + ", ".join(f"{n % 99 + 1}: option {n}" for n in range(count)))
    assert len(numbered.options) == 99
    for separator in ("; ", ", ", " | "):
        listed = QuestionSpec("Select all that apply: " + separator.join(f"label {n}" for n in range(count)))
        assert listed.labels == ()
        said = separator.strip().join(f"label {n}" for n in range(0, count, 7))
        for task in (TaskType.CLASSIFICATION, TaskType.MULTI_LABEL):
            assert answer_fault(read_answer(task, said, listed).text) is None


@pytest.mark.timeout(60)
def test_a_list_at_the_bound_is_still_one_of_labels() -> None:
    labels = tuple(f"finding number {n}" for n in range(MOST_LABELS))
    spec = QuestionSpec("Select all that apply: " + "; ".join(labels))
    assert spec.labels == labels
    assert read_answer(TaskType.MULTI_LABEL, "; ".join(labels), spec).stage == "strict"
    wrong = "; ".join(label.replace("number", "numbr") for label in labels)
    assert answer_fault(read_answer(TaskType.MULTI_LABEL, wrong, spec).text) is None


def naive_options(line: str, first: str, mark: re.Pattern[str]) -> list[str]:
    """The longest run of marks, found by looking at every pair of them; the later of two equally long ones."""
    marks = list(mark.finditer(line))
    best: list[re.Match[str]] = []
    for start, one in enumerate(marks):
        if one[1] != first:
            continue
        run = [one]
        for other in marks[start + 1 :]:
            if other[1] == chr(ord(run[-1][1]) + 1) and other[2] == one[2]:
                run.append(other)
        if len(run) >= len(best):
            best = run
    ends = [*(one.start() for one in best[1:]), len(line)]
    texts = [line[one.end() : end].strip(" ,;|") for one, end in zip(best, ends, strict=False)]
    return texts if len(texts) > 1 and all(texts) else []


@given(st.lists(st.sampled_from(["A: ", "B: ", "C: ", "A) ", "B) ", "x ", "y, ", "D: "]), max_size=14).map("".join))
def test_the_longest_run_of_marks_is_found_as_a_pairwise_search_finds_it(line: str) -> None:
    spec = QuestionSpec(line)
    mark = re.compile(r"(?<![\w.\-])\(?([A-Za-z]|[0-9]{1,2})\s?([:.)])(?!\d)(?=\s*[^\s:.)])")
    assert list(spec.options.values()) == naive_options(spec.line, "A", mark)


@given(
    st.tuples(
        st.text("ab ", max_size=12),
        st.sampled_from(["", "either ", "Either ", "neither "]),
        st.sampled_from(["soft", "x-ray", "\u00e9"]),
        st.sampled_from([" or ", " OR ", " or a ", " or the ", " and "]),
        st.sampled_from(["hard?", "b c?", "hard", "hard ?", "or x?"]),
    )
)
def test_either_or_is_found_as_one_search_finds_it(parts: tuple[str, ...]) -> None:
    line = QuestionSpec("Is it " + "".join(parts)).line
    in_squared_time = re.search(r"(,)?\s*(?:either )?([\w-]+) or (?:an? |the )?([\w-]+)\?$", line, re.IGNORECASE)
    found = in_squared_time and (in_squared_time[2], in_squared_time[3])
    assert QuestionSpec(line).labels == (found or (("Yes", "No") if line.endswith("?") else ()))


@given(st.text("ab c", max_size=30), st.lists(st.text("ab c", min_size=1, max_size=5), min_size=1, max_size=5))
def test_labels_are_found_in_a_text_as_whole_words(text: str, labels: list[str]) -> None:
    line = " ".join(text.casefold().split())
    for place, label in contained(text, labels):
        folded = " ".join(label.split())
        assert re.match(rf"(?<!\w){re.escape(folded)}(?!\w)", line[place:]) and line[place - 1 : place] in ("", " ")
    assert closest(text, labels) in (None, *labels)
