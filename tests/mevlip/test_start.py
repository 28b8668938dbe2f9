"""How a predictor starts: what it verifies when, and what it says of damage."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mevlip.checkpoints import verification
from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.core.files import file_sha256
from mevlip.predictor import Loads, Predictor
from mevlip.runs.folder import run, run_folder
from mevlip.settings import PredictorSettings, RunSettings
from mevlip.tasks import TaskType
from tests.conftest import DEMO, HANG, FakeModel, call_mevlip, record
from tests.mevlip.test_python_face import FakeRouter

WEIGHTS = "adapters/detection/adapter_model.safetensors"
QUESTION = "Which side? A: Left, B: Right"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's cache folder; every file is old enough to be known again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verification, "_SETTLED_NS", -(10**12))
    return tmp_path / "cache"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Keeps weights from being hashed until it is set."""
    go_on = threading.Event()

    def wait(path: Path, advance: Callable[[int], object]) -> str:
        if path.suffix == ".safetensors":
            assert go_on.wait(HANG)
        return file_sha256(path, advance)

    monkeypatch.setattr(verification, "file_sha256", wait)
    yield go_on
    go_on.set()


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


def find(checkpoint: Path = DEMO, **options: Any) -> Predictor:
    fakes = {"load_model": lambda *_: FakeModel(), "load_router": lambda *_: FakeRouter(TaskType.CLASSIFICATION)}
    settings = PredictorSettings(checkpoint=str(checkpoint), verify=options.pop("verify", "full"))
    return Predictor.find(settings, **fakes | options)


def test_router_and_model_are_loaded_while_weights_are_hashed(held: threading.Event) -> None:
    def load(*_: object) -> FakeModel:
        assert predictor.loads.verifications == 0
        held.set()  # without this the model's owner would wait for ever
        return FakeModel()

    predictor = find(load_model=load)
    assert predictor.router.forwards == 0 and not held.is_set()
    assert predictor.ask(QUESTION).text
    assert predictor.loads.verifications == 1


def broken(*_: object) -> Any:
    raise EnvironmentProblem("The base does not fit into the free memory", "End other programs.")


def test_damage_is_reported_and_not_what_a_loader_makes_of_it(copy: Path, held: threading.Event) -> None:
    flip(copy / WEIGHTS)

    def load(*_: object) -> Any:
        threading.Timer(0.05, held.set).start()
        return broken()

    with pytest.raises(CheckpointError, match="adapter 'detection': .* fails its checksum"):
        _ = find(copy, load_router=load).router
    held.clear()
    with pytest.raises(CheckpointError, match="adapter 'detection': .* fails its checksum"):
        _ = find(copy, load_model=load).model


def test_damage_is_reported_and_not_what_a_classifier_makes_of_it(copy: Path, held: threading.Event) -> None:
    flip(copy / WEIGHTS)

    class Broken(FakeRouter):
        def classify(self, questions: object) -> Any:
            held.set()
            raise IndexError("index out of range in self")

    predictor = find(copy, load_router=lambda *_: Broken(TaskType.COUNTING))
    with pytest.raises(CheckpointError, match="adapter 'detection': .* fails its checksum"):
        predictor.ask(QUESTION)


def test_a_loaders_own_error_stays_where_all_files_are_right() -> None:
    with pytest.raises(EnvironmentProblem, match="does not fit"):
        _ = find(load_model=broken).model


def test_no_model_comes_of_a_damaged_checkpoint(copy: Path, held: threading.Event) -> None:
    flip(copy / WEIGHTS)
    model = FakeModel()

    def load(*_: object) -> FakeModel:
        held.set()
        return model

    predictor = find(copy, load_model=load)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="adapter 'detection': .* fails its checksum"):
            predictor.ask(QUESTION)
    assert not model.batches and predictor.loads.verifications == 0


def test_a_file_that_is_not_weights_is_verified_before_anything_is_loaded(copy: Path, held: threading.Event) -> None:
    flip(copy / "base/tokenizer.json")

    def never(*_: object) -> Any:
        raise AssertionError("nothing is loaded")

    with pytest.raises(CheckpointError, match=r"base/tokenizer\.json fails its checksum"):
        find(copy, load_router=never, load_model=never).ask(QUESTION)
    assert not held.is_set()


def test_known_damage_ends_the_start_before_more_is_loaded(copy: Path) -> None:
    flip(copy / WEIGHTS)
    predictor = find(copy, load_model=lambda *_: pytest.fail("the router took long enough to find the damage"))
    predictor.begin_verification()
    assert predictor._verifying is not None
    while not predictor._verifying.failed:
        time.sleep(0.01)
    with pytest.raises(CheckpointError, match="fails its checksum"):
        _ = predictor.model


def test_an_interrupted_start_can_be_tried_again(held: threading.Event) -> None:
    answers: Iterator[Any] = iter([KeyboardInterrupt, FakeModel()])

    def load(*_: object) -> Any:
        found = next(answers)
        if isinstance(found, type):
            raise found
        held.set()
        return found

    predictor = find(load_model=load)
    with pytest.raises(KeyboardInterrupt):
        _ = predictor.model
    assert not held.is_set(), "it waited for nothing"
    assert predictor.ask(QUESTION).text and predictor.loads.verifications == 1


