"""Question and task pairs for the demo's router, varied so that it learns the form of a question, not its nouns."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.wordings import DATASETS, HELD_OUT, DemoDataset, OptionStyle, ask

_TERMS: tuple[str, ...] = tuple(
    start + middle + end
    for start in ("peri", "hyper", "endo", "para", "leuko", "micro", "osteo", "neuro")
    for middle in ("card", "neph", "derm", "chondr", "myel", "gastr")
    for end in ("itis", "oma", "cyte", "osis", "al", "ic")
)
"""Coined terms, spelt letter by letter: a noun that the router never saw says nothing about the task."""

_SLOTS: dict[str, tuple[str, ...]] = {
    "thing": (
        "lesion", "tumour", "cyst", "mass", "fracture", "effusion", "oedema", "opacity", "calcification", "stenosis",
        "ulcer", "polyp", "erosion", "abscess", "nodule", "plaque", "vessel", "tissue", "lymph node", "thrombus",
        "fetal head", "symphysis", "femur", "heart", "liver", "kidney", "lung", "jaw", "tooth {number}", "retina",
        "optic disc", "macula", "marrow", "breast", "skin", "colon", "stomach", "rib", "spine", "pelvis", "placenta",
        *_TERMS,
    ),
    "unit": (
        "cell", "nucleus", "lesion", "vessel", "tooth", "colony", "follicle", "lymphocyte", "bacterium", "spot",
        "parasite", "gland", "fibre", "crypt", "neuron", "particle", "red blood cell", "white blood cell", "object",
        "{coined}",
    ),
    "coined": _TERMS,
    "numbered": ("chromosome", "chromosome", "tooth", "vertebra", "rib", "instance", "chromosome class", "structure"),
    "quality": (
        "benign", "malignant", "normal", "acute", "chronic", "mild", "moderate", "severe", "early", "late", "standard",
        "bilateral", "diffuse", "focal", "non-standard", "upper", "lower", "single", "multiple", "primary", "visible",
        "secondary", "congenital", "inflammatory", "cystic", "solid", "adult", "young", "elderly", "positive",
        "negative", "alveolar", "maxillary", "mandibular", "fetal", "pubic", "nuclear", "cellular", "dental",
        "{coined}",
    ),
    "disease": (
        "anaemia", "leukaemia", "myeloma", "carcinoma", "melanoma", "retinopathy", "glaucoma", "caries", "fibrosis",
        "periodontitis", "pneumonia", "atelectasis", "emphysema", "tuberculosis", "cardiomegaly", "purpura",
        "dysplasia", "keratosis", "arthritis", "hernia", "infarction", "jaundice", "edentulism", "injury", "lymphoma",
        "syndrome", "resorption", "degeneration", "eruption", "complication", "treatment", "pathology", "{coined}",
    ),
    "kind": (
        "", "medical", "clinical", "microscopic", "microscopy", "ultrasound", "panoramic", "periapical", "dental",
        "radiographic", "dermoscopic", "endoscopic", "fundus", "chest", "retinal", "grey-scale", "histology", "given",
    ),
    "picture": (
        "{kind} image", "{kind} image", "{kind} picture", "{kind} scan", "photo", "{kind} photograph", "radiograph",
        "X-ray", "{kind} film", "{kind} view", "frame", "micrograph", "slide", "sonogram", "mammogram", "case",
        "orthopantomogram", "OPG", "CT slice", "{kind} field", "capture", "spread", "{kind} specimen", "smear",
    ),
    "here": (
        "", "", "in this {picture}", "in the {picture}", "from this {picture}", "on the {picture}", "seen here",
        "visible in this {picture}", "shown", "present in the {picture}", "by analysing the {picture}",
        "observed in this {picture}", "found in the {picture}", "that the {picture} shows", "across this {picture}",
        "captured here", "within the {picture}", "on display", "made out in this {picture}",
        "of this patient", "in this patient", "for the patient shown", "in this particular {picture}", "in the field",
    ),
    "give": (
        "Give", "State", "Report", "Provide", "Return", "Determine", "Find", "Tell", "Specify", "Estimate", "Identify",
        "Assess", "Work out", "Analyse the {picture} and give", "Look at the {picture} and report", "Establish",
        "Analyze the {picture} and state", "Examine this {picture}; {give}", "After a look at the {picture},",
        "Inspect the {picture}, then give", "Review this {picture} and write down", "Using the {picture}, provide",
        "Compute", "Supply", "Read off", "Write down", "Quantify and report", "I need", "Please provide",
        "Please state",
    ),
    "locate": (
        "Locate", "Find", "Mark", "Annotate", "Pinpoint", "Show", "Capture", "Identify", "Detect", "Localise",
        "Extract", "Outline", "Indicate", "Define", "Highlight", "Describe the position of", "Give the region of",
        "Map", "Delineate",
    ),
    "exact": ("", "", "exact", "precise", "total", "full", "accurate", "overall", "correct", "measured"),
    "box": (
        "bounding box", "bounding boxes", "box coordinates", "bounding box coordinates", "coordinates", "corner points",
        "rectangle", "location", "position", "spatial extent", "region",
    ),
    "corners": (
        "[x_min, y_min, x_max, y_max]", "[x_min, y_min, x_max, y_max]", "[x1, y1, x2, y2]",
        "(x_min, y_min, x_max, y_max)",
    ),
    "format": (
        "as {corners}", "using {corners}", "with {corners} coordinates", "in the format {corners}", "{corners}",
        "in pixel coordinates", "by its corner coordinates", "in the usual format", "({corners})",
    ),
    "nested": (
        "", "", ", nested for several", ", nesting lists when there are several", ", one list inside another for more",
        ", giving a nested list if multiple are found", ", and nest multiple results", " in nested lists",
    ),
    "json": (
        "as a JSON object", "in JSON", "as a JSON mapping", "as a dictionary", "as JSON with identifiers as keys",
        'as {"1": [{corners}], "2": [{corners}], ...}', 'like {"{numbered}_id": [{corners}, ...], ...}',
        "as key-value pairs of number and boxes", "keyed by number with arrays of {corners} as values",
    ),
    "amount": ("count", "number", "total", "quantity", "tally", "population count", "amount", "sum"),
    "measure": (
        "percentage", "ratio", "angle", "thickness", "size", "volume", "value", "index", "degree", "fraction", "length",
        "percent loss", "diameter", "level", "rate", "extent",
    ),
    "unitname": ("", "", "in percent", "in degrees", "in millimetres", "(%)", "(R%)", "(MI%)", "as a number", "in mm"),
    "scale": ("degrees", "millimetres", "percent", "per cent", "centimetres", "millilitres", "pixels", "micrometres"),
    "large": ("large", "wide", "deep", "thick", "long", "big", "high", "far open", "severe", "steep"),
    "write": (
        "Write", "Generate", "Compose", "Draft", "Produce", "Dictate", "Prepare", "Create", "Formulate", "Provide",
        "Put together", "Note down", "Set out", "Record", "Type",
    ),
    "text": (
        "a report", "the findings", "a radiology report", "the impression", "a short report", "the findings section",
        "a description in words", "a narrative summary", "free-text findings", "a diagnostic report", "a brief report",
        "a concise account", "a structured summary", "an interpretation", "a paragraph of text", "observations",
        "a written assessment", "two or three sentences", "a full report",
    ),
    "all": (
        "Select all that apply", "Choose every one that applies", "Several answers are possible", "Pick as many as fit",
        "Mark all that are present", "More than one may be right", "List all present", "Check each that holds",
        "Multiple selections are allowed", "Name every one that is present",
    ),
    "from": ("from the list", "from these options", "out of", "among", "of the following", "from the following", ""),
    "divide": (
        "", "", ", divided by semicolons", ", with a semicolon between selections", ", separated by commas",
        ", use ; between multiple choices", ", comma-separated", ", put semicolons between several",
    ),
    "ask": (
        "Which {quality} {thing} is {here}?", "Is the {thing} {here} {quality}?", "What is the diagnosis {here}?",
        "Which {disease} findings can be made out at the {thing} {here}?", "What {disease} class is {here}?",
        "As a specialist, what {disease} or {thing} changes would you report {here}?", "Are there {thing}s {here}?",
        "What conditions are there at the {thing} {here}?", "How is the {picture} to be judged?",
        "Classify the {thing}.",
        "Which age group does the patient {here} belong to?", "Is this {picture} a {quality} plane of the {thing}?",
        "Evaluate the {thing} {here}.", "What is the most likely {disease} {here}?", "Name the abnormalities {here}.",
        "List the {disease} seen at the {thing}.", "From a {quality} point of view, what is {here}?",
        "Judge the quality of this {picture}.", "Which pathologies does the {thing} show {here}?",
        "What is the {thing} classification {here}?", "Identify the {disease} type {here}.",
        "Seen as a {quality} specialist, what appears on the {thing} {here}?",
        "What {disease} signs appear at the {thing}?",
        "From the {quality} side, which conditions show up on the {thing} {here}?",
        "How would you diagnose this {picture}?",
        "Which of these diagnoses is right {here}?", "What is the correct reading of the {thing} {here}?",
        "Judging by the {quality} {thing}, which condition is it?", "Does the {thing} need {disease} care?",
        "Does this {picture} meet the rules for a {quality} view?", "Which changes affect the {thing} {here}?",
        "Does the {picture} qualify as {quality}?", "Describe the {thing} {here} with one of the classes.",
    ),
    "number": tuple(str(number) for number in range(11, 49)),
}  # fmt: skip
"""Words that templates are filled with; a filler may hold slots of its own."""

_TEMPLATES: dict[TaskType, tuple[str, ...]] = {
    TaskType.CLASSIFICATION: ("{ask}",),
    TaskType.MULTI_LABEL: ("{ask} {all} {from}{divide}:",),
    TaskType.DETECTION: (
        "{locate} the {quality} {thing} {here} {format}{nested}.",
        "{give} the {exact} {box} {format} of every {thing} {here}{nested}.",
        "{give} the {box} of the {thing} {here} {format}{nested}.",
        "What {exact} {box} {corners} encloses the {thing} {here}?",
        "Which {exact} {box} encloses the {quality} {thing} {here}?",
        "{give} the {exact} {box} of the {quality} {thing} {here}.",
        "{locate} the {thing} {here} by a {box}.",
        "In terms of a {box}, where does the {thing} lie {here}?",
        "Where is the {thing} {here}? Answer {format}{nested}.",
        "{locate} all {thing}s {here} with {corners} boxes{nested}.",
        "Which are the {exact} {box} round the {quality} {thing} {here}?",
        "In this {picture}, what {box} holds the {thing}?",
        "{give} me the {exact} {box} round the {thing} {here} {format}.",
        "Work out the {exact} {box} of the {thing} {here} {format}{nested}.",
    ),
    TaskType.INSTANCE_DETECTION: (
        "{locate} each {numbered} {here} and give its {box} {json}.",
        "{give} the {box} of all {numbered}s {here} {json}.",
        "{give} an {exact} inventory of the {numbered}s with their {box}, {json}.",
        "For every {numbered} {here}, list number and {box} {json}.",
        "{locate} every {numbered} {here}. Format: {json}.",
        "{give} a list of {numbered}s with identifiers and {box} {json}.",
    ),
    TaskType.COUNTING: (
        "How many {quality} {unit}s are {here}?",
        "{give} the {exact} {amount} of {unit}s {here}.",
        "{give} the {exact} {unit} {amount} {here}.",
        "What is the {exact} {amount} of {unit}s {here}?",
        "What is the {exact} {unit} {amount} {here}?",
        "What is the {unit} {amount} for this {picture}?",
        "Count the {unit}s {here}.",
        "Quantify how many {unit}s are {here}.",
        "Quantify the {amount} of {unit}s {here}.",
        "{give} the {exact} {quality} {amount} {here}.",
        "What is the {exact} {quality} {amount} {here}?",
        "{give} how many {unit}s there are {here}.",
        "Study this {picture}, then {give} the {exact} {unit} {amount}.",
        "In the {picture}, how many {quality} {unit}s can be told apart?",
    ),
    TaskType.REGRESSION: (
        "{give} the {exact} {disease} {measure} of the {thing} {here} {unitname}.",
        "What is the {exact} {thing} {measure} {here} {unitname}?",
        "Measure the {quality} {disease} {measure} {unitname} {here}.",
        "Calculate the {thing} {measure} {unitname} {here}.",
        "Quantify the {quality} {disease} {measure} {unitname} {here}.",
        "Compute the {quality} {measure} {unitname} {here}.",
        "Number of {scale} of the {quality} {thing} {here}?",
        "How many {scale} is the {thing} {here}?",
        "How {large} is the {quality} {thing} {here} {unitname}?",
        "To what {measure} is the {thing} affected {here}, in {scale}?",
        "{give} the {exact} {measure} between the {thing} and the {thing} {here} in {scale}.",
        "Based on this {picture}, what is the {exact} {disease} {measure} {unitname}?",
    ),
    TaskType.REPORT: (
        "{write} {text} for the {thing} {here}.",
        "{write} {text} of this {picture}.",
        "Describe the {thing} {here} in words.",
        "Summarise the {quality} {thing} findings {here} in free text.",
        "What are the findings for the {thing} {here}? {write} {text}.",
        "What does the {picture} show about the {thing}? Answer with {text}.",
        "{write} {text} on the {quality} {thing}.",
        "{write} {exact} {text} about the {thing} of the patient {here}.",
        "Put into words what the {thing} shows {here}.",
        "Set down your {quality} observations of the {thing} {here}.",
        "Record in {text} how the {thing} looks {here}.",
    ),
}
_STYLES: tuple[OptionStyle, ...] = ("A:", "A)", "A.")
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_MARKED = re.compile(r"[A-Z][:.)]|.*[\[\]{};]")
"""Words that carry a question's form: option letters, brackets, separators."""
_SLOT = re.compile(r"\{([a-z]+)\}")


