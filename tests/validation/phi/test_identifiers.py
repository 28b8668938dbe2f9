from __future__ import annotations

import re
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_validation.phi.identifiers import Kind, find_identifiers, mask, mask_within, without_log_stamp
from tests.validation.phi.lines import HARMLESS

FOUND = {
    Kind.RECORD_NUMBER: [
        ("MRN: ", "1234567"), ("MRN ", "00123456"), ("mrn=", "AB-123456"), ("MRN#", "778899"), ("MR# ", "998877"),
        ("Medical Record Number ", "778899"), ("Patient ID: ", "4455667"), ("patient_id: ", "H1234567"),
        ("Accession No. ", "20210303-44"), ("Hospital number: ", "12345"), ("MRN#: ", "1234567"),
        ("Med. Rec. #", "123456"), ("Pt. ID ", "998877"),
        ("Case No. ", "123456"), ("MRN is ", "7654321"),
    ],
    Kind.PHONE: [
        ("call ", "555-123-4567"), ("", "(312) 555-0142"), ("", "+49 30 12345678"), ("", "+1-312-555-0142"),
        ("", "+33 6 12 34 56 78"), ("Phone: ", "030/1234567"), ("Tel.: ", "020 7946 0958"), ("fax ", "312 555 0142"),
        ("", "312.555.0142"), ("ext: ", "555-0142"),
    ],
    Kind.EMAIL: [("write to ", "jane.doe@example.org"), ("<", "j_d+ct@mail.hospital.example")],
    Kind.DATE: [
        ("seen on ", "2021-03-04"), ("", "03/04/2021"), ("", "4.3.2021"), ("on ", "3/4/21"), ("CT of ", "03/04/21"),
        ("DOB: ", "19800102"), ("DOB ", "1.2.80"), ("", "March 4, 2021"), ("", "4th of March 2021"),
        ("", "04-MAR-2021"), ("", "2021:03:04"), ("IMG_", "20210304_101112"), ("", "2021/03/04"),
        ("born on ", "1/2/1980"), ("", "4-Mar-21"), ("", "2021年3月4日"),
    ],
    Kind.NAME: [
        ("Patient: ", "Jane Doe"), ("Patient name: ", "Doe"), ("Patient Name: ", "Doe, Jane"), ("Dr. ", "Smith"),
        ("Dr ", "Jane van der Berg"), ("DR. ", "SMITH"), ("seen by Mrs. ", "Müller"), ("Radiologist: ", "John Smith"),
        ("Referring physician: Dr. ", "John Smith"), ("Electronically signed by ", "John Smith"),
        ("", "Doe^Jane^A"), ("Name: ", "John Smith"), ("**Patient:** ", "Jane Doe"), ("PATIENT: ", "DOE, JANE"),
        ("read by ", "Anne-Marie O'Neill"), ("Attending: ", "John Smith"),

        ("Dr.", "Smith"), ("Dr. ", "Young"),
        ("Patient: ", "Jane White"), ("cc: ", "Jane Doe"), ("{'patient_name': '", "Jane Doe"), ("", "John A. Smith"),
    ],
    Kind.NATIONAL_ID: [
        ("SSN ", "123-45-6789"), ("", "123-45-6789"), ("NHS number: ", "943 476 5919"), ("", "AB 12 34 56 C"),
        ("", "11010519491231002X"), ("", "529.982.247-25"), ("", "RSSMRA85T10A562S"), ("Passport No: ", "C01X00T47"),
        ("Medicare number ", "1EG4-TE5-MK72"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "before", "value"), [(kind, *pair) for kind, pairs in FOUND.items() for pair in pairs]
)
def test_an_identifier_is_found_alone_and_within_a_sentence(kind: Kind, before: str, value: str) -> None:
    degree = ", MD" if value == "John A. Smith" else ""
    for front, behind in [("", ""), ("Normal chest, ", "; no effusion."), ("(", ")")]:
        text = f"{front}{before}{value}{degree}{behind}"
        [match] = find_identifiers(text)
        assert (match.kind, text[match.start : match.end]) == (kind, value), text


@pytest.mark.parametrize("line", HARMLESS)
def test_a_line_without_an_identifier_has_no_finding(line: str) -> None:
    assert find_identifiers(without_log_stamp(line)) == []


def test_there_are_enough_harmless_lines() -> None:
    assert len(set(HARMLESS)) >= 100


NUMBERS = st.integers(0, 4096)
MEASURES = st.one_of(
    st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=1, max_size=8).map(str),
    st.tuples(NUMBERS, NUMBERS).map(lambda size: f"{size[0]}x{size[1]} pixels"),
    st.lists(st.floats(0, 400).map(lambda x: f"{x:.1f}"), min_size=2, max_size=3).map(lambda x: " x ".join(x) + " mm"),
    st.tuples(st.integers(-1000, 3000), st.integers(0, 3000)).map(lambda pair: f"HU {pair[0]}-{pair[1]}"),
    st.floats(0, 100).map(lambda x: f"{x:.3f} %"),
    st.tuples(st.integers(1, 12), st.integers(1, 12)).map(lambda pair: f"T{pair[0]}/T{pair[1]}"),
    st.lists(st.integers(0, 99), min_size=3, max_size=3).map(lambda v: "v" + ".".join(map(str, v))),
    st.binary(min_size=16, max_size=32).map(bytes.hex),
    st.uuids().map(str),
    st.integers(0, 99999).map(lambda n: f"BUSI_{n:05}.png"),
    st.lists(st.integers(0, 999999), min_size=5, max_size=10).map(lambda v: "1.2." + ".".join(map(str, v))),
)


