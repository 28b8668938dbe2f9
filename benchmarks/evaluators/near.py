"""Answers close to a legal one, of another shape, or none at all, drawn at random."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from benchmarks.evaluators.targets import LABELS, draw_corners

Rng = random.Random
Record = dict[str, Any]


def draw_near(task: str, answer: Any, rng: Rng) -> Any:
    """An answer close to a legal one, one of another shape, or no answer at all."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(_RAW)
    if kind < 0.25:
        return rng.choice(_WORDS)
    if kind < 0.85:
        answer = _SHAPES[task](answer, rng)
    if isinstance(answer, str) and rng.random() < 0.4:
        answer = rng.choice(_SLIPS)(answer, rng)
    return answer


_RAW: tuple[Any, ...] = (
    *(None, True, False, 0, 5, 87, -1, 1.0, 2.5, 1000.0, float("nan"), 10**400),
    *([], [[]], ["a"], ["A", "B"], [87], [87, 3], ["87"], [None], [True], [0, 0, 10, 10], [[0, 0, 10, 10]], ["none"]),
    *({}, {"count": 5}, {"value": "7"}, {"a": True, "b": False}, {"labels": ["a"]}, {"bbox": [0, 0, 10, 10]}),
    *({"1": [[0, 0, 10, 10]]}, {"1": None}, {"labels": None}, {"1": []}, {"x": 1}, {"name": "X"}),
)
"""JSON values in place of texts."""
_WORDS = (
    *("", " ", "none", "None", "null", "No finding", "no  findings", "N/A", "[]", "{}", "()", "[[]]", "5", "[5]"),
    *("true", "nan", "inf", "-inf", "1e999", "1_000", "1e3", "1,234", "[87, 3]", "[87]", '["87"]', '{"count": 5}'),
    *('["a"]', '["Caries", "pulpitis"]', '{"labels": ["Caries"]}', '{"Caries": true, "pulpitis": false}', '"A"', "A;B"),
    *('{"bbox": [0, 0, 10, 10]}', '{"bbox": null}', '{"1": null}', '{"1": 5}', '{"1": "none"}', "[null]", "[[1, 2]]"),
    *(
        '{"number": [3]}',
        '{"prediction": {"value": "4 mm"}}',
        '{"value": null}',
        "no boxes",
        "[true, 0, 1, 1]",
        "{1, 2}",
    ),
    *(
        "'A'",
        "0x10",
        "\u0664\u0662",
        "\u22125",
        "1e400",
        "1" * 400,
        "(0, 0, 10, 10)",
        "[[0, 0, 10, 10],]",
        "['']",
        '[""]',
    ),
    *(
        '[""]',
        "none; Caries",
        "Caries|pulpitis",
        "Caries\npulpitis",
        "caries,pulpitis;X",
        ";,|",
        "Caries; caries",
        "[Caries]",
    ),
)


def _near_choice(answer: Any, rng: Rng) -> Any:
    return rng.choice(
        (
            lambda: str(answer).lower(),
            lambda: str(answer).upper(),
            lambda: f" {answer}\n",
            lambda: f"{answer}.",
            lambda: f"{answer}: yes",
            lambda: str(answer).replace(" ", "  "),
            lambda: [answer],
            lambda: rng.choice(("1", "1.0", "True", 1, 1.0, True, ["1"])),
        )
    )()


def _near_labels(answer: Any, rng: Rng) -> Any:
    names = [name.strip() for name in str(answer).split(";")]
    return rng.choice(
        (
            lambda: rng.choice((";", ",", "|", "\n", " ;\n", ", ")).join(names),
            lambda: f"{answer}; {rng.choice(LABELS)}",
            lambda: f"{answer};",
            lambda: f"{answer}; none",
            lambda: str(answer).lower(),
            lambda: str(answer).replace(" ", "  "),
            lambda: names,
            lambda: [*names, None, ""],
            lambda: json.dumps(names),
            lambda: str(names),
            lambda: json.dumps({"labels": names}),
            lambda: json.dumps({name: rng.random() < 0.7 for name in LABELS}),
            lambda: json.dumps({"labels": answer}),
            lambda: [names],
        )
    )()


