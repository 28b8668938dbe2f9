"""Choosing every label that applies."""

from __future__ import annotations

from tests.mevlip.answers.free_texts.case import CHEST, FALLBACK, MARKED, REFUSAL, TOOTH, Case

CASES = (
    Case(
        "one sentence",
        TOOTH,
        "Tooth 36 shows dental caries and periodontal diseases.",
        "Dental Caries; Periodontal Diseases",
    ),
    Case(
        "bold labels", TOOTH, "The tooth shows **Dental Caries** and **Pulp Diseases**.", "Dental Caries; Pulp Diseases"
    ),
    Case("answer colon", TOOTH, "Answer: Dental Caries; Pulp Diseases.", "Dental Caries; Pulp Diseases"),
    Case(
        "bullets",
        TOOTH,
        "Based on the image, the following apply:\n\n* Dental Caries\n* Impacted Tooth",
        "Dental Caries; Impacted Tooth",
    ),
    Case(
        "bullets with reasons",
        TOOTH,
        "- **Dental Caries**: dark area in the crown\n- **Pulp Diseases**: the chamber is open",
        "Dental Caries; Pulp Diseases",
    ),
    Case(
        "yes and no per label",
        TOOTH,
        "Dental Caries: Yes\nPulp Diseases: No\nPeriodontal Diseases: No\nImpacted Tooth: Yes",
        "Dental Caries; Impacted Tooth",
    ),
    Case("check marks", CHEST, "Cardiomegaly: ✓\nPneumonia: ✗\nNodule: ✗", "Cardiomegaly"),
    Case("denied afterwards", CHEST, "Pneumonia is absent. Atelectasis is not seen. There is a nodule.", "Nodule"),
    Case("unlikely", CHEST, "Pneumonia is unlikely; cardiomegaly is likely.", "Cardiomegaly"),
    Case(
        "no signs",
        CHEST,
        "There are no signs of pleural effusion or pneumonia, and the old fracture has healed.",
        "Old Fracture",
    ),
    Case("free of", CHEST, "The lungs are free of pneumonia. Cardiomegaly.", "Cardiomegaly"),
    Case(
        "not see", CHEST, "I do not see any nodule or pleural effusion. The heart shows cardiomegaly.", "Cardiomegaly"
    ),
    Case("excludes", CHEST, "The sharp angle excludes pleural effusion. Atelectasis remains.", "Atelectasis"),
    Case(
        "final answer bold",
        CHEST,
        "We discuss Nodule and Pneumonia.\n\n**Final Answer: Cardiomegaly, Atelectasis**",
        "Cardiomegaly, Atelectasis",
    ),
    Case(
        "in conclusion",
        CHEST,
        "Nodule? The spot is a vessel. In conclusion, the findings are Cardiomegaly and Old Fracture.",
        "Cardiomegaly, Old Fracture",
    ),
    Case(
        "so the answer is",
        TOOTH,
        "Caries is seen. So the answer is Dental Caries; Pulp Diseases",
        "Dental Caries; Pulp Diseases",
    ),
    Case(
        "final list in bullets",
        TOOTH,
        "Dental Caries might be suspected at first.\n\nFinal answer:\n- Pulp Diseases\n- Impacted Tooth",
        "Pulp Diseases; Impacted Tooth",
    ),
    Case("boxed", CHEST, r"$\boxed{\text{Cardiomegaly, Nodule}}$", "Cardiomegaly, Nodule"),
    Case("json object", CHEST, '{"labels": ["Cardiomegaly", "Nodule"]}', "Cardiomegaly, Nodule"),
    Case("json verdicts", CHEST, '{"Cardiomegaly": true, "Nodule": false, "Pneumonia": false}', "Cardiomegaly"),
    Case("comma label, lower case", TOOTH, "fillings, crowns, and other work", "Fillings, Crowns, and Other Work"),
    Case(
        "comma label in a list",
        TOOTH,
        "- Dental caries\n- Fillings, crowns, and other work",
        "Dental Caries; Fillings, Crowns, and Other Work",
    ),
    Case("letters", MARKED, "The answer is A and D.", "Ulcer, Tumor"),
    Case("letters in parentheses", MARKED, "(A), (C)", "Ulcer, Polyp"),
    Case("letters with text", MARKED, "A. Ulcer\nC. Polyp", "Ulcer, Polyp"),
    Case("one letter", MARKED, "Answer: C", "Polyp"),
    Case("one letter, text", MARKED, "C: Polyp", "Polyp"),
    Case("options", MARKED, "Options B and C apply.", "Hernia, Polyp"),
    Case("boxed letters", MARKED, r"\boxed{A, C}", "Ulcer, Polyp"),
    Case(
        "letters with a reason",
        MARKED,
        "The correct answers are B and D, because the surface is uneven.",
        "Hernia, Tumor",
    ),
    Case(
        "refusal, sorry",
        CHEST,
        "I'm sorry, but I can't interpret chest X-rays. A radiologist could look for Pneumonia or Nodule.",
        REFUSAL,
    ),
    Case("refusal, AI", CHEST, "As an AI language model I am not qualified to diagnose Pneumonia.", REFUSAL),
    Case("refusal, no image", TOOTH, "I cannot see the image. Please provide the X-ray of tooth 36.", REFUSAL),
    Case(
        "cannot be determined", TOOTH, "Whether there are pulp diseases cannot be determined from this image.", REFUSAL
    ),
    Case("refusal and but", TOOTH, "I can't make a diagnosis, but the labels are: Dental Caries", "Dental Caries"),
    Case(
        "however",
        CHEST,
        "I am not a doctor and cannot provide a diagnosis. However, the final answer is: Cardiomegaly",
        "Cardiomegaly",
    ),
    Case(
        "disclaimer at the end",
        CHEST,
        "Cardiomegaly, Nodule\n\nNote: I am an AI and cannot provide medical advice.",
        "Cardiomegaly, Nodule",
    ),
    Case("full-width", CHEST, "答案：Cardiomegaly，Nodule。", "Cardiomegaly, Nodule"),
    Case(
        "semicolons, last line",
        TOOTH,
        "I looked for Impacted Tooth first, then at the crown.\n\nDental Caries; Pulp Diseases",
        "Dental Caries; Pulp Diseases",
    ),
    Case(
        "thinking",
        TOOTH,
        "<think>Impacted Tooth? no</think>\n**Dental Caries; Pulp Diseases**",
        "Dental Caries; Pulp Diseases",
    ),
    Case("normal", CHEST, "Normal", "Normal"),
    Case("normal in a sentence", CHEST, "The chest is normal.", "Normal"),
    Case("nothing", CHEST, "The picture is rotated.", FALLBACK),
    Case("none of these", TOOTH, "None of the listed conditions is visible.", FALLBACK),
    Case("new labels only", TOOTH, "Answer: Something Else Entirely", FALLBACK),
)
