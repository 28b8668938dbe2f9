"""The predictor on a CUDA GPU."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from benchmarks import gpu as benchmark
from benchmarks.gpu import ask
from mevlip.checkpoints.checkpoint import adapter_folder, open_checkpoint
from mevlip.checkpoints.routes import Mix, read_route, write_route
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.inference.completion import Generation, Request
from mevlip.inference.device import GPU_MEMORY
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.steps import Recorder
from mevlip.tasks import TASKS
from mevlip_training.shapes.internvl3 import internvl3_8b
from tests.altered_checkpoints import repack
from tests.conftest import DEMO, EXAMPLES, run_mevlip

pytestmark = [pytest.mark.gpu, pytest.mark.model]

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with every task's adapter mixed with the generalist."""
    folder = Path(shutil.copytree(DEMO, tmp_path_factory.mktemp("checkpoints") / "mixed"))
    for task in TASKS:
        own = adapter_folder(folder, task.value)
        write_route(own, read_route(own).model_copy(update={"mix": Mix()}))
    repack(folder)
    return folder


@pytest.fixture(scope="module", params=["demo", "mixed", "thin", "qwen2_5_vl", "qwen3_vl", "gemma3"])
def checkpoint(
    request: pytest.FixtureRequest, thin_checkpoint: Path, mixed: Path, tiny_checkpoint: Callable[[str], Path]
) -> Path:
    """The demo, also with mixed adapters, the thin model of the true vocabulary and tiles, other families."""
    here = {"demo": DEMO, "mixed": mixed, "thin": thin_checkpoint}
    return here.get(request.param) or tiny_checkpoint(request.param)


@pytest.fixture(scope="module")
def folder() -> InputFolder:
    return read_input_folder(EXAMPLES)


def load(checkpoint: Path, device: torch.device, *, reference: bool = False, exact: bool = True) -> VisionLanguageModel:
    dtype = torch.float32 if exact else torch.bfloat16
    return VisionLanguageModel.load(open_checkpoint(checkpoint), device, reference=reference, dtype=dtype)


def test_in_float32_answers_equal_the_references_and_the_processors(checkpoint: Path, folder: InputFolder) -> None:
    ours, cost = ask(checkpoint, load(checkpoint, GPU), folder)
    assert cost.recorded_passes, "most answers come from recorded passes"
    for device, reference in ((GPU, True), (CPU, False)):
        theirs, _ = ask(checkpoint, load(checkpoint, device, reference=reference), folder)
        assert [one.text for one in ours] == [one.text for one in theirs], device
        for one, other in zip(ours, theirs, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-3)


def test_a_recorded_pass_makes_what_one_that_is_not_does(
    thin_checkpoint: Path, folder: InputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16, rows of a batch in which they are done at different times: equal but for rounding."""
    model = load(thin_checkpoint, GPU, exact=False)
    ours, recorded = ask(thin_checkpoint, model, folder)
    monkeypatch.setattr(model._generator, "_record", Recorder(None))
    theirs, plain = ask(thin_checkpoint, model, folder)
    assert recorded.recorded_passes and not plain.recorded_passes
    changed = [one.text for one, other in zip(ours, theirs, strict=True) if one.text != other.text]
    print(f"\n{len(ours) - len(changed)} of {len(ours)} answers are equal")
    assert len(changed) <= len(ours) // 5


def test_as_shipped_only_close_calls_differ_from_float32(folder: InputFolder) -> None:
    exact, _ = ask(DEMO, load(DEMO, GPU), folder)
    shipped, _ = ask(DEMO, load(DEMO, GPU, exact=False), folder)
    changed = [one.probability for one, other in zip(exact, shipped, strict=True) if one.text != other.text]
    print(f"\n{len(exact) - len(changed)} of {len(exact)} answers of bfloat16 equal float32's; others: {changed}")
    assert len(changed) <= len(exact) // 5 and all((one or 0) < 0.8 for one in changed)


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 17, 300])
@pytest.mark.parametrize("double", [True, False])
def test_four_bit_products_are_those_of_the_weights_they_stand_for(rows: int, double: bool, gpu: torch.device) -> None:
    """bitsandbytes has several kernels, for few rows and for many."""
    import bitsandbytes as bnb
    from bitsandbytes.functional import dequantize_4bit

    generator = torch.Generator(gpu).manual_seed(rows)
    layer = bnb.nn.Linear4bit(
        3584, 18944, bias=False, compute_dtype=torch.bfloat16, compress_statistics=double, quant_type="nf4"
    )
    layer.weight.data = torch.randn(18944, 3584, generator=generator, device=gpu, dtype=torch.bfloat16).cpu() / 60
    layer = layer.to(gpu)
    states = torch.randn(rows, 3584, generator=generator, device=gpu, dtype=torch.bfloat16)
    wanted = states.double() @ dequantize_4bit(layer.weight.data, layer.weight.quant_state).double().t()
    with torch.inference_mode():
        found = layer(states).double()
    assert (found - wanted).norm() / wanted.norm() < 0.01


class Watched:
    """A model that keeps how often the host waited for the device, as torch sees it and as is counted."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        self.waits: list[tuple[int, int, int]] = []
        self.where: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, requests: Sequence[Request]) -> Generation:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                made = self._model.generate(requests)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        seen = [one for one in caught if "called a synchronizing" in str(one.message)]
        self.where |= {f"{one.filename}:{one.lineno}" for one in seen}
        self.waits.append((len(seen), made.cost.synchronizations, made.cost.forwards))
        return made