def test_a_run_without_a_model_verifies_too(copy: Path, write_questions: Callable[..., Path], tmp_path: Path) -> None:
    """All answers come from an earlier run's journal, or no time is left for any."""
    root = write_questions([record()])
    flip(copy / WEIGHTS)
    with pytest.raises(CheckpointError, match="fails its checksum"):
        run(find(copy), root, tmp_path / "out", routing="declared", time_limit=1e-9)
    assert not (tmp_path / "out/predictions.json").exists()


@pytest.mark.model
@pytest.mark.parametrize("file", [WEIGHTS, "base/model.safetensors", "router/model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "header", "values"])
def test_real_loaders_do_not_come_before_the_checksums(copy: Path, file: str, damage: str) -> None:
    content = bytearray((copy / file).read_bytes())
    half = len(content) // 2
    if damage == "header":
        content[8:40] = b"x" * 32
    elif damage == "values":
        content[half:] = b"\xff" * (len(content) - half)
    else:
        content = content[:half]
    (copy / file).write_bytes(content)
    name = file.rpartition("/")[2]
    cause = f"{name} has {half} bytes instead of" if damage == "cut" else f"{name} fails its checksum"
    with pytest.raises(CheckpointError, match=cause):
        Predictor.load(copy, "cpu")


FILES, SIZE = len(find().checkpoint.manifest.files), find().checkpoint.manifest.size


def load(checkpoint: Path, verify: str = "quick") -> Loads:
    predictor = find(checkpoint, verify=verify)
    predictor.verify()
    return predictor.loads


def test_the_first_quick_start_hashes_all_files_and_the_second_none(copy: Path, cache: Path) -> None:
    assert load(copy, "full") == Loads(verifications=1, hashed_files=FILES, hashed_bytes=SIZE)
    assert not cache.exists(), "a full verification leaves nothing behind"
    assert load(copy) == Loads(verifications=1, hashed_files=FILES, hashed_bytes=SIZE)
    assert load(copy) == Loads(verifications=1, unchanged_files=FILES, unchanged_bytes=SIZE)
    assert load(copy, "full") == Loads(verifications=1, hashed_files=FILES, hashed_bytes=SIZE), "nor does it trust one"


def test_a_quick_start_hashes_what_was_touched(copy: Path) -> None:
    load(copy)
    (copy / WEIGHTS).touch()
    size = (copy / WEIGHTS).stat().st_size
    one = Loads(1, 1, size, FILES - 1, SIZE - size)
    assert load(copy) == one
    assert load(copy) == Loads(1, 0, 0, FILES, SIZE), "and knows it from then on"


def test_a_quick_start_finds_an_altered_file(copy: Path) -> None:
    load(copy)
    found = (copy / WEIGHTS).stat()
    flip(copy / WEIGHTS)
    os.utime(copy / WEIGHTS, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(CheckpointError, match="adapter 'detection': .* fails its checksum"):
        load(copy)


def test_a_quick_start_of_another_folder_or_manifest_hashes_all_files(copy: Path, tmp_path: Path) -> None:
    load(copy)
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    assert load(other).hashed_files == FILES
    manifest = copy / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert load(copy).hashed_files == FILES


def test_a_failed_verification_is_not_recorded(copy: Path, cache: Path) -> None:
    flip(copy / WEIGHTS)
    with pytest.raises(CheckpointError):
        load(copy)
    assert not cache.exists()


def test_the_run_report_says_how_files_were_verified(
    copy: Path, write_questions: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_questions([record()])
    load(copy)
    settings = RunSettings(input=root, output=tmp_path / "out", run_report=tmp_path / "report.json")
    run_folder(find(copy, verify="quick"), settings, quiet=True)
    content = json.loads((tmp_path / "report.json").read_bytes())
    assert content["settings"]["verify"] == {"value": "quick", "source": "given"}
    assert content["loads"]["unchanged_files"] == FILES and content["loads"]["hashed_files"] == 0


@pytest.mark.model
def test_the_command_verifies_quickly_where_it_is_told_to(
    copy: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    arguments = ("ask", tmp_path / "a.png", QUESTION, "--checkpoint", copy)
    os.utime(copy)
    with caplog.at_level("INFO"):
        done = call_mevlip(*arguments, env={"XDG_CACHE_HOME": str(cache), "MEVLIP_VERIFY": "quick"})
    assert done.exit_code == 0 and f"verified: {FILES} files hashed, 0 unchanged" in caplog.text
    assert [path.name.partition("-")[0] for path in (cache / "mevlip").iterdir()] == ["verified"]
    done = call_mevlip(*arguments, "--verify", "never")
    assert done.exit_code == 2 and "--verify" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("choice", "device"), [("cpu", "cpu"), ("auto", "cuda:0"), ("cuda", "cuda:0")])
def test_the_classifier_runs_where_the_model_does(monkeypatch: pytest.MonkeyPatch, choice: str, device: str) -> None:
    """With a fake that says there is a GPU; not run on one."""
    placed: list[str] = []

    def place(folder: Path, device: object) -> FakeRouter:
        placed.append(str(device))
        return FakeRouter(TaskType.CLASSIFICATION)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("mevlip.routing.router.Router.load", place)
    settings = PredictorSettings.model_validate({"checkpoint": str(DEMO), "device": choice})
    _ = Predictor.find(settings, load_model=lambda *_: FakeModel()).router
    assert placed == [device]
