"""Boxes of every numbered chromosome."""

from __future__ import annotations

from tests.mevlip.answers.free_texts.case import CHROMOSOMES, FALLBACK, REFUSAL, Case

SIX = '{"6": [[1, 2, 30, 40]]}'
BOTH = '{"6": [[1, 2, 30, 40]], "X": [[5, 6, 70, 80]]}'
CASES = (
    Case(
        "colon outside the bold",
        CHROMOSOMES,
        "**Chromosome 6**: [1, 2, 30, 40]\n**Chromosome X**: [5, 6, 70, 80]",
        BOTH,
    ),
    Case(
        "bullets and bold",
        CHROMOSOMES,
        "* **Chromosome 6:** [[1, 2, 30, 40]]\n* **Chromosome X:** [[5, 6, 70, 80]]",
        BOTH,
    ),
    Case(
        "boxes on the next lines", CHROMOSOMES, "Chromosome 6:\n- [1, 2, 30, 40]\nChromosome X:\n- [5, 6, 70, 80]", BOTH
    ),
    Case("dash", CHROMOSOMES, "Chromosome 6 - [1, 2, 30, 40]\nChromosome X - [5, 6, 70, 80]", BOTH),
    Case("chr", CHROMOSOMES, "chr6: [1, 2, 30, 40]\nchrX: [5, 6, 70, 80]", BOTH),
    Case("number and colon", CHROMOSOMES, "6: [1, 2, 30, 40]\nX: [5, 6, 70, 80]", BOTH),
    Case("hash", CHROMOSOMES, "Chromosome #6: [1, 2, 30, 40]", SIX),
    Case("is at", CHROMOSOMES, "Chromosome 6 is at [1, 2, 30, 40] and chromosome X is at [5, 6, 70, 80].", BOTH),
    Case("pair", CHROMOSOMES, "Chromosome pair 6: [1, 2, 30, 40]", SIX),
    Case("bold number", CHROMOSOMES, "**6**: [1, 2, 30, 40]\n**X**: [5, 6, 70, 80]", BOTH),
    Case("bold number, colon inside", CHROMOSOMES, "**6:** [1, 2, 30, 40]\n**X:** [5, 6, 70, 80]", BOTH),
    Case(
        "wrapper, list of objects",
        CHROMOSOMES,
        '{"objects": [{"chromosome": 6, "box": [1, 2, 30, 40]}, {"chromosome": "X", "box": [5, 6, 70, 80]}]}',
        BOTH,
    ),
    Case("instances", CHROMOSOMES, '{"instances": {"6": [[1, 2, 30, 40]], "X": [[5, 6, 70, 80]]}}', BOTH),
    Case(
        "wrapper in capitals",
        CHROMOSOMES,
        '{"Chromosomes": {"Chromosome 6": [1, 2, 30, 40], "Chromosome X": [5, 6, 70, 80]}}',
        BOTH,
    ),
    Case("annotations", CHROMOSOMES, '{"annotations": [{"chromosome_id": "6", "bbox": [1, 2, 30, 40]}]}', SIX),
    Case("wrapper twice", CHROMOSOMES, '{"image": {"chromosomes": {"6": [[1, 2, 30, 40]]}}}', SIX),
    Case("python", CHROMOSOMES, "{'6': [[1, 2, 30, 40]], 'X': [[5, 6, 70, 80]]}", BOTH),
    Case(
        "fence and talk",
        CHROMOSOMES,
        'Here is the JSON object:\n\n```json\n{"6": [[1, 2, 30, 40]]}\n```\n\nNote that it may be inexact.',
        SIX,
    ),
    Case("talk, no fence", CHROMOSOMES, 'Here is the result: {"6": [[1, 2, 30, 40]]} I hope it helps.', SIX),
    Case("missing quotation marks", CHROMOSOMES, "{6: [[1, 2, 30, 40]], X: [[5, 6, 70, 80]]}", BOTH),
    Case("cut off", CHROMOSOMES, '{"6": [[1, 2, 30, 40]], "X": [[5, 6, 70, 80]], "7": [[', BOTH),
    Case("thought", CHROMOSOMES, "<think>chromosome 9: [1, 1, 9, 9]</think>**Chromosome 6:** [1, 2, 30, 40]", SIX),
    Case("full-width colon", CHROMOSOMES, "Chromosome 6：[1, 2, 30, 40]", SIX),
    Case("only boxes", CHROMOSOMES, "[[1, 2, 30, 40], [5, 6, 70, 80]]", FALLBACK),
    Case("bounding boxes only", CHROMOSOMES, '{"bounding boxes": [[1, 2, 30, 40]]}', FALLBACK),
    Case("refusal, AI", CHROMOSOMES, "As an AI, I can't locate the 46 chromosomes.", REFUSAL),
    Case(
        "refusal, example",
        CHROMOSOMES,
        'I cannot provide exact coordinates. The format would be for example {"1": [[10, 10, 50, 50]]}.',
        REFUSAL,
    ),
    Case("no numbers", CHROMOSOMES, "There are 46 chromosomes.", FALLBACK),
)
