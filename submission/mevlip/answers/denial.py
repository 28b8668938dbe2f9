"""Which things that a text names it denies: `no sign of X`, `neither X nor Y`, `X and Y are not seen`, `X: no`."""

from __future__ import annotations

import re
from collections.abc import Sequence

Span = tuple[int, int]
"""First and last place, the latter exclusive, of something named."""

_NEGATOR = (
    r"(?:no|not|nor|without|neither|never|cannot|can't|isn't|aren't|wasn't|doesn't|don't|didn't|absence|absent|lack|lacks|"
    r"lacking|negative for|free (?:of|from)|rather than|instead of|exclud\w+|rul(?:e|es|ed|ing) out|den(?:y|ies)|"
    r"eliminat\w+|less likely|unlikely|unlike|except)"
)
_STOP_WORD = r"(?:but|only|however|although|while|yet)\b"
_BEFORE = re.compile(rf"\b{_NEGATOR}\b(?! only\b| doubt\b)(?:\s+(?!{_STOP_WORD})[\w'-]+){{0,5}}+[\s\"'(]*+\Z")
_UNDER = re.compile(
    r"\b(?:absent|excluded|negative|denied|ruled out|not (?:present|seen|visible|applicable|found|selected))"
    r"(?: [\w()]+){0,2}:\s*+\Z"
)
_POSSIBLE = re.compile(
    r"\b(?:cannot|can't|can not|could not|not|unable to) (?:\w+ )?(?:rule out|exclude)(?:\s+[\w'-]+){0,3}+\s*+\Z"
)
_UNCHECKED = re.compile(r"\[\s?\]\s*+\Z")
_LINK = re.compile(
    r"[\s\"')\]]*+[,/]?\s*+(?P<word>and/or|or|nor|and|&)?\s*+"
    r"(?:(?:any|an?|the|of|option|options|no|not|either|with)\s++)*+[\s\"'(\[]*+"
)
_VERB = (
    r"(?:is|are|was|were|seems?|appears?|looks?|remains?|has been|have been|be|do|does|did|can|could|may|might)(?: be)?"
    r"(?: (?:also|very|clearly|therefore|thus|both|all|highly|most))?"
)
_STATE = (
    r"(?:not\b(?! only)|never|absent|unlikely|excluded|ruled out|incorrect|wrong|eliminated|impossible|out|less likely|"
    r"implausible|unsupported|negative|false|no longer|improbable)\b"
)
_NO = r"(?:no|not|none|absent|false|negative|excluded|unlikely|0)\b"
_AFTER = re.compile(
    rf"[\s\"')\]*]*+(?:(?:{_VERB} )?{_STATE}|"
    r"(?:do|does|did|is|are|was|were|can|could)n't\b|cannot be (?:seen|confirmed|identified|detected)|"
    r"would (?!be (?:the |my )?(?:best|correct|most|right|final|likely))|"
    rf"\?|[:=\-\u2013\u2014|>]++\s*+[\"'(]?(?:{_NO}|[\u2717\u2718\u274c\u00d7])|"
    r"\((?:no|not (?:present|seen|visible)|none|absent|negative|excluded|unlikely|ruled out)\))"
)
_TWICE = re.compile(
    r"[\s\"')\]]*+(?:can ?not|can't|could not|is not|are not|not) (?:be )?(?:\w+ )?(?:excluded|ruled out)"
)
_OWN_CLAUSE = re.compile(
    r"[\s\"')\]]*+(?:(?:is|was|has|remains|shows|appears|seems) (?!not\b|no\b|absent|unlikely|excluded)|"
    r"(?:are|were) (?:also|clearly) )"
)
_REACH = 90


def denied(line: str, spans: Sequence[Span]) -> set[int]:
    """Which of the things named in a line it denies, by their place in `spans`.

    A denial before a list (`no X, Y, or Z`) or after one (`X and Y are not seen`) holds for all of it, where `and`,
    `or` or `nor` ties it together; before mere commas it holds for the first.

    Args:
        line: A text in lower case.
        spans: Where the things stand, in order and apart from each other.
    """
    found: set[int] = set()
    for first, last in _chains(line, spans):
        places = range(first, last + 1)
        ties = [_link(line, spans, place)["word"] for place in places[1:]]
        before = line[max(spans[first][0] - _REACH, 0) : spans[first][0]]
        after = line[spans[last][1] : spans[last][1] + _REACH]
        if _POSSIBLE.search(before):
            continue
        if _UNDER.search(before):
            found.update(places)
        elif _UNCHECKED.search(before) or _BEFORE.search(before):
            found.update(places if any(ties) else [first])
            if ties and ties[-1] in ("and", "&") and _OWN_CLAUSE.match(after):
                found.discard(last)
        for place in places[1:]:
            if _ends_with_negator(line[spans[place - 1][1] : spans[place][0]]):
                found.add(place)
        state = None if _TWICE.match(after) else _AFTER.match(after)
        if state:
            alone = ties and ties[-1] in ("and", "&") and re.match(r"\W*(?:is|was|has|does)\b", after)
            found.update([last] if alone else places)
    return found


def is_denying_heading(line: str) -> bool:
    """Whether a line says that what is listed below it is absent."""
    return bool(_UNDER.search(line[-_REACH:].casefold()))


def _chains(line: str, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """First and last of each run of things with nothing but commas, `and`, `or` and articles between them."""
    chains: list[tuple[int, int]] = []
    for place in range(len(spans)):
        if place and _LINK.fullmatch(line, spans[place - 1][1], spans[place][0]):
            chains[-1] = (chains[-1][0], place)
        else:
            chains.append((place, place))
    return chains


def _link(line: str, spans: Sequence[Span], place: int) -> re.Match[str]:
    found = _LINK.fullmatch(line, spans[place - 1][1], spans[place][0])
    return found  # type: ignore[return-value]  # a chain is made of links


def _ends_with_negator(gap: str) -> bool:
    return bool(re.search(r"\b(?:no|not|nor)\b", gap))
