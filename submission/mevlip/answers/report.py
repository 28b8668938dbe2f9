"""Free text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from mevlip.answers.base import Refusal, TypedAnswer, Unparsable
from mevlip.answers.clean import is_wrapped, unwrap
from mevlip.answers.grammar import Grammar, Lark
from mevlip.answers.question_spec import QuestionSpec
from mevlip.answers.refusals import refuses
from mevlip.core.text import one_line

# Visible words with single blanks between them: what `one_line` would leave as it is.
_MOST_LAYERS = 20
_WORD = r"[^\p{C}\p{Z}\x{FFFD}]+"
_LEAD_IN = re.compile(
    r"\s*+(?:(?:sure|certainly|of course|okay|ok|absolutely|thank you|here you go)\b[^\n.!:,]{0,40}[.!,:]\s*+|"
    r"(?:based on [^\n,:]{0,80},\s*)?here(?:'s| is| are)\b[^\n:]{0,80}:\s*+|"
    r"(?:the )?(?:findings?|impression|report|description|conclusion|radiology report)\s*:\s*+|"
    r"(?:findings?|impression|report|description|conclusion|radiology report)[ \t]*+\n\s*+)",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"\s*(?:let me know|i hope|hope this|please note|note that|note:|please consult|disclaimer|feel free|"
    r"if you (?:have|need)|"
    r"is there anything)",
    re.IGNORECASE,
)
_STARRED = re.compile(r"(?m)^[ \t]*+[-*\u2022][ \t]++|^[ \t]*+#{1,6}[ \t]++")
_BOLD = re.compile(r"\*\*|__")
_SLANTED = re.compile(r"(?<![\w*])\*([^\s*](?:[^*\n]{0,500}[^\s*])?)\*(?![\w*])")
_SENTENCE = re.compile(r"[.!?:](?=\s|\Z)|\n|\Z")
_DESCRIBES = re.compile(
    r"\b(?:here(?:'s| is| are)\b[^.!?\n:]{0,80}|(?:findings?|impression|report|description)(?: (?:is|are))?):\s*+",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(
    r"\b(?:i|i'm|we|sorry|apolog\w+|as an? (?:ai|\w+ (?:model|language)))\b|\Aunable to\b|\Ait is not possible",
    re.IGNORECASE,
)
_NOT_A_DOCTOR = re.compile(r"\s*+(?:i am|i'm|although i|while i)\b", re.IGNORECASE)
_GRAMMAR = Lark(f"start: /{_WORD}( {_WORD})*/")


@dataclass(frozen=True)
class Report(TypedAnswer):
    """A report on one line."""

    text: str

    @classmethod
    def parse(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts one plain line without tags or fences."""
        line = text.strip()
        if not line:
            raise Unparsable("has no visible text")
        if line != one_line(line):
            raise Unparsable("is more than one plain line")
        if is_wrapped(line):
            raise Unparsable("is wrapped in tags or fences")
        if _is_refusal(line):
            raise Unparsable("begins with a refusal")
        return cls(line)

    @classmethod
    def parse_tolerantly(cls, text: str, spec: QuestionSpec) -> Self:
        """Accepts any text with a visible character: unwrapped, without Markdown and talk, put on one line."""
        line = one_line(_without_talk(unwrap(text)))
        # What is left may have become a wrapping only now that it stands on one line.
        for _ in range(_MOST_LAYERS):
            if not is_wrapped(line) or line == (inner := one_line(unwrap(line))):
                break
            line = inner
        return cls.parse(line, spec)

    @classmethod
    def fallback(cls, spec: QuestionSpec) -> Self | None:
        """None: the question says nothing about the finding."""
        return None

    @classmethod
    def grammar(cls, spec: QuestionSpec) -> Grammar | None:
        """One line."""
        return _GRAMMAR

    def format(self) -> str:
        """The line."""
        return self.text


def _is_refusal(text: str) -> bool:
    """Whether a text begins by refusing to write a report; a report may say what cannot be assessed."""
    first = text[: _SENTENCE.search(text).start()]  # type: ignore[union-attr]  # finds the end, too
    return bool(_FIRST_PERSON.search(first)) and refuses(first)


def _without_talk(said: str) -> str:
    """A report without what stands around it: `Here is the report:`, headings, emphasis, a closing offer, a refusal.

    Raises:
        Refusal: It refuses to write a report.
    """
    said = _SLANTED.sub(r"\1", _BOLD.sub("", _STARRED.sub("", said)))
    if _DESCRIBES.search(said) and (_is_refusal(said) or _NOT_A_DOCTOR.match(said)):
        said = said[_DESCRIBES.search(said).end() :]  # type: ignore[union-attr]
    for _ in range(_MOST_LAYERS):
        inner = _LEAD_IN.sub("", said, count=1) if _LEAD_IN.match(said) else said
        if inner == said or not inner.strip():
            break
        said = inner
    if _is_refusal(said):
        raise Refusal
    paragraphs = re.split(r"\n\s*\n", said.strip())
    while len(paragraphs) > 1 and _TALK.match(paragraphs[-1]):
        paragraphs.pop()
    return "\n".join(paragraphs)
