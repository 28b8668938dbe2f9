"""Fitting a prompt and its answer into a model's window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mevlip.answers import QuestionSpec
from mevlip.checkpoints.routes import PromptSettings, Route
from mevlip.core.errors import CheckpointError
from mevlip.inference.completion import Encoded, Model, Picture, thinking_room
from mevlip.inference.prompts import build_prompt, cut_middle

_LEAST_TEXT = 1024
"""Tokens of a prompt that are not taken from its text, however many its images take."""


def check_room(routes: Iterable[Route], window: int) -> None:
    """Checks that what is thought leaves room for a prompt.

    Args:
        routes: The routes that may be asked.
        window: Most tokens that a prompt and its answer should have together.

    Raises:
        CheckpointError: It does not.
    """
    for route in routes:
        thinking = route.prompt.thinking_tokens
        most = max(route.max_new_tokens.values())
        if thinking and thinking_room(thinking) + most + _LEAST_TEXT > window:
            raise CheckpointError(
                f"adapter {route.adapter!r}: {thinking} tokens of thinking and {most} of an answer leave no room for a "
                f"prompt in the model's window of {window} tokens",
                "Lower --thinking, or prompt.thinking.tokens of the route.",
            )


def fit(
    text: str, pictures: Sequence[Picture], settings: PromptSettings, model: Model, budget: int
) -> tuple[Encoded, tuple[str, ...]]:
    """Encodes a question's prompt; a text that does not fit the model's window is cut in its middle.

    Args:
        text: The question's text.
        pictures: Its pictures.
        settings: The route's prompt settings.
        model: The model.
        budget: Most tokens of the answer.

    Returns:
        The prompt, and what was wrong with the text: nothing, or that it was cut.
    """

    def encode(question: str) -> Encoded:
        return model.encode(build_prompt(question, len(pictures), settings, model.reserved), pictures)

    encoded = encode(text)
    left = model.window - budget - thinking_room(settings.thinking_tokens)
    if len(encoded.tokens) <= left:
        return encoded, ()
    room = max(left, len(encode("").tokens) + _LEAST_TEXT)
    kept = cut_middle(text, QuestionSpec(text).options_start, lambda part: len(encode(part).tokens) <= room)
    if kept == text:
        return encoded, ()
    cause = f"the question's text is too long for the model: {len(kept)} of {len(text)} characters are shown"
    return encode(kept), (cause,)
