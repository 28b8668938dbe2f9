"""What a text concludes: the parts of it that state its final answer, for all answers that are read from prose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mevlip.answers.refusals import is_refused

_WORDS = r"(?:\s++[^\s.:;,=?!]{1,20}+){0,6}?"
_IS = (
    r"(?:\s*+\b(?:is|are|was|were|(?:will|would|should|must|may|can) be|(?:seem|appear)s? to be|"
    r"lautet|ist|es|son|est|sont|\u00e8|e)\b(?!n't| not\b)(?:\s*+[:=])?|"
    r"[\"')\]]*+\s*+(?:[:=]|->|\u2192)|\s++[-\u2013\u2014](?=\s))"
)
_GOOD = (
    r"(?:final|correct|right|best|likely|likeliest|most (?:likely|appropriate|plausible)|chosen|selected|my|overall)"
)
_NOUN = (
    r"(?:answers?|diagnos[ie]s|response|decision|verdict|conclusions?|classification|labels?|findings|conditions?|"
    r"abnormalit(?:y|ies)|prediction|antwort(?:en)?|respuestas?|r\u00e9ponses?|rispost[ae]|resposta)(?:\(s\))?"
)
_PICK = r"(?:options?|choices?|letters?|selections?|match|category|class|type)(?:\(s\))?"
_AMOUNT = r"(?:count|value|list|result|number|total|estimate|measurement)"
_DOES = (
    r"(?:choose|chose|select|selected|pick|picked|go (?:with|for)|went with|opt for|answer|say|conclude|"
    r"call (?:it|this)|(?:classify|label) (?:it|this)?(?: as)?)(?: that)?"
)
_FINAL = rf"\bfinal (?:{_NOUN}|{_PICK}|{_AMOUNT})(?:{_WORDS}{_IS}|\s*+(?=\n|\Z))"
_STATED = "|".join(
    (
        rf"(?<!typical )(?<!common )(?<!possible )(?<!usual )\b(?:{_GOOD} ){{0,3}}{_NOUN}{_WORDS}{_IS}",
        rf"\b{_GOOD} {_PICK}{_WORDS}{_IS}",
        rf"\b(?:i|we)(?:'d|'ll)?(?: (?:would|will|have|can|must|therefore|thus|finally|also))*+ {_DOES}\b",
        r"\b(?:choice|option|letter|selection|pick|final)[\"')\]]*+\s*+[:=](?=\s)",
        r"(?<=\n)conclusion[ \t]*+(?=\n)",
        r"(?:->|\u2192|=>)",
        r"\bleav(?:es|ing)\b",
        # Chinese: answer, reply, choose, conclusion; then "should be", "is".
        r"(?:\u7b54\u6848|\u56de\u7b54|\u9009\u62e9|\u9009|\u7ed3\u8bba)"
        r"(?:\u5e94\u8be5|\u5e94)?(?:\u662f|\u4e3a|\u70ba)?[:\s]*+",
    )
)
_SUMMED_UP = (
    r"\b(?:in (?:conclusion|summary|short|the end)|to (?:conclude|summari[sz]e|sum up)|overall|conclusively)\b,?"
)
_INFERRED = (
    rf"{_SUMMED_UP}|\b(?:therefore|thus|hence|consequently|accordingly|as a result)\b,?|"
    r"(?:(?<=[.,;!?]\s)|(?<=\n)|\A)so\b,?"
)
_ANNOUNCED = re.compile(rf"(?P<final>{_FINAL})|(?P<stated>{_STATED})|(?P<inferred>{_INFERRED})", re.IGNORECASE)
_CONFIRMED = re.compile(
    r"\b(?:is|seems|would be|must be|appears to be) (?:therefore |thus |clearly )?(?:the |my )?"
    r"(?:correct|right|best|most (?:likely|appropriate|plausible|suitable)|final)\b"
    r"(?: (?:answer|option|choice|match|one|fit|diagnosis))?(?=\s*+(?:[.,;!]|\Z|here\b|because\b|since\b|as\b))",
    re.IGNORECASE,
)
_REVISED = re.compile(
    r"\b(?:wait|actually|correction|on (?:a )?(?:second|closer) (?:thought|look)|scratch that|"
    r"let me (?:re-?check|check again|reconsider|correct)|i (?:made a mistake|was wrong|stand corrected))\b",
    re.IGNORECASE,
)
_END = re.compile(r"[.!?](?=[\s\"')]|\Z)|\n")
_BLANK = re.compile(r"[\s:=*\-\u2013\u2014\"'.]*+")
_GAP = re.compile(r"\n\s*\n")
_MOST = 40


@dataclass(frozen=True)
class Conclusion:
    """A part of a text that states an answer.

    Attributes:
        start: Where its announcement begins.
        end: Where its sentence ends.
        part: What is announced: the rest of the sentence and the one after it, or the lines below; no further than the
            next announcement.
        final: Whether it is called final, or stands in a LaTeX box.
        inferred: Whether it is only a consequence (`therefore ...`), not called an answer.
    """

    start: int
    end: int
    part: str
    final: bool = False
    inferred: bool = False


def conclusions(said: str) -> list[Conclusion]:
    """The conclusions of a text, in its order; of many the last ones.

    What follows the last revision (`wait`, `actually`) counts alone, where something is concluded there.

    Args:
        said: A text as `mevlip.answers.clean.plain` gives it.
    """
    marks = [mark for mark in list(_ANNOUNCED.finditer(said))[-_MOST:] if not is_refused(said, mark.start())]
    found = []
    for mark, follower in zip(marks, [*marks[1:], None], strict=False):
        limit = follower.start() if follower else len(said)
        found.append(_conclusion(said, mark, limit))
    for mark in list(_CONFIRMED.finditer(said))[-_MOST:]:
        start = max(
            (end.end() for end in _END.finditer(said, max(mark.start() - 300, 0), mark.start())),
            default=max(mark.start() - 300, 0),
        )
        # "If there were dots, B would be right."
        if not re.search(r"\bif\b", said[start : mark.start()], re.IGNORECASE):
            found.append(Conclusion(start, mark.end(), said[start : mark.start()]))
    found.sort(key=lambda one: one.start)
    for revision in reversed(list(_REVISED.finditer(said))[-_MOST:]):
        if later := [one for one in found if one.start >= revision.start()]:
            return later
    return found


def is_summary(conclusion: Conclusion, said: str) -> bool:
    """Whether an inferred conclusion sums up everything before it."""
    return bool(re.match(_SUMMED_UP, said[conclusion.start : conclusion.start + 30], re.IGNORECASE))


def _conclusion(said: str, mark: re.Match[str], limit: int) -> Conclusion:
    start = _BLANK.match(said, mark.end(), limit).end()  # type: ignore[union-attr]  # matches the empty text, too
    below = "\n" in said[mark.end() : start]
    end = _GAP.search(said, start, limit) if below else _END.search(said, start, limit)
    stop = end.start() if end else limit
    further = stop
    if end and not below and stop - start <= 3 and said[stop : stop + 1] != "\n":
        # "C. Macular ...": what stands behind a bare mark belongs to it.
        after = _END.search(said, stop + 1, limit)
        further = after.start() if after else limit
    return Conclusion(mark.start(), stop, said[start:further], bool(mark["final"]), bool(mark["inferred"]))
