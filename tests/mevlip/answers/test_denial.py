"""What a line denies: spans are marked by braces, denied ones by a minus after the opening brace."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers.conclusions import conclusions
from mevlip.answers.denial import denied
from mevlip.answers.refusals import refuses


def marked(text: str) -> tuple[str, list[tuple[int, int]], set[int]]:
    line, spans, expected = "", [], set()
    for before, minus, name in re.findall(r"([^{]*)\{(-?)([^}]*)\}", text + "{}"):
        line += before
        if name:
            if minus:
                expected.add(len(spans))
            spans.append((len(line), len(line) + len(name)))
            line += name
    return line, spans, expected


@pytest.mark.parametrize(
    "text",
    [
        "no sign of {-x}",
        "no evidence of {-x}, {-y}, or {-z}",
        "without {-x}",
        "in the absence of {-x}",
        "{-x} is ruled out",
        "negative for {-x} and {-y}",
        "{-x} is not present",
        "there is no {-x} or {-y}",
        "neither {-x} nor {-y} but {z}",
        "{-x}, {-y} and {-z} are not seen",
        "{x} and {-y} is absent",
        "{x}, no {-y}",
        "no {-x}, {y}",
        "{x} is likely, {-y} is not",
        "not {-x}, but {y}",
        "not only {x}",
        "rather than {-x}",
        "{x} rather than {-y}",
        "{-x}: no",
        "{-x} - absent",
        "{x}: yes",
        "{-x} (absent), {y} (present)",
        "[ ] {-x}",
        "[x] {x}",
        "absent: {-x}, {-y}",
        "{-x}?",
        "{-x} would be round",
        "{x} would be the best answer",
        "cannot rule out {x}",
        "{x} cannot be excluded",
        "no doubt {x}",
        "no {-x}, and {y} is seen",
        "no {-x}. {y}",
        "i do not see any {-x}. {y} is there",
        "{x}. not so {-y}",
    ],
)
def test_denials_are_found(text: str) -> None:
    line, spans, expected = marked(text)
    assert denied(line, spans) == expected


@given(st.text("ab ,.:;not()[]", max_size=60), st.lists(st.integers(0, 58), max_size=6, unique=True))
def test_only_what_is_named_is_denied(line: str, starts: list[int]) -> None:
    places = sorted(start for start in starts if start < len(line))
    spans = [(start, min(start + 1, len(line))) for start in places]
    assert denied(line, spans) <= set(range(len(spans)))


@given(
    st.lists(st.sampled_from(["The answer is ", "so ", "B", ". ", "\n", "final answer: ", "wait ", "x ", "\n\n"])).map(
        "".join
    )
)
def test_conclusions_are_parts_of_the_text_in_its_order(said: str) -> None:
    found = conclusions(said)
    assert [one.start for one in found] == sorted(one.start for one in found)
    for one in found:
        assert 0 <= one.start <= one.end <= len(said) and one.part in said


@pytest.mark.parametrize(
    "text",
    [
        "I cannot see any lesion.",
        "There is no way to miss it: B",
        "I can't rule out pneumonia.",
        "I don't see caries.",
        "The apex cannot be excluded.",
        "Sorry state of the tooth",
        "I identify no lesion.",
        "I cannot identify any abnormality.",
    ],
)
def test_findings_are_no_refusals(text: str) -> None:
    assert not refuses(text)
