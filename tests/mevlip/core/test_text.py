from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core import logs
from mevlip.core.errors import InputError
from mevlip.core.tables import table
from mevlip.core.text import MAX_ANSWER, answer_fault, one_line, visible
from mevlip.flare.predictions import schema_validator

ANY = st.text(
    st.characters() | st.sampled_from(" \t\n\r\x0b\x0c\x1b\x85\xa0\xad\u200b\u2028\u202e\ufeff\ufffd\ud800\U000e0001")
)


@pytest.mark.parametrize(
    "text",
    ["B", "Gap; Crown", "[[1, 2, 3, 4]]", "12.5 \u00b5m", "a\u00a0b", "\u4e2d \U0001f600", "e\u0301", "\u2764\ufe0f"],
)
def test_one_visible_line_is_an_answer(text: str) -> None:
    assert answer_fault(text) is None
    assert schema_validator().is_valid([{"Answer": text}])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no visible"), ("  ", "no visible"), ("\u3164", "no visible"), ("\u00a0", "no visible"),
        ("B\n", "control character (U+000A)"), ("B\r", "U+000D"), ("A\u2028B", "line separator (U+2028)"),
        ("A\u2029B", "paragraph separator"), ("\u200b", "invisible character (U+200B)"), ("\x1b[2J", "U+001B"),
        ("\x00", "U+0000"), ("A\x85B", "U+0085"), ("\ufeffB", "U+FEFF"), ("a\u202eb", "U+202E"), ("a\u00adb", "U+00AD"),
        ("\ud800", "surrogate"), ("\ue000", "private-use"), ("\U000f0000", "private-use"), ("a\U000e0001", "U+E0001"),
        ("B\ufffd", "undecodable"), (" B", "blank"), ("B ", "blank"), ("B\u00a0", "blank"), ("\u0378", "unassigned"),
        ("A" * (MAX_ANSWER + 1), "more than"),
    ],
)  # fmt: skip
def test_whatever_hides_or_breaks_a_line_is_not_an_answer(text: str, fault: str) -> None:
    assert fault in (answer_fault(text) or "")


@given(ANY)
def test_the_rule_refuses_all_that_the_schema_refuses(text: str) -> None:
    if not schema_validator().is_valid([{"Answer": text}]):
        assert answer_fault(text)


def test_the_schema_refuses_every_character_that_its_pattern_can_name() -> None:
    """All but unassigned ones, which change with Unicode's version."""
    allowed = re.compile(schema_validator().schema["items"]["properties"]["Answer"]["pattern"])  # type: ignore[index]
    for code in range(0x110000):
        text = f"a{chr(code)}b"
        if unicodedata.category(chr(code)) != "Cn":
            assert (answer_fault(text) is None) == bool(allowed.search(text)), hex(code)


@given(ANY)
def test_a_cleaned_line_is_an_answer_or_empty(text: str) -> None:
    line = one_line(text)
    assert not line.strip("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe0e\ufe0f\uffa0") or answer_fault(line) is None
    assert one_line(line) == line


def test_invisible_characters_go_and_blanks_of_any_kind_become_one() -> None:
    assert one_line("\ufeffGap\u200b fill\u00ading\u00a0\n\tof \u2028teeth\x1b") == "Gap filling of teeth"


@given(ANY, st.none() | st.integers(1, 40))
def test_what_is_shown_can_be_seen_and_is_as_short_as_wanted(text: str, limit: int | None) -> None:
    shown = visible(text, limit)
    assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in shown)
    assert limit is None or len(shown) <= limit
    shown.encode("utf-8")


def test_escapes_say_which_character_it_was() -> None:
    assert visible("\x1b[2J\u202e\ud800\n") == "\\x1b[2J\\u202e\\ud800\\n"
    assert visible("x" * 100, 5) == "xxxx…"


def test_tables_and_errors_show_foreign_text_on_one_line() -> None:
    assert "\\x1b[2J" in table(("a",), [("\x1b[2J",)])
    assert str(InputError("file a\nb\x1b", "Fix it.")) == "file a\\nb\\x1b. Fix it."


@pytest.fixture
def log_handler() -> Iterator[logging.Handler]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()  # logs.start would close pytest's
    logs.start()
    yield root.handlers[0]
    root.handlers[:] = before
    root.setLevel(level)


def test_log_lines_are_one_line_each(log_handler: logging.Handler) -> None:
    odd = logging.LogRecord("x", logging.WARNING, "", 1, "file %s is odd", ("a\nb\x1b[2J\ud800",), None)
    assert log_handler.format(odd) == "mevlip: file a\\nb\\x1b[2J\\ud800 is odd"
