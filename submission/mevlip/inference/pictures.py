"""Preparing images ahead of the model, in threads, each image once for all questions of a batch that name it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.errors import MevlipError, describe
from mevlip.flare.images import QuestionImages
from mevlip.flare.questions import Question
from mevlip.inference.completion import Model, Picture

ImageLoader = Callable[[Question, ImageSettings], QuestionImages]
"""Loads the images of a question as its route shows them; see `mevlip.flare.images.load_in_turn`."""

_Key = tuple[tuple[object, ...], ImageSettings]


@dataclass(frozen=True)
class Shown:
    """What a question shows.

    Attributes:
        pictures: Its readable images, prepared.
        problems: One line for each image that could not be used.
        named: How many images the question names; where it names none, its text alone is asked.
        sizes: Width and height of each picture's original, upright: what box coordinates refer to.
        fault: Why its readable images could not be prepared; empty where they were.
    """

    pictures: tuple[Picture, ...] = ()
    problems: tuple[str, ...] = ()
    named: int = 0
    sizes: tuple[tuple[int, int], ...] = ()
    fault: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for questions that show the same pictures."""
        return tuple(picture.key for picture in self.pictures)


def overflow(shown: Shown, tokens: int, window: int, adapter: str) -> str:
    """Why a question cannot be asked whose pictures alone take more tokens than a model's window; empty where it can.

    Args:
        shown: Its pictures.
        tokens: How many tokens they take.
        window: How many the model can read.
        adapter: Whose route shows them.
    """
    if tokens <= window:
        return ""
    return (
        f"its {len(shown.pictures)} pictures take {tokens} tokens, more than the model's window of {window}: "
        f"lower images.frames or max_count of adapter {adapter!r}"
    )


class Gallery:
    """Prepares the images of questions that are going to be asked.

    Args:
        load: Loads the images of a question.
        model: Prepares them.
        questions: All that will be asked, so that pictures can be forgotten after their last question.

    Attributes:
        decoded: How many images have been read so far.
    """

    def __init__(self, load: ImageLoader, model: Model, questions: Iterable[Question]) -> None:
        self._load = load
        self._model = model
        self._pool = ThreadPoolExecutor(model.workers, thread_name_prefix="images")
        self._waiting: dict[_Key, Future[Shown]] = {}
        self._remembered: dict[_Key, Shown] = {}
        self._held: Counter[str] = Counter()  # pictures of what is remembered; two files may hold the same
        self._uses = Counter(question.pictures for question in questions)
        self.decoded = 0

    def close(self) -> None:
        """Ends its threads; what they are reading is read to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def prepare(self, questions: Iterable[Question], settings: ImageSettings) -> None:
        """Begins to prepare the images of questions; returns at once."""
        for question in questions:
            key = (question.pictures, settings)
            if key not in self._waiting and key not in self._remembered:
                self._waiting[key] = self._pool.submit(self._show, question, settings)

    def show(self, question: Question, settings: ImageSettings) -> Shown:
        """The images of a question, as soon as they are prepared."""
        self.prepare([question], settings)
        key = (question.pictures, settings)
        return self._remembered.get(key) or self._waiting[key].result()

    def forget(self, questions: Iterable[Question], settings: ImageSettings) -> None:
        """Lets go of the images of questions that have been asked; what is asked about again is remembered."""
        asked = Counter((question.pictures, settings) for question in questions)
        for key, number in asked.items():
            self._uses[key[0]] -= number
            ended = self._waiting.pop(key, None)
            shown = ended.result() if ended else self._remembered.get(key, Shown())
            if ended:
                self.decoded += len(shown.pictures)
            if self._uses[key[0]] <= 0:
                if self._remembered.pop(key, None):
                    self._held.subtract(shown.key)
                self._model.forget(one for one in shown.key if not self._held[one])
            elif ended and shown.pictures and all(self._model.remembers(one) for one in shown.key):
                pictures = tuple(replace(picture, tiles=None) for picture in shown.pictures)
                self._remembered[key] = replace(shown, pictures=pictures)
                self._held.update(shown.key)

    def _show(self, question: Question, settings: ImageSettings) -> Shown:
        loaded = self._load(question, settings)
        shown = Shown((), loaded.problems, loaded.named, loaded.sizes)
        try:
            return replace(shown, pictures=tuple(self._model.picture(one, settings) for one in loaded.images))
        except MevlipError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one image does, the other questions are answered
            return replace(shown, fault=describe(error))
