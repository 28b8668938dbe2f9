"""Looking at every picture of a data set: each file once, in parallel, and remembered for the next command."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from mevlip.checkpoints.records import FrozenModel
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import atomic_file, read_bounded, user_cache
from mevlip.core.progress import Progress
from mevlip.flare import pixels as pixels_module
from mevlip.flare import store as store_module
from mevlip.flare.frames import reading
from mevlip.flare.inspection import FAINTEST
from mevlip.flare.pixels import ImageError
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageFacts, ImageStore, examine
from mevlip_training.data.processes import FEW, with_store

logger = logging.getLogger(__name__)

NEAR = 4
"""Bits of 256 by which the perceptual hashes of one picture may differ.

A copy at JPEG quality 75, at half size or in gray differs by 0 to 4, seldom by more (docs/training.md has the figures).
Of the demo's pictures, which are drawn alike but for a mark, few pairs come as near as 4, hundreds as near as 8, and
then groups of them would move between the parts of a split as one; unrelated real pictures differ by 98 or more.
"""

_SIDE = 16
"""Of the hash: 16 x 16 frequencies. With the usual 8 x 8, different radiographs have equal hashes."""
_LARGEST_CACHE = 512 * 1024 * 1024


@dataclass(frozen=True)
class Picture:
    """What is remembered of a picture.

    Attributes:
        facts: What the checks need to know.
        look: Its perceptual hash, in hexadecimal; empty where there is nothing to see, None where it was not asked for.
    """

    facts: ImageFacts
    look: str | None


class _Memory(FrozenModel):
    """The file in the user's cache.

    Attributes:
        rules: Identifies the code that looked.
        pictures: What it saw, by place and state of the file.
    """

    rules: str
    pictures: dict[str, Picture]


def can_compare() -> bool:
    """Whether pictures can be compared by their looks: the package imagehash is installed."""
    return find_spec("imagehash") is not None


def survey(
    root: Path, store: ImageStore, questions: Iterable[Question], quiet: bool = False, compare: bool = False
) -> dict[str, str]:
    """Looks at every picture that questions name, and tells the store what is known of it.

    What was seen before of a file whose size and time of change are the same is taken from the user's cache. Many new
    pictures are read by several processes. Neither changes the result.

    Args:
        root: The store's folder, resolved.
        store: The store of the questions' pictures.
        questions: The questions.
        quiet: Whether to show no progress.
        compare: Whether to compute perceptual hashes.

    Returns:
        The perceptual hash of each picture with something to see, by the sha256 of its file; empty without `compare`.

    Raises:
        EnvironmentProblem: imagehash is needed and not installed, or a reading process was killed.
    """
    if compare and not can_compare():
        raise EnvironmentProblem(
            "Pictures are compared with imagehash, which is not installed", "Run: pip install 'me-vlip[data]'"
        )
    wanted: dict[str, tuple[Question, str]] = {}
    for question in questions:
        for name in question.image_names:
            try:
                key = f"{store.place(question, name)} {store.state(question, name)}"
            except ImageError:  # whoever asks the store for it learns why
                continue
            wanted.setdefault(key, (question, name))
    many = len(wanted) >= FEW  # fewer are not worth remembering
    rules = _rules()
    remembered = _recall(root, rules) if many else {}
    known = {key: remembered[key] for key in wanted if key in remembered}
    new = [key for key in wanted if key not in known or (compare and known[key].look is None)]
    with Progress("reading", len(new), "pictures", quiet) as progress:
        places = [(wanted[key][0].folder, wanted[key][1]) for key in new]
        seen = with_store(partial(_see, compare=compare), root, store, places)
        for key, found in zip(new, seen, strict=True):
            if isinstance(found, Picture):
                known[key] = found
            else:
                store.learn(*wanted[key], ImageError(found))
            progress.advance()
    for key, picture in known.items():
        store.learn(*wanted[key], picture.facts)
    if new and many:
        _remember(root, _Memory(rules=rules, pictures=known))
    return {picture.facts.sha256: picture.look for picture in known.values() if picture.look} if compare else {}


def near_pairs(looks: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of different files that show one picture, re-encoded or resized.

    Args:
        looks: Perceptual hashes by sha256, as `survey` gives them.

    Yields:
        Two sha256 values, the lesser first, in order.
    """
    import numpy as np

    digests = sorted(looks)
    bits = np.array([np.frombuffer(bytes.fromhex(looks[one]), np.uint64) for one in digests])
    for place, own in enumerate(bits):
        apart = np.bitwise_count(bits[place + 1 :] ^ own).sum(axis=1)
        for other in np.flatnonzero(apart <= NEAR):
            yield digests[place], digests[place + 1 + other]


def _see(store: ImageStore, place: tuple[Path, str], compare: bool) -> Picture | str:
    """Decodes a picture, once."""
    folder, name = place
    question = Question(0, "", 0, {}, folder)
    try:
        facts, image = examine(store.content(question, name))
    except ImageError as error:
        return str(error)
    if not compare:
        return Picture(facts, None)
    if facts.appearance.spread < FAINTEST:  # the hash of an even picture is that of its noise
        return Picture(facts, "")
    import imagehash

    return Picture(facts, str(imagehash.phash(image, hash_size=_SIDE)))


def _rules() -> str:
    """Identifies the code that looks at pictures, so that what other code saw is forgotten."""
    digest = hashlib.sha256()
    own = [Path(str(source)) for source in (pixels_module.__file__, store_module.__file__, __file__)]
    for source in (*own, *sorted(Path(str(reading.__file__)).parent.glob("*.py"))):
        digest.update(source.read_bytes())
    readers = {"PIL": "pillow", "numpy": "numpy", "imagehash": "imagehash", "pydicom": "pydicom", "nibabel": "nibabel",
               "av": "av"}  # fmt: skip
    known = [f"{package} {version(package)}" for module, package in readers.items() if find_spec(module)]
    digest.update(" ".join(known).encode())
    return digest.hexdigest()


def _path(root: Path) -> Path:
    """Where the memory of a folder lies.

    Raises:
        RuntimeError: This user has no home.
    """
    key = hashlib.sha256(os.fsencode(root)).hexdigest()
    return user_cache() / f"pictures-{key[:32]}.json"


def _recall(root: Path, rules: str) -> Mapping[str, Picture]:
    """What the same code saw before in a folder; nothing where there is no memory, or none that can be read."""
    try:
        memory = _Memory.model_validate_json(read_bounded(_path(root), _LARGEST_CACHE))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RuntimeError) as error:
        logger.info("what was seen of pictures before cannot be read (%s); all are read again", type(error).__name__)
        return {}
    return memory.pictures if memory.rules == rules else {}


def _remember(root: Path, memory: _Memory) -> None:
    """Writes what was seen; where that cannot be written, the next command looks again."""
    try:
        path = _path(root)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(path) as draft:
            draft.write_text(memory.model_dump_json(), "utf-8")
    except (OSError, ValueError, RuntimeError, EnvironmentProblem) as error:
        logger.info("what was seen of pictures cannot be kept (%s); the next command reads them again", error)
