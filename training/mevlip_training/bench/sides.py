"""The loops that are compared: each answers a folder of questions with the same checkpoint, and counts what it does.

`published` follows the description of ME-VLIP's released container: one question and one image at a time, the
classifier's pipeline built anew, `set_adapter`, free decoding of at most 512 tokens. The container leaves its image
processor's default, up to twelve tiles and a thumbnail, although its adapters were trained with one; so it is measured
both on the predictor's pixels and with tiles. `batched` is what a user writes who knows transformers and peft.

Free decoding ends where a trained model ends its answer. A random one never does, so it is stopped after as many tokens
as the predictor's answer to the same question has, with its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from mevlip.flare.questions import Question, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from mevlip.predictor import Predictor
from mevlip.reading import read_answer
from mevlip.routing.policy import RoutedQuestion, route
from mevlip.routing.router import Router, input_pipeline
from mevlip.runs.folder import run
from mevlip.runs.report import RunReport
from mevlip_training.bench.systems import System
from mevlip_training.bench.work import Cost

if TYPE_CHECKING:
    from PIL import Image

    from mevlip.flare.images import QuestionImages

BATCH = 8
"""Rows of a batch of the batched loop."""
FREE_TOKENS = 512
"""The published container's limit for any answer."""
TILES = 12
"""Most tiles of an image in the published container, its thumbnail not counted."""


@dataclass(frozen=True)
class Outcome:
    """What a side made of a folder of questions.

    Attributes:
        answers: The Answer string of each question, by position.
        cost: What it took, independent of the machine.
        counters: All that the side counts, by name.
    """

    answers: tuple[str, ...]
    cost: Cost
    counters: dict[str, int]


@dataclass(frozen=True)
class Task:
    """Questions of one task.

    Attributes:
        folder: The input folder that holds them.
        lengths: Tokens of a free answer to each question, by position; None where a trained model ends it.
    """

    folder: Path
    lengths: tuple[int, ...] | None = None


Side = Callable[[System, Task], Outcome]


def engine(system: System, task: Task) -> Outcome:
    """The predictor, as `mevlip predict` runs it: reading, journal and writing included."""
    return _outcome(_run(system.predictor, task))


def reference(system: System, task: Task) -> Outcome:
    """The predictor one question at a time, through transformers' generate, with nothing reused."""
    return _outcome(_run(system.reference, task))


def with_lengths(system: System, folder: Path) -> Task:
    """Asks the predictor a folder of questions; free answers of a random model are to be as long as its own."""
    if system.trained:
        return Task(folder)
    tokenizer = system.processor.tokenizer
    answers = _run(system.predictor, Task(folder)).answers
    written = [
        (answer.completion.tokens, answer.completion.text) if answer.completion else (1, "") for answer in answers
    ]
    # A choice is known, and ends, before its last token; free decoding writes that one and the end, too.
    return Task(folder, tuple(max(tokens, len(tokenizer(text)["input_ids"]) + 1) for tokens, text in written))


def _run(predictor: Predictor, task: Task) -> RunReport:
    if isinstance(predictor.model, VisionLanguageModel):
        predictor.model.forget_pictures()  # of the rounds before
    with TemporaryDirectory() as out:
        return run(predictor, task.folder, out)


def _outcome(report: RunReport) -> Outcome:
    counters = vars(report.counters)
    cost = Cost(
        questions=counters["questions"],
        forwards=counters["forwards"],
        prompt_tokens=counters["prompt_tokens"],
        tiles=counters["tiles_encoded"],
        generated_tokens=counters["generated_tokens"],
    )
    return Outcome(tuple(answer.text for answer in report.answers), cost, dict(counters))


