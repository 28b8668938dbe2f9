"""What one free text is, and the questions that several files ask."""

from __future__ import annotations

from typing import NamedTuple

from mevlip.answers import QuestionSpec

FALLBACK = "<fallback>"
"""Stands where the text leaves open what is meant."""
REFUSAL = "<refusal>"
"""Stands where the text refuses to answer: a fallback whose reason says so."""


class Case(NamedTuple):
    """A text, and how it is to be read.

    Attributes:
        name: A short name.
        spec: The question.
        text: What a model wrote.
        expected: The Answer string, `FALLBACK` or `REFUSAL`.
    """

    name: str
    spec: QuestionSpec
    text: str
    expected: str


BREAST = QuestionSpec(
    "What does the outlined area of the scan show? Options: A) Benign lesion found B) Malignant lesion found "
    "C) No lesion, only plain tissue"
)
JAW = QuestionSpec(
    "How would you class the gaps of the upper jaw? A: Class I (both ends free), B: Class II (one end free), "
    "C: Class III (bounded on one side), D: Class IV (bounded in front), E: Edentulous, F: Normal (no gaps)"
)
ROOTS = QuestionSpec("Is a piece of root left in the lower jaw? A: No, B: Yes")
EYE = QuestionSpec(
    "What is the main diagnosis? A: Normal, B: Diabetic Retinopathy, C: Macular Degeneration, D: Glaucoma"
)
KIND = QuestionSpec("Which finding is seen? Options: Mass, Calcification, Both.")
PLANE = QuestionSpec("Is this a standard plane?")

TOOTH = QuestionSpec(
    "What is wrong with tooth 36? Select all that apply, separate multiple selections with a semicolon: Dental Caries; "
    "Pulp Diseases; Periodontal Diseases; Impacted Tooth; Fillings, Crowns, and Other Work."
)
CHEST = QuestionSpec(
    "Which of these are visible? List all that apply from: Normal, Pleural Effusion, Cardiomegaly, Pneumonia, Nodule, "
    "Old Fracture, Atelectasis."
)
MARKED = QuestionSpec("Select all that apply. A: Ulcer, B: Hernia, C: Polyp, D: Tumor")

LESION = QuestionSpec("Give the box of the lesion as [x_min, y_min, x_max, y_max], nested for several.", (1000, 800))
CHROMOSOMES = QuestionSpec(
    "Find every chromosome. Answer with a JSON object: keys are chromosome numbers, values are lists of "
    "[x_min, y_min, x_max, y_max].",
    (1000, 800),
)
CELLS = QuestionSpec("How many cells does the picture show?")
LOSS = QuestionSpec("What share of bone is lost (in %)?", None, "pixel", (0.0, 100.0))
ANGLE = QuestionSpec("What is the angle between the two lines in degrees?", None, "pixel", (0.0, 180.0))
LUNGS = QuestionSpec("Describe the lungs in this radiograph.")
HEART = QuestionSpec("Write the part of the report that is about the heart.")