def unwatched(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        torch.cuda.set_sync_debug_mode("default")
        try:
            return function(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("warn")

    return call


def test_the_host_waits_as_often_as_is_counted(
    checkpoint: Path, folder: InputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint, GPU, exact=False)
    if checkpoint.name not in ("demo", "mixed", "thin"):  # transformers waits while it works on others' pictures
        monkeypatch.setattr(model._generator, "_read", unwatched(model._generator._read))
    watched = Watched(model)
    ask(checkpoint, watched, folder)
    assert watched.waits
    for seen, counted, forwards in watched.waits:
        assert seen <= counted <= 2 * forwards + 2, watched.where


@pytest.fixture
def limited() -> Iterator[Any]:
    def limit(room: int) -> None:
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_where_memory_runs_out_smaller_batches_give_the_same_answers(
    thin_checkpoint: Path, folder: InputFolder, limited: Any
) -> None:
    model = load(thin_checkpoint, GPU)
    wanted, counters = ask(thin_checkpoint, model, folder)
    assert not counters.budget_halvings
    for megabytes in (60, 30, 15, 8):
        limited(megabytes * 1_000_000)
        found, counters = ask(thin_checkpoint, model, folder)
        assert [one.text for one in found] == [one.text for one in wanted]
        if counters.budget_halvings:
            break
    print(f"\n{counters.budget_halvings} halvings with {megabytes} MB")
    assert counters.budget_halvings


def test_the_command_uses_the_gpu_and_says_so(tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = run_mevlip("predict", EXAMPLES, tmp_path / name, "--run-report", tmp_path / f"{name}.json")
        assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "one.json").read_bytes())
    assert report["gpu"]["name"] == torch.cuda.get_device_name()
    assert report["gpu"]["driver"][0].isdigit()
    assert 0 < report["gpu"]["peak_memory_bytes"] < GPU_MEMORY
    assert report["failures"] == 0
    one, two = ((tmp_path / name / "predictions.json").read_bytes() for name in ("one", "two"))
    assert one == two, "equal runs give equal bytes"


def test_the_doctor_finds_the_gpu() -> None:
    done = run_mevlip("doctor")
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert torch.cuda.get_device_name() in done.stdout and "NF4 works on cpu and cuda" in done.stdout


def answer_at_true_size(cache: Path) -> tuple[int, dict[str, int]]:
    """Answers with random four-bit weights of InternVL3-8B's shape, in a process of its own: how many, and bytes."""
    checkpoint, model = benchmark.load(internvl3_8b(), GPU, cache)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with TemporaryDirectory() as scratch:
        folders = benchmark.read(Path(scratch, "in"), 120)
        made = [ask(checkpoint.folder, model, folder) for folder in folders.values()]
    assert not any(counters.budget_halvings for _, counters in made)
    return sum(len(answers) for answers, _ in made), benchmark.held()


def test_the_true_size_answers_within_nine_gigabytes(tmp_path: Path) -> None:
    """Where no other process uses the GPU."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        questions, held = pool.submit(answer_at_true_size, tmp_path).result()
    print(f"\n{held}")
    assert questions == 120
    assert held["reserved at most"] + held["beside"] <= GPU_MEMORY
