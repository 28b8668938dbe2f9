"""Breaking the answer parsers: `python -m benchmarks.answers [TEXTS] [SEED]`.

Legal answers of every task are mutilated as models do it and at random, then read against their questions. Every text
must give a legal answer without an exception, and every public protocol must read that answer as it is meant, but
for the documented exceptions. Status 1 if not.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from mevlip.answers import STAGES, QuestionSpec
from mevlip.core.tables import table
from mevlip.reading import read_answer
from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.wordings import DATASETS
from mevlip_validation.protocols import protocols
from mevlip_validation.protocols.misreadings import known_misreadings, misreadings

TEXTS = 1_000_000
SEED = 5
_CHUNK = 20_000

_NOISE = "aZ09 .,;:()[]{}<>\"'`*|/\\-+%\n\t\u00e9\u4e2d\u2212\u00d7\ufffd\x00\u2028\U0001f600"
_SENTENCES = (
    "I think the answer is", "The image shows", "Sure! Here it is:", "Error:", "Not sure, but perhaps", "",
    "Final answer:", "Therefore, it is", "It is not", "There is no sign of", "I'm sorry, but I cannot determine",
    "As an AI, I can't see", "However, the answer is", "Wait, actually", "1. First I look.\n2. Then I see",
    "On tooth 36 and in Figure 2 of grade 3:",
)  # fmt: skip
Rng = random.Random


@dataclass
class Tally:
    """What a number of texts led to.

    Attributes:
        stages: Answers by task and stage.
        failures: Texts that raised something or gave an illegal answer; must stay empty.
        misread: How often each protocol misread an answer, by kind; kinds without a name are undocumented.
    """

    stages: Counter[tuple[TaskType, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    misread: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Adds another tally to this one."""
        self.stages += other.stages
        self.failures += other.failures
        self.misread += other.misread


def fuzz(texts: int, seed: int) -> Tally:
    """Reads a number of mutilated texts; equal seeds give equal texts."""
    rng = random.Random(seed)
    tally, evaluators = Tally(), protocols()
    for _ in range(texts):
        task, spec, text = _draw(rng)
        try:
            outcome = read_answer(task, text, spec)
            answer = TASKS[task].answer.parse(outcome.text, replace(spec, box_space="pixel"))
            if not outcome.text or answer.format() != outcome.text:
                raise ValueError("an answer that is not legal")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this script looks for
            tally.failures.append(f"{task}: {type(error).__name__}: {error}: {text!r}")
            continue
        tally.stages[task, outcome.stage] += 1
        tally.misread.update(misreadings(answer, evaluators))
    return tally


def _draw(rng: Rng) -> tuple[TaskType, QuestionSpec, str]:
    dataset = rng.choice(DATASETS)
    question = dataset.question(rng.choice(dataset.wordings), rng.choice(dataset.targets))
    size = rng.choice(((64, 48), (1280, 960), (500, 1500), (1, 1), None))
    spec = QuestionSpec(question, size, rng.choice(("norm1000", "pixel")), (0.0, 1000.0))
    text = _LEGAL[dataset.task](spec, rng)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
        text = rng.choice(_MUTATIONS)(text, rng)
    return dataset.task, spec, text


def _choice(spec: QuestionSpec, rng: Rng) -> str:
    marks = list(spec.options)
    if not marks:
        return rng.choice(spec.labels)
    mark = rng.choice(marks)
    return rng.choice(
        (mark, mark, spec.options[mark], f"{mark}) {spec.options[mark]}", f"{mark}: {spec.options[mark]}")
    )


def _labels(spec: QuestionSpec, rng: Rng) -> str:
    chosen = rng.sample(spec.labels, rng.randint(1, len(spec.labels)))
    return rng.choice((spec.separator, spec.separator, ", ", "; ", "\n- ", " and ")).join(chosen)


def _box(rng: Rng) -> list[float]:
    box: list[float] = [rng.randint(-5, 1400) for _ in range(4)]
    return [value + 0.5 for value in box] if rng.random() < 0.1 else box


