"""The official table of 2026 that one participant published: PaliGemma's reading of four tasks, each pooled.

The platform's scorer is not public. What is known of it is that participant's table: balanced accuracy of
classification, micro F1 of multi-label classification, F1 of boxes above IoU 0.5 without chromosomes, and the mean
absolute error of regression, each over all questions of its task. Instance detection was not scored, and counting and
reports have no questions in the hidden sets.
"""

from __future__ import annotations

from mevlip.tasks import TaskType
from mevlip_validation.protocols.base import Protocol
from mevlip_validation.protocols.flare25 import score_boxes, score_choices, score_labels, score_numbers

PROTOCOL = Protocol(
    "board2026",
    "official table of FLARE 2026, as one participant published it",
    scorers={
        TaskType.CLASSIFICATION: score_choices,
        TaskType.MULTI_LABEL: score_labels,
        TaskType.DETECTION: score_boxes,
        TaskType.REGRESSION: score_numbers,
    },
    repeats="flare25",
    note="as one participant published it; the platform's scorer is not public",
)
