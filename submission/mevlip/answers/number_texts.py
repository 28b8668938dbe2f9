"""Finding the number that a text gives as its answer, among the others that stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mevlip.answers.base import Refusal, Unparsable
from mevlip.answers.clean import plain, unwrap, without_fences
from mevlip.answers.conclusions import Conclusion, conclusions
from mevlip.answers.question_spec import GREATEST, QuestionSpec
from mevlip.answers.refusals import refusal_at, refuses, turn_after

# Digits in groups of three, plain digits, or a fraction; then perhaps an exponent. Chinese words need no blanks.
_NUMBER = (
    r"(?<![^\W\u3040-\u30ff\u4e00-\u9fff])(?<!\.)[-+\u2212]?"
    r"(?:\d{1,3}(?:[, \u00a0\u2009'\u202f]\d{3}){1,9}+(?:\.\d+)?(?!\d)|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?:\s?(?:[eE]|[x\u00d7*]\s?10\s?\^\s?)[-+]?\d{1,3})?"
)
_ANY = re.compile(_NUMBER)
_UNIT = r"(?:%|\u00b0|per ?cent|degrees?|mm|cm)"
_RANGE = re.compile(
    rf"({_NUMBER})\s*{_UNIT}?\s*(?:-|\u2013|\u2014|\bto\b)\s*({_NUMBER})(?!\s*{_UNIT}?\s*=)|"
    rf"\bbetween ({_NUMBER})\s*{_UNIT}? and ({_NUMBER})"
)
_IGNORED = re.compile(
    r"\b(?:fig(?:ure|\.)?|tooth|teeth|grade|stage|step|class|type|image|picture|photo|row|column|quadrant|line|table|page|part|level|"
    r"chromosome|question|option|section|slide|case|patient|field|group|region|area|point|landmark|method|version|phase|cluster)s?"
    r"[\s\"':#.(]{0,3}\Z",
    re.IGNORECASE,
)
_NOT_COUNTED = re.compile(
    r"(?:st|nd|rd|th)\b|\s?[x\u00d7](?![\w\s]*\d)(?!\w)|(?:,|\s?(?:and|-|\u2013))\s?\d+(?:st|nd|rd|th)\b"
)
_MEASURED = re.compile(
    r"[\s-]?(?:%|\u00b0|per ?cent\b|degrees?\b|[\u00b5\u03bcun]m\b|mm\b|cm\b|px\b|pixels?\b|years?\b|percentage)",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"(?:=|\u2248|~|\b(?:is|are|was|were|be|being|equals?|equal to|giv(?:es?|ing)|mak(?:es?|ing)|yields?|comes? to|"
    r"altogether|(?<!in )totals?|totall?ing|counts?|counted|get|got|see|saw|show[ns]?|contains?|has|have|"
    r"(?:total|sum|count|number|percentage|value|average|estimate|loss) of|found|approximately|about|around|roughly|"
    r"almost|nearly|exactly|so|thus|as)\b:?|\bin (?:all|total),?|"
    r"\b(?:results?|estimates?|counts?|(?<!in )total|sum|answer|value|average|mean|loss|percentage|percent|number|"
    r"angle|measurement|abr%?)[\"'%*)\]]*\s*(?::|=|->)|"
    r"\b\w*(?:count|total|percent|answer|value|result)\w*[\"']\s*:)[\s~(\"'*]*+\Z",
    re.IGNORECASE,
)
_SUMMED = re.compile(
    r"(?:=|\u2248|\b(?:equals?|giv(?:es?|ing)|mak(?:es?|ing)|yields?|comes? to|altogether|(?:in )?(?:all|total)|"
    r"totals?|sum|answer|result|average|mean|count|estimate|number)\b[\"'*]*,?(?: (?:is|of))?:?)[\s~(\"'*]*+\Z",
    re.IGNORECASE,
)
_TOTAL = re.compile(r"\s?(?:[a-z-]+\s){0,2}?(?:in total|in all|altogether)\b", re.IGNORECASE)
_EXPLICIT = re.compile(
    r"\b(?:approximately|about|around|roughly|estimate[ds]?|guess|answer|total|count|there (?:are|is|seem|appear))\b",
    re.IGNORECASE,
)
_ENUMERATED = re.compile(r"(?m)^[ \t]*+(\d{1,2})[.)](?=\s)")
_LONGEST_BEFORE = 48


class _Number(NamedTuple):
    """A number, or a range of two, in a text.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        value: Its value; the middle of a range.
        stated: Whether the words before it say that it is the answer.
        summed: Whether they say that it is a sum, or the result.
        fitting: Whether it is followed by the question's unit, or by what the question asks to count.
        foreign: Whether it is followed by a unit that the question does not name.
    """

    start: int
    end: int
    value: float
    stated: bool
    summed: bool
    fitting: bool
    foreign: bool


def find_number(text: str, spec: QuestionSpec) -> float:
    """The number that a text gives as its answer.

    The first of: the whole text; the last final conclusion; the last stated number (`there are 23`, `= 23`), one with
    the question's unit before others; the first number with the unit; the first number; the first number word. A text
    outside of code fences comes before one inside; numbers of list items, figures, teeth, grades and the like never
    count.

    Raises:
        Refusal: The text refuses to answer, and states no number all the same.
        Unparsable: The text has no number, or its number is a million or more.
    """
    whole = unwrap(text)
    if _ANY.fullmatch(whole):
        return _checked(value_of(whole))
    said = plain(text)
    if _ANY.fullmatch(said.strip()):
        return _checked(value_of(said.strip()))
    prose = plain(without_fences(text))
    if refuses(prose):
        return _checked(_despite_refusal(prose, spec))
    for part, certain in ((prose, True), (said, False)):
        found = _number_in(part, spec, only_certain=certain and part != said)
        if found is not None:
            return _checked(found)
    raise Unparsable("has no number")


def _number_in(said: str, spec: QuestionSpec, *, only_certain: bool) -> float | None:
    numbers = list(_numbers(said, spec))
    if (final := _final(said, numbers)) is not None:
        return final
    own = [one for one in numbers if not one.foreign] or numbers
    stated = [one for one in own if one.stated]
    if chosen := [one for one in stated if one.fitting or (one.summed and not spec.unit)] or stated:
        return chosen[-1].value
    if fitting := [one for one in own if one.fitting]:
        return fitting[0].value
    if only_certain:
        alone = [one for one in own if said[: one.start].strip(" \n*(") == ""]
        return alone[0].value if alone else None
    if own:
        return own[0].value
    return _word_value(said, spec)


def _word_value(said: str, spec: QuestionSpec) -> float | None:
    """The value of the first number word; `no` counts only before something that the question names."""
    asked = set(re.findall(r"[a-z]{4,}", spec.line.lower()))
    asked |= {word.removesuffix("s") for word in asked}
    for word in _WORD.finditer(said):
        if word[0].lower() != "no" or asked & set(said[word.end() : word.end() + 40].lower().split()[:3]):
            return float(_WORD_VALUES[word[0].lower()])
    return None


def _final(said: str, numbers: list[_Number]) -> float | None:
    """The number of the last final conclusion that has one."""
    for one in reversed([one for one in conclusions(said) if one.final]):
        found = _within(one, said, numbers)
        if found is not None:
            return found
    return None


def _within(one: Conclusion, said: str, numbers: list[_Number]) -> float | None:
    start = said.find(one.part, one.start)
    inside = [number for number in numbers if start <= number.start and number.end <= start + len(one.part)]
    equal = [number for number in inside if said[: number.start].rstrip().endswith("=")]
    if chosen := equal[-1:] or inside[:1]:
        return chosen[0].value
    word = _WORD.match(one.part)
    return float(_WORD_VALUES[word[0].lower()]) if word else None


def _despite_refusal(prose: str, spec: QuestionSpec) -> float:
    """The number of a text that refuses to answer and answers all the same: before that, in a conclusion, after `but`.

    Raises:
        Refusal: There is none.
    """
    numbers = list(_numbers(prose, spec))
    if (final := _final(prose, numbers)) is not None:
        return final
    place = refusal_at(prose) or 0
    before = [one for one in numbers if one.end <= place and (one.stated or one.fitting or one.start == 0)]
    if before:
        return before[-1].value
    turn = turn_after(prose, place)
    for one in numbers:
        clause = prose[max(one.start - _LONGEST_BEFORE, 0) : one.start]
        clause = re.split(r"[.!?\n](?=\s)|\n", clause)[-1]
        after_turn = turn is not None and turn <= one.start and not re.search(r"[.!?]\s", prose[turn : one.start])
        if (
            one.stated
            and not one.foreign
            and _EXPLICIT.search(clause)
            and (after_turn or re.search(r"\bestimate|answer\b", clause))
        ):
            return one.value
    raise Refusal


def _numbers(said: str, spec: QuestionSpec) -> Iterator[_Number]:
    """The numbers of a text that may be its answer, ranges as one; not those that name or enumerate something."""
    enumerated = set(_enumerated(said))
    nouns = _nouns(spec)
    reached = 0
    ranges = {match.start(1) if match[1] else match.start(3): match for match in _RANGE.finditer(said)}
    for match in _ANY.finditer(said):
        if match.start() < reached or match.start() in enumerated:
            continue
        span = ranges.get(match.start())
        start, end = match.start(), (span or match).end()
        reached = end
        before, after = said[max(start - _LONGEST_BEFORE, 0) : start], said[end : end + _LONGEST_BEFORE]
        if _names(before) or _NOT_COUNTED.match(after):
            continue
        if span and not span[1]:
            before = said[max(span.start() - _LONGEST_BEFORE, 0) : span.start()]
        bounds = [bound for bound in span.groups() if bound] if span else [match[0]]
        value = sum(map(value_of, bounds)) / len(bounds)
        unit = _MEASURED.match(after)
        fitting = _fits(after, unit, spec, nouns)
        total = bool(_TOTAL.match(after))
        stated = total or _is_stated(before)
        summed = total or (stated and bool(_SUMMED.search(before)))
        yield _Number(start, end, value, stated, summed, fitting, bool(unit) and not fitting)


def _names(before: str) -> bool:
    """Whether the words before a number make it a name, as in `tooth 36`."""
    return before.rstrip(" \"':#.(\n")[-1:].isalpha() and bool(_IGNORED.search(before))


def _is_stated(before: str) -> bool:
    """Whether the words before a number say that it is the answer."""
    last = before.rstrip(" ~(\"'*\n")[-1:]
    return (last.isalpha() or last in tuple("=:\u2248>") or before.rstrip()[-1:] == "~") and bool(
        _STATED.search(before)
    )


def _fits(after: str, unit: re.Match[str] | None, spec: QuestionSpec, nouns: set[str]) -> bool:
    if spec.unit:
        meant = {"%": ("%", "per"), "\u00b0": ("\u00b0", "deg")}.get(spec.unit, (spec.unit,))
        return unit is not None and unit[0].strip(" -").lower().startswith(meant)
    words = re.match(r"\s?(?:[a-z-]+\s)?([a-z]+)|\s?[a-z]+", after, re.IGNORECASE)
    return unit is None and bool(words) and bool(nouns & set(words[0].lower().split()))  # type: ignore[index]


def _nouns(spec: QuestionSpec) -> set[str]:
    """The words of a question that may be what it asks to count."""
    words = re.findall(r"[a-z]{4,}", spec.line.lower())
    plain_words = {word for word in words if word.endswith("s") and word not in ("this", "does", "various")}
    return plain_words | {word[:-1] for word in plain_words}


def _enumerated(said: str) -> Iterator[int]:
    """Where the numbers of a numbered list stand: 1, or one more than the last."""
    last = 0
    for match in _ENUMERATED.finditer(said):
        number = int(match[1])
        if number in (1, last + 1):
            last = number
            yield match.start(1)


def _checked(value: float) -> float:
    if not abs(value) <= GREATEST:
        raise Unparsable("is a number of a million or more")
    return value


def value_of(number: str) -> float:
    """Reads a number; a lone comma is a decimal one unless three digits follow it."""
    text = re.sub(r"\s?[x\u00d7*]\s?10\s?\^\s?", "e", number.replace("\u2212", "-")).replace(" e", "e")
    text = re.sub(r"[, \u00a0\u2009'\u202f](?=\d{3}(?!\d))", "", text)
    return float(re.sub(r"\s", "", text).replace(",", "."))


_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORD_VALUES = (
    {word: value for value, word in enumerate(_ONES)}
    | {word: 10 * place for place, word in enumerate(_TENS, 2)}
    | {
        f"{ten}{mark}{one}": 10 * place + value
        for place, ten in enumerate(_TENS, 2)
        for value, one in enumerate(_ONES[1:10], 1)
        for mark in "- "
    }
    | {
        "none": 0,
        "no": 0,
        "hundred": 100,
        "a hundred": 100,
        "one hundred": 100,
        "dozen": 12,
        "a dozen": 12,
        "half a dozen": 6,
        "two dozen": 24,
    }
)
_WORD = re.compile(
    rf"\b(?:{'|'.join(sorted(_WORD_VALUES, key=len, reverse=True))})\b(?! (?:thirds?|hal(?:f|ves)|quarters?|"
    rf"fifths?|tenths?)\b)",
    re.IGNORECASE,
)
