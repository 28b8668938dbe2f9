"""The predictor at InternVL3-8B's true size on a GPU: `python -m benchmarks.gpu [QUESTIONS]`.

Random weights in four bits are made on the GPU, so nothing is written but adapters. Questions in the hidden set's
proportions (120) are answered once to warm up, then measured batch by batch: as shipped, and with no pass recorded as a
CUDA graph. Classification and detection come once more under torch's profiler, which shows for how much of the elapsed
time the GPU is busy. Last come training steps as LLaMA-Factory makes them: an adapter in float32 on the base in four
bits, gradient checkpointing, AdamW.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from mevlip.checkpoints.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.tables import table
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.completion import Generation, Request
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.steps import Recorder
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip.tasks import GENERALIST, TaskType
from mevlip_training.bench.four_bit import load_random_base
from mevlip_training.bench.questions import write_questions
from mevlip_training.bench.systems import open_true_width

if TYPE_CHECKING:
    from transformers import InternVLConfig

QUESTIONS = 120
PROFILED = (TaskType.CLASSIFICATION, TaskType.DETECTION)
"""A task whose answers are one letter, and one whose answers are written token by token."""
STEPS = ((2, 400, 4), (2, 400, 4), (1, 2048, 1), (2, 2048, 1))
"""Rows, their tokens, and how many such batches make a step: rows of one tile, and the longest that configs take."""

Folders = Mapping[TaskType, InputFolder]


class Timed:
    """A model that keeps what each batch cost."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        self.batches: list[tuple[int, int, int, int, float]] = []
        """Questions, prompt tokens, tiles, passes, seconds."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, requests: Sequence[Request]) -> Generation:
        """See `mevlip.inference.completion.Model`."""
        start = _now()
        made = self._model.generate(requests)
        cost = made.cost
        self.batches.append((len(requests), cost.prompt_tokens, cost.tiles_encoded, cost.forwards, _now() - start))
        return made


def load(
    shape: InternVLConfig, device: torch.device, cache: Path, reference: bool = False
) -> tuple[Checkpoint, VisionLanguageModel]:
    """Loads random four-bit weights of a shape through the predictor's own loading, which limits GPU memory."""
    demo = read_checkpoint(find_checkpoint("demo"))
    checkpoint = open_true_width(shape, "cuda" if device.type == "cuda" else "cpu", cache, demo).checkpoint
    with patch("mevlip.inference.model.load_base", load_random_base):
        return checkpoint, VisionLanguageModel.load(checkpoint, device, reference=reference)


def ask(checkpoint: Path, model: Any, folder: InputFolder) -> tuple[list[Answer], Counters]:
    """Answers a folder's questions with their own adapters; the answers are in the order of the questions.

    Raises:
        RuntimeError: The model failed on a question, so that times and answers mean nothing.
    """
    predictor = Predictor.find(PredictorSettings(checkpoint=str(checkpoint)), load_model=lambda *_: model)
    counters, chosen = Counters(), AnswerSettings(routing="declared")
    model.forget_pictures()
    with ImageStore(folder.root) as store:
        routed = predictor.route(folder.questions, chosen, counters)
        with predictor.engine(routed, chosen, store.load, counters) as engine:
            found = {answer.position: answer for answers in engine.run() for answer in answers}
    if failed := [answer.reason for answer in found.values() if answer.failed]:
        raise RuntimeError(f"{len(failed)} questions failed, the first: {failed[0]}")
    return [found[question.position] for question in folder.questions], counters


def held() -> dict[str, int]:
    """Bytes of the GPU: allocated now, reserved by torch at most, and held by driver and libraries beside.

    The last is what all processes hold that torch does not know of: it means something where no other uses the GPU.
    """
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated": torch.cuda.memory_allocated(),
        "reserved at most": torch.cuda.max_memory_reserved(),
        "beside": total - free - torch.cuda.memory_reserved(),
    }


def answer(checkpoint: Path, model: VisionLanguageModel, folders: Folders) -> list[tuple[object, ...]]:
    """Rows of task, seconds with reading and planning, and what its batches cost."""
    rows: list[tuple[object, ...]] = []
    for task, folder in folders.items():
        timed, start = Timed(model), _now()
        ask(checkpoint, timed, folder)
        whole = _now() - start
        for number, (questions, tokens, tiles, passes, seconds) in enumerate(timed.batches):
            first = (task.value, f"{whole:.2f}") if number == 0 else ("", "")
            rows.append((*first, questions, tokens, tiles, passes, f"{seconds:.3f}", f"{1000 * seconds / passes:.0f}"))
    return rows


