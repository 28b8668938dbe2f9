"""Report generation: measures of words, and judgments by models.

The challenge's own measures are GREEN (2025) and CRIMSON (2026), which take a model; ROUGE-L stands first because it is
always known.
"""

from __future__ import annotations

from math import nan

from mevlip.tasks import Direction
from mevlip_validation import text_metrics
from mevlip_validation.metrics.base import Measure, Rows, TaskMetrics, most_frequent_target
from mevlip_validation.statistics import Aggregate

JUDGES: dict[str, Direction] = {"GREEN": "higher", "CRIMSON": "higher", "RaTE": "higher", "RadCliQ": "lower"}
"""Model-based scorers of reports, and whether more is better. Each protocol names its own."""
OFFICIAL_JUDGES = ("GREEN", "CRIMSON")
"""The challenge's own measures of reports, in 2025 and 2026."""


def _judgment(name: str) -> Measure:
    def statistic(rows: Rows) -> Aggregate:
        return Aggregate(tuple(row.judgments.get(name, nan) for row in rows))

    how = f"{name.lower()}@judged,failed=left-out,mean"
    return Measure(
        name, JUDGES[name], how, statistic, is_judgment=True, in_summary=name in OFFICIAL_JUDGES, scale="free"
    )


_ROUGE, _BLEU = (text_metrics.package_version(name) for name in ("rouge-score", "sacrebleu"))

METRICS = TaskMetrics(
    measures=(
        Measure("ROUGE-L", "higher", f"rouge-l@{_ROUGE},mean-of-rows", text_metrics.rouge_l),
        Measure("BLEU", "higher", f"bleu@{_BLEU},effective-order,corpus", text_metrics.bleu),
        Measure("CIDEr", "higher", "cider-d@words,df-of-truth,mean-of-rows", text_metrics.cider, scale="free"),
        Measure("statement F1", "higher", "statement-f1@sentences,nocase,mean-of-rows", text_metrics.statement_f1),
        *map(_judgment, JUDGES),
    ),
    constant=most_frequent_target,
)
