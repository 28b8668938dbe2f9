"""Patterns of what may identify a patient in English text, with the kinds of HIPAA's Safe Harbor list.

The patterns are our own: what the libraries for this task add, names and places in running text, needs language models
that are not among this project's files. What they cannot find is listed in docs/submitting.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from mevlip_validation.phi.names import find_names, is_placeholder


class Kind(StrEnum):
    """What a finding may be."""

    RECORD_NUMBER = "record number"
    NATIONAL_ID = "national id"
    EMAIL = "e-mail address"
    PHONE = "phone number"
    DATE = "date"
    NAME = "name"
    LOCATION = "location"
    ATTRIBUTE = "confidential attribute"
    BURNED_IN = "burned-in text"


@dataclass(frozen=True)
class Match:
    """One possible identifier in a text.

    Attributes:
        kind: What it may be.
        start: Index of its first character.
        end: Index behind its last character.
    """

    kind: Kind
    start: int
    end: int


Spans = Iterator[tuple[int, int]]

# Length-preserving: typographic dashes, quotes and blanks, and full-width digits and signs.
_PLAIN = {
    **dict.fromkeys(range(0x2010, 0x2016), "-"),
    0x2212: "-",
    **dict.fromkeys((0x2018, 0x2019), "'"),
    **dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000), " "),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width forms
}

# Repetitions are bounded, so that no text makes a pattern try for long.
_SEPARATOR = r"""(?:[ \t]{1,9}(?:is|was|of|no|nr|number|id))?["'*_`> \t.()]{0,9}[:=#|-]{0,2}["'*_`<|#()\[ \t]{0,9}"""
_START = r"(?<![^\W\d_])"
_NUMBER = r"(?:no\b\.?|nr\b\.?|num\b\.?|number\b|\#)"
_CODE = r"(?P<value>[A-Za-z]{0,5}[-_/]?\d[\dA-Za-z]{0,30}(?:[-/ .](?!(?:19|20)\d\d[-/:]\d)\d[\dA-Za-z]{0,30}){0,4})"

_RECORD = re.compile(
    rf"{_START}(?:MRNs?(?![^\W\d_])|M\.R\.N\.?|MR[ ]?{_NUMBER}|"
    rf"med\.?[\s_-]*rec\.?[\s_-]*{_NUMBER}|(?:medical|health|hospital|patient|clinical|chart)[\s_>-]*record[\s_>-]*(?:{_NUMBER}|id\b)?|"
    r"(?:patient|pt\.?|hospital)[\s_>-]*(?:id(?:entifier|entification)?\b|"
    rf"{_NUMBER}){_NUMBER}?|accession[\s_-]*(?:{_NUMBER}|id\b)?|"
    rf"(?:case|file)[\s_-]*{_NUMBER}|(?:record|chart|encounter|admission|visit|account|unit|folio|policy|member|subscriber|beneficiary|insurance)"
    rf"[\s_-]*(?:{_NUMBER}|id\b)){_SEPARATOR}{_CODE}",
    re.IGNORECASE,
)
_LABELED_ID = re.compile(
    rf"{_START}(?:SSN|social\s+security(?:\s+{_NUMBER})?|NHS(?:[\s_-]*{_NUMBER})?|NINO|"
    rf"national[\s_-]*(?:id(?:entity|entification)?|insurance)(?:[\s_-]*(?:card|{_NUMBER}))*|"
    rf"(?:passport|medicare|medicaid|health[\s_-]*card|identity[\s_-]*card|id[\s_-]*card|driver'?s?[\s_-]*licen[cs]e|"
    rf"tax[\s_-]*(?:id|payer))(?:[\s_-]*{_NUMBER})?|CPF|DNI|NIE|aadhaar){_SEPARATOR}"
    r"(?P<value>[A-Za-z]{0,3}[ -]?\d[\dA-Za-z]{0,30}(?:[-/ .][A-Za-z]{0,9}\d[\dA-Za-z]{0,30}){0,5}"
    r"(?:[- ]?[A-Za-z]\b)?)",
    re.IGNORECASE,
)
_SOCIAL_SECURITY = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_NATIONAL_INSURANCE = re.compile(
    r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d{2}){3} ?[A-D](?!\w)"  # United Kingdom
)
_FISCAL_CODE = re.compile(r"(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)")  # Italy
_CPF = re.compile(r"(?<![\w.])\d{3}\.\d{3}\.\d{3}-\d{2}(?!\w)")  # Brazil
_RESIDENT = re.compile(
    r"(?<![\w.])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\w)"  # China
)