def training_pairs(count: int, seed: int) -> list[tuple[str, TaskType]]:
    """Draws question and task pairs, every task alike often, from the wordings that may be trained on."""
    rng = random.Random(seed)  # noqa: S311 - synthetic data, not secrets
    pairs = []
    for index in range(count):
        task = list(TASKS)[index % len(TASKS)]
        draw: Callable[[random.Random, TaskType], str] = rng.choice((_from_dataset, _from_template))
        pairs.append((_dressed(rng, draw(rng, task)), task))
    rng.shuffle(pairs)
    return pairs


def held_out_pairs() -> list[tuple[str, TaskType]]:
    """Every held-out wording of every data set, with each of its targets."""
    return [
        (dataset.question(wording, target), dataset.task)
        for dataset in DATASETS
        for wording in dataset.wordings[-HELD_OUT:]
        for target in (dataset.targets if "{target}" in wording else dataset.targets[:1])
    ]


def _from_dataset(rng: random.Random, task: TaskType) -> str:
    dataset: DemoDataset = rng.choice([one for one in DATASETS if one.task == task])
    wording = rng.choice(dataset.wordings[:-HELD_OUT])
    target = rng.choice([*dataset.targets, _fill(rng, "{thing}")]) if "{target}" in wording else ""
    if dataset.options and rng.random() < 0.5:
        return _with_options(rng, wording.replace("{target}", target), task)
    return dataset.question(wording, target)


