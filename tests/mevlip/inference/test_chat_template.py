"""Chat templates by strangers: whatever they do, it ends, in a prompt that holds the question or in one clear line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.inference import chat_template
from mevlip.inference.chat_template import Frame, read_frame
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import Prompt
from tests.altered_checkpoints import seal
from tests.conftest import DEMO, EXAMPLES, run_mevlip

PROMPT = Prompt("", "Be brief.", 2)


def plain(prompt: Prompt) -> str:
    return f"<s>{prompt.system}{'<i>' * prompt.image_count}[{prompt.text}]"


def frame_of(render: Callable[[Prompt], str]) -> Frame:
    return read_frame(render, PROMPT, Path("base"), ["<i>"])


def test_a_template_is_what_it_writes_around_the_question() -> None:
    assert frame_of(plain) == Frame("<s>Be brief.<i><i>[", "]")


@pytest.mark.parametrize(
    ("render", "cause"),
    [
        (lambda prompt: plain(prompt).replace(prompt.text, ""), "leaves out the question"),
        (lambda prompt: plain(prompt).upper(), "leaves out the question"),
        (lambda prompt: plain(prompt) + prompt.text, "writes the question more than once"),
        (lambda prompt: plain(prompt).replace(prompt.system, ""), "leaves out the system text"),
        (lambda prompt: plain(prompt).replace("<i>", "", 1), "shows 1 images instead of 2"),
        (lambda prompt: str(1 // 0), r"cannot be rendered \(ZeroDivisionError"),
        (lambda prompt: os._exit(3), "does not end"),  # type: ignore[return-value]
        (lambda prompt: "a" * (2 << 30), "needs more than 1 GiB of memory"),
        (lambda prompt: "a" * (2 << 20), "writes more than 1 MiB"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(render: Callable[[Prompt], str], cause: str) -> None:
    with pytest.raises(CheckpointError, match=rf"The chat template in base/tokenizer_config\.json {cause}"):
        frame_of(render)


def announced(prompt: Prompt) -> str:
    return "".join(f"{mark.strip()}<i>" for mark in prompt.announcements) + f"[{prompt.text}]"


def frame_with_marks(render: Callable[[Prompt], str]) -> Frame:
    return read_frame(render, Prompt("", "", 3, "No. {number} "), Path("base"), ["<i>"])


def test_what_announces_images_is_written_as_it_is_even_where_the_template_strips_it() -> None:
    assert frame_with_marks(announced) == Frame("No. 1 <i>No. 2 <i>No. 3 <i>[", "]")


@pytest.mark.parametrize(
    "render",
    [
        lambda prompt: f"<i><i><i>[{prompt.text}]",
        lambda prompt: "<i><i><i>" + announced(prompt).replace("<i>", ""),
        lambda prompt: "".join(prompt.announcements) + f"<i><i><i>[{prompt.text}]",
        lambda prompt: prompt.announcements[0] + announced(prompt),
    ],
    ids=["left out", "images first", "texts first", "twice"],
)
def test_a_template_that_announces_other_images_is_named(render: Callable[[Prompt], str]) -> None:
    with pytest.raises(CheckpointError, match="does not write what announces an image right before it"):
        frame_with_marks(render)


def preset(prompt: Prompt) -> str:
    return f"<s>{prompt.opening.strip()}{'<i>' * prompt.image_count}[{prompt.text}]"


def frame_with_preset(render: Callable[[Prompt], str]) -> Frame:
    return read_frame(render, Prompt("", "", 2, preset=" Think\nfirst. "), Path("base"), ["<i>"])


def test_what_opens_the_turn_is_written_as_it_is_even_where_the_template_strips_it() -> None:
    kept = Frame("<s> Think\nfirst. \n<i><i>[", "]")
    assert frame_with_preset(preset) == kept
    assert frame_with_preset(lambda prompt: preset(prompt).replace("here.<i>", "here.\n<i>")) == kept


@pytest.mark.parametrize(
    "render",
    [
        lambda prompt: f"<i><i>[{prompt.text}]",
        lambda prompt: f"<i><i>{prompt.opening}[{prompt.text}]",
        lambda prompt: f"<i><i>[{prompt.text}]{prompt.opening}",
        lambda prompt: prompt.opening + preset(prompt),
    ],
    ids=["left out", "images first", "question first", "twice"],
)
def test_a_template_that_opens_the_turn_otherwise_is_named(render: Callable[[Prompt], str]) -> None:
    with pytest.raises(CheckpointError, match="does not write what comes before the images right there"):
        frame_with_preset(render)


def test_a_child_that_waits_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "_WALL_SECONDS", 0.5)
    with pytest.raises(CheckpointError, match="does not end"):
        frame_of(lambda _: str(os.read(os.pipe()[0], 1)))


def test_a_machine_without_room_for_a_process_is_no_fault_of_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise OSError(12, "Cannot allocate memory")

    before = len(list(Path("/proc/self/fd").iterdir()))  # which numbers they have is chance: listing takes one, too
    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(EnvironmentProblem, match=r"No process can be started .*Cannot allocate memory"):
        frame_of(plain)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}"
    "{% endfor %}{% endfor %}",
    "recursion": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
}
USELESS = {
    "no question": ("<|im_start|>{% for turn in messages %}{{ turn['role'] }}{% endfor %}", "leaves out the question"),
    "memory": (
        "{% set x = namespace(a='a' * 999999) %}{% for i in range(99) %}{% set x.a = x.a ~ x.a %}{% endfor %}{{ x.a }}",
        "needs more than 1 GiB of memory",
    ),
    "colors": ("{{ raise_exception('\x1b[31mred') }}", r"cannot be rendered \(TemplateError: \\x1b\[31mred\)"),
    "syntax": ("{% for %}", "cannot be rendered"),
    "files": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "cannot be rendered"),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the demo's base whose chat template may be replaced."""
    return Path(shutil.copytree(DEMO / "base", tmp_path / "base"))


