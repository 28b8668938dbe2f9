"""Taking a model's wrapping off: thoughts, tags, fences, introductions, emphasis, LaTeX."""

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
_FENCE_LINE = re.compile(r"```(?:[\w-]*+[ \t]*+(?=\n))?")
_HEADING = re.compile(r"(?m)^[ \t]*+#{1,6}[ \t]++|^[ \t]*+>[ \t]++")
_EMPHASIS = re.compile(r"\*\*|__|`")
_SLANTED = re.compile(r"(?<![\w*])\*([^\s*](?:[^*\n]{0,200}[^\s*])?)\*(?![\w*])")
_FULL_WIDTH = str.maketrans(
    "\uff0c\uff1a\uff1b\uff0e\u3002\uff08\uff09\uff3b\uff3d\uff5b\uff5d\uff05\uff1d\u3010\u3011\u201c\u201d\u2018\u2019\u3001",
    ",:;..()[]{}%=[]\"\"'',",
)
_LATEX = (
    (re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*+\{([^{}]*+)\}"), r"\1"),
    (re.compile(r"\\d?frac\s*+\{([^{}]*+)\}\s*+\{([^{}]*+)\}"), r"\1 / \2"),
    (re.compile(r"\\(?:boxed|fbox)\s*+\{((?:[^{}]++|\{[^{}]*+\})*+)\}"), r"\nFinal answer: \1\n"),
    (re.compile(r"\^\s*+(?:\\circ|\{\s*+\\circ\s*+\})"), "\u00b0"),
    (re.compile(r"\\(?:approx|simeq|sim)\b"), "\u2248"),
    (re.compile(r"\\times\b"), "\u00d7"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\[\[\]()]|\$"), " "),
    (re.compile(r"\\[,;:! ]"), " "),
)


def unwrap(text: str) -> str:
    """The part of a model's text that is meant as its answer.

    What a thinking model thought goes, then the content of answer tags or of a code fence is taken, then introductions
    such as `Answer:` and Markdown's emphasis and quotation marks around the whole go, up to twenty layers of them. Of
    the rest the first `LONGEST` characters are taken.
    """
    text = _unthink(text)
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


def plain(text: str) -> str:
    """What a model says in plain characters, its lines kept: without thoughts, fences, emphasis and LaTeX.

    Of answer tags only the content stays; what stands in a LaTeX box becomes a line `Final answer: ...`.
    """
    text = _unthink(text)
    if found := _TAGGED.search(text):
        text = found[2]
    text = _FENCE_LINE.sub("", text[:LONGEST]).translate(_FULL_WIDTH)
    if "\\" in text or "$" in text:
        text = _without_latex(text)
    text = _EMPHASIS.sub("", _HEADING.sub("", text))
    return _SLANTED.sub(r"\1", text)


def without_fences(text: str) -> str:
    """A model's text without its thoughts and without whatever stands between code fences."""
    return _FENCED.sub("\n", _unthink(text)[:LONGEST])


def _unthink(text: str) -> str:
    return _LEFT_OPEN.sub("", _THOUGHT.sub(" ", _SPECIAL.sub(" ", text)))


def _without_latex(text: str) -> str:
    for pattern, plain_text in _LATEX:
        text = pattern.sub(plain_text, text)
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