def profile(checkpoint: Path, model: VisionLanguageModel, folder: InputFolder) -> tuple[float, float, int, int]:
    """Elapsed seconds, seconds that the GPU was busy, kernels started, and passes through the language model."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with profiled(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        start = _now()
        _, counters = ask(checkpoint, model, folder)
        seconds = _now() - start
    kernels = [one for one in found.key_averages() if str(one.device_type).endswith("CUDA")]
    busy = sum(one.self_device_time_total for one in kernels) / 1e6
    return seconds, busy, sum(one.count for one in kernels), counters.forwards


def make_trainable(peft_model: Any) -> list[torch.nn.Parameter]:
    """Prepares the generalist adapter, and nothing else, to be trained; returns its weights."""
    peft_model.set_adapter(GENERALIST)
    own = []
    for name, parameter in peft_model.named_parameters():
        parameter.requires_grad_(False)
        if "lora_" in name and f".{GENERALIST}." in name:
            parameter.data = parameter.data.float()
            own.append(parameter.requires_grad_(True))
    peft_model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    peft_model.enable_input_require_grads()
    peft_model.train()
    return own


def train(reference: VisionLanguageModel, steps: Sequence[tuple[int, int, int]]) -> Iterator[tuple[object, ...]]:
    """Trains a model that was loaded for reference: the engine's own attention and adapters have no gradients.

    Yields:
        Rows of what a step was made of, its loss, seconds, and GB of the GPU allocated and reserved at most.
    """
    device, trained = reference.device, reference._model
    gpu, shape, optimizer = device.type == "cuda", trained.config, torch.optim.AdamW(make_trainable(trained), lr=2e-4)
    for rows, tokens, batches in steps:
        if gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        start = _now()
        for _ in range(batches):
            ids = torch.randint(100, 1_000, (rows, tokens), device=device)
            ids[:, 20 : 20 + shape.image_seq_length] = shape.image_token_id
            size = shape.vision_config.image_size
            pixels = torch.randn(rows, 3, *size, device=device, dtype=torch.bfloat16)
            labels = ids.clone()
            labels[:, :-8] = -100  # an answer of a few tokens
            with torch.autocast(device.type, torch.bfloat16):
                loss = trained(input_ids=ids, pixel_values=pixels, labels=labels, use_cache=False).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds = _now() - start
        peaks = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()) if gpu else (0, 0)
        yield rows, tokens, batches, f"{loss.item():.2f}", f"{seconds:.2f}", *(f"{one / 1e9:.2f}" for one in peaks)


def read(scratch: Path, questions: int) -> Folders:
    """Writes questions in the hidden set's proportions and reads them."""
    return {task: read_input_folder(folder) for task, folder in write_questions(scratch, "hidden", questions).items()}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main(questions: int) -> None:
    """Prints the tables."""
    from mevlip_training.shapes.internvl3 import internvl3_8b

    if not torch.cuda.is_available():
        raise EnvironmentProblem("torch finds no usable CUDA GPU", "Run it on a machine with one.")
    shape, gpu = internvl3_8b(), torch.device("cuda", 0)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folders = read(Path(scratch, "in"), questions)
        checkpoint, model = load(shape, gpu, Path("build", "bench"))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        answer(checkpoint.folder, model, folders)
        rows = answer(checkpoint.folder, model, folders)
        with patch.object(model._generator, "_record", Recorder(None)):
            plain = [row[-1] for row in answer(checkpoint.folder, model, folders)]
        print({name: f"{size / 1e9:.2f} GB" for name, size in held().items()}, model.budget)
        header = (
            "task",
            "seconds",
            "questions",
            "prompt tokens",
            "tiles",
            "passes",
            "batch s",
            "ms a pass",
            "unrecorded",
        )
        print(table(header, [(*row, one) for row, one in zip(rows, plain, strict=True)]), flush=True)
        found = [(task.value, *profile(checkpoint.folder, model, folders[task])) for task in PROFILED]
        told = [(task, f"{wall:.2f}", f"{busy:.2f}", kernels, passes) for task, wall, busy, kernels, passes in found]
        print(table(("profiled", "seconds", "GPU busy", "kernels", "passes"), told), flush=True)
    del model
    torch.cuda.empty_cache()
    _, reference = load(shape, gpu, Path("build", "bench"), reference=True)
    torch.cuda.set_per_process_memory_fraction(1.0)
    columns = ("rows", "tokens", "batches a step", "loss", "seconds", "allocated GB", "reserved GB")
    print(table(columns, list(train(reference, STEPS))))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else QUESTIONS)
    except EnvironmentProblem as error:
        sys.exit(f"benchmarks.gpu: {error}")
