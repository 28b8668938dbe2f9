"""Names of people behind a label or a title, such as "Patient: Jane Doe" and "Dr. Doe"."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SEPARATOR = r"""["'*_`> \t]{0,9}[:=|#]["'*_`<|(\[ \t]{0,9}"""
_ROLE = (
    r"(?:(?:referring|attending|ordering|performing|reading|reporting|requesting|consulting|treating|primary(?:\s+care)?)"
    r"[\s_-]*)?(?:physician|doctor|radiologist|clinician|surgeon|technologist|technician|sonographer|"
    r"pathologist|consultant)(?:s|\(s\))?"
)
_EXPLICIT = re.compile(
    r"(?<![^\W\d_])(?:(?:patient|pt|subject|full|first|last|middle|given|family|maiden|birth|mother|father|spouse|"
    r"guardian|next\s+of\s+kin|physician|doctor|radiologist|operator|contact|author|owner)"
    r"(?:'?s)?[\s_>-]*(?:maiden[\s_-]*|birth[\s_-]*)?names?|surname|forename|name[\s_>]+(?:family|given|text))"
    rf"(?:\s*\((?:last|first|surname|family)[^)]{{0,20}}\))?{_SEPARATOR}",
    re.IGNORECASE,
)
_LABEL = re.compile(
    rf"(?<![^\W\d_])(?:patient|pt|(?<!\w[ _-])name|next\s+of\s+kin|emergency\s+contact|{_ROLE}|artist|by-?line|"
    rf"signature|signed|dictated|transcriptionist|attending|resident|fellow|cc(?=:)){_SEPARATOR}",
    re.IGNORECASE,
)
_BY = re.compile(
    r"(?<![^\W\d_])(?:signed|dictated|reported|read|reviewed|interpreted|verified|transcribed|performed|approved|referred"
    r"|seen|examined|authenticated|attested|finali[sz]ed|ordered|requested)(?:\s+and\s+\w+)?\s+by[\s:]{1,3}",
    re.IGNORECASE,
)
# Upper-case MR and DR are modalities; as titles they need their full stop.
_TITLE = re.compile(
    r"(?<![^\W\d_])(?:(?:Dr|Mr|Mrs|Ms|Prof|DR|MR|MRS|MS|PROF)\.[ \t]{0,9}"
    r"|(?:Dr|Mr|Mrs|Ms|Prof|Professor|Doctor|Nurse)[ \t]{1,9})"
)
_WITH_DEGREE = re.compile(
    r"(?<!\w)((?:[^\W\d_a-z][^\W\d_]+|[^\W\d_a-z]\.?)(?:[ \t]+(?:[^\W\d_a-z][\w'-]+|[^\W\d_a-z]\.?)){1,3}),?[ \t]+"
    r"(?:M\.?D\.?|D\.O\.|MBBS|FRCR|FRCS|MRCP|R\.?N\.?|Ph\.?D\.?)(?![\w.])"
)
_CARETS = re.compile(
    r"(?<![\w^'-])(?:(?:van|von|de|der|den|del|da|di|la|le|al|el) )*[^\W\d_][^\W\d_'-]*(?:['-][^\W\d_]+)*"
    r"\^[^\W\d_][\w.'-]*(?:\^[\w.'-]*)*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['-](?=[^\W\d_]))*\.?")
_GAP = re.compile(r"(?:,[ \t]?|[ \t]|\^)")
_PARTICLES = frozenset(
    ("al", "bin", "da", "de", "del", "den", "der", "di", "dos", "du", "el", "la", "le", "ten", "van", "von")
)
_MOST_WORDS = 4
_LONGEST_CELL = 80
# Without words that are frequent surnames, such as Young and White.
_COMMON_WORDS = """
a abdomen abdominal abnormal absent active acute address admission adult age airspace all an and angiography ankle
anonymised anonymized anonymous answer anterior aorta aortic are arm artery artifact as at available axial back benign
bilateral biopsy birth blood body bowel brain breast by calcification cancer carcinoma cardiac cell cells center
centre cervical chest child chronic class classification clear clinic clinical colon color comparison computed
consolidation contrast coronal count ct cyst data dataset date deid demo dental department detection diagnosis diffuse
digital disease dob dose dr edema effusion elbow emergency endoscopy enlarged erect exam examination example false
female femur film findings first fluid focal for fracture frontal fundus gender grade had has health healthy heart
hemorrhage her hernia hip his history hospital human id image images imaging impression in indication infant inferior
institute is joint kidney knee label lateral left leg lesion level liver lobe lower lumbar lung lungs lymph magnetic
male malignant man mass matter mean median medical medicine microscopy mild model moderate motion mr mri mrn multiple
name national neck negative no node nodule none normal not nuclear null number of on opacity operable or other patient
patients pelvis physician pleural pneumonia pneumothorax portable positive posterior prior procedure prone public
question radiograph radiography radiologist radiology record redacted regional removed renal report results retinal
right same sample scan score see series severe sex shoulder skin skull slice soft spinal spine ssn stable stage
standard standing status study subject supine surgery system target task technique test the thoracic thorax tissue to
tomography true tumor tumour type ultrasound unchanged unit university unknown unnamed unremarkable unspecified upper
user value view views visit was were with withheld without woman wrist xray xxx xxxx years yes
"""
_NOT_NAMES = frozenset(_COMMON_WORDS.split())


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yields start and end of each name that a label, a title, a degree or DICOM's carets give away.

    A name without one of these is not found: telling it from other capitalized words takes a language model.
    """
    for label in _EXPLICIT.finditer(text):
        if end := _name_end(text, label.end(), 1, whole=True):
            yield label.end(), end
    for pattern in (_LABEL, _BY):
        for label in pattern.finditer(text):
            start = _after_title(text, label.end())
            if end := _name_end(text, start, 2 if start == label.end() else 1):
                yield start, end
    for title in _TITLE.finditer(text):
        if end := _name_end(text, title.end(), 1):
            yield title.end(), end
    for match in _WITH_DEGREE.finditer(text):
        if not any(_is_common(word) for word in match[1].split()):
            yield match.span(1)
    for match in _CARETS.finditer(text):
        surname = match[0].partition("^")[0]
        if len(surname) > 1 and any(map(str.isupper, surname)) and not is_placeholder(match[0]):
            yield match.span()


def is_placeholder(value: str) -> bool:
    """Whether a value stands where a name or number was removed, such as `XXXX`, `Anonymous` or `___`."""
    words = re.findall(r"[^\W_]+", value)
    return all(_is_common(word) or set(word) == {"0"} for word in words)


def _after_title(text: str, start: int) -> int:
    title = _TITLE.match(text, start)
    return title.end() if title else start


def _name_end(text: str, start: int, fewest: int, *, whole: bool = False) -> int:
    """The end of the name that begins at `start`; 0 where there is none.

    Args:
        text: The text.
        start: Where the name would begin.
        fewest: The fewest words that make a name here.
        whole: Whether lower case is accepted of a short text that holds nothing else, as in a table's cell.
    """
    alone = whole and len(text) - start <= _LONGEST_CELL
    lowered = alone and re.fullmatch(r"[^\W\d_]+(?:[ ,'-]+[^\W\d_]+){0,3}\W*", text[start:].rstrip()) is not None
    end, words, position = 0, 0, start
    while words < _MOST_WORDS and (word := _WORD.match(text, position)):
        bare = word[0].rstrip(".")
        particle = bare in _PARTICLES
        if _is_common(bare) or not (bare[0].isupper() or particle or lowered or not bare.isascii()):
            break
        if not particle:
            words, end = words + 1, position + len(bare)
        gap = _GAP.match(text, word.end())
        # A full stop ends the sentence, but for initials and short forms such as "St."
        if not gap or (word[0].endswith(".") and len(bare) > 2):
            break
        position = gap.end()
    return end if words >= fewest else 0


def _is_common(word: str) -> bool:
    lowered = word.lower()
    return lowered in _NOT_NAMES or set(lowered) <= {"x"} or set(lowered) == {"n"}