_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z\d-]{1,63}\.){0,6}"
    r"[A-Za-z\d-]{2,63}\.(?P<top>[A-Za-z]{2,18})(?!\w)"
)
_FILE_ENDINGS = frozenset(
    ("bmp", "dcm", "gif", "html", "jpeg", "jpg", "js", "json", "md", "png", "py", "svg", "tiff", "webp", "zip")
)

_PHONE = re.compile(
    r"(?<![\w.+/-])(?:\+?1[-. ]?)?(?:\(\d{3}\)[ -]?\d{3}[-. ]|\d{3}[-.]\d{3}[-.]|\d{3}[-.]\d{3} )\d{4}(?!\w|[-./]\d)"
)
_INTERNATIONAL = re.compile(r"(?<![\w.+-])(?:\+|00(?=[1-9]\d[ -]))\d[\d ().-]{6,22}\d(?!\w)")
_LABELED_PHONE = re.compile(
    rf"{_START}(?:(?:tele)?phone|tel|fax|mobile|cell(?:ular)?[\s_-]*(?:phone|{_NUMBER}|(?=:))|pager|beeper)"
    rf"(?:[\s_-]*{_NUMBER}+)?{_SEPARATOR}(?P<value>\+?\(?\d[\d /().-]{{5,20}}\d)(?!\w)"
    rf"|{_START}(?:call(?:back)?|contact|ext(?:ension)?|hotline|reached)(?:\s+(?:us|me|at|on|him|her|them))*[\s:.=]+"
    r"(?P<local>(?:\d{3}[-. ]){1,2}\d{4})(?!\w)",
    re.IGNORECASE,
)

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR = r"(?:19|20)\d{2}"
_YEAR_FIRST = re.compile(
    rf"(?<![^\W_])(?<!\.)(?P<y>{_YEAR})(?P<by>[-:]|(?<!/\d{{4}})/)(?P<m>\d{{1,2}})(?P=by)(?P<d>\d{{1,2}})(?!\d|[./]\d)"
)
_YEAR_LAST = re.compile(
    rf"(?<![^\W_])(?<![./])(?<!\d-)(?P<d>\d{{1,2}})(?P<by>[-/.])(?P<m>\d{{1,2}})(?P=by)"
    rf"(?P<y>{_YEAR})(?!\d|[./-]\d|[A-Za-z])"
)
_SHORT = re.compile(r"(?<![\w./-])(?P<d>\d{2})/(?P<m>\d{2})/(?P<y>\d{2})(?![\w/-]|\.\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\w)(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of\s+|[-\s/.]{{0,2}}){_MONTH}[-\s,/.]{{0,2}}(?P<y>{_YEAR})(?!\w)",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"(?<![^\W_]){_MONTH}[-\s]{{1,2}}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,\s*|[-\s]{{1,2}})(?P<y>{_YEAR})(?!\w)",
    re.IGNORECASE,
)
_DAY_MONTH_SHORT = re.compile(rf"(?<!\w)(?P<d>\d{{1,2}})-{_MONTH}-\d{{2}}(?![\w-])", re.IGNORECASE)
_CHINESE = re.compile(rf"(?P<y>{_YEAR})年(?P<m>\d{{1,2}})月(?P<d>\d{{1,2}})日")
_COMPACT = re.compile(
    r"(?<![^\W_])(?<!\.)(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})[_T -]?[0-2]\d[0-5]\d[0-5]\d(?!\d)"
)
_DATE_WORD = (
    rf"{_START}(?:(?:[a-z]+[\s_-]*)?dated?(?:[\s_-]*of[\s_-]*(?:birth|death|admission|discharge|exam|service))?|dob|"
    r"d\.o\.b\.?|birth[\s_-]*da(?:te|y)|deceased|(?:born|admitted|discharged|died)(?:[ \t]+on)?)"
)
_LABELED_DATE = re.compile(
    rf"""{_DATE_WORD}["'*_` \t]{{0,9}}[:=|,(]?["'*_`(\[ \t]{{0,9}}"""
    rf"(?:(?P<y>{_YEAR})[-./ ]?(?P<m>\d{{2}})[-./ ]?(?P<d>\d{{2}})"
    r"|(?P<d2>\d{1,2})(?P<by>[-./])(?P<m2>\d{1,2})(?P=by)(?P<y2>\d{2}))(?!\d|[./-]\d)",
    re.IGNORECASE,
)
_MENTIONED_DATE = re.compile(
    rf"{_START}(?:on|from|since|until|exam(?:ination)?|study|comparison|compared\s+(?:to|with)|prior|performed|taken)"
    r"[\s:(,]{1,3}(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{2})(?![\w/-]|\.\d)",
    re.IGNORECASE,
)
_VERSION_BEFORE = re.compile(r"(?:version|ver\.?|release|==|[<>~]=|\bv)\s*$", re.IGNORECASE)
_LONGEST_VERSION_WORD = 12

