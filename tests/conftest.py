"""Shared fixtures: a fake model, small input folders, the demo checkpoint and the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from mevlip.answers.grammar import Grammar, OneOf
from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.offline import go_offline
from mevlip.inference.batching import Budget
from mevlip.inference.completion import Completion, Cost, Encoded, Generation, Model, Picture, Request
from mevlip.inference.prompts import Prompt
from mevlip.predictor import Predictor, TaskClassifier
from mevlip.runs.folder import run
from mevlip.runs.report import RunReport
from mevlip.settings import Device, PredictorSettings
from mevlip.tasks import TaskType

if TYPE_CHECKING:
    from mevlip.checkpoints.checkpoint import Checkpoint
    from mevlip.inference.model import VisionLanguageModel

go_offline()
settings.register_profile("untimed", deadline=None)  # a test says nothing about how busy its machine is
settings.register_profile("fast", deadline=None, max_examples=5)  # make test-fast
settings.load_profile("untimed")

HANG = 1800
"""Seconds after which whatever a test waits for hangs; far more than a busy machine needs."""

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "checkpoints" / "demo"
EXAMPLES = ROOT / "examples" / "inputs"
FLARE_DATA = Path(os.environ.get("MEVLIP_FLARE_DATA", ROOT.parent / "shared" / "data"))
"""Where the challenge's gated question files may lie; tests that read them are skipped where they don't."""

needs_flare_data = pytest.mark.skipif(
    not FLARE_DATA.is_dir(), reason="the challenge's data are gated; set MEVLIP_FLARE_DATA to a folder that holds them"
)

TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
needs_training_environment = pytest.mark.skipif(
    not TRAIN_PYTHON.exists(), reason="LLaMA-Factory has an environment of its own: make train-env"
)


LOADING_FIXTURES = {
    "demo_run", "encoder_folder", "loaded_once", "model", "reference", "router", "thin_checkpoint", "trained",
}  # fmt: skip
"""Fixtures that load, write or train a real model; tests that use one are marked `model`."""
SLOW_FIXTURES = {"llamafactory_report"}
"""Fixtures that take many seconds without a model."""
LOADING_COMMANDS = {"ablate", "ask", "doctor", "predict", "reproduce"}
"""Commands that have loaded a real model where they end well; `checkpoint assemble` has too."""

_running: list[pytest.Item] = []


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what -m leaves out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if LOADING_FIXTURES & fixtures:
            item.add_marker(pytest.mark.model)
        if SLOW_FIXTURES & fixtures:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)  # before fixtures are set up
def pytest_runtest_setup(item: pytest.Item) -> None:
    _running[:] = [item]


def require_marker() -> None:
    """Fails the running test where it is not marked as one that loads a model, so that `make test-fast` stays fast."""
    for item in _running:
        if item.get_closest_marker("model") is None:
            pytest.fail(f"{item.nodeid} loads a real model: mark it with @pytest.mark.model", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _only_marked_tests_load_models() -> Iterator[None]:
    from mevlip.inference.model import VisionLanguageModel
    from mevlip.routing import router

    def guarded(load: Callable[..., Any]) -> Callable[..., Any]:
        def guard(*arguments: Any, **options: Any) -> Any:
            require_marker()
            return load(*arguments, **options)

        return guard

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisionLanguageModel, "load", guarded(VisionLanguageModel.load))
        # Predictor holds Router.load as a default argument, so the guard stands in what it calls.
        patch.setattr(router, "input_pipeline", guarded(router.input_pipeline))
        yield


@dataclass(frozen=True)
class FakeEncoded(Encoded):
    """A prompt that remembers its text."""

    text: str = ""


class FakeModel:
    """Answers by a function of adapter and prompt text, and keeps the calls."""

    reserved = frozenset({"<img>", "<|im_end|>"})
    window = 4096
    workers = 1
    budget = Budget(100_000, 100_000)

    def __init__(self, answer: Callable[[str, str], str] = lambda adapter, text: "A") -> None:
        self.answer = answer
        self.adapter = ""
        self.switches: list[str] = []
        self.batches: list[tuple[str, list[str], list[int], int]] = []
        self.grammars: list[Grammar | None] = []
        self.shown: list[tuple[int, int]] = []
        self.forgotten: list[str] = []
        self.released = 0

    def image_tokens(self, settings: ImageSettings) -> int:
        return 10

    def picture(self, image: Image.Image, settings: ImageSettings) -> Picture:
        self.shown.append(image.size)
        pixels = np.asarray(image).transpose(2, 0, 1)[None]
        return Picture.of(f"{image.size} {image.tobytes().hex()[:64]}", pixels)

    def remembers(self, key: str) -> bool:
        return False

    def forget(self, keys: Iterable[str]) -> None:
        self.forgotten += keys

    def encode(self, prompt: Prompt, pictures: Sequence[Picture]) -> Encoded:
        shared = 10 * len(pictures)
        return FakeEncoded((0,) * (shared + len(prompt.text.split())), shared, text=prompt.text)

    def decided_at_once(self, grammar: Grammar | None) -> bool:
        return isinstance(grammar, OneOf)

    def use(self, adapter: str) -> None:
        self.adapter = adapter
        self.switches.append(adapter)

    def generate(self, requests: Sequence[Request]) -> Generation:
        texts = [request.prompt.text for request in requests if isinstance(request.prompt, FakeEncoded)]
        pictures = [len(request.pictures) for request in requests]
        self.batches.append((self.adapter, texts, pictures, max(request.max_new_tokens for request in requests)))
        self.grammars += [request.grammar for request in requests]
        written = tuple(Completion(self.answer(self.adapter, text), 2, 0.75) for text in texts)
        cost = Cost(
            forwards=2, prompt_tokens=10 * len(written), pictures_encoded=sum(pictures),
            generated_tokens=2 * len(written),
        )  # fmt: skip
        return Generation(written, cost)

    def release_memory(self) -> None:
        self.released += 1


@pytest.fixture(scope="session")
def thin_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with InternVL3-8B's vocabulary and tiles, thin and untrained, its token budgets short."""
    from mevlip_training.shapes.checkpoint import write_checkpoint
    from mevlip_training.shapes.internvl3 import thin

    budgets = dict(zip(TaskType, (4, 24, 48, 64, 8, 16, 24), strict=True))
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = shared / "checkpoints" / "thin"
    with FileLock(shared / "thin.lock"):  # the first worker writes it for all
        if not folder.is_dir():
            write_checkpoint(folder, thin(), DEMO / "router", budgets)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a small untrained checkpoint of a family, named as its model type, where it is not yet there."""
    budgets = dict(zip(TaskType, (4, 12, 24, 24, 6, 8, 12), strict=True))

    def write(name: str) -> Path:
        from mevlip_training.shapes.checkpoint import write_checkpoint

        shape = import_module(f"mevlip_training.shapes.{name}")
        shared = tmp_path_factory.getbasetemp()
        folder = shared / "families" / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.is_dir():
                tokenizer = shape.small_tokenizer(DEMO / "base")
                write_checkpoint(
                    folder, shape.tiny(tokenizer), DEMO / "router", budgets, family=shape.family(tokenizer)
                )
        return folder

    return write


_loaded: dict[Hashable, Any] = {}


def load_once(checkpoint: Checkpoint) -> VisionLanguageModel:
    """A checkpoint's model on the CPU, loaded once in this process; it remembers no pictures, and no test alters it."""
    import torch

    from mevlip.inference.model import VisionLanguageModel

    require_marker()
    if checkpoint.folder not in _loaded:
        _loaded[checkpoint.folder] = VisionLanguageModel.load(checkpoint, torch.device("cpu"))
    model: VisionLanguageModel = _loaded[checkpoint.folder]
    model.forget_pictures()
    return model


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictors of the test, those of commands in this process included, share what was loaded once.

    For tests that say nothing about loading: checkpoint files are verified all the same.
    """
    from mevlip.predictor import load_model, load_router

    def model(checkpoint: Checkpoint, settings: PredictorSettings) -> Model:
        plain = settings.device != "cuda" and settings.max_memory is None and not settings.reference
        return load_once(checkpoint) if plain else load_model(checkpoint, settings)

    def router(folder: Path, device: Device) -> TaskClassifier:
        if folder not in _loaded:
            _loaded[folder] = load_router(folder, device)
        found: TaskClassifier = _loaded[folder]
        return found

    defaults = Predictor.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "load_model", model)
    monkeypatch.setitem(defaults, "load_router", router)


@pytest.fixture
def fake_model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def write_questions(tmp_path: Path) -> Callable[..., Path]:
    """Writes records to `<tmp>/in/Xray/set/set_questions_val.json` and a small picture for each image name."""

    def write(records: Sequence[Any], folder: str = "Xray/set", name: str = "set_questions_val.json") -> Path:
        target = tmp_path / "in" / folder
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(json.dumps(records), "utf-8")
        for record in records:
            names = record.get("ImageName") if isinstance(record, dict) else None
            for image in names if isinstance(names, list) else [names]:
                if isinstance(image, str):
                    (target / image).parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (40, 30), (90, 120, 60)).save(target / image)
        return tmp_path / "in"

    return write


def answer_folder(
    root: Path,
    output: Path,
    model: Model | None = None,
    *,
    checkpoint: str | Path = DEMO,
    device: Device = "auto",
    **options: Any,
) -> RunReport:
    """Runs the predictor over a folder, with another model where one is given."""
    load = {"load_model": lambda *_: model} if model else {}
    predictor = Predictor.find(PredictorSettings(checkpoint=str(checkpoint), device=device), **load)
    return run(predictor, root, output, **options)


def copy_two_examples(root: Path) -> Path:
    """Copies two of the example's data sets into a folder."""
    for path in sorted(EXAMPLES.glob("*/*"))[:2]:
        shutil.copytree(path, root / path.relative_to(EXAMPLES))
    return root


