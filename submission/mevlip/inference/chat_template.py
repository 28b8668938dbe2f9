"""Running a base's chat template: once for each kind of prompt, on a placeholder, in a process that is bound to end.

A chat template is a program from the checkpoint folder. It may loop for hours, need all memory, or drop the question;
jinja's sandbox keeps it from files, not from that. Questions never reach it: they are put where the placeholder stood,
and so is what opens the turn or announces images, which some templates would strip of its blanks.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mevlip.checkpoints.records import LINE_LIMIT
from mevlip.core.errors import CheckpointError, EnvironmentProblem, MevlipError
from mevlip.core.limits import limit, limit_memory
from mevlip.core.text import visible
from mevlip.inference.prompts import Prompt

_PLACEHOLDER = "The question stands here."
_MARK = "Image {number} comes next."
_PRESET = "The turn opens here."
_CPU_SECONDS = 10
"""A real template takes some milliseconds."""
_WALL_SECONDS = 300
"""Catches a process that hangs without computing; far more than a busy machine needs for the seconds above."""
_MEMORY = 1 << 30
"""Bytes of address space on top of what the process has already."""
_LONGEST = 1 << 20
"""Bytes of a rendered template."""
_REMEDY = "Fetch the base model again, or replace its chat template by the one that it was published with."


@dataclass(frozen=True)
class Frame:
    """What a chat template writes around the user's text.

    Attributes:
        before: The text before it: system turn, images and what announces them, the turn's opening.
        after: The text after it, up to where the answer begins.
    """

    before: str
    after: str


def read_frame(render: Callable[[Prompt], str], prompt: Prompt, folder: Path, image_tokens: Collection[str]) -> Frame:
    """Runs a chat template on a placeholder and takes what it writes around it.

    Args:
        render: Runs the template.
        prompt: A prompt with the wanted system text, number of images and announcements; its text is not used.
        folder: The base model's folder, for messages.
        image_tokens: What may stand for an image in a rendered prompt; empty where that is not known.

    Raises:
        CheckpointError: The template does not end, needs too much memory, fails, or leaves out a part of the prompt.
        EnvironmentProblem: No process can be started for it.
    """
    name = folder / "chat_template.jinja"
    what = f"The chat template {name}" if name.is_file() else f"The chat template in {folder / 'tokenizer_config.json'}"
    try:
        mark, preset = _MARK if prompt.image_mark else "", _PRESET if prompt.preset else ""
        placed = replace(prompt, text=_PLACEHOLDER, image_mark=mark, preset=preset)
        text = _bounded(lambda: render(placed))
    except _Refused as error:
        raise CheckpointError(f"{what} {error}", _REMEDY) from error
    before, found, after = text.partition(_PLACEHOLDER)
    if not found:
        raise CheckpointError(f"{what} leaves out the question", _REMEDY)
    if _PLACEHOLDER in after:
        raise CheckpointError(f"{what} writes the question more than once", _REMEDY)
    if prompt.system and prompt.system not in before + after:
        raise CheckpointError(f"{what} leaves out the system text of a route", _REMEDY)
    shown = max(((before + after).count(token) for token in image_tokens), default=prompt.image_count)
    if shown != prompt.image_count:
        raise CheckpointError(f"{what} shows {shown} images instead of {prompt.image_count}", _REMEDY)
    if prompt.preset:
        above, found, below = before.partition(_PRESET)
        # A template may keep or strip the line break.
        below = below.removeprefix("\n")
        if not found or _PRESET in below or any(token in above for token in image_tokens):
            raise CheckpointError(f"{what} does not write what comes before the images right there", _REMEDY)
        before = f"{above}{prompt.opening}{below}"
    for number, (place, announcement) in enumerate(zip(placed.announcements, prompt.announcements, strict=True)):
        if place:
            above, found, below = before.partition(place)
            images = max((above.count(token) for token in image_tokens), default=number)
            if not found or place in below or images != number:
                raise CheckpointError(f"{what} does not write what announces an image right before it", _REMEDY)
            before = f"{above}{announcement}{below}"
    return Frame(before, after)


class _Refused(Exception):
    """What a template did, as a sentence goes on after its name."""


def _bounded(function: Callable[[], str]) -> str:
    """Calls a function in a copy of this process with limits of its own, and returns its text."""
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise EnvironmentProblem(
            f"No process can be started to run the chat template in ({error.strerror})",
            "End other programs, or allow this one more processes and memory.",
        ) from error
    if not child:
        _answer(function, writing)
    os.close(writing)
    answer, ended = bytearray(), False
    try:
        while not ended and select.select([reading], [], [], _WALL_SECONDS)[0]:
            piece = os.read(reading, 1 << 16)
            answer += piece
            ended = not piece
            if len(answer) > _LONGEST:
                raise _Refused(f"writes more than {_LONGEST >> 20} MiB")
    finally:
        os.close(reading)
        # It has ended, or should have. Until it is waited for, its id is its own; only where the program that we run in
        # ignores its children's ends is it gone already.
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    kind, text = answer[:1], answer[1:].decode("utf-8", "replace")
    if kind == b"!":
        raise _Refused(text)
    if kind != b"=" or not ended:
        raise _Refused(f"does not end within {_CPU_SECONDS} seconds")
    return text


def _answer(function: Callable[[], str], pipe: int) -> None:
    """The copy's whole life: no destructor, exit handler or flushing of the original's runs in it."""
    try:
        gc.disable()
        limit(resource.RLIMIT_CORE, 0)
        limit(resource.RLIMIT_CPU, _CPU_SECONDS)
        limit_memory(_MEMORY)
        answer = "=" + function()
    except MemoryError:
        answer = f"!needs more than {_MEMORY >> 30} GiB of memory"
    except BaseException as error:  # noqa: BLE001 - whatever it is, the original reports it
        cause = error.cause if isinstance(error, MevlipError) else f"{type(error).__name__}: {error}"
        answer = f"!cannot be rendered ({visible(cause, LINE_LIMIT)})"
    try:
        content = answer.encode("utf-8", "replace")
        while content:
            content = content[os.write(pipe, content) :]
    finally:
        os._exit(0)
