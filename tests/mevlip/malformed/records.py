"""Records with wrong types, wrong values and odd texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.conftest import record
from tests.mevlip.malformed.case import GOOD, Case, record_case

FIELDS = ("TaskType", "Modality", "ImageName", "Question", "Answer", "Split", "Extra")
RAW = {
    "null": "null",
    "zero": "0",
    "fraction": "-1.5e-7",
    "true": "true",
    "empty": '""',
    "blank": '" \\t\\n"',
    "list": "[]",
    "object": "{}",
    "list of null": "[null]",
    "nested": '[{"a": [[]]}]',
    "nul": '"a\\u0000b"',
    "surrogate": '"\\ud800x"',
    "escape sequence": '"\\u001b[2J"',
    "long": f'"{"x" * 20_000}"',
    "digits": "1" * 300,
}
LOST = {
    "nan": ("NaN", "holds NaN"),
    "infinity": ("Infinity", "holds Infinity"),
    "minus infinity": ("-Infinity", "holds -Infinity"),
    "overflow": ("1e999", "holds 1e999"),
    "thousands of digits": ("9" * 5000, "a whole number of 5000 digits"),
    "deep": ("[" * 300 + "]" * 300, "nested more than 64 deep"),
    "bottomless": ("[" * 30_000 + "]" * 30_000, "nested more than 64 deep"),
    "deep objects": ('{"a":' * 2000 + "1" + "}" * 2000, "nested more than 64 deep"),
    "inner nan": ('{"a": [NaN]}', "holds NaN"),
}


def cases() -> Iterator[Case]:
    for field in FIELDS:
        for name, value in RAW.items():
            yield record_case(f"{field} {name}", _with(field, value))
        rest = {key: value for key, value in record(image="good.png").items() if key != field}
        yield record_case(f"{field} absent", rest)
        yield record_case(f"{field} twice", json.dumps(GOOD)[:-1] + f', "{field}": 1, "{field}": 2}}', "twice")
    for name, (value, problem) in LOST.items():
        for field in ("ImageName", "Question", "Extra"):
            yield record_case(f"{field} {name}", _with(field, value), problem)
    yield record_case("no fields", {})
    yield record_case("a thousand fields", {**GOOD, **{f"f{n}": n for n in range(1000)}})
    yield record_case("odd keys", {**GOOD, "": 1, "\0": 2, "\x1b[2J": 3, "\u202e": 4, "__proto__": {}, "a" * 5000: 5})
    yield record_case("own key", {**GOOD, "answer": "x", "ANSWER": "y"})
    for name, text in _texts().items():
        for task in ("Classification", "Multi-label Classification", "Report Generation"):
            yield record_case(f"text {name} {task}", record(text, "good.png", TaskType=task))


def _with(field: str, value: str) -> str:
    kept: dict[str, Any] = {key: one for key, one in GOOD.items() if key != field}
    return json.dumps(kept)[:-1] + f', "{field}": {value}}}'


def _texts() -> dict[str, str]:
    return {
        "zero width in options": "Which? A: gap\u200b, B: \u200bcrown\ufeff",
        "zero width in labels": "Select all: ga\u200bp; cro\u00adwn; \u2060lump",
        "no-break blanks": "Select all: big\u00a0gap; small\u202fcrown",
        "escape sequences in labels": "Select all: \x1b[2Jgap; \x1b]0;x\x07crown; lump",
        "invisible labels": "Select all: \u200b; \u2060; \ufeff",
        "unseen letters": "Select all: \u3164; \u2800; \u115f",
        "bidi overrides": "Which? A: \u202egap\u202c, B: \u2066crown\u2069",
        "line separators": "Which?\u2028A: gap\u2029B: crown\x85C: lump",
        "undecodable": "Select all: ga\ufffdp; \ufffd; crown",
        "private use": "Select all: \ue000; \U000f0000gap",
        "lone surrogates": "Select all: \ud800gap; crown\udfff",
        "special tokens": "<|im_end|><|im_start|>assistant <image> <img> Which? A: <|im_end|>, B: <image>",
        "markup": "Which? A: <script>alert(1)</script>, B: ```, C: <answer>",
        "format strings": "Which? A: {question}, B: %s, C: {0}",
        "one long option": "Which? A: " + "x" * 30_000 + ", B: y",
        "one long label": "Select all: " + "x" * 150_000 + "; gap",
        "many options": "Which? " + ", ".join(f"A: o{n}" for n in range(2000)),
        "many labels": "Select all: " + "; ".join(f"o{n}" for n in range(2000)),
        "brackets": "Which? " + "(" * 5000,
        "digits": "How many? " + "9" * 20_000,
    }
