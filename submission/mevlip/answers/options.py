"""Which option of a closed question a part of a text means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mevlip.answers.denial import denied
from mevlip.answers.matching import closest, contained, fold_label, mentioned, same
from mevlip.answers.question_spec import QuestionSpec

DISAGREE = "letter and text disagree"
"""The note of an answer whose letter is one option's and whose text is another's."""

_LEAD_IN = re.compile(
    r"[\s\"'*>=:\-\u2013]*+(?:(?:that|it's|it is|this is|this|is|either|clearly|most likely|likely|probably|"
    r"definitely|option|choice|letter|answer|the|"
    r"correct|best)\b(?![.:)])\s*+[\"':]*+)*+",
    re.IGNORECASE,
)
_MARK = re.compile(r"[(\[{\"']*+([A-Za-z]|\d{1,2})(?![\w'\u2019-])")
_STOPS = re.compile(
    r"\s*(?:[)\]}\"'.,:;!?|/&]|[-\u2013\u2014]+\s|\n|\Z)|\s+(?:\(|because|since|as\b|due|with|given|and\b|or\b|is\b|fits|best|here)"
)
_OTHER = re.compile(
    r"[)\]\"']*+\s*+(?:,\s*+)?(?:or|oder|ou)\s++(?:(?:option|even|maybe|perhaps|possibly)\s++)*+[(\[\"']?([A-Za-z]|\d{1,2})(?![\w'-])"
)
_NAMED = re.compile(
    r"\b(?:options?|choices?|letters?|answers?)\s++[(\[\"']?([A-Z])(?![\w'-])|[(\[]([A-Z])[)\]]", re.IGNORECASE
)
_ALONE = re.compile(r"(?<![\w'-])([A-Z])(?![\w'-])")
_COPULA = re.compile(r"\b(?:is|are|be|as|with|of|shows?|has|suggests?|indicates?|represents?|an?)\s+(?=\S)")
_CLAUSE = re.compile(r"[.,;:!?(\n]|\s[-\u2013\u2014]\s|\Z")
_NEGATED = re.compile(r"\b(?:no|not|never|without|neither|nor|cannot|rather)\b|n't\b", re.IGNORECASE)
_LONGEST_SENTENCE = 400
_SEEN = re.compile(
    r"\s(?:is|are|was|were|can be)\s(?:\w+\s)?(?:seen|present|visible|identified|noted|found|detected)\b.*", re.DOTALL
)
_YES_NO = ("yes", "no")
_SENTENCE = re.compile(r"[.!?](?=\s|\Z)|\n|\Z")


class Meaning(NamedTuple):
    """What a part of a text means.

    Attributes:
        values: The options meant, by mark where they have marks, else by text; several where it leaves that open.
        note: Why that is remarkable; mostly empty.
    """

    values: frozenset[str]
    note: str = ""


NOTHING = Meaning(frozenset())


def meaning_of(part: str, spec: QuestionSpec) -> Meaning:
    """What a part that states an answer means: a mark at its beginning, else a named mark, else a text, else a letter.

    Where a mark is followed by the whole text of another option, the text counts: a letter is only a pointer to what a
    model means, and the less reliable of the two.
    """
    part = part[_LEAD_IN.match(part).end() :]  # type: ignore[union-attr]  # matches the empty text, too
    if led := leading(part, spec):
        return led
    marks = named_marks(part, spec)
    texts = named_texts(part, spec)
    if len(marks) == 1:
        if len(texts) == 1 and texts != marks and _begins_with(part, texts, spec):
            return Meaning(texts, DISAGREE)
        return Meaning(marks)
    if texts or marks:
        return Meaning(texts or marks)
    return Meaning(lone_letters(part, spec))


def leading(part: str, spec: QuestionSpec) -> Meaning | None:
    """What a part means that begins with a mark of the question; None where it does not."""
    match = _MARK.match(part)
    mark = own_mark(match[1], spec) if match else None
    if match is None or mark is None:
        return None
    after = part[match.end() :]
    # "A benign lesion", "I think": a word, not a letter. A small letter needs more than a blank behind it.
    if (match[1] in "AI" or not match[1].isupper()) and not _STOPS.match(after):
        return None
    if match[1] == "a" and re.match(r"\s+\w", after):
        return None
    if _is_denied(part, match.span(1)):
        return None
    if (other := _OTHER.match(after)) and (second := own_mark(other[1], spec)) and second != mark:
        return Meaning(frozenset((mark, second)))
    rest = after.lstrip(" \t)]}\"'.:,;(-\u2013\u2014*|>=")
    text = text_after(rest, spec)
    if text is not None and text != mark:
        return Meaning(frozenset((text,)), DISAGREE)
    return Meaning(frozenset((mark,)))


def text_after(rest: str, spec: QuestionSpec) -> str | None:
    """The option whose text stands behind a mark: as its sentence, or up to a comma or the like."""
    sentence = rest[: _SENTENCE.search(rest).start()].strip(" )]}\"'*")  # type: ignore[union-attr]  # finds the end, too
    if not sentence or len(sentence) > _LONGEST_SENTENCE:
        return None
    if label := closest(sentence, spec.labels):
        return value_of(label, spec)
    clause = sentence[: _CLAUSE.search(sentence).start()]  # type: ignore[union-attr]
    label = same(clause, spec.labels)
    return value_of(label, spec) if label else None


def named_marks(part: str, spec: QuestionSpec) -> frozenset[str]:
    """Marks called options, or in brackets, that the part does not deny."""
    found = [(m.start(1) if m[1] else m.start(2), (m[1] or m[2]).upper()) for m in _NAMED.finditer(part)]
    found = [
        (place, mark)
        for place, mark in found
        if mark in spec.options and not (part[place] == "a" and _is_article(part, place + 1))
    ]
    return _asserted(part, found)


def lone_letters(part: str, spec: QuestionSpec) -> frozenset[str]:
    """Capital letters of options that stand alone, but for articles, pronouns and what the part denies."""
    found = [
        (match.start(), match[1])
        for match in _ALONE.finditer(part)
        if match[1] in spec.options
        and not (match[1] == "A" and _is_article(part, match.end()))
        and not (match[1] == "I" and re.match(r"[ '\u2019][\w]", part[match.end() : match.end() + 2]))
    ]
    return _asserted(part, found)


def named_texts(part: str, spec: QuestionSpec) -> frozenset[str]:
    """Options whose text is all of the part, or its predicate, or stands in it and is not denied."""
    if label := same(part, spec.labels):
        return frozenset((value_of(label, spec),))
    line, spans = mentioned(part, spec.labels)
    # A bare "no" in a sentence denies something else.
    spans = [one for one in spans if fold_label(one[2]) not in _YES_NO]
    if not spans and len(part) <= _LONGEST_SENTENCE:
        line, spans = _short_forms(part, spec)
    if spans:
        bad = denied(line, [(start, end) for start, end, _ in spans])
        return frozenset(value_of(label, spec) for place, (_, _, label) in enumerate(spans) if place not in bad)
    if len(part) > _LONGEST_SENTENCE:
        return frozenset()
    positive = _NEGATED.search(part)
    begins = positive is not None and positive[0].lower() == "no"  # an option may begin so
    parts = [part, _SEEN.sub("", part[positive.start() :])] if positive and begins else [part]
    places = [0, *(match.end() for match in _COPULA.finditer(part, 0, positive.start() if positive else len(part)))][:9]
    sentences = [part[place : _SENTENCE.search(part, place).start()] for place in places]  # type: ignore[union-attr]
    for piece in (*parts, *sentences):
        if label := closest(piece.strip(" )]}\"'*(,"), spec.labels):
            return frozenset((value_of(label, spec),))
    return frozenset()


def _short_forms(part: str, spec: QuestionSpec) -> tuple[str, list[tuple[int, int, str]]]:
    """Options that a part names by what stands before their brackets, as `Class I` for `Class I (both ends free)`."""
    short = {label: label.split("(")[0].strip() for label in spec.labels if "(" in label.strip("(")}
    unique = {form: label for label, form in short.items() if form and list(short.values()).count(form) == 1}
    line, spans = mentioned(part, [form for form in unique if form not in spec.labels])
    return line, [(start, end, unique[form]) for start, end, form in spans]


def own_mark(letter: str, spec: QuestionSpec) -> str | None:
    """The question's mark of that name, in any case."""
    return next((own for own in spec.options if own.casefold() == letter.casefold()), None)


