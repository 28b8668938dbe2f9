"""Checkpoint folders by strangers: oversized, endless, unprintable or unreadable files end in one clear line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints.checkpoint import (
    BaseModelRecord,
    find_checkpoint,
    open_checkpoint,
    read_checkpoint,
    read_manifest,
    stored_quantization,
    write_manifest,
)
from mevlip.cli.main import main
from mevlip.core.errors import CheckpointError
from mevlip.core.text import visible
from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings
from tests.altered_checkpoints import seal
from tests.conftest import DEMO, EXAMPLES

NOBODY = 65_534
SPARSE = 300 << 20
"""Bytes of files that are all hole; refused unread they take no time and no memory."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that may be damaged."""
    return Path(shutil.copytree(DEMO, tmp_path / "copy"))


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), "utf-8")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"target_modules": r"(([a-z_.0-9]+)+)+!"}, "target_modules is a str, not a list of module names"),
        ({"target_modules": [r"(([a-z_.0-9]+)+)+!"]}, "target_modules holds something else"),
        ({"target_modules": []}, "target_modules is empty"),
        ({"target_modules": ["a"] * 100_000}, "cannot be read .is larger than"),
        ({"target_modules": ["a"] * 3000}, "target_modules has 3000 entries"),
        ({"exclude_modules": r"(a+)+!"}, "exclude_modules is a str"),
        ({"rank_pattern": {r"(a+)+!": 8}}, "rank_pattern holds something else"),
        ({"alpha_pattern": {r"(a+)+!": 8}}, "alpha_pattern holds something else"),
        ({"layers_pattern": r"(a+)+!"}, "layers_pattern is a str"),
        ({"megatron_config": {"a": 1}}, "megatron_config names a module to import"),
        ({"peft_type": "PROMPT_TUNING"}, "peft_type is not LORA"),
    ],
)
def test_patterns_that_peft_would_search_with_are_refused(copy: Path, changes: dict[str, Any], cause: str) -> None:
    change(copy / "adapters/counting/adapter_config.json", **changes)
    seal(copy)
    with pytest.raises(CheckpointError, match=rf"adapter 'counting': .*adapter_config\.json:? {cause}"):
        open_checkpoint(copy)


@pytest.mark.parametrize(
    "file",
    [
        "manifest.json",
        "adapters/counting/route.json",
        "adapters/counting/probe.json",
        "adapters/counting/adapter_config.json",
    ],
)
def test_a_record_of_any_size_is_refused_unread(copy: Path, file: str) -> None:
    os.truncate(copy / file, SPARSE)
    with pytest.raises(CheckpointError, match=rf"{file} .*is larger than the allowed (1|0\.25) MiB"):
        open_checkpoint(copy)


