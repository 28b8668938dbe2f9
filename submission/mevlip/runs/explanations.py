"""How each answer came about, one JSON object per line: `mevlip predict --explanations FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mevlip.answers import QuestionSpec, Stage
from mevlip.checkpoints.records import first_error
from mevlip.core.errors import InputError, OutputError
from mevlip.core.files import LARGEST_LIST, atomic_file, read_bounded
from mevlip.core.text import one_line, visible
from mevlip.flare.questions import Question
from mevlip.inference.engine import Answer
from mevlip.tasks import TaskType


@dataclass(frozen=True)
class Explanation:
    """How one answer came about.

    Attributes:
        question: File and number of the record, such as `a/b_questions_val.json[3]`.
        images: Its image names.
        task: The kind of answer.
        routed_task: The task that the router or the record named; another one where the question's form excludes it.
        adapter: The adapter that answered.
        router_confidence: The router's confidence, 0 to 1.
        answer: The Answer string.
        stage: How the model's text was read; see `mevlip.answers.ParsedAnswer`.
        reason: Why it was not strict; empty otherwise.
        problems: What was wrong with the images.
        probability: How sure the model was, 0 to 1; see `Completion`. None where it wrote nothing.
        option_probabilities: The probability of each option, where the first token decides.
        options: The options that the question was understood to offer.
        several: Whether it was understood to allow more than one.
        separator: What stands between several labels.
        shape: How it asks for boxes: as a list, an object, or not at all.
        unit: The unit of the number that it asks for; empty where it names none.
        share: The share of the adapter that the answer's own was mixed with, 0 to 1; None without a mix.
        thinking: What the model wrote before its answer, on one line and cut; empty where it was not to think.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    question: str
    images: tuple[str, ...]
    task: TaskType
    routed_task: TaskType
    adapter: str
    router_confidence: float
    answer: str
    stage: Stage
    reason: str
    problems: tuple[str, ...]
    probability: float | None
    option_probabilities: dict[str, float]
    options: tuple[str, ...]
    several: bool
    separator: str
    shape: str
    unit: str
    share: float | None = None
    thinking: str = ""


_EXPLANATION = TypeAdapter(Explanation)
_LONGEST_THINKING = 8_000
"""Characters."""


def explain(question: Question, answer: Answer) -> Explanation:
    """Explains one answer; probabilities are rounded to six decimals."""
    spec = QuestionSpec(question.text)
    share = answer.completion.share if answer.completion else None
    return Explanation(
        question=question.where,
        images=question.image_names,
        task=answer.task,
        routed_task=answer.routed_task,
        adapter=answer.adapter,
        router_confidence=round(answer.confidence, 6),
        answer=answer.text,
        stage=answer.stage,
        reason=answer.reason,
        problems=answer.problems,
        probability=None if answer.probability is None else round(answer.probability, 6),
        option_probabilities={text: round(value, 6) for text, value in answer.options.items()},
        options=tuple(spec.options) or spec.labels,
        several=spec.several,
        separator=spec.separator,
        shape=spec.shape,
        unit=spec.unit,
        share=None if share is None else round(share, 6),
        thinking=shown_thinking(answer),
    )


def shown_thinking(answer: Answer) -> str:
    """What the model wrote before an answer, as it may be shown: on one line, cut, nothing in it invisible."""
    return visible(one_line(answer.completion.thinking), _LONGEST_THINKING) if answer.completion else ""


def write_explanations(path: Path, explanations: Iterable[Explanation]) -> None:
    """Writes a JSON Lines file; its folder is made where it is absent.

    Raises:
        EnvironmentProblem: It cannot be written.
    """
    remedy = "Name another file for --explanations; the predictions are there."
    with atomic_file(path, remedy) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(one)) + "\n" for one in explanations)


def read_explanations(path: Path) -> tuple[Explanation, ...]:
    """Reads what `write_explanations` wrote.

    Raises:
        InputError: The file cannot be read, or a line is not an explanation.
    """
    remedy = "Name a file that `mevlip predict --explanations` wrote."
    try:
        lines = read_bounded(path, LARGEST_LIST).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", remedy) from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_EXPLANATION.validate_json(line))
        except ValidationError as error:
            raise InputError(f"{path}, line {number} is not an explanation ({first_error(error)})", remedy) from error
    return tuple(found)


def merge_explanations(shards: Iterable[Path], questions: Sequence[Question], path: Path) -> None:
    """Joins the explanations of shards, in the order of the questions.

    Args:
        shards: The files that the shards' runs wrote.
        questions: All questions of the input folder.
        path: The file to write.

    Raises:
        InputError: A file cannot be read.
        OutputError: A question is not explained.
        EnvironmentProblem: The file cannot be written.
    """
    found = {one.question: one for shard in shards for one in read_explanations(shard)}
    missing = [question.where for question in questions if question.where not in found]
    if missing:
        raise OutputError(
            f"No shard explains {len(missing)} of {len(questions)} questions, first {missing[0]}",
            "Run every shard with --explanations SHARD/explanations.jsonl.",
        )
    write_explanations(path, [found[question.where] for question in questions])
