"""Four evaluators' ways of reading, against what was seen of each: one row per known disagreement."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers.base import TypedAnswer
from mevlip.answers.boxes import Box, Boxes, InstanceBoxes
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.answers.numbers import Count, Measurement
from mevlip.answers.report import Report
from mevlip.core.text import one_line
from mevlip_validation.protocols import Reader, protocols
from mevlip_validation.protocols.misreadings import known_misreadings, misreadings
from tests.conftest import ROOT

NAMES = ("qwen25", "qwen3", "flare25", "flare26")
READERS: dict[str, Reader] = {one.name: one.reader for one in protocols() if one.reader}


def test_the_protocols_have_a_fixed_order() -> None:
    assert [one.name for one in protocols()] == ["flare25", "flare26", "board2026", "macro", "qwen25", "qwen3"]
    assert set(READERS) == set(NAMES)


@pytest.mark.parametrize(
    ("said", "truth", "equal"),
    [
        ("B.", "B", (True, False, False, False)),
        ("B: Yes", "B", (False, False, False, False)),
        ("B) Hard lump", "B", (True, False, False, False)),
        ("Luminal B", "Luminal b", (False, True, True, True)),
        ("b", "B", (False, True, True, True)),
        ("F", "F", (True, True, True, True)),
        ("A benign lump", "B", (False, False, False, False)),
    ],
)
def test_choices(said: str, truth: str, equal: tuple[bool, ...]) -> None:
    assert tuple(READERS[name].choice(said) == READERS[name].choice(truth) for name in NAMES) == equal


@pytest.mark.parametrize(
    ("said", "truth", "overlap"),
    [
        ("dental caries", "Dental Caries", (1, 1, 1, 1)),
        ("Dental Caries.", "Dental Caries", (1, 0.5, 0, 0)),
        ("Gap; Crown", "Crown; Gap", (1, 1, 1, 1)),
        ("Gap, Crown", "Crown, Gap", (1, 1, 1, 1)),
    ],
)
def test_labels(said: str, truth: str, overlap: tuple[float, ...]) -> None:
    for name, expected in zip(NAMES, overlap, strict=True):
        read = READERS[name].labels
        one, other = read(said), read(truth)
        f1 = 2 * len(one & other) / (len(one) + len(other))
        wanted = 0.0 if name == "qwen25" and said.islower() else expected
        assert f1 == wanted, name


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("[[1, 2, 3, 4]]", (1, 1, 1, 1)),
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]", (2, 0, 2, 2)),
        ("[1, 2, 3, 4]", (1, 1, 0, 1)),
        ("[[1.5, 2.5, 3.5, 4.5]]", (0, 1, 1, 1)),
        ("```json\n[[1, 2, 3, 4]]\n```", (1, 1, None, 1)),
        ("nothing", (0, 0, None, 0)),
    ],
)
def test_boxes(said: str, read: tuple[int | None, ...]) -> None:
    for name, expected in zip(NAMES, read, strict=True):
        boxes = READERS[name].boxes(said)
        whole = None if boxes is None else sum(len(box) == 4 for box in boxes)
        assert whole == expected, name


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ('{"1": [[1, 2, 3, 4]]}', ({"1"}, {"1"}, {"1"}, {"1"})),
        ('{"1": [[1, 2, 3, 4]], "2": [[5, 6', (None, {"1"}, None, {""})),
        ("[[1, 2, 3, 4]]", (None, set(), set(), {""})),
        ("{}", (set(), set(), set(), set())),
    ],
)
def test_instances(said: str, read: tuple[set[str] | None, ...]) -> None:
    for name, expected in zip(NAMES, read, strict=True):
        found = READERS[name].instances(said)
        assert (None if found is None else set(found)) == expected, name


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("12", (12, 12, 12, 12)),
        ("12 cells", (12, 12, None, 12)),
        ("many", (None, None, None, 0)),
        ("approximately 1,234", (1, 1, None, 1234)),
        ("7", (7, 7, 7, 7)),
    ],
)
def test_counts(said: str, read: tuple[float | None, ...]) -> None:
    assert tuple(READERS[name].count(said) for name in NAMES) == read


def test_measurements() -> None:
    assert [READERS[name].measurement("25.5%") for name in NAMES] == [25.5, 25.5, None, 25.5]
    assert [READERS[name].measurement("32.0610687022901") for name in NAMES] == [32.0610687022901] * 4


boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *(st.integers(0, 3000),) * 2, *(st.integers(1, 900),) * 2)
answers: st.SearchStrategy[TypedAnswer] = st.one_of(
    st.sampled_from("ABCDEFGHIJK").map(Choice),
    boxes.map(lambda box: Boxes((box,))),
    st.dictionaries(st.sampled_from([*map(str, range(1, 23)), "X", "Y"]), st.lists(boxes, min_size=1).map(tuple)).map(
        lambda found: InstanceBoxes(tuple(found.items()))
    ),
    st.integers(0, 999_999).map(Count),
    st.decimals(0, 999_999, places=6).map(lambda value: Measurement(float(value))),
    st.lists(st.sampled_from(["Gap", "Crown", "Decay"]), min_size=1, unique=True).map(
        lambda some: LabelSet(tuple(some), "; ")
    ),
    st.just(Report("The heart is wide.")),
)


@given(answers)
def test_every_protocol_reads_an_answer_as_it_is_meant(answer: TypedAnswer) -> None:
    assert not list(misreadings(answer, protocols()))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Choice("Luminal b"), {("qwen25", "option in words")}),
        (Boxes((Box(1, 2, 3, 4), Box(5, 6, 7, 8))), {("qwen3", "several boxes")}),
        (Measurement(-3.5), set()),
        (
            LabelSet(("Filling, and Crown",)),
            {
                ("qwen25", "label with a separator"),
                ("qwen3", "label of several words"),
                ("flare25", "label with a separator"),
                ("flare26", "label with a separator"),
            },
        ),
        (LabelSet(("None",)), {("flare26", "label that means nothing")}),
    ],
)
def test_the_exceptions_are_real(answer: TypedAnswer, expected: set[tuple[str, str]]) -> None:
    assert set(misreadings(answer, protocols())) == expected
    assert expected <= set(known_misreadings())


def test_the_documented_exceptions_are_all_in_the_docs() -> None:
    text = (ROOT / "docs" / "answers.md").read_text("utf-8")
    for protocol, kind in known_misreadings():
        assert protocol in text, kind


bracketed = st.from_regex(r"[\[{(\d, .:\"'\])}]{0,30}")
json_values = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=2), one),
)


@given(st.text() | bracketed | json_values.map(json.dumps))
def test_readers_never_raise(text: str) -> None:
    for reader in READERS.values():
        for read in (reader.choice, reader.labels, reader.boxes, reader.instances, reader.count):
            read(text)
        reader.measurement(text)


def test_what_evaluators_make_of_truths_with_unusual_blanks_or_hidden_characters() -> None:
    """Answers have plain blanks and nothing hidden; docs/answers.md has the table."""

    def equal(truth: str) -> dict[str, tuple[bool, bool]]:
        ours = one_line(truth)
        return {
            one.name: (reader.choice(truth) == reader.choice(ours), reader.labels(truth) == reader.labels(ours))
            for one in protocols()
            if (reader := one.reader)
        }

    for blank in ("\u00a0", "\u202f", "\t"):
        assert equal(f"big{blank}gap") == {
            "flare25": (False, False), "flare26": (True, True), "qwen25": (True, False), "qwen3": (False, True)
        }  # fmt: skip
    for hidden in ("\u200b", "\u00ad", "\u200d"):
        assert set(equal(f"ga{hidden}p").values()) == {(False, False)}
