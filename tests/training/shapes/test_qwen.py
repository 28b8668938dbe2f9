"""The true vocabulary: what constrained decoding and the token budgets rest on."""

from __future__ import annotations

import json
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mevlip.answers import QuestionSpec
from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TASKS, TaskType, parse_task_type
from mevlip_training.shapes import qwen
from tests.conftest import FLARE_DATA, needs_flare_data

LONGEST_BOX = [998, 998, 1000, 1000]
"""In thousandths, with an area."""
CHROMOSOMES = [*map(str, range(1, 23)), "X"]
REPORT = (
    "The cardiomediastinal silhouette is within normal limits. There is mild bibasilar atelectasis with a small "
    "left-sided pleural effusion. No pneumothorax is identified. Degenerative changes of the thoracolumbar spine are "
    "noted, with osteophyte formation and kyphosis. "
)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks() -> list[bytes]:
    return qwen.read_ranks(qwen.find_ranks())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return qwen.build_tokenizer(qwen.find_ranks())


def count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def test_the_vocabulary_is_the_real_models(tokenizer: Tokenizer, ranks: list[bytes]) -> None:
    assert len(ranks) == 151_643
    assert tokenizer.get_vocab_size() == 151_675
    published = {"<|endoftext|>": 151_643, "<|im_start|>": 151_644, "<|im_end|>": 151_645, "<|file_sep|>": 151_664,
                 "<img>": 151_665, "</img>": 151_666, "<IMG_CONTEXT>": 151_667, "</box>": 151_673,
                 "<video>": 151_674}  # fmt: skip
    assert {name: tokenizer.token_to_id(name) for name in published} == published


def test_every_token_of_several_bytes_has_one_merge_of_two_tokens(ranks: list[bytes]) -> None:
    merges = qwen.merges(ranks)
    assert [left + right for left, right in merges] == [token for token in ranks if len(token) > 1]
    known = set(ranks)
    assert all(left in known and right in known for left, right in merges)


def by_ranks(piece: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Byte-pair encoding as tiktoken defines it: of all neighbors those join first whose union has the lowest rank."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        pairs = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not pairs:
            return [ranks[part] for part in parts]
        place = min(pairs)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Z"), exclude_characters="<>"), max_size=60))
def test_merges_encode_as_ranks_do(tokenizer: Tokenizer, ranks: list[bytes], text: str) -> None:
    table = {token: rank for rank, token in enumerate(ranks)}
    pieces = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]
    letters = {letter: byte for byte, letter in _bytes_to_unicode().items()}
    expected = [rank for piece in pieces for rank in by_ranks(bytes(letters[one] for one in piece), table)]
    assert tokenizer.encode(text, add_special_tokens=False).ids == expected


def _bytes_to_unicode() -> dict[int, str]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    table: dict[int, str] = bytes_to_unicode()
    return table


def test_letters_and_digits_are_single_tokens_with_and_without_what_precedes_them(tokenizer: Tokenizer) -> None:
    before = "<|im_start|>assistant\n"
    start = tokenizer.encode(before).ids
    for sign in string.ascii_uppercase + string.digits:
        [token] = tokenizer.encode(sign).ids
        assert tokenizer.encode(before + sign).ids == [*start, token]
        assert tokenizer.encode(f"{before}{sign}<|im_end|>").ids == [*start, token, 151_645]
    assert tokenizer.encode("1024").ids == [tokenizer.token_to_id(digit) for digit in "1024"]


@pytest.mark.parametrize(
    ("task", "longest"),
    [
        (TaskType.CLASSIFICATION, "Pigmented benign keratosis with features of a seborrheic keratosis, inflamed"),
        (TaskType.DETECTION, json.dumps([LONGEST_BOX] * 32)),
        (TaskType.INSTANCE_DETECTION, json.dumps({name: [LONGEST_BOX] * 2 for name in CHROMOSOMES})),
        (TaskType.INSTANCE_DETECTION, json.dumps({str(i): [LONGEST_BOX] for i in range(1, 47)})),
        (TaskType.COUNTING, "999999"),
        (TaskType.REGRESSION, "-1000.123456789012345"),
        (TaskType.REPORT, " ".join((REPORT * 9).split()[:150])),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_budgets_hold_the_longest_legal_answers(tokenizer: Tokenizer, task: TaskType, longest: str) -> None:
    assert count(tokenizer, longest) + 1 <= TASKS[task].max_new_tokens


@needs_flare_data
def test_the_budgets_hold_the_challenges_own_answers_and_options(tokenizer: Tokenizer) -> None:
    lines = (FLARE_DATA / "questions_with_answers.jsonl").read_text("utf-8").splitlines()
    asked = {(one["TaskType"], one["Question"]) for one in map(json.loads, lines)}
    for path in (FLARE_DATA / "flare_inputs").rglob("*.json"):
        asked |= {(one["TaskType"], one["Question"]) for one in json.loads(path.read_bytes())}
    for one in map(json.loads, lines):
        task = parse_task_type(one["TaskType"])
        assert task is not None
        assert count(tokenizer, str(one["Answer"])) < TASKS[task].max_new_tokens
    for spelling, question in asked:
        task, spec = parse_task_type(spelling), QuestionSpec(question)
        if task is TaskType.MULTI_LABEL:
            assert spec.labels
            assert count(tokenizer, spec.separator.join(spec.labels)) < TASKS[task].max_new_tokens
        if task is TaskType.CLASSIFICATION:
            assert max(count(tokenizer, label) for label in spec.labels) < TASKS[task].max_new_tokens


@needs_flare_data
def test_the_budgets_hold_a_report_of_150_words_as_dense_as_the_references(tokenizer: Tokenizer) -> None:
    lines = (FLARE_DATA / "report_references.jsonl").read_text("utf-8").splitlines()
    references = [json.loads(line)["reference"] for line in lines]
    words = sum(len(text.split()) for text in references)
    densest = max(count(tokenizer, text) / len(text.split()) for text in references if len(text.split()) > 10)
    assert words > 1000
    assert 150 * densest < TASKS[TaskType.REPORT].max_new_tokens


def test_a_missing_vocabulary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentProblem, match="Qwen2.5's vocabulary"):
        qwen.find_ranks()
