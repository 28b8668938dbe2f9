"""What a step of constrained decoding costs the host, at the real vocabulary: `python -m benchmarks.grammars`.

Answers are followed token by token on random logits of 151,674 tokens, without a model: which tokens may come next,
choosing among them, and taking one. What the device would do meanwhile is not in it: for closed sets the logits of a
few tokens, for the others a mask over the vocabulary.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mevlip.answers import QuestionSpec
from mevlip.answers.grammar import Grammar
from mevlip.core.tables import table
from mevlip.inference.decoding import Grammars, choose
from mevlip.inference.drafts import Draft
from mevlip.inference.encoder import PromptEncoder
from mevlip.reading import grammar_of
from mevlip.tasks import TaskType
from mevlip_training.shapes.checkpoint import write_encoder
from mevlip_training.shapes.internvl3 import LOGITS, thin

ROWS = (1, 8, 64)
STEPS = 16
ROUNDS = 5
LABELS = ", ".join(
    f"{chr(65 + place)}: {text}" for place, text in enumerate(("Caries", "Calculus", "Crown", "Filling"))
)
SPECS = {
    "letter of four options": (TaskType.CLASSIFICATION, f"Which finding? {LABELS}"),
    "labels of four options": (
        TaskType.MULTI_LABEL,
        "Which of these? Choose from: Caries; Calculus; Crown; Root stump",
    ),
    "number": (TaskType.COUNTING, "How many cells?"),
    "boxes": (TaskType.DETECTION, "Where is it?"),
    "report": (TaskType.REPORT, "Write a report."),
}


def grammars() -> Grammars:
    """Grammars for Qwen2.5's vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        write_encoder(Path(folder), thin())
        tokenizer = PromptEncoder("internvl", Path(folder)).tokenizer
    return Grammars(tokenizer, LOGITS, [tokenizer.eos_token_id])


def step(made: Grammars, drafts: Sequence[Draft], logits: np.ndarray) -> float:
    """Takes one token of each answer; returns the host's CPU seconds."""
    start = time.process_time()
    choices = [draft.choices for draft in drafts]
    words = np.zeros((len(drafts), made.words), dtype=np.uint32)
    if closed := [one for one in choices if one is not None]:
        ids = tuple(sorted(set().union(*set(closed))))
        own = logits[:, : len(ids)]  # as the device hands them over
        choose(drafts, closed, ids, own)
    else:
        for draft, own in zip(drafts, words, strict=True):
            draft.fill(own)
    seconds = time.process_time() - start
    for row, (draft, few) in enumerate(zip(drafts, choices, strict=True)):
        if few is None:  # the device's part
            allowed = np.unpackbits(words[row].view(np.uint8), bitorder="little")[:LOGITS].astype(bool)
            token = int(np.where(allowed, logits[row], -np.inf).argmax())
            start = time.process_time()
            draft.take(token, 0.0)
            seconds += time.process_time() - start
    return seconds


def measure(made: Grammars, grammar: Grammar | None, rows: int) -> float:
    """Milliseconds of a step, the median over rounds; answers that end are begun anew."""
    medians = []
    logits = [np.random.default_rng(seed).standard_normal((rows, LOGITS), dtype=np.float32) for seed in range(2)]
    for _ in range(ROUNDS):
        drafts = [made.draft(grammar, 10**6) for _ in range(rows)]
        seconds = 0.0
        for number in range(STEPS):
            drafts = [made.draft(grammar, 10**6) if draft.done else draft for draft in drafts]
            seconds += step(made, drafts, logits[number % 2])
        medians.append(1000 * seconds / STEPS)
    return float(np.median(medians))


def main() -> None:
    """Prints the table."""
    made = grammars()
    lines = []
    for name, (task, question) in SPECS.items():
        grammar = grammar_of(task, QuestionSpec(question, (640, 480), "norm1000", (0.0, 1000.0)))
        start = time.process_time()
        made.draft(grammar, 1)
        first = 1000 * (time.process_time() - start)
        times = [measure(made, grammar, rows) for rows in ROWS]
        lines.append((name, f"{first:.1f}", *(f"{each:.3f}" for each in times)))
    print(table(("answer", "compiled once, ms", *(f"{rows} rows, ms per step" for rows in ROWS)), lines))


if __name__ == "__main__":
    main()