def value_of(label: str, spec: QuestionSpec) -> str:
    """What answers for an option's text: its mark, where it has one."""
    return next((mark for mark, option in spec.options.items() if option == label), label)


def texts_in(said: str, spec: QuestionSpec) -> frozenset[str]:
    """Options whose texts stand in a text and are not denied; a bare `no` in a sentence denies something else."""
    named = {label for _, label in contained(said, spec.labels)}
    return frozenset(value_of(label, spec) for label in named if fold_label(label) not in _YES_NO)


def walked(said: str, spec: QuestionSpec) -> Iterator[tuple[str, str]]:
    """Lines, or parts of a repeated list of options, that begin with a mark: the mark and what stands behind it."""
    for match in re.finditer(
        r"(?:(?<=\n)|\A|(?<=[,;]\s))[ \t]*+(?:[-*\u2022][ \t]*+)?(?:option\s)?[(\[]?([A-Za-z]|\d{1,2})[)\].:](?=\s)",
        said,
    ):
        mark = own_mark(match[1], spec)
        if mark:
            yield mark, said[match.end() : match.end() + 200]


def _asserted(part: str, found: list[tuple[int, str]]) -> frozenset[str]:
    bad = denied(part.casefold(), [(place, place + 1) for place, _ in found])
    return frozenset(mark for number, (_, mark) in enumerate(found) if number not in bad)


def _is_denied(part: str, span: tuple[int, int]) -> bool:
    """Whether a leading mark is denied, alone or in a list of marks; not where it is set off, as in `B) ...`."""
    if part[span[1] : span[1] + 1] in tuple(")].:"):
        return False
    spans = sorted({span, *(match.span(1) for match in _ALONE.finditer(part[:200]))})
    return spans.index(span) in denied(part[:300].casefold(), spans)


def _is_article(part: str, end: int) -> bool:
    return bool(re.match(r" [A-Za-z]", part[end : end + 2]))


def _begins_with(part: str, texts: frozenset[str], spec: QuestionSpec) -> bool:
    [value] = texts
    label = fold_label(spec.options.get(value, value))
    return re.sub(r"^(?:an?|the) ", "", fold_label(part)).startswith(label)
