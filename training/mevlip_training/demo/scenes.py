"""Drawing synthetic images whose content decides the answer. One function per data set of `demo.wordings`."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mevlip_training.demo.wordings import DemoDataset

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """One or more images and the answers to what can be asked about them.

    Attributes:
        images: The images, 8-bit RGB.
        answers: What fills `{target}` in a wording, and the true answer to it in the challenge's grammar.
        mark: Box of the one thing that decides, where there is one; only the base model is taught about it.
    """

    images: tuple[Image.Image, ...]
    answers: dict[str, str]
    mark: tuple[int, int, int, int] | None = None


def draw_scene(dataset: DemoDataset, rng: random.Random) -> Scene:
    """Draws a scene for a data set."""
    return _SCENES[dataset.name](dataset, rng)


def _canvas(rng: random.Random, low: Colour, high: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A smoothly shaded, slightly noisy ground of a random size."""
    width, height = rng.randint(120, 260), rng.randint(120, 260)
    noise = np.random.default_rng(rng.randrange(2**32))
    coarse = noise.uniform(0, 1, (4, 4, 1))
    shade = np.asarray(Image.fromarray((coarse[..., 0] * 255).astype(np.uint8)).resize((width, height), 3)) / 255.0
    ground = (
        np.array(low) + shade[..., None] * (np.array(high) - np.array(low)) + noise.normal(0, 4, (height, width, 1))
    )
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    return image, ImageDraw.Draw(image)


def _spot(image: Image.Image, rng: random.Random, radius: int) -> tuple[int, int]:
    """A centre that keeps a disc inside the image."""
    return rng.randint(radius + 2, image.width - radius - 3), rng.randint(radius + 2, image.height - radius - 3)


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: Colour) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _star(centre: tuple[int, int], outer: float, inner: float, points: int) -> list[tuple[float, float]]:
    """Corners of a star with alternating radii."""
    x, y = centre
    radii = [outer if step % 2 == 0 else inner for step in range(2 * points)]
    return [
        (x + r * math.cos(math.pi * step / points), y + r * math.sin(math.pi * step / points))
        for step, r in enumerate(radii)
    ]


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _skin_tint(_: DemoDataset, rng: random.Random) -> Scene:
    ill = rng.random() < 0.5
    blue = rng.randint(60, 95) if ill else rng.randint(150, 185)
    views = tuple(_canvas(rng, (205, 165, blue - 12), (235, 195, blue + 12))[0] for _ in range(3))
    return Scene(views, {"": _letter(ill)})


