"""Table 3 of the ME-VLIP paper as printed, for reference beside one's own scores."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One row: public and hidden validation score of each model; a dash where none was printed."""

    measure: str
    qwen: str
    medgemma: str
    internvl: str
    internvl_with_classifier: str


HEADER = Published("task and measure", "Qwen2.5-VL-7B", "MedGemma-4B", "InternVL3-8B", "InternVL3-8B with classifier")
TABLE_3 = (
    HEADER,
    [
        Published("Classification, balanced accuracy", "0.36 | 0.51", "0.56 | 0.68", "0.52 | 0.71", "0.53 | 0.74"),
        Published("Multi-label classification, F1", "0.36 | 0.53", "0.55 | 0.56", "0.46 | 0.56", "0.46 | 0.57"),
        Published("Detection, F1", "0.64 | 0.71", "0.12 | 0.73", "0.37 | 0.82", "0.26 | 0.82"),
        Published("Instance detection, F1", "- | 0.00", "- | 0.00", "- | 0.00", "- | 0.00"),
        Published("Counting, mean absolute error", "243.6 | -", "265.7 | -", "301.4 | -", "251.6 | -"),
        Published("Regression, mean absolute error", "- | 15.70", "- | 15.35", "- | 18.67", "- | 11.84"),
        Published("Report generation, GREEN", "0.76 | -", "0.74 | -", "0.75 | -", "0.71 | -"),
    ],
)