_PROGRAM_LABEL = re.compile(r"software|version|xmptk|creator\s*tool|producer", re.IGNORECASE)

_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
_STAMP = r"\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}"
_PRECISE = r"(?:[.,]\d+(?:Z|[+-]\d{2}:?\d{2})?|Z|[+-]\d{2}:?\d{2})"
_LOG_STAMP = re.compile(
    rf"\s*(?:\[?{_LEVEL}\b[^\s\]]*\]?[\s:|-]*\[?{_STAMP}|\[{_STAMP}{_PRECISE}?\]|{_STAMP}{_PRECISE}"
    rf"|{_STAMP}(?=[\s:|\[-]*{_LEVEL}\b))"
)


def find_identifiers(text: str, label: str = "") -> list[Match]:
    """Finds what may identify a patient.

    Args:
        text: The text.
        label: What the text is called: the key, column or attribute that it stands in.

    Returns:
        The findings in order; none overlaps another.
    """
    front = f"{_spaced(label)}: " if label else ""
    whole = (front + text).translate(_PLAIN)
    found: list[Match] = []
    taken = bytearray(len(text))
    for kind, find in _FINDERS:
        if kind is Kind.DATE and _PROGRAM_LABEL.search(front):
            continue  # the date of a program
        for start, end in find(whole):
            first, last = start - len(front), end - len(front)
            if first >= 0 and not any(taken[first:last]):
                taken[first:last] = bytes([1]) * (last - first)
                found.append(Match(kind, first, last))
    return sorted(found, key=lambda match: match.start)


def mask(value: str) -> str:
    """Hides a finding: of each word only the first letter is kept, of digits nothing."""
    return re.sub(r"[^\W\d_]+|\d", lambda m: m[0][0] + "*" * (len(m[0]) - 1) if len(m[0]) > 1 else "*", value)


def mask_within(text: str) -> str:
    """A text with what is found in it masked, for file names and field names."""
    for match in reversed(find_identifiers(text)):
        text = text[: match.start] + mask(text[match.start : match.end]) + text[match.end :]
    return text


def without_log_stamp(line: str) -> str:
    """Blanks the time at the start of a program's log line: when a program ran does not identify a patient."""
    stamp = _LOG_STAMP.match(line)
    return " " * stamp.end() + line[stamp.end() :] if stamp else line


def is_log_level(value: object) -> bool:
    """Whether a value is a level of a log, such as `INFO`."""
    return isinstance(value, str) and re.fullmatch(_LEVEL, value, re.IGNORECASE) is not None