def first_of_each(root: Path) -> Path:
    """Copies the first question of each of the example's data sets, 18 of all seven tasks, into a folder."""
    shutil.copytree(EXAMPLES, root)
    for path in root.rglob("*_val.json"):
        path.write_text(json.dumps(json.loads(path.read_bytes())[:1]), "utf-8")
    return root


def record(
    question: str = "Which is it? A: This, B: That", image: Any = "imagesVal/a.png", **fields: Any
) -> dict[str, Any]:
    """A question record with the challenge's six fields."""
    base = {"TaskType": "Classification", "Modality": "X-ray", "ImageName": image, "Question": question}
    return {**base, "Answer": "", "Split": "val", **fields}


def call_mevlip(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    """Runs the command in this process; where it ends in an error, the result holds that."""
    from mevlip.cli.main import cli

    return CliRunner().invoke(cli, [str(one) for one in arguments], env=env)


def run_mevlip(
    *arguments: str | Path, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs the real command in a process of its own."""
    command = [sys.executable, "-m", "mevlip", *map(str, arguments)]
    sources = os.pathsep.join(str(ROOT / one) for one in ("submission", "validation", "training", "release"))
    environment = {**os.environ, "PYTHONPATH": sources, **(env or {})}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANG, env=environment, check=False, **options
    )
    loads = command[3] in LOADING_COMMANDS or (
        command[3:5] == ["checkpoint", "assemble"] and "--no-probe" not in command
    )
    if loads and "--help" not in command and done.returncode in (0, 4):
        require_marker()
    return done
