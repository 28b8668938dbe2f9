"""Taking a model's wrapping off: thoughts, tags, fences, introductions, emphasis."""

from __future__ import annotations

import re

LONGEST = 50_000
"""Most characters of what a model says that are read: more than any token budget holds."""

_MOST_LAYERS = 20
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_LEFT_OPEN = re.compile(r"\A.*</(?:think|thinking|reasoning)>", re.IGNORECASE | re.DOTALL)
_TAGGED = re.compile(r"<(answer|output|result|response)>(.*?)(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_FENCED = re.compile(r"```(?:[\w-]*[ \t]*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_INTRODUCTION = re.compile(
    r"\A(?:the )?(?:(?:final|correct|best|most likely) )?"
    r"(?:answer|output|result|response|diagnosis|finding|findings|report|impression|labels?)(?: is| are)?\s*[:=]\s*",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"<\|[^|<>]{1,40}\|>|</?s>|\[/?INST\]")


def unwrap(text: str) -> str:
    """The part of a model's text that is meant as its answer.

    What a thinking model thought goes, then the content of answer tags or of a code fence is taken, then introductions
    such as `Answer:` and Markdown's emphasis and quotation marks around the whole go, up to twenty layers of them. Of
    the rest the first `LONGEST` characters are taken.
    """
    text = _SPECIAL.sub(" ", text)
    text = _LEFT_OPEN.sub("", _THOUGHT.sub(" ", text))
    for pattern, group in ((_TAGGED, 2), (_FENCED, 1)):
        if found := pattern.search(text):
            text = found[group]
    text = text.strip()[:LONGEST]
    for _ in range(_MOST_LAYERS):
        inner = _strip_pair(_INTRODUCTION.sub("", text.strip()).strip())
        if inner == text:
            break
        text = inner
    return text


def is_wrapped(text: str) -> bool:
    """Whether a text holds thoughts, answer tags, code fences or special tokens."""
    return any(pattern.search(text) for pattern in (_SPECIAL, _THOUGHT, _LEFT_OPEN, _TAGGED, _FENCED))


def _strip_pair(text: str) -> str:
    for mark in ("**", "__", "``", "`", '"', "'", "*", "$"):
        if (
            len(text) > 2 * len(mark)
            and text.startswith(mark)
            and text.endswith(mark)
            and mark not in text[1:-1].strip(mark)
        ):
            return text[len(mark) : -len(mark)]
    return text