def _near_number(answer: Any, rng: Rng) -> Any:
    try:
        number = float(answer)
    except (TypeError, ValueError):
        number = 3.0
    return rng.choice(
        (
            lambda: f"{number:e}",
            lambda: f"{number:,.0f}",
            lambda: f"{number:g} cells",
            lambda: f"about {number:g}%",
            lambda: f"{number:.3f}",
            lambda: f" +{number:g} ",
            lambda: number,
            lambda: int(number),
            lambda: [number],
            lambda: f"[{number}]",
            lambda: f'["{number} mm"]',
            lambda: f"[{number}, 3]",
            lambda: json.dumps({"top1": 1, rng.choice(("count", "value", "number", "prediction", "a")): answer}),
            lambda: f"{number:g}-{number + 2:g}",
            lambda: f"{number + 1:g}",
            lambda: f"({number:g})",
            lambda: f".{number:g}",
        )
    )()


def _near_boxes(answer: Any, rng: Rng) -> Any:
    boxes = _read_boxes(answer, rng)
    if rng.random() < 0.5:
        boxes = _moved(boxes, rng)
    first = boxes[0] if boxes else draw_corners(rng)
    objects = [_as_object(box, rng) for box in boxes]
    return rng.choice(
        (
            lambda: boxes,
            lambda: json.dumps(boxes),
            lambda: json.dumps(boxes),
            lambda: str(boxes),
            lambda: str(tuple(map(tuple, boxes))),
            lambda: str(list(map(tuple, boxes))),
            lambda: json.dumps(first),
            lambda: first,
            lambda: " and ".join(map(str, boxes)),
            lambda: "; ".join(map(str, [*boxes, rng.choice(([1, 2], [], "[1 2 3 4]", "[x]", "[1, 2, 3, e]"))])),
            lambda: f"boxes: {first}",
            lambda: f"```json\n{json.dumps(boxes)}\n```",
            lambda: objects,
            lambda: json.dumps(objects),
            lambda: json.dumps(objects[0] if objects else {}),
            lambda: json.dumps({rng.choice(("bbox", "boxes", "detections", "1", "")): boxes}),
            lambda: json.dumps([*boxes, rng.choice((None, 5, "x", "none", [], {}, [1, 2, 3], ["0", "0", "1", "1"]))]),
            lambda: json.dumps(list(map(str, boxes))),
            lambda: json.dumps([boxes]),
        )
    )()


def _near_instances(answer: Any, rng: Rng) -> Any:
    try:
        found = json.loads(answer) if isinstance(answer, str) else answer
        found = {name: _moved(boxes, rng) if rng.random() < 0.5 else boxes for name, boxes in found.items()}
    except (ValueError, AttributeError, TypeError):
        found = {"1": [draw_corners(rng)]}
    name = rng.choice(list(found) or ["2"])
    label = rng.choice(("label", "class", "category", "name"))
    return rng.choice(
        (
            lambda: found,
            lambda: json.dumps(found),
            lambda: json.dumps(found),
            lambda: str(found),
            lambda: json.dumps({name.swapcase(): boxes for name, boxes in found.items()}),
            lambda: json.dumps({**found, name: rng.choice((None, 5, "x", "none", {}, [], [5], [None], True))}),
            lambda: json.dumps({**found, "2": (found.get(name) or [[1, 1, 2, 2]])[0]}),
            lambda: json.dumps({**found, name: {"bbox": (found.get(name) or [[1, 1, 2, 2]])[0]}}),
            lambda: json.dumps({**found, "": [draw_corners(rng)]}),
            lambda: "{" + ", ".join(f'"{name}": {[draw_corners(rng)]}' for _ in range(2)) + "}",
            lambda: f"```json\n{json.dumps(found)}\n```",
            lambda: json.dumps([box for boxes in found.values() for box in boxes]),
            lambda: json.dumps([{label: key, "bbox": box} for key, boxes in found.items() for box in boxes]),
            lambda: json.dumps([{label: rng.choice((key, "9")), "bbox": box} for key in found for box in found[key]]),
            lambda: json.dumps({key: [_as_object(box, rng) for box in boxes] for key, boxes in found.items()}),
            lambda: json.dumps(found)[: -rng.randint(1, 4)],
            lambda: json.dumps({"x": found}),
        )
    )()


