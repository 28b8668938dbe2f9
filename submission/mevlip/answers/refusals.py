"""Recognizing a refusal to answer, which must not be searched for an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CANNOT = (
    r"(?:cannot|can ?not|can't|could not|couldn't|unable to|not able to|not qualified to|not possible to|impossible to|"
    r"(?:do not|don't) have the (?:ability|capability|capacity|means) to|not (?:trained|designed|allowed|permitted) to|"
    r"won't|will not|(?:not|isn't|is not) enough information to|insufficient (?:information|data) to)"
)
_DEEDS = (
    r"(?:(?:be )?(?:determin|provid|measur|diagnos|interpret|analy[sz]|calculat|locat|evaluat|estimat|describ|writ|"
    r"generat|classif|mak|giv|replac|advis|recogni[sz]|approximat|comput|produc)(?:e|y|ies|ied|ing|ed|en|n)?|"
    r"be (?:certain|sure|exact|precise|identified|answered|counted|assessed|seen|told)|tell|say|assist|help|"
    r"answer|count|"
    r"offer|confirm|process|draw|do (?:that|this)|guarantee|"
    r"(?:identif(?:y|ied)|detect|assess)(?! any)|"
    r"(?:see|view|access|open|look at)(?: or \w+)? (?:(?:the|this|that|your|any|an?|medical) )*"
    r"(?:images?|pictures?|photos?|x-rays?|scans?|radiographs?))"
)
_REFUSES = re.compile(
    rf"\b(?:(?:i'm|i am|we are|we're) (?:\w+ )?(?:sorry|afraid)|(?:sorry|apologies|apologi[sz]e)[,.]? (?:but|i|we)\b|"
    rf"\A(?:sorry|my apologies)(?=[,.!]|\s*\Z)|"
    rf"as an? (?:ai|artificial intelligence|(?:large )?language model|text-based)\b|"
    rf"(?:i am|i'm) (?:just |only )?an ai\b|"
    rf"{_CANNOT} (?:\w+ly )?{_DEEDS}\b|"
    r"(?:not|isn't|no) (?:enough|sufficient) information|"
    r"no (?:image|picture|x-ray|scan|file) (?:was|is|has been|seems to be|appears to be)|"
    r"(?:do not|don't|did not|didn't|cannot|can't) see (?:any|an|the|a) (?:image|picture|attachment|file|scan|x-ray)|"
    r"(?:have no|(?:do not|don't) have) access to (?:the|any|this|your) (?:image|picture|file|scan)|"
    r"(?:please|could you) (?:provide|upload|attach|share|send|re-?upload) (?:the|an|a|your|me)\b)",
    re.IGNORECASE,
)
_REACH = 200
_TURN = re.compile(r"\b(?:but|however|nevertheless|nonetheless|that said|still|yet)\b", re.IGNORECASE)


def refusal_at(text: str) -> int | None:
    """Where a text refuses to answer; None where it does not."""
    found = _REFUSES.search(text)
    return found.start() if found else None


def refuses(text: str, labels: Iterable[str] = ()) -> bool:
    """Whether a text refuses to answer; not where an option says the same in as many words."""
    return refusal_at(text) is not None and not any(_REFUSES.search(label) for label in labels)


def is_refused(text: str, place: int) -> bool:
    """Whether what stands at a place of a text is what its sentence refuses, as in `I cannot give the answer: ...`."""
    before = re.split(r"[.!?,;]\s|\n", text[max(place - _REACH, 0) : place])[-1]
    found = _REFUSES.search(before)
    return found is not None and not _TURN.search(before, found.end())


def turn_after(text: str, place: int) -> int | None:
    """Where a text that refuses goes on with `but` or `however`; None where it does not."""
    found = _TURN.search(text, place)
    # "I'm sorry, but I cannot ..." is one refusal.
    while found and _REFUSES.search(text, found.start(), found.end() + 80):
        found = _TURN.search(text, found.end())
    return found.end() if found else None
