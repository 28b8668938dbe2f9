"""Boxes of a finding."""

from __future__ import annotations

from tests.mevlip.answers.free_texts.case import FALLBACK, LESION, REFUSAL, Case

ONE = "[[10, 20, 300, 400]]"
TWO = "[[10, 20, 300, 400], [500, 60, 700, 80]]"
CASES = (
    Case("bold", LESION, "**[10, 20, 300, 400]**", ONE),
    Case("answer is", LESION, "The answer is [[10, 20, 300, 400]].", ONE),
    Case("final answer", LESION, "Final Answer: [10, 20, 300, 400]", ONE),
    Case("coordinates are", LESION, "The bounding box coordinates are: (10, 20, 300, 400)", ONE),
    Case("bare numbers", LESION, "10, 20, 300, 400", ONE),
    Case("bare numbers in a sentence", LESION, "The box is 10 20 300 400.", ONE),
    Case("bullets", LESION, "- [10, 20, 300, 400]\n- [500, 60, 700, 80]", TWO),
    Case("numbered", LESION, "1. [10, 20, 300, 400]\n2. [500, 60, 700, 80]", TWO),
    Case("lesion keys", LESION, '{"lesion_1": [10, 20, 300, 400], "lesion_2": [500, 60, 700, 80]}', TWO),
    Case("bboxes", LESION, '{"bboxes": [[10, 20, 300, 400], [500, 60, 700, 80]]}', TWO),
    Case("objects", LESION, '{"objects": [{"label": "lesion", "bbox_2d": [10, 20, 300, 400]}]}', ONE),
    Case("predictions", LESION, '[{"bounding_box": {"x_min": 10, "y_min": 20, "x_max": 300, "y_max": 400}}]', ONE),
    Case("corner list", LESION, "- x_min = 10\n- y_min = 20\n- x_max = 300\n- y_max = 400", ONE),
    Case("corner list, bold", LESION, "**x_min:** 10\n**y_min:** 20\n**x_max:** 300\n**y_max:** 400", ONE),
    Case(
        "corners in words",
        LESION,
        "The top-left corner is at (10, 20) and the bottom-right corner is at (300, 400).",
        ONE,
    ),
    Case("x1 y1", LESION, "x1=10, y1=20, x2=300, y2=400", ONE),
    Case("pixels", LESION, "[10px, 20px, 300px, 400px]", ONE),
    Case("fence and talk", LESION, "Here you go:\n```json\n[[10, 20, 300, 400]]\n```\nHope this helps!", ONE),
    Case("talk before a fence", LESION, "The lesion is dark. It is about 290 wide.\n```\n[10, 20, 300, 400]\n```", ONE),
    Case("boxed", LESION, r"\boxed{[[10, 20, 300, 400]]}", ONE),
    Case("ref and box tokens", LESION, "<ref>lesion</ref><box>[[10, 20, 300, 400]]</box>", ONE),
    Case("qwen tokens", LESION, "<|box_start|>(10,20),(300,400)<|box_end|>", ONE),
    Case("cut off", LESION, "[[10, 20, 300, 400], [500, 60,", ONE),
    Case("thought", LESION, "<think>[1, 1, 5, 5] is the marker</think>[10, 20, 300, 400]", ONE),
    Case("full-width", LESION, "［10，20，300，400］", ONE),
    Case("but a box", LESION, "I'm not able to diagnose, but the lesion is at [10, 20, 300, 400].", ONE),
    Case("refusal, AI", LESION, "As an AI language model, I cannot draw boxes.", REFUSAL),
    Case("refusal, sorry", LESION, "Sorry, I can't help with that.", REFUSAL),
    Case("not possible", LESION, "It is not possible to determine the exact coordinates from this image.", REFUSAL),
    Case("e.g. box", LESION, "I cannot see any lesion. A box looks like this, e.g. [5, 5, 9, 9].", REFUSAL),
    Case("no numbers", LESION, "The lesion is in the middle.", FALLBACK),
    Case("three numbers", LESION, "[10, 20, 300]", FALLBACK),
)