def _from_template(rng: random.Random, task: TaskType) -> str:
    stem = _fill(rng, rng.choice(_TEMPLATES[task]))
    return _with_options(rng, stem, task) if task in (TaskType.CLASSIFICATION, TaskType.MULTI_LABEL) else stem


def _fill(rng: random.Random, template: str) -> str:
    while slot := _SLOT.search(template):
        template = template[: slot.start()] + rng.choice(_SLOTS[slot[1]]) + template[slot.end() :]
    return re.sub(r" +(?=[ .?,:])", "", template).strip()


def _with_options(rng: random.Random, stem: str, task: TaskType) -> str:
    count = rng.choice((2, 2, 3, 4, 5, 6, 7, 8, 11))
    options = _grades(rng, count) if rng.random() < 0.2 else tuple(_option(rng) for _ in range(count))
    if task is TaskType.MULTI_LABEL:
        return ask(stem, options, "text", rng.choice(("; ", ", ")))
    return ask(stem, options, rng.choice(_STYLES), rng.choice((", ", " ", "; ")))


def _option(rng: random.Random) -> str:
    parts = [slot for slot in ("{quality}", "{disease}", "{thing}") if rng.random() < 0.6] or ["{disease}"]
    return _fill(rng, " ".join(parts)).capitalize() + rng.choice(("", "", "", " (18-39)", " (type II)"))


def _grades(rng: random.Random, count: int) -> tuple[str, ...]:
    """Numbered options, such as the classes of a classification, alone or with what they mean."""
    kind, numerals = rng.choice(("Class ", "Type ", "Grade ", "Stage ", "", "")), rng.choice((_ROMAN, "123456789"))
    meaning = rng.choice(("", "", " ({quality} {thing})", " ({quality}, {disease} of the {thing})", ": {disease}"))
    return tuple(_fill(rng, f"{kind}{numeral}{meaning}") for numeral in numerals[:count])


def _dressed(rng: random.Random, question: str) -> str:
    """Adds what data sets put around a question, and small differences that no single word may decide about."""
    if rng.random() < 0.5:
        question = " ".join(word for word in question.split() if rng.random() > 0.1 or _MARKED.match(word))
    if rng.random() < 0.2 and not question.startswith("Question:"):
        question = "Question: " + re.sub(r"\? (?=A[:.)] )", "? Options: ", question)
    if rng.random() < 0.15:
        question = question.rstrip(".?")
    if rng.random() < 0.1:
        question = question.lower()
    return question