def _boxes(_form: QuestionSpec, rng: Rng) -> str:
    boxes = [_box(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
    label = {"label": "thing", "bbox_2d": boxes[0]}
    return rng.choice((json.dumps(boxes), json.dumps(boxes), json.dumps(boxes[0]), json.dumps([label]), str(boxes)))


def _instances(_form: QuestionSpec, rng: Rng) -> str:
    names = [*map(str, range(1, 23)), "X", "Y"]
    found = {rng.choice(names): [_box(rng) for _ in range(rng.randint(1, 2))] for _ in range(rng.choice((1, 3, 23)))}
    flat = [{"id": name, "bbox": boxes[0]} for name, boxes in found.items()]
    return rng.choice((json.dumps(found), json.dumps(found), json.dumps(flat), str(found)))


def _number(_form: QuestionSpec, rng: Rng) -> str:
    value = rng.choice((rng.randint(0, 9), rng.randint(0, 2000), rng.uniform(-50, 200), rng.uniform(0, 10**7)))
    shown = (str(value), f"{value:.2f}", f"{value:,}", f"{value:e}", f"{value} cells", f"{value:.1f}%", "twenty-one")
    return rng.choice((str(value), *shown))


def _report(_form: QuestionSpec, rng: Rng) -> str:
    return rng.choice(("The heart is wide.", "No fluid.\nNo shadow.", "Report: both lungs are clear", "x"))


_LEGAL: dict[TaskType, Callable[[QuestionSpec, Rng], str]] = {
    TaskType.CLASSIFICATION: _choice,
    TaskType.MULTI_LABEL: _labels,
    TaskType.DETECTION: _boxes,
    TaskType.INSTANCE_DETECTION: _instances,
    TaskType.COUNTING: _number,
    TaskType.REGRESSION: _number,
    TaskType.REPORT: _report,
}


def _insert(text: str, rng: Rng) -> str:
    place = rng.randint(0, len(text))
    return text[:place] + "".join(rng.choices(_NOISE, k=rng.randint(1, 6))) + text[place:]


def _delete(text: str, rng: Rng) -> str:
    start = rng.randint(0, len(text))
    return text[:start] + text[start + rng.randint(1, 5) :]


_MUTATIONS: tuple[Callable[[str, Rng], str], ...] = (
    _insert,
    _delete,
    lambda text, rng: text[: rng.randint(0, len(text))],
    lambda text, rng: text[rng.randint(0, len(text)) :],
    lambda text, rng: text.lower(),
    lambda text, rng: text.upper(),
    lambda text, rng: f"{text}.",
    lambda text, rng: f"{rng.choice(_SENTENCES)} {text}",
    lambda text, rng: f"{text}\n{rng.choice(_SENTENCES)}",
    lambda text, rng: f"Answer: {text}",
    lambda text, rng: f"**{text}**",
    lambda text, rng: f"```json\n{text}\n```",
    lambda text, rng: f"<think>{text}, or not</think>{text}",
    lambda text, rng: f"<answer>{text}</answer>",
    lambda text, rng: rf"$\boxed{{\text{{{text}}}}}$",
    lambda text, rng: f"**Final Answer:** {text}",
    lambda text, rng: f"{text} is not present, {rng.choice(_SENTENCES)} {text}",
    lambda text, rng: f"- {text}: {rng.choice(('yes', 'no', 'absent', 'present'))}",
    lambda text, rng: f"{text}\n```json\n{text}\n```",
    lambda text, rng: f'{{"{rng.choice(("boxes", "detections", "answer", "objects"))}": {text}}}',
    lambda text, rng: f"**Chromosome {rng.choice((1, 6, 'X'))}:** {text}",
    lambda text, rng: f"{text} or {rng.choice('ABCDEI')}",
    lambda text, rng: text.translate(
        {44: "\uff0c", 58: "\uff1a", 59: "\uff1b", 46: "\u3002", 40: "\uff08", 41: "\uff09"}
    ),
    lambda text, rng: text * rng.randint(2, 4),
    lambda text, rng: text.replace(",", rng.choice((";", " ", ",,", "\n"))),
    lambda text, rng: text.replace('"', rng.choice(("'", "", "\u201c"))),
    lambda text, rng: text.replace("]", rng.choice(("", "]]", ")")), 1),
    lambda text, rng: text.replace("1", "9" * rng.randint(2, 500), 1),
    lambda text, rng: "".join(rng.choices(_NOISE, k=rng.randint(0, 40))),
)


def _render(tally: Tally, seconds: float) -> str:
    rows = [(TASKS[task].title, *(tally.stages[task, stage] for stage in STAGES)) for task in TASKS]
    total = sum(tally.stages.values()) + len(tally.failures)
    misread = [(name, kind or "NOT DOCUMENTED", count) for (name, kind), count in sorted(tally.misread.items())]
    return "\n".join(
        [
            table(("task", *STAGES), rows),
            "",
            table(("protocol", "misreads", "answers"), misread),
            "",
            f"{total} texts in {seconds:.0f} s ({total / seconds:.0f} per second), {len(tally.failures)} failures",
            *tally.failures[:10],
        ]
    )


def main() -> int:
    """Runs the fuzz in two processes and prints what came of it."""
    given = [int(argument) for argument in sys.argv[1:]]
    texts, seed = (*given, *(TEXTS, SEED)[len(given) :])
    sizes = [min(_CHUNK, texts - start) for start in range(0, texts, _CHUNK)]
    tally, start = Tally(), time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        for part in pool.map(fuzz, sizes, [seed * 1_000_003 + index for index in range(len(sizes))]):
            tally.add(part)
    print(_render(tally, time.perf_counter() - start))
    documented = known_misreadings()
    undocumented = [key for key in tally.misread if key not in documented]
    return 1 if tally.failures or undocumented else 0


if __name__ == "__main__":
    raise SystemExit(main())