@given(st.lists(MEASURES, max_size=5).map("; ".join))
def test_measures_boxes_hashes_and_versions_have_no_finding(text: str) -> None:
    assert find_identifiers(text) == []


@given(st.text(max_size=300), st.text(max_size=30))
def test_any_text_is_read_and_findings_lie_in_it_in_order(text: str, label: str) -> None:
    matches = find_identifiers(text, label)
    assert all(0 <= match.start < match.end <= len(text) for match in matches)
    assert all(one.end <= two.start for one, two in pairwise(matches))


@pytest.mark.parametrize(
    ("label", "text", "kind"),
    [
        ("PatientID", "1234567", Kind.RECORD_NUMBER),
        ("mrn", "1234567", Kind.RECORD_NUMBER),
        ("patient > id", "1234567", Kind.RECORD_NUMBER),
        ("patient_name", "jane doe", Kind.NAME),
        ("PatientName", "Doe", Kind.NAME),
        ("patient > name", "Jane Doe", Kind.NAME),
        ("name > family", "Doe", Kind.NAME),
        ("dateOfBirth", "19800102", Kind.DATE),
        ("study_date", "20210304", Kind.DATE),
        ("phone", "312 555 0142", Kind.PHONE),
        ("ssn", "123456789", Kind.NATIONAL_ID),
    ],
)
def test_what_a_text_is_called_decides_as_a_label_in_it_does(label: str, text: str, kind: Kind) -> None:
    assert [(match.kind, match.start, match.end) for match in find_identifiers(text, label)] == [(kind, 0, len(text))]
    assert find_identifiers(text) == [] or kind is Kind.NAME


@pytest.mark.parametrize("label", ["model_name", "ManufacturerModelName", "dataset name"])
def test_names_of_things_are_no_names_of_people(label: str) -> None:
    assert find_identifiers("Deep Thought", label) == []


def test_the_date_of_a_program_is_not_a_finding() -> None:
    assert find_identifiers("Build of 2021-03-04", "Software") == []
    assert find_identifiers("Build of 2021-03-04", "Comment") != []


def test_only_a_programs_own_time_is_blanked() -> None:
    line = "2026-11-26 12:38:00,123 INFO opened the study of 2021-03-04"
    [match] = find_identifiers(without_log_stamp(line))
    assert line[match.start : match.end] == "2021-03-04"
    note = "2021-03-04 10:15:00 Seen in the clinic."
    assert without_log_stamp(note) == note and len(find_identifiers(note)) == 1


@pytest.mark.parametrize(
    "typed",
    [
        "555\u2011123\u20114567",
        "555\u2013123\u20134567",
        "(555)\u00a0123-4567",
        "\uff15\uff15\uff15-\uff11\uff12\uff13-4567",
    ],
)
def test_typographic_dashes_blanks_and_digits_hide_nothing(typed: str) -> None:
    [match] = find_identifiers(f"call {typed}")
    assert match.kind is Kind.PHONE


@pytest.mark.parametrize(
    "value", ["2021-02-30", "31/31/2021", "1900-01-01", "2150-01-01", "000-12-3456", "12345678901"]
)
def test_what_cannot_be_a_date_or_number_is_not_one(value: str) -> None:
    assert find_identifiers(value) == []


@given(
    st.dates(date(1920, 1, 1), date(2049, 12, 31)), st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%B %d, %Y", "%d %b %Y"])
)
def test_every_date_is_found(day: date, form: str) -> None:
    text = f"Examined {day.strftime(form)} at noon."
    [match] = find_identifiers(text)
    assert text[match.start : match.end] == day.strftime(form)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("Jane Doe", "J*** D**"),
        ("555-123-4567", "***-***-****"),
        ("jane.doe@example.org", "j***.d**@e******.o**"),
        ("J. Doe", "*. D**"),
        ("Müller", "M*****"),
        ("A1234567", "********"),
    ],
)
def test_a_mask_keeps_no_digit_and_one_letter_of_a_word(value: str, masked: str) -> None:
    assert mask(value) == masked


@given(st.text(max_size=50))
def test_a_mask_is_as_long_as_what_it_hides(value: str) -> None:
    assert len(mask(value)) == len(value) and not re.search(r"\d", mask(value))


def test_names_of_files_are_masked_where_they_identify() -> None:
    assert mask_within("scans/MRN_1234567/2021-03-04.png") == "scans/MRN_*******/****-**-**.png"
    assert mask_within("imagesTr/BUSI_31415.png") == "imagesTr/BUSI_31415.png"


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "a@",
        "Patient: ",
        "1-",
        "A. ",
        "+1 ",
        "Dr. ",
        " ",
        "(",
        "A^",
        "a.",
        "MRN ",
        "on 1/",
        "Jan 1 ",
        "a-",
        "+1111111111111111a",
        "SSN 1a1a1a1a1a1a",
    ],
)
@pytest.mark.timeout(60)  # a hang; this takes a fraction of a second
def test_repetitions_do_not_make_a_pattern_try_for_ever(piece: str) -> None:
    find_identifiers(piece * 3_000)
    find_identifiers("Patient name" + piece * 3_000)
    find_identifiers("MRN" + piece * 3_000)
    find_identifiers("DOB" + piece * 3_000)
