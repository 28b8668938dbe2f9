"""The one prompt builder. Training and prediction both call it, so that a model is asked as it was taught."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mevlip.checkpoints.routes import PromptSettings

IMAGE_PLACE = "<image>"
"""LLaMA-Factory's place-holder for an image in a ShareGPT record."""

_GAP = " … "


@dataclass(frozen=True)
class Prompt:
    """One user's turn, before a model's own chat template is applied.

    Attributes:
        text: The user's text without images.
        system: The system text; empty for no system turn.
        image_count: Number of images, which all come before the text.
        image_mark: What announces each of several images, with `{number}` for its number; empty for nothing.
        preset: What stands before the images and their announcements, in lines of its own; empty for nothing.
    """

    text: str
    system: str
    image_count: int
    image_mark: str = ""
    preset: str = ""

    @property
    def opening(self) -> str:
        """What the turn begins with, before the images."""
        return f"{self.preset}\n" if self.preset else ""

    @property
    def announcements(self) -> tuple[str, ...]:
        """What stands before each image; nothing before a single one."""
        mark = self.image_mark if self.image_count > 1 else ""
        return tuple(mark.replace("{number}", str(number)) for number in range(1, self.image_count + 1))

    def messages(self) -> list[dict[str, Any]]:
        """The turn as transformers' chat templates take it: each content is a list of typed blocks."""
        blocks = [{"type": "text", "text": self.opening}] if self.preset else []
        for announcement in self.announcements:
            blocks += [{"type": "text", "text": announcement}] if announcement else []
            blocks.append({"type": "image"})
        user = {"role": "user", "content": [*blocks, {"type": "text", "text": self.text}]}
        if not self.system:
            return [user]
        return [{"role": "system", "content": [{"type": "text", "text": self.system}]}, user]

    def sharegpt(self, image_gap: str) -> str:
        """The turn as the human's value in a LLaMA-Factory ShareGPT record.

        Args:
            image_gap: What the base's chat template writes after each image, by `Family.image_gap`; LLaMA-Factory's
                writes nothing, so it stands here.
        """
        images = "".join(f"{announcement}{IMAGE_PLACE}{image_gap}" for announcement in self.announcements)
        return f"{self.opening}{images}{self.text}"


def build_prompt(question: str, image_count: int, settings: PromptSettings, reserved: Iterable[str]) -> Prompt:
    """Builds the prompt of one question.

    Args:
        question: The question's text.
        image_count: Number of images shown with it.
        settings: The route's prompt settings.
        reserved: The tokenizer's special tokens. A question that spells one would otherwise forge a turn or an image.
    """
    for token in sorted({IMAGE_PLACE, *reserved}, key=len, reverse=True):
        question = question.replace(token, " ")
    text = settings.template.replace("{question}", " ".join(question.split()))
    return Prompt(text, settings.system, image_count, settings.image_mark, settings.preset)


def cut_middle(text: str, kept_from: int, fits: Callable[[str], bool]) -> str:
    """Cuts a text in its middle until it fits; as much is kept as fits.

    Args:
        text: The text.
        kept_from: Where its options begin, which are kept where they leave room for a quarter of what comes before;
            the text's length where it has none.
        fits: Whether a text is short enough; if a text fits, a shorter one does.

    Returns:
        The text itself where it fits.
    """
    if fits(text):
        return text
    least, most = 0, len(text)  # characters kept: the first number fits, the second does not
    while most - least > 1:
        kept = (least + most) // 2
        if fits(_without_middle(text, kept_from, kept)):
            least = kept
        else:
            most = kept
    return _without_middle(text, kept_from, least)


def _without_middle(text: str, kept_from: int, kept: int) -> str:
    options = len(text) - kept_from
    body = kept_from if 4 * options <= 3 * kept else len(text)  # options too long to be kept whole are cut, too
    room = max(kept - (len(text) - body), 0)
    before, after = (room + 1) // 2, room // 2
    return text[:before].rstrip() + _GAP + text[body - after :].lstrip()
