"""More held-out texts, by other habits of speech; see `held_out`."""

from __future__ import annotations

from mevlip.tasks import TaskType
from tests.mevlip.answers.free_texts.case import (
    ANGLE,
    BREAST,
    CELLS,
    CHEST,
    CHROMOSOMES,
    EYE,
    FALLBACK,
    HEART,
    JAW,
    KIND,
    LESION,
    LOSS,
    LUNGS,
    MARKED,
    PLANE,
    REFUSAL,
    ROOTS,
    TOOTH,
    Case,
)

SECOND: dict[TaskType, tuple[Case, ...]] = {
    TaskType.CLASSIFICATION: (
        Case("selected", BREAST, "After weighing the margins against the shadow, my selection is B.", "B"),
        Case("looks most like", EYE, "Of the four, it looks most like option B to me.", "B"),
        Case("hence", ROOTS, "A dense fragment sits below the second premolar; hence, B.", "B"),
        Case(
            "verdict heading",
            JAW,
            "## Analysis\nMolars are missing on both sides.\n\n## Conclusion\nA: Class I (both ends free)",
            "A",
        ),
        Case(
            "table",
            EYE,
            "| Option | Fits |\n|---|---|\n| A | no |\n| B | no |\n| C | yes |\n| D | no |\n\nFinal choice: C",
            "C",
        ),
        Case("shrug", EYE, "Honestly, A, B, C and D are all possible.", FALLBACK),
        Case("question back", BREAST, "Could you tell me more about the patient?", FALLBACK),
        Case("can't view", ROOTS, "I can't view or analyze images directly.", REFUSAL),
        Case("nothing attached", ROOTS, "I don't see any image attached to your message.", REFUSAL),
        Case("no doctor but", JAW, "I'm not a dentist, but I'd say the answer is F.", "F"),
        Case("option text with its letter in parentheses", EYE, "The correct answer is Glaucoma (D).", "D"),
        Case("classified as", BREAST, "This would be classified as a malignant lesion found.", "B"),
        Case("letter with reason", BREAST, "(A) because the border is smooth and round.", "A"),
        Case("Italian", BREAST, "La risposta corretta è C.", "C"),
        Case("no in words", PLANE, "It is not a standard plane, so the answer is No.", "No"),
        Case("mass only", KIND, "I would label it **Mass** since no calcification can be found.", "Mass"),
        Case("text and wrong letter", EYE, "Final answer: A: Glaucoma", "D"),
    ),
    TaskType.MULTI_LABEL: (
        Case(
            "in summary",
            CHEST,
            "In summary, the radiograph demonstrates cardiomegaly and atelectasis.",
            "Cardiomegaly, Atelectasis",
        ),
        Case(
            "rest is denied",
            CHEST,
            "Cardiomegaly is present. Pneumonia, nodule, and old fracture are not seen.",
            "Cardiomegaly",
        ),
        Case(
            "denies", TOOTH, "The X-ray doesn't show dental caries. It does show an impacted tooth.", "Impacted Tooth"
        ),
        Case("lacks", CHEST, "The film lacks pleural effusion; a nodule is visible.", "Nodule"),
        Case(
            "selected labels", TOOTH, "Selected labels: Pulp Diseases; Impacted Tooth", "Pulp Diseases; Impacted Tooth"
        ),
        Case("letters listed", MARKED, "I would select B, C, and D.", "Hernia, Polyp, Tumor"),
        Case("text of letters", MARKED, "An ulcer and a polyp are visible.", "Ulcer, Polyp"),
        Case(
            "can't diagnose",
            TOOTH,
            "I can't diagnose tooth 36. Pulp Diseases and Dental Caries are among the options.",
            REFUSAL,
        ),
        Case("insufficient", CHEST, "There is not enough information to determine the findings.", REFUSAL),
        Case(
            "bold list at the end",
            TOOTH,
            "The pulp looks intact, so Pulp Diseases can be excluded.\n\n**Dental Caries; Periodontal Diseases**",
            "Dental Caries; Periodontal Diseases",
        ),
        Case(
            "checkboxes",
            TOOTH,
            "- [x] Dental Caries\n- [ ] Pulp Diseases\n- [x] Impacted Tooth",
            "Dental Caries; Impacted Tooth",
        ),
    ),
    TaskType.DETECTION: (
        Case("approx", LESION, "Roughly [120, 80, 260, 200].", "[[120, 80, 260, 200]]"),
        Case(
            "wrapper twice", LESION, '{"result": {"lesions": [{"box": [120, 80, 260, 200]}]}}', "[[120, 80, 260, 200]]"
        ),
        Case("from to", LESION, "The lesion extends from (120, 80) to (260, 200).", "[[120, 80, 260, 200]]"),
        Case("coordinates key", LESION, 'coordinates: "120, 80, 260, 200"', "[[120, 80, 260, 200]]"),
        Case("can't see it", LESION, "I don't have access to the image, so I can't give coordinates.", REFUSAL),
        Case("apology", LESION, "My apologies, but I cannot analyze this ultrasound.", REFUSAL),
        Case(
            "answer line",
            LESION,
            "Answer:\n[[120, 80, 260, 200]]\n\nExplanation: the dark area.",
            "[[120, 80, 260, 200]]",
        ),
    ),
    TaskType.INSTANCE_DETECTION: (
        Case(
            "wrapped in results",
            CHROMOSOMES,
            '{"results": {"detections": {"2": [[1, 2, 3, 4]]}}}',
            '{"2": [[1, 2, 3, 4]]}',
        ),
        Case(
            "numbered and bold",
            CHROMOSOMES,
            "1. **Chromosome 12:** [1, 2, 3, 4]\n2. **Chromosome 13:** [5, 6, 7, 8]",
            '{"12": [[1, 2, 3, 4]], "13": [[5, 6, 7, 8]]}',
        ),
        Case(
            "instance list",
            CHROMOSOMES,
            '{"instances": [{"id": 1, "bbox": [1, 2, 3, 4]}, {"id": 2, "bbox": [5, 6, 7, 8]}]}',
            '{"1": [[1, 2, 3, 4]], "2": [[5, 6, 7, 8]]}',
        ),
        Case(
            "coordinates in a list",
            CHROMOSOMES,
            "Chromosome 3:\n  - Box 1: [1, 2, 3, 4]\n  - Box 2: [5, 6, 7, 8]",
            '{"3": [[1, 2, 3, 4], [5, 6, 7, 8]]}',
        ),
        Case("equals", CHROMOSOMES, "Chromosome 3 = [1, 2, 3, 4]", '{"3": [[1, 2, 3, 4]]}'),
        Case("too hard", CHROMOSOMES, "It is not possible to identify each chromosome from this image.", REFUSAL),
        Case("sorry", CHROMOSOMES, "Sorry, but I can't do that.", REFUSAL),
        Case("words only", CHROMOSOMES, "The spread shows many chromosomes.", FALLBACK),
    ),
    TaskType.COUNTING: (
        Case("I get", CELLS, "Going through the field from left to right I get 58.", "58"),
        Case("estimate is", CELLS, "There seem to be 3 clusters of roughly 20 each; my estimate is 60 cells.", "60"),
        Case(
            "grand total",
            CELLS,
            "Quadrant 1: 12\nQuadrant 2: 9\nQuadrant 3: 14\nQuadrant 4: 11\nGrand total = 46",
            "46",
        ),
        Case("answer first", CELLS, "46. I counted them in 4 quadrants.", "46"),
        Case("answer first, bold", CELLS, "**46 cells**\n\nI divided the picture into 4 quadrants.", "46"),
        Case("number words", CELLS, "The total is forty-six.", "46"),
        Case("can't view", CELLS, "I can't view images, but if you describe it, I can help you with step 1.", REFUSAL),
        Case("no image", CELLS, "Please upload the image so that I can count the cells.", REFUSAL),
        Case("to be exact", CELLS, "There are dozens of cells, 46 to be exact.", "46"),
        Case("makes", CELLS, "23 on the left and 23 on the right makes 46.", "46"),
        Case("json result", CELLS, 'Here is the result:\n{"image": 1, "cells": 46}', "46"),
    ),
    TaskType.REGRESSION: (
        Case("approximately equal", LOSS, "4.4 / 16 ≈ 27.5%", "27.5"),
        Case("percent of", LOSS, "Roughly 27.5% of the root length of 16 mm has lost its support.", "27.5"),
        Case("reported as", LOSS, "The ABR% can be reported as 27.5.", "27.5"),
        Case("range in words", LOSS, "Somewhere from 25 to 30 percent.", "27.5"),
        Case("measures", ANGLE, "With 2 landmarks marked, the angle measures about 87.", "87.0"),
        Case(
            "sorry", ANGLE, "I apologize, but I can't measure angles in images. 90 degrees is a right angle.", REFUSAL
        ),
        Case("not enough", LOSS, "There isn't enough information to calculate the loss; 2 views are needed.", REFUSAL),
        Case("latex approx", LOSS, r"\text{ABR} \approx 27.5\%", "27.5"),
        Case("final value", LOSS, "Root 1: 20%. Root 2: 35%.\nFinal value: 27.5%", "27.5"),
    ),
    TaskType.REPORT: (
        Case(
            "based on",
            LUNGS,
            "Based on the image, here is the report:\n\nBoth lungs are clear.",
            "Both lungs are clear.",
        ),
        Case("list", HEART, "* Heart size is normal.\n* No effusion.", "Heart size is normal. No effusion."),
        Case("sorry", HEART, "I apologize, but I am unable to analyze medical images.", REFUSAL),
        Case("cannot", HEART, "I cannot write a report without seeing the image.", REFUSAL),
        Case("italic", LUNGS, "*Both lungs are clear.*\n*No effusion.*", "Both lungs are clear. No effusion."),
        Case("hope", LUNGS, "Both lungs are clear.\n\nI hope this helps!", "Both lungs are clear."),
    ),
}