def test_a_pipe_in_place_of_a_record_is_refused(copy: Path) -> None:
    path = copy / "adapters/counting/route.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"route\.json is not a valid route \(is a named pipe"):
        open_checkpoint(copy)


def test_a_config_of_any_size_or_depth_is_refused(copy: Path) -> None:
    path = copy / "base/config.json"
    path.write_text("[" * 200_000, "utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        stored_quantization(copy / "base")
    os.truncate(path, SPARSE)
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read \(is larger than"):
        stored_quantization(copy / "base")


def test_a_tokenizer_of_any_size_is_refused_before_it_is_hashed(copy: Path) -> None:
    os.truncate(copy / "base/chat_template.jinja", SPARSE)
    change(copy / "manifest.json", files=json.loads((copy / "manifest.json").read_bytes())["files"] | {
        "base/chat_template.jinja": {"size": SPARSE, "sha256": "0" * 64},
    })  # fmt: skip
    with pytest.raises(CheckpointError, match=r"base/chat_template\.jinja has more than 64 MiB"):
        open_checkpoint(copy)


def test_a_manifest_of_200_000_files_is_refused(copy: Path) -> None:
    entry = {"size": 0, "sha256": "0" * 64}
    change(copy / "manifest.json", files={f"base/{number}.json": entry for number in range(200_000)})
    with pytest.raises(CheckpointError, match=r"manifest\.json is not a valid .*is larger than the allowed 1 MiB"):
        read_manifest(copy)


BAD_LINES = ["\x1b[31mred", "two\nlines", "\r back", "\u202egnol", "a" * 201, "\x00"]


@pytest.mark.parametrize("text", BAD_LINES)
@pytest.mark.parametrize("field", ["notice", "name"])
def test_text_that_a_terminal_would_obey_is_refused(copy: Path, field: str, text: str) -> None:
    change(copy / "manifest.json", **{field: text})
    with pytest.raises(CheckpointError, match=rf"not a valid manifest \({field}: ") as caught:
        Predictor.find(PredictorSettings(checkpoint=str(copy)))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", BAD_LINES)
def test_a_notice_is_refused_when_it_is_written(tmp_path: Path, text: str) -> None:
    base = BaseModelRecord(name="b", revision="r")
    with pytest.raises(CheckpointError, match="notice: "):
        write_manifest(tmp_path, name="x", kind="demo", notice=text, base=base)
    assert not list(tmp_path.iterdir())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["manifest.json", "adapters/counting/route.json", "adapters/counting/probe.json",
                     "adapters/counting/adapter_config.json"]),
    st.dictionaries(
        st.text() | st.sampled_from(["files", "base", "version", "notice", "images", "tokens", "ids", "logits",
                                     "spread", "target_modules", "rank_pattern", "base_fingerprint"]),
        json_values, min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_whatever_a_record_holds_the_error_is_one_printable_line(
    tmp_path_factory: pytest.TempPathFactory, file: str, changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile"
    if not folder.exists():
        shutil.copytree(DEMO, folder)
    path, before = folder / file, (DEMO / file).read_bytes()
    path.write_text(json.dumps(json.loads(before) | changes), "utf-8", "surrogatepass")
    try:
        read_checkpoint(folder)
    except CheckpointError as error:
        assert str(error) == visible(str(error)), "nothing in it is hidden; a no-break space is not"
        assert len(str(error)) < 2000
    finally:
        path.write_bytes(before)


def test_a_file_name_that_a_terminal_would_obey_is_shown_escaped(copy: Path) -> None:
    (copy / "adapters/counting/\x1b[31m.json").touch()
    with pytest.raises(CheckpointError, match=r"counting/\\x1b\[31m\.json is not listed"):
        open_checkpoint(copy)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Gives up root's right to read everything; whoever else runs the tests has no such right."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def shared_copy() -> Iterator[Path]:
    """A copy below a folder that every user may enter."""
    with TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)
        yield Path(shutil.copytree(DEMO, Path(temporary, "copy")))


LOCKED = ["", "manifest.json", "adapters", "adapters/counting", "adapters/counting/route.json", "base", "router",
          "adapters/counting/adapter_config.json", "base/config.json"]  # fmt: skip


@pytest.mark.parametrize("locked", LOCKED)
def test_what_this_user_may_not_read_is_named(shared_copy: Path, locked: str) -> None:
    place = shared_copy / locked
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        with as_nobody(), pytest.raises(CheckpointError, match="Permission denied") as caught:
            open_checkpoint(find_checkpoint(str(shared_copy)))
    finally:
        place.chmod(mode)
    assert locked in str(caught.value)


def test_the_command_ends_with_status_3_where_the_checkpoint_may_not_be_read(
    shared_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    monkeypatch.setattr("sys.argv", ["mevlip", "predict", str(EXAMPLES), str(tmp_path), "--checkpoint", "locked"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 3
    assert "locked cannot be read (Permission denied)" in capsys.readouterr().err.splitlines()[-1]


def test_an_unreadable_medical_checkpoint_is_not_replaced_by_the_demo(
    shared_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shared_copy.parent / "checkpoints/me-vlip"
    own.parent.mkdir()
    shared_copy.rename(own)
    monkeypatch.chdir(own.parents[1])
    own.chmod(0)
    try:
        with as_nobody(), pytest.raises(CheckpointError, match=r"me-vlip cannot be read"):
            find_checkpoint(None)
    finally:
        own.chmod(0o755)


@pytest.mark.parametrize("name", ["x\0y", "x" * 5000])
def test_a_name_that_no_folder_can_have_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError):
        find_checkpoint(name)


def in_a_removed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


@pytest.mark.parametrize(
    ("choice", "look"),
    [(None, find_checkpoint), ("demo", find_checkpoint), ("nowhere", find_checkpoint)],
)
def test_a_removed_current_folder_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str | None, look: Callable[[str | None], Path]
) -> None:
    in_a_removed_folder(tmp_path, monkeypatch)
    if choice == "nowhere":
        with pytest.raises(CheckpointError, match="No checkpoint 'nowhere' was found"):
            look(choice)
    else:
        assert open_checkpoint(look(choice)).folder == DEMO


def test_a_relative_folder_cannot_be_found_from_a_removed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_removed_folder(tmp_path, monkeypatch)
    with pytest.raises(CheckpointError, match="somewhere cannot be read"):
        read_checkpoint(Path("somewhere"))