@pytest.mark.model
@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_template_is_ended(base: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setattr(chat_template, "_CPU_SECONDS", 1)
    (base / "chat_template.jinja").write_text(template, "utf-8")
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja does not end within 1 seconds"):
        PromptEncoder("internvl", base).render(Prompt("What?", "", 1))


@pytest.mark.model
@pytest.mark.parametrize(("template", "cause"), USELESS.values(), ids=USELESS)
def test_a_template_of_no_use_is_named(base: Path, template: str, cause: str) -> None:
    (base / "chat_template.jinja").write_text(template, "utf-8")
    with pytest.raises(CheckpointError, match=rf"chat_template\.jinja {cause}"):
        PromptEncoder("internvl", base).render(Prompt("What?", "", 1))


@pytest.mark.model
def test_the_command_ends_where_the_template_does_not(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    (folder / "base/chat_template.jinja").write_text(ENDLESS["loops"], "utf-8")
    seal(folder)
    open_checkpoint(folder)
    done = run_mevlip("predict", EXAMPLES, tmp_path / "out", "--checkpoint", folder, "--routing", "declared")
    assert done.returncode == 3
    assert "chat_template.jinja does not end within 10 seconds. " in done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder("internvl", DEMO / "base")


@pytest.mark.model
@given(
    st.text(),
    st.sampled_from(["", "Be brief."]),
    st.integers(0, 3),
    st.sampled_from(["", "Image-{number}: "]),
    st.sampled_from(["", "Think first.", " <think>\n\n"]),
)
def test_a_prompt_is_what_the_template_itself_would_write(
    encoder: PromptEncoder, text: str, system: str, images: int, mark: str, preset: str
) -> None:
    prompt = Prompt(text, system, images, mark, preset)
    assert encoder.render(prompt) == encoder._run_template(prompt)


@pytest.mark.model
def test_a_template_runs_once_for_each_kind_of_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, calls = PromptEncoder("internvl", DEMO / "base"), []
    run = chat_template._bounded
    monkeypatch.setattr(chat_template, "_bounded", lambda function: calls.append(1) or run(function))
    for text in ("One?", "Two?", "Three?"):
        for images in (0, 1):
            encoder.render(Prompt(text, "", images))
    assert len(calls) == 2