def _spaced(label: str) -> str:
    """A field's name as words: `PatientID` and `patient_id` are "Patient ID" and "patient id"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]+", " ", label)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _emails(text: str) -> Spans:
    for match in _EMAIL.finditer(text):
        if match["top"].lower() not in _FILE_ENDINGS:
            yield match.span()


def _national_ids(text: str) -> Spans:
    for match in _LABELED_ID.finditer(text):
        if len(_digits(match["value"])) >= 5:
            yield match.span("value")
    for pattern in (_SOCIAL_SECURITY, _NATIONAL_INSURANCE, _FISCAL_CODE):
        yield from (match.span() for match in pattern.finditer(text))
    for pattern, is_valid in ((_CPF, _is_cpf), (_RESIDENT, _is_resident_id)):
        yield from (match.span() for match in pattern.finditer(text) if is_valid(match[0]))


def _is_cpf(value: str) -> bool:
    """Whether both check digits of a Brazilian tax number are right."""
    digits = [*map(int, _digits(value))]
    return all(sum(d * (n + 1 - i) for i, d in enumerate(digits[:n])) * 10 % 11 % 10 == digits[n] for n in (9, 10))


def _is_resident_id(value: str) -> bool:
    """Whether the check digit of a Chinese resident number is right (ISO 7064, MOD 11-2)."""
    return (
        sum(pow(2, 17 - i, 11) * int(d) for i, d in enumerate(value[:17])) % 11
        == (12 - (10 if value[17] in "Xx" else int(value[17]))) % 11
    )


def _record_numbers(text: str) -> Spans:
    for match in _RECORD.finditer(text):
        if len(_digits(match["value"])) >= 4 and not is_placeholder(match["value"]):
            yield match.span("value")


def _phones(text: str) -> Spans:
    yield from (match.span() for match in _PHONE.finditer(text))
    for match in _INTERNATIONAL.finditer(text):
        groups = re.findall(r"\d+", match[0])
        count = sum(map(len, groups))
        usual = (10 if len(groups) == 1 else 9) <= count <= 15 and len(groups) <= 7
        if usual and (not match[0].startswith("+1") or count == 11):
            yield match.span()
    for match in _LABELED_PHONE.finditer(text):
        group = "value" if match["value"] else "local"
        # More than four full stops are in no phone number, but in the UID that may follow "by phone."
        if 7 <= len(_digits(match[group])) <= 15 and match[group].count(".") <= 4:
            yield match.span(group)


def _dates(text: str) -> Spans:
    for match in _LABELED_DATE.finditer(text):
        short = match["y"] is None
        start = match.start("d2") if short else match.start("y")
        parts = match.group("y2", "m2", "d2") if short else match.group("y", "m", "d")
        if _is_date(*parts):
            yield start, match.end()
    for pattern in (_YEAR_FIRST, _YEAR_LAST, _SHORT, _COMPACT, _CHINESE):
        for match in pattern.finditer(text):
            before = text[max(0, match.start() - _LONGEST_VERSION_WORD) : match.start()]
            if _is_date(match["y"], match["m"], match["d"]) and not _VERSION_BEFORE.search(before):
                yield match.span()
    for match in _MENTIONED_DATE.finditer(text):
        if _is_date(match["y"], match["m"], match["d"]):
            yield match.start("d"), match.end()
    for pattern in (_DAY_MONTH, _MONTH_DAY, _DAY_MONTH_SHORT):
        yield from (match.span() for match in pattern.finditer(text) if 1 <= int(match["d"]) <= 31)


def _is_date(year: str, month: str, day: str) -> bool:
    """Whether three numbers are a date in one of the two orders of month and day; 1900-01-01 stands for none."""
    years = 2000 + int(year) if len(year) == 2 else int(year)
    for first, second in ((month, day), (day, month)):
        try:
            return date(years, int(first), int(second)) != date(1900, 1, 1)
        except ValueError:
            continue
    return False


_FINDERS = (
    (Kind.EMAIL, _emails),
    (Kind.NATIONAL_ID, _national_ids),
    (Kind.RECORD_NUMBER, _record_numbers),
    (Kind.DATE, _dates),
    (Kind.PHONE, _phones),
    (Kind.NAME, find_names),
)
"""In order of precedence, where two findings overlap."""