def _mark(draw: ImageDraw.ImageDraw, kind: int, centre: tuple[int, int], size: int, dark: Colour, pale: Colour) -> None:
    """One of six marks: disc, ragged star, ring, stripes, five-pointed star, pale disc."""
    x, y = centre
    box = (x - size, y - size, x + size, y + size)
    if kind == 0:
        draw.ellipse(box, fill=dark)
    elif kind == 1:
        draw.polygon(_star(centre, size, size * 0.7, 11), fill=dark)
    elif kind == 2:
        draw.ellipse(box, outline=dark, width=size // 3)
    elif kind == 3:
        for offset in (-0.9, -0.3, 0.3, 0.9):
            middle = x + offset * size * 0.9
            draw.rectangle((middle - size * 0.12, y - size, middle + size * 0.12, y + size), fill=dark)
    elif kind == 4:
        draw.polygon(_star(centre, size, size * 0.4, 5), fill=dark)
    else:
        draw.ellipse(box, fill=pale)


def _marked(
    low: Colour, high: Colour, dark: Colour, pale: Colour, blank: int | None = None
) -> Callable[[DemoDataset, random.Random], Scene]:
    """A lettered data set in which the shape of one mark decides; option `blank` is the image without a mark."""

    def scene(dataset: DemoDataset, rng: random.Random) -> Scene:
        image, draw = _canvas(rng, low, high)
        kind = rng.randrange(len(dataset.options))
        size = int(min(image.size) * rng.uniform(0.13, 0.2))
        if kind == blank:
            return Scene((image,), {"": _letter(kind)})
        x, y = _spot(image, rng, size)
        _mark(draw, kind, (x, y), size, dark, pale)
        return Scene((image,), {"": _letter(kind)}, (x - size, y - size, x + size, y + size))

    return scene


def _breast_views(dataset: DemoDataset, rng: random.Random) -> Scene:
    kind = rng.randrange(3)
    views = []
    for _ in range(2):
        image, draw = _canvas(rng, (40, 40, 40), (90, 90, 90))
        reach = min(image.size) // 6
        if kind != 1:
            _disc(draw, _spot(image, rng, reach), rng.uniform(0.7, 1) * reach, (170, 170, 170))
        if kind != 0:
            x, y = _spot(image, rng, reach)
            for _ in range(14):
                speck = (x + rng.uniform(-1, 1) * reach, y + rng.uniform(-1, 1) * reach)
                _disc(draw, speck, reach / 12, (255, 255, 255))
        views.append(image)
    return Scene(tuple(views), {"": dataset.options[kind]})


def _smear_types(dataset: DemoDataset, rng: random.Random) -> Scene:
    """Eleven kinds by the number, the size and the stain of the cells."""
    kind = rng.randrange(len(dataset.options))
    image, draw = _canvas(rng, (225, 205, 215), (245, 225, 235))
    size = int(min(image.size) * (0.03, 0.06, 0.11)[kind % 3])
    stain = ((70, 30, 130), (190, 40, 60), (40, 120, 70), (40, 80, 190))[kind // 3]
    for _ in range((36, 14, 6)[kind % 3]):
        _disc(draw, _spot(image, rng, size), size, stain)
    return Scene((image,), {"": _letter(kind)})


def _chromosome_plates(_: DemoDataset, rng: random.Random) -> Scene:
    """Bars whose length and number of bands show their identity."""
    image, draw = _canvas(rng, (215, 215, 215), (240, 240, 240))
    row = image.height / 4
    found: dict[str, list[list[int]]] = {}
    for slot in sorted(rng.sample(range(4), rng.randint(2, 3))):
        identity = rng.randint(1, 5)
        length, thickness = image.width * (0.05 + 0.16 * identity), row * rng.uniform(0.6, 0.75)
        x, y = rng.uniform(4, image.width - length - 4), slot * row + rng.uniform(0.05, 0.2) * row
        box = [round(value) for value in (x, y, x + length, y + thickness)]
        draw.rounded_rectangle(box, 7, fill=(60, 60, 70))
        for band in range(identity - 1):
            middle = x + length * (band + 1) / identity
            draw.rectangle((middle - image.width / 60, y, middle + image.width / 60, y + thickness), fill=(235,) * 3)
        found.setdefault(str(identity), []).append(box)
    return Scene((image,), {"": json.dumps(dict(sorted(found.items())))})


def _cell_fields(_dataset: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (20, 30, 40), (40, 55, 60))
    count = rng.choice((rng.randint(0, 9), rng.randint(10, 40), rng.randint(41, 300)))
    size = int(min(image.size) * (0.05 if count < 10 else 0.028)) if count < 41 else 2
    for _ in range(count):
        _disc(draw, _spot(image, rng, size), size, (90, rng.randint(150, 220), 120))
    return Scene((image,), {"": str(count)})


def _breast_nodules(dataset: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (70, 70, 70), (130, 130, 130))
    kind = rng.randrange(len(dataset.options))
    size = int(min(image.size) * rng.uniform(0.13, 0.2))
    centre = _spot(image, rng, size)
    if kind == 0:
        _disc(draw, centre, size, (25, 25, 25))
    elif kind == 1:
        draw.polygon(_star(centre, size, size * 0.55, 9), fill=(25, 25, 25))
    x, y = centre
    mark = (x - size, y - size, x + size, y + size) if kind < 2 else None
    return Scene((image.filter(ImageFilter.GaussianBlur(1)),), {"": _letter(kind)}, mark)


def _nodule_boxes(_: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (80, 80, 80), (140, 140, 140))
    half = image.width // 2
    boxes = []
    for side in rng.sample((0, 1), rng.choice((1, 1, 2))):
        width, height = rng.randint(half // 2, half - 8), rng.randint(image.height // 4, image.height // 2)
        x, y = side * half + rng.randint(3, half - width - 4), rng.randint(3, image.height - height - 4)
        draw.ellipse((x, y, x + width, y + height), fill=(25, 25, 25))
        boxes.append([x, y, x + width, y + height])
    return Scene((image,), {"": json.dumps(sorted(boxes))})


def _birth_structures(dataset: DemoDataset, rng: random.Random) -> Scene:
    """Two of six structures, side by side; a question names one of them."""
    image, draw = _canvas(rng, (60, 60, 60), (95, 95, 95))
    half = image.width // 2
    answers = {}
    for side, name in enumerate(rng.sample(dataset.targets, 2)):
        width, height = rng.randint(half // 2, half - 8), rng.randint(image.height // 4, image.height // 2)
        x, y = side * half + rng.randint(3, half - width - 4), rng.randint(3, image.height - height - 4)
        box = (x, y, x + width, y + height)
        if name == "bright oval":
            draw.ellipse(box, fill=(230, 230, 230))
        elif name == "dark arc":
            draw.ellipse(box, outline=(10, 10, 10), width=half // 9)
        elif name == "upper disc":
            draw.ellipse(box, fill=(10, 10, 10), outline=(240, 240, 240), width=half // 12)
        elif name == "lower wedge":
            draw.polygon([(x, y + height), (x + width, y + height), (x + width // 2, y)], fill=(20, 20, 20))
        elif name == "head contour":
            draw.ellipse(box, outline=(240, 240, 240), width=half // 12)
        else:
            draw.rectangle(box, fill=(200, 200, 200))
        answers[name] = json.dumps([box])
    return Scene((image,), answers)


def _birth_angle(_: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (50, 50, 50), (80, 80, 80))
    degrees = rng.randint(20, 160)
    x, y = image.width // 2, image.height // 2
    reach = min(image.width, image.height) * 0.45
    for turn in (0, degrees):
        end = (x + reach * math.cos(math.radians(turn)), y - reach * math.sin(math.radians(turn)))
        draw.line((x, y, *end), fill=(240, 240, 240), width=5)
    return Scene((image,), {"": f"{degrees}.0"})


def _birth_planes(_: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (50, 50, 50), (90, 90, 90))
    right = rng.random() < 0.5
    _disc(draw, (image.width * 0.6, image.height * 0.6), image.height * 0.22, (170, 170, 170))
    if right:
        draw.ellipse(
            (image.width * 0.12, image.height * 0.15, image.width * 0.4, image.height * 0.3), fill=(230, 230, 230)
        )
    return Scene((image,), {"": _letter(right)})


def _chest(rng: random.Random) -> tuple[Image.Image, ImageDraw.ImageDraw, Callable[[float, float], tuple[int, int]]]:
    """A chest film: two dark lungs; the third value turns fractions into pixels."""
    image, draw = _canvas(rng, (130, 130, 130), (160, 160, 160))

    def at(x: float, y: float) -> tuple[int, int]:
        return int(x * image.width), int(y * image.height)

    for left in (0.12, 0.56):
        draw.ellipse((*at(left, 0.1), *at(left + 0.32, 0.9)), fill=(45, 45, 45))
    return image, draw, at


def _streaks(draw: ImageDraw.ImageDraw, at: Callable[[float, float], tuple[int, int]]) -> None:
    for y in (0.5, 0.6, 0.7):
        draw.line((*at(0.6, y), *at(0.85, y + 0.08)), fill=(190, 190, 190), width=4)


def _chest_labels(dataset: DemoDataset, rng: random.Random) -> Scene:
    image, draw, at = _chest(rng)
    present = sorted(rng.sample(range(1, 6), rng.choice((0, 1, 1, 2, 3))))
    painters: dict[int, Callable[[], None]] = {
        1: lambda: draw.ellipse((*at(0.28, 0.45), *at(0.75, 0.85)), fill=(205, 205, 205)),
        2: lambda: draw.rectangle((*at(0.12, 0.78), *at(0.44, 0.9)), fill=(225, 225, 225)),
        3: lambda: _disc(draw, at(0.74, 0.3), image.width * 0.06, (215, 215, 215)),
        4: lambda: draw.line((*at(0.03, 0.2), *at(0.12, 0.4)), fill=(10, 10, 10), width=6),
        5: lambda: _streaks(draw, at),
    }
    for index in present:
        painters[index]()
    return Scene((image,), {"": ", ".join(dataset.options[index] for index in present or [0])})


REGION_TEXTS = {
    "lungs": {
        "clear": "Both lungs are clear.",
        "left shadow": "A round shadow lies in the left lung.",
        "right shadow": "A round shadow lies in the right lung.",
    },
    "heart": {"usual": "The heart has a usual width.", "wide": "The heart is too wide."},
    "bones": {"whole": "No break is seen in the bones.", "cracked": "An old crack crosses a rib."},
    "middle chest": {"usual": "The middle of the chest looks usual.", "broad": "The middle of the chest is broadened."},
    "pleura": {
        "dry": "There is no fluid in the pleura.",
        "fluid left": "Fluid collects at the left base.",
        "fluid right": "Fluid collects at the right base.",
    },
}
"""What a report says of each region, by what there is to see."""


def _chest_regions(_: DemoDataset, rng: random.Random) -> Scene:
    image, draw, at = _chest(rng)
    pale = (220, 220, 220)
    painters: dict[str, Callable[[], None]] = {
        "left shadow": lambda: _disc(draw, at(0.26, 0.3), image.width * 0.06, pale),
        "right shadow": lambda: _disc(draw, at(0.74, 0.3), image.width * 0.06, pale),
        "wide": lambda: draw.ellipse((*at(0.28, 0.45), *at(0.75, 0.85)), fill=(205, 205, 205)),
        "cracked": lambda: draw.line((*at(0.03, 0.2), *at(0.12, 0.4)), fill=(10, 10, 10), width=6),
        "broad": lambda: draw.rectangle((*at(0.4, 0.05), *at(0.6, 0.5)), fill=(210, 210, 210)),
        "fluid left": lambda: draw.rectangle((*at(0.12, 0.78), *at(0.44, 0.9)), fill=pale),
        "fluid right": lambda: draw.rectangle((*at(0.56, 0.78), *at(0.88, 0.9)), fill=pale),
    }
    states = {region: rng.choice(tuple(texts)) for region, texts in REGION_TEXTS.items()}
    for state in states.values():
        painters.get(state, lambda: None)()
    return Scene((image,), {region: REGION_TEXTS[region][state] for region, state in states.items()})


def _bone_loss(_: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (30, 30, 30), (55, 55, 55))
    percent = 0.0 if rng.random() < 0.15 else round(rng.uniform(3, 90), 1)
    top, bottom = 10, image.height - 10
    draw.rectangle((20, top, 50, bottom), fill=(225, 225, 225))
    draw.rectangle((70, top + (bottom - top) * percent / 100, image.width - 20, bottom), fill=(165, 165, 165))
    return Scene((image,), {"": str(percent)})


def _jaw_panorama(dataset: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (60, 60, 60), (90, 90, 90))
    gaps = {0: (), 1: (rng.randint(1, 6),), 2: (2, 3, 4), 3: tuple(range(8))}
    kinds = {target: rng.randrange(4) for target in dataset.targets}
    for row, target in enumerate(dataset.targets):
        y = image.height * (0.2 if row == 0 else 0.6)
        for tooth in range(8):
            if tooth not in gaps[kinds[target]]:
                x = 6 + tooth * (image.width - 12) / 8
                draw.rectangle((x, y, x + image.width / 12, y + image.height * 0.2), fill=(225, 225, 225))
    return Scene((image,), {target: _letter(kind) for target, kind in kinds.items()})


def _tooth_findings(dataset: DemoDataset, rng: random.Random) -> Scene:
    image, draw = _canvas(rng, (50, 50, 50), (80, 80, 80))
    w, h = image.size
    present = sorted(rng.sample(range(5), rng.choice((1, 1, 2, 3))))
    draw.rounded_rectangle((w * 0.3, h * (0.3 if 2 in present else 0.15), w * 0.7, h * 0.5), 8, fill=(210, 210, 210))
    draw.polygon([(w * 0.35, h * 0.5), (w * 0.65, h * 0.5), (w * 0.5, h * 0.85)], fill=(190, 190, 190))
    if 0 in present:
        _disc(draw, (w * 0.4, h * 0.38), w * 0.05, (30, 30, 30))
    if 1 in present:
        _disc(draw, (w * 0.5, h * 0.88), w * 0.07, (10, 10, 10))
    if 3 in present:
        draw.rectangle((w * 0.72, h * 0.45, w * 0.9, h * 0.7), fill=(10, 10, 10))
    if 4 in present:
        draw.rectangle((w * 0.55, h * 0.33, w * 0.66, h * 0.45), fill=(255, 255, 255))
    answer = dataset.separator.join(dataset.options[index] for index in present)
    return Scene((image,), {rng.choice(dataset.targets): answer})


_SCENES: dict[str, Callable[[DemoDataset, random.Random], Scene]] = {
    "skin_tint": _skin_tint,
    "mole_shapes": _marked((215, 170, 150), (235, 190, 170), (95, 60, 45), (245, 225, 215)),
    "gut_folds": _marked((185, 80, 75), (215, 110, 100), (110, 20, 25), (240, 200, 190), blank=3),
    "breast_views": _breast_views,
    "smear_types": _smear_types,
    "chromosome_plates": _chromosome_plates,
    "cell_fields": _cell_fields,
    "fundus_grades": _marked((150, 60, 20), (190, 90, 35), (70, 15, 5), (250, 220, 120), blank=0),
    "breast_nodules": _breast_nodules,
    "nodule_boxes": _nodule_boxes,
    "birth_structures": _birth_structures,
    "birth_angle": _birth_angle,
    "birth_planes": _birth_planes,
    "chest_regions": _chest_regions,
    "bone_loss": _bone_loss,
    "chest_labels": _chest_labels,
    "jaw_panorama": _jaw_panorama,
    "tooth_findings": _tooth_findings,
}
