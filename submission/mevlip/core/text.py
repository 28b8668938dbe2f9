"""What may stand in an answer, and how foreign text is shown: each rule is written here and nowhere else."""

from __future__ import annotations

import unicodedata

MAX_ANSWER = 100_000
"""Most characters of an Answer: more than a thousand boxes take."""

UNDECODABLE = "\ufffd"
"""What decoders write for bytes that are not UTF-8."""

_REFUSED = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "a lone surrogate",
    "Co": "a private-use character",
    "Cn": "an unassigned character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
"""Unicode categories that no answer holds, in words."""

_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe0e\ufe0f\uffa0"
"""Letters, marks and a symbol that show nothing by themselves; beside others they may be meant."""


def answer_fault(text: str) -> str | None:
    """Why a text cannot be an Answer, as a predicate such as `is empty`; None where it can.

    An Answer is one visible line: at most `MAX_ANSWER` characters, none of them a control or format character (zero
    width, byte order marks, direction overrides), a surrogate, private, unassigned, a line or paragraph separator or
    U+FFFD, with a visible character at either end.
    """
    if not text.strip().strip(_UNSEEN):
        return "has no visible character"
    if len(text) > MAX_ANSWER:
        return f"has more than {MAX_ANSWER} characters"
    if not text.isprintable() or UNDECODABLE in text:
        for char in text:
            kind = "an undecodable byte" if char == UNDECODABLE else _REFUSED.get(unicodedata.category(char))
            if kind:
                return f"holds {kind} (U+{ord(char):04X})"
    if text != text.strip():
        return "begins or ends with a blank"
    return None


def one_line(text: str) -> str:
    """A text as `answer_fault` allows it, but for its length, or an empty one.

    Format characters, which are invisible, go; line breaks, other blanks, control characters and undecodable bytes
    become blanks; runs of blanks become one.
    """
    if not text.isprintable() or UNDECODABLE in text:
        text = "".join(map(_plain, text))
    return " ".join(text.split())


def visible(text: str, limit: int | None = None) -> str:
    r"""A foreign text for a terminal, a log or a page: on one line, and what cannot be seen escaped (`\x1b`).

    Args:
        text: The text.
        limit: Its greatest length; a longer one ends with an ellipsis.
    """
    if limit is not None:
        text = text[: limit + 1]  # what is cut off need not be looked at
    if not text.isprintable():
        text = "".join(map(_shown, text))
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def _plain(char: str) -> str:
    if char.isprintable() and char != UNDECODABLE:
        return char
    return "" if unicodedata.category(char) == "Cf" else " "


def _shown(char: str) -> str:
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    return char.encode("unicode_escape").decode("ascii")