@dataclass
class _Tally:
    """Counts what a plain loop does."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, **numbers: int) -> None:
        for name, number in numbers.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def outcome(self, answers: Mapping[int, str]) -> Outcome:
        wanted = ("forwards", "prompt_tokens", "tiles", "generated_tokens")
        cost = Cost(len(answers), *(self.counts.get(name, 0) for name in wanted))
        return Outcome(
            tuple(answers[place] for place in sorted(answers)), cost, {"questions": len(answers)} | self.counts
        )


def published(system: System, task: Task, tiles: int = 0) -> Outcome:
    """One question at a time in input order, each with a classifier pipeline of its own.

    The pipeline is built around a loaded classifier. A container that reads its weights from disk each time, too, is
    slower.

    Args:
        system: The checkpoint.
        task: The questions.
        tiles: Most tiles of an image; 0 shows each whole.
    """
    plain, tally = system.plain, _Tally()
    answers: dict[int, str] = {}
    with _questions(task.folder) as (questions, store):
        for question in questions:
            router = Router(input_pipeline(*plain.router, plain.router_settings, "cpu"), plain.router_settings)
            item = route(question, "router", router.classify([question.text]), router.threshold)
            plain.model.set_adapter(item.adapter)
            tally.add(router_forwards=1, adapter_switches=1)
            [answers[question.position]] = _generate(system, task, [item], store, FREE_TOKENS, tally, tiles)
    return tally.outcome(answers)


def published_with_tiles(system: System, task: Task) -> Outcome:
    """The same with images cut into tiles, as the container shows them."""
    return published(system, task, TILES)


def batched(system: System, task: Task) -> Outcome:
    """All questions classified at once, then batches of eight rows for each adapter, padded on the left."""
    plain, tally = system.plain, _Tally()
    answers: dict[int, str] = {}
    router = Router(input_pipeline(*plain.router, plain.router_settings, "cpu"), plain.router_settings)
    with _questions(task.folder) as (questions, store):
        predictions = router.classify(question.text for question in questions)
        routed = [route(question, "router", predictions, router.threshold) for question in questions]

        def budget(item: RoutedQuestion) -> tuple[str, int]:
            return item.adapter, system.checkpoint.routes[item.adapter].max_new_tokens[item.task]

        tally.add(router_forwards=router.forwards)
        selected = None
        for (adapter, limit), group in groupby(sorted(routed, key=budget), key=budget):
            if adapter != selected:
                plain.model.set_adapter(adapter)
                tally.add(adapter_switches=1)
                selected = adapter
            items = list(group)
            for start in range(0, len(items), BATCH):
                batch = items[start : start + BATCH]
                written = _generate(system, task, batch, store, limit, tally)
                answers |= {item.question.position: text for item, text in zip(batch, written, strict=True)}
    return tally.outcome(answers)


def _generate(
    system: System,
    task: Task,
    items: Sequence[RoutedQuestion],
    store: ImageStore,
    limit: int,
    tally: _Tally,
    tiles: int = 0,
) -> list[str]:
    """Asks the selected adapter with transformers' generate, free to write anything, and reads the answers."""
    processor, settings = system.plain.processor, system.checkpoint.routes[items[0].adapter]
    loaded = [_first_image(store.load(item.question, settings.images)) for item in items]
    prompts = [
        build_prompt(item.question.text, len(images), settings.prompt, ())
        for item, (images, _) in zip(items, loaded, strict=True)
    ]
    inputs = processor(
        text=[
            processor.apply_chat_template(prompt.messages(), tokenize=False, add_generation_prompt=True)
            for prompt in prompts
        ],
        images=[image for images, _ in loaded for image in images] or None,
        crop_to_patches=tiles > 0,
        max_patches=tiles or 1,
        padding=True,
        return_tensors="pt",
    ).to(system.device)
    length = inputs["input_ids"].shape[1]
    stops: dict[str, Any] = {"max_new_tokens": limit}
    if task.lengths is not None:
        lengths = [task.lengths[item.question.position] for item in items]
        stops = {"max_new_tokens": max(lengths), "eos_token_id": None}
    with torch.inference_mode():
        whole = system.plain.model.generate(**inputs, **stops)[:, length:].tolist()
    ends = set(system.plain.ends)
    rows = [row[: lengths[place]] if task.lengths else _to_the_end(row, ends) for place, row in enumerate(whole)]
    tally.add(
        forwards=len(whole[0]),
        prompt_tokens=int(inputs["attention_mask"].sum()),
        tiles=len(inputs["pixel_values"]) if "pixel_values" in inputs else 0,
        generated_tokens=sum(map(len, rows)),
    )
    texts = processor.tokenizer.batch_decode(rows, skip_special_tokens=True)
    specs = [settings.spec(item.question.text, size) for item, (_, size) in zip(items, loaded, strict=True)]
    return [read_answer(item.task, text, spec).text for item, text, spec in zip(items, texts, specs, strict=True)]


def _to_the_end(row: list[int], ends: set[int]) -> list[int]:
    """The tokens of an answer through the first that ends it."""
    return row[: next((place for place, token in enumerate(row, 1) if token in ends), len(row))]


def _first_image(loaded: QuestionImages) -> tuple[tuple[Image.Image, ...], tuple[int, int] | None]:
    """A question's first image, which is all that the container shows, and its size."""
    return tuple(loaded.images[:1]), loaded.sizes[0] if loaded.sizes else None


@contextmanager
def _questions(folder: Path) -> Iterator[tuple[tuple[Question, ...], ImageStore]]:
    read = read_input_folder(folder)
    with ImageStore(read.root) as store:
        yield read.questions, store


SIDES: dict[str, Side] = {
    "engine": engine,
    "reference": reference,
    "published": published,
    "published-tiles": published_with_tiles,
    "batched": batched,
}
"""Every side by its name; the first is what the others are compared with."""
