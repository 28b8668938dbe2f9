"""Reports."""

from __future__ import annotations

from tests.mevlip.answers.free_texts.case import FALLBACK, HEART, LUNGS, REFUSAL, Case

CLEAR = "The lungs are clear."
CASES = (
    Case("plain", LUNGS, CLEAR + "\n", CLEAR),
    Case("introduced", LUNGS, "Here is the description of the lungs:\n\nThe lungs are clear.", CLEAR),
    Case("certainly", LUNGS, "Certainly! Here's the report:\nThe lungs are clear.", CLEAR),
    Case("of course", HEART, "Of course.\nThe heart is normal.", "The heart is normal."),
    Case("impression", LUNGS, "Impression:\nThe lungs are clear.", CLEAR),
    Case("bold heading", LUNGS, "**Report:**\n\nThe lungs are clear.", CLEAR),
    Case("markdown heading", LUNGS, "## Findings\n\nThe lungs are clear.", CLEAR),
    Case("bold words", LUNGS, "The **lungs**\nare clear.", CLEAR),
    Case("bullets", LUNGS, "- The lungs are clear.\n- No effusion.", "The lungs are clear. No effusion."),
    Case("thought", LUNGS, "<think>clear?</think>The lungs are clear.", CLEAR),
    Case("fence", LUNGS, "```text\nThe lungs are clear.\n```", CLEAR),
    Case("closing offer", LUNGS, "The lungs are clear.\n\nLet me know if you need anything else!", CLEAR),
    Case("closing disclaimer", LUNGS, "The lungs are clear.\n\nPlease note that I am not a doctor.", CLEAR),
    Case("refusal, sorry", LUNGS, "Sorry, I can't assist with that.", REFUSAL),
    Case(
        "refusal, unable", LUNGS, "I'm unable to provide a report on this image. Please consult a radiologist.", REFUSAL
    ),
    Case("refusal, view", HEART, "I can't view images, so I cannot describe the heart.", REFUSAL),
    Case(
        "but here is",
        HEART,
        "I'm not a doctor, but here is a description:\nThe heart is normal.",
        "The heart is normal.",
    ),
    Case(
        "however, findings",
        HEART,
        "I cannot provide a diagnosis. However, here are the findings: The heart is normal.",
        "The heart is normal.",
    ),
    Case(
        "limits of the film",
        LUNGS,
        "The lungs are clear. The apex cannot be evaluated.",
        "The lungs are clear. The apex cannot be evaluated.",
    ),
    Case(
        "unable within",
        HEART,
        "Heart size is normal. Unable to assess the valve.",
        "Heart size is normal. Unable to assess the valve.",
    ),
    Case("empty", HEART, " \n", FALLBACK),
    Case(
        "negative findings",
        LUNGS,
        "No effusion. No nodule.\nNo pneumothorax.",
        "No effusion. No nodule. No pneumothorax.",
    ),
)
