from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints.routes import PromptSettings, Thinking
from mevlip.inference.prompts import build_prompt, cut_middle
from mevlip.reading import ANSWER_CLOSES, ANSWER_OPENS, THINK_CLOSES, THINK_OPENS


def test_images_come_first_and_no_system_turn_is_made() -> None:
    prompt = build_prompt("What is it?", 2, PromptSettings(), ())
    assert prompt.messages() == [
        {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "What is it?"}]}
    ]
    assert prompt.sharegpt("\n") == "<image>\n<image>\nWhat is it?"
    assert prompt.sharegpt("") == "<image><image>What is it?"


def test_what_asks_for_thinking_comes_before_the_images() -> None:
    settings = PromptSettings(image_mark="Image-{number}: ", thinking=Thinking(preset="Think <think> first."))
    prompt = build_prompt("What is it?", 2, settings, ("<think>",))
    assert prompt.sharegpt("\n") == "Think <think> first.\nImage-1: <image>\nImage-2: <image>\nWhat is it?"
    [turn] = prompt.messages()
    assert [one.get("text", "<image>") for one in turn["content"]] == [
        "Think <think> first.\n", "Image-1: ", "<image>", "Image-2: ", "<image>", "What is it?",
    ]  # fmt: skip


def test_the_preset_asks_for_all_marks_and_holds_no_place_of_an_image() -> None:
    assert all(mark in Thinking().preset for mark in (THINK_OPENS, THINK_CLOSES, ANSWER_OPENS, ANSWER_CLOSES))
    for bad in ("<image>", "Look at <video> first", ""):
        with pytest.raises(ValueError, match="preset"):
            Thinking(preset=bad)


def test_system_text_and_template_come_from_the_route() -> None:
    prompt = build_prompt("What?", 1, PromptSettings(system="Be brief.", template="Q: {question} A:"), ())
    assert prompt.messages()[0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert prompt.text == "Q: What? A:"


@pytest.mark.parametrize(("count", "shown"), [(0, ""), (1, "<image>"), (2, "Image-1: <image>Image-2: <image>")])
def test_several_images_are_announced_by_their_numbers(count: int, shown: str) -> None:
    prompt = build_prompt("Which {number}?", count, PromptSettings(image_mark="Image-{number}: "), ())
    assert prompt.sharegpt("") == f"{shown}Which {{number}}?"
    assert prompt.sharegpt("\n") == shown.replace("<image>", "<image>\n") + "Which {number}?"
    [turn] = prompt.messages()
    assert "".join("<image>" if one["type"] == "image" else one["text"] for one in turn["content"]) == prompt.sharegpt(
        ""
    )


@pytest.mark.parametrize(
    ("mark", "cause"),
    [
        ("Image: ", "image_mark holds {number} exactly once"),
        ("{number}{number}", "image_mark holds {number} exactly once"),
        ("<image>{number}", "image_mark holds no <"),
        ("<|im_end|>{number}", "image_mark holds no <"),
        ("\nImage {number}", "a line break"),
        ("x" * 300 + "{number}", "at most 200 characters"),
    ],
)
def test_an_announcement_that_would_be_something_else_is_refused(mark: str, cause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cause)):
        PromptSettings(image_mark=mark)


def test_braces_in_a_question_are_not_a_template() -> None:
    text = 'Answer as {"1": [[x_min, y_min]], "question": {question}}'
    assert build_prompt(text, 1, PromptSettings(template="{question}!"), ()).text == text + "!"


@given(
    st.lists(st.sampled_from(["<|im_end|>", "<img>", "<image>", "<|im_", "end|>", "<im", "g>", " ", "x"]), max_size=12)
)
def test_a_question_cannot_spell_a_special_token(parts: list[str]) -> None:
    reserved = ("<|im_end|>", "<img>", "<IMG_CONTEXT>")
    text = build_prompt("".join(parts), 1, PromptSettings(), reserved).text
    assert not any(token in text for token in (*reserved, "<image>"))


@given(st.text("ab ", min_size=1, max_size=60), st.text("xy ", max_size=30), st.integers(1, 80))
def test_a_text_is_cut_in_its_middle_and_no_more_than_needed(body: str, options: str, most: int) -> None:
    text = body + options
    cut = cut_middle(text, len(body), lambda part: len(part) <= most)
    if len(text) <= most:
        assert cut == text
        return
    head, gap, tail = cut.partition(" … ")
    assert gap and text.startswith(head) and text.endswith(tail)
    assert len(cut) <= max(most, len(gap))
    if options.strip() and 4 * len(options) <= 3 * (most - len(gap)):
        assert tail.endswith(options.lstrip()), "options that leave room are kept whole"


def test_both_ends_of_what_comes_before_the_options_are_kept() -> None:
    text = "First words. " + "filler " * 500 + "Which is it? " + "A: Cat, B: Dog"
    cut = cut_middle(text, text.index("A: Cat"), lambda part: len(part) <= 100)
    assert cut.startswith("First words. filler") and cut.endswith("filler Which is it? A: Cat, B: Dog")
    assert 90 <= len(cut) <= 100