_SHAPES: dict[str, Callable[[Any, Rng], Any]] = {
    "classification": _near_choice,
    "multi-label classification": _near_labels,
    "detection": _near_boxes,
    "instance detection": _near_instances,
    "counting": _near_number,
    "regression": _near_number,
}


def _read_boxes(answer: Any, rng: Rng) -> list[Any]:
    try:
        boxes = json.loads(answer) if isinstance(answer, str) else answer
        return [list(box) for box in boxes]
    except (ValueError, TypeError):
        return [draw_corners(rng)]


def _moved(boxes: list[Any], rng: Rng) -> list[Any]:
    """Boxes with one change: one moved, inverted, emptied, cut short, doubled, left out or given in other numbers."""
    boxes = [list(box) for box in boxes if isinstance(box, list)]
    if not boxes:
        return [draw_corners(rng)]
    place = rng.randrange(len(boxes))
    box = boxes[place]
    boxes[place : place + 1] = rng.choice(
        (
            [[value + rng.choice((0, 0, 1, -1)) for value in box]],
            [box[2:] + box[:2]],
            [box[2:3] + box[1:2] + box[:1] + box[3:]],
            [box[:2] + box[:2]],
            [box[:3]],
            [[*box, 1]],
            [box, box],
            [box, draw_corners(rng)],
            [],
            [[float(value) for value in box]],
            [[value + 0.5 for value in box]],
            [list(map(str, box))],
            [[value * 10**200 for value in box]],
            [[float("inf") if value else value for value in box]],
            [[*box[:3], None]],
            [[*box[:3], 10**400]],
            [[True, *box[1:]]],
        )
    )
    rng.shuffle(boxes)
    return boxes


def _as_object(box: Any, rng: Rng) -> Record:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        return {"bbox": box}
    left, top, right, bottom = box
    name = rng.choice(("1", "X", "x", "", None, 1, 1.0, ["x"]))
    return dict(
        rng.choice(
            (
                {"x1": left, "y1": top, "x2": right, "y2": bottom},
                {"x1": left, "y1": str(top), "x2": right, "y2": bottom, "class": name},
                {"x": left, "y": top, "width": right - left, "height": bottom - top},
                {"x": left, "y": top, "width": right - left, "height": bottom - top, "category": name},
                {"label": name, "bbox": box},
                {"name": name, "boxes": [box]},
                {"bounding_box": [box]},
                {"label": name, "bbox_2d": box},
                {"x1": left, "y1": top, "x2": right},
                {"x1": left, "y1": top, "x2": right, "y2": None},
            )
        )
    )


def _change(text: str, rng: Rng) -> str:
    place = rng.randrange(len(text) or 1)
    return text[:place] + rng.choice("0159eE.,-+;:[](){}\"' \n|aX") + text[place + 1 :]


def _drop(text: str, rng: Rng) -> str:
    place = rng.randrange(len(text) or 1)
    return text[:place] + text[place + 1 :]


def _double(text: str, rng: Rng) -> str:
    place = rng.randrange(len(text) or 1)
    return text[:place] + text[place : place + 1] + text[place:]


_BLANKS = "\n\r\t\v\x00\x1c\x85\u00a0\u2028\u200b\ufeff"
_SLIPS: tuple[Callable[[str, Rng], str], ...] = (
    _change,
    _change,
    _drop,
    _drop,
    _double,
    lambda text, _: f"```\n{text}\n```",
    lambda text, _: f"```json\n{text}```",
    lambda text, _: f"  {text} ",
    lambda text, rng: rng.choice(_BLANKS) + text,
    lambda text, rng: text + rng.choice(_BLANKS),
    lambda text, rng: text.replace(" ", rng.choice(_BLANKS)),
    lambda text, rng: text.replace("e", rng.choice("\u0130\u00df\ufb01\u212a\u0378"), 1),
    lambda text, _: f"{text}.",
    lambda text, _: f"The answer is {text}",
    lambda text, _: text.replace("'", '"') if "'" in text else text.replace('"', "'"),
    lambda text, _: text.replace("[", "(").replace("]", ")"),
    lambda text, _: text.upper(),
)
