"""Looking at questions and images before they are answered or learned: issues with causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from mevlip.answers import QuestionSpec
from mevlip.answers.choice import Choice
from mevlip.answers.labels import LabelSet
from mevlip.core.progress import Progress
from mevlip.flare.issues import Issue, IssueCode, Severity
from mevlip.flare.pixels import ImageError
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageFacts, ImageStore
from mevlip.tasks import TASKS

SMALLEST_SIDE = 32
"""Pixels: the vision tower cuts 14-pixel patches, so a smaller side is enlarged from two of them or fewer."""
WIDEST = 5.0
"""Longer side to shorter: beyond it tiles or resizing distort what is seen."""
FAINTEST = 2.0
"""Standard deviation in gray levels of 255 below which there is nothing to see."""
COLORED_SHARE = 0.02
"""Share of clearly colored pixels beyond which an image is not gray."""
_GRAY_MODALITIES = ("xray", "mammography", "ultrasound")
_CLOSED = (Choice, LabelSet)


def inspect_questions(questions: Sequence[Question], store: ImageStore, quiet: bool = False) -> list[Issue]:
    """Looks at questions and their images, without regard to any answer.

    Args:
        questions: The questions, of one folder.
        store: The store of their images.
        quiet: Whether to show no progress.

    Returns:
        Issues in the order of the questions.
    """
    issues: list[Issue] = []
    inspector = Inspector(store)
    with Progress("checking", len(questions), "questions", quiet) as progress:
        for question in questions:
            issues += inspector.text(question)
            issues += inspector.images(question)
            issues += inspector.repeats(question)
            progress.advance()
    return issues


class Inspector:
    """The checks that need no answer, one question after another.

    How a readable image looks is reported once, at the first question that names it; an image that cannot be read is
    reported at each, because each loses by it.

    Args:
        store: The store of the questions' images.
    """

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._seen: set[str] = set()
        self._first: dict[str, tuple[str, str]] = {}  # by hash: where the file lies, and what names it so
        self._copies: set[str] = set()
        self._questions: dict[tuple[tuple[str, ...], str, Path], str] = {}

    def text(self, question: Question) -> Iterator[Issue]:
        """Yields what is wrong with a question's text."""
        if not question.text:
            message = "the Question field is empty or absent; prediction gives a fallback answer"
            yield issue_of(question, IssueCode.NO_QUESTION, message, severity="error", field="Question")
        elif _is_closed(question) and not QuestionSpec(question.text).labels:
            message = "its text lists no options, so any words may be answered"
            yield issue_of(question, IssueCode.NO_OPTIONS, message, field="Question")

    def images(self, question: Question) -> Iterator[Issue]:
        """Yields what is wrong with a question's images."""
        if not question.image_names:
            message = "the record's ImageName names no image; prediction answers by the text alone"
            yield issue_of(question, IssueCode.NO_IMAGE, message, field="ImageName")
        for name in question.image_names:
            try:
                facts, place = self._store.facts(question, name), self._store.place(question, name)
            except ImageError as error:
                message = f"image {name!r}: {error}"
                yield issue_of(question, IssueCode.UNREADABLE_IMAGE, message, severity="error", image=name)
                continue
            if place not in self._seen:
                self._seen.add(place)
                for code, message in _look(facts, question):
                    yield issue_of(question, code, message, image=name)

    def repeats(self, question: Question) -> Iterator[Issue]:
        """Yields what an earlier question asked, and images that an earlier one has under another name."""
        key = question.image_names, question.text, question.folder
        if key in self._questions:
            yield issue_of(question, IssueCode.REPEATED_QUESTION, f"asks what {self._questions[key]} asks")
        self._questions.setdefault(key, question.where)
        for name in question.image_names:
            try:
                digest, place = self._store.facts(question, name).sha256, self._store.place(question, name)
            except ImageError:
                continue
            first, named = self._first.setdefault(digest, (place, f"{name} of {question.where}"))
            if first != place and place not in self._copies:
                self._copies.add(place)
                yield issue_of(question, IssueCode.SAME_IMAGE, f"the same bytes as {named}", image=name)


def issue_of(
    question: Question,
    code: IssueCode,
    message: str,
    *,
    severity: Severity = "warning",
    image: str = "",
    field: str = "",
    left_out: bool = False,
) -> Issue:
    """Makes an issue about a question's record."""
    dataset = question.folder.name
    return Issue(severity, code, question.file, question.index, message, dataset, image, field, left_out=left_out)


def summary(issues: Sequence[Issue]) -> list[tuple[str, str, int, int, str, str]]:
    """Rows of code, data set, number, number left out of training, first place and its cause, in the order of codes."""
    groups: dict[tuple[IssueCode, str], list[Issue]] = defaultdict(list)
    for one in issues:
        groups[one.code, one.dataset].append(one)
    order = list(IssueCode)
    return [
        (code.value, dataset, len(mine), sum(one.left_out for one in mine), mine[0].where, mine[0].message)
        for (code, dataset), mine in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]


def _look(facts: ImageFacts, question: Question) -> Iterator[tuple[IssueCode, str]]:
    width, height = facts.size
    if min(width, height) < SMALLEST_SIDE:
        yield IssueCode.TINY, f"{width} x {height} pixels; less than {SMALLEST_SIDE} on one side"
    if max(width, height) > WIDEST * min(width, height):
        yield IssueCode.EXTREME_RATIO, f"{width} x {height} pixels; more than {WIDEST:g} to 1"
    look = facts.appearance
    if look.color is not None:
        yield IssueCode.SINGLE_COLOR, f"every pixel is {look.color}"
    elif look.spread < FAINTEST:
        yield IssueCode.BLANK, f"gray levels vary by {look.spread:.2f} of 255"
    modality, category = str(question.record.get("Modality", "")), question.folder.parent.name
    if look.colored > COLORED_SHARE and (_is_gray(modality) or _is_gray(category)):
        message = f"{100 * look.colored:.0f} % of the pixels of an image of {modality or category}"
        yield IssueCode.UNEXPECTED_COLOR, message


def _is_closed(question: Question) -> bool:
    """Whether a question's declared task has options to choose from."""
    return question.declared is not None and TASKS[question.declared].answer in _CLOSED


def _is_gray(modality: str) -> bool:
    """Whether images of a modality are gray, as its name says."""
    return "".join(filter(str.isalpha, modality.lower())).startswith(_GRAY_MODALITIES)
