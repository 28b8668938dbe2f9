"""What is measured: a checkpoint of some shape, loaded for the predictor and, apart from it, for plain loops."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import torch

from mevlip.checkpoints.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from mevlip.checkpoints.routes import Quantization
from mevlip.core.files import writing
from mevlip.inference.device import GPU_MEMORY, choose_device
from mevlip.inference.families import find_family
from mevlip.inference.loading import compute_dtype, compute_in_float32, load_adapters, load_base
from mevlip.predictor import Predictor, load_model
from mevlip.routing.router import Router, RouterSettings
from mevlip.settings import Device, PredictorSettings
from mevlip.tasks import TaskType
from mevlip_training.bench.four_bit import check_room, load_random_base
from mevlip_training.bench.work import NF4_BYTES, Work
from mevlip_training.shapes.layout import END, IMAGE, PAD

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import InternVLConfig

    from mevlip_training.shapes.internvl3 import Vocabulary

Shape = Literal["demo", "proportioned", "host-bound", "internvl3-8b"]

CACHE = Path("build") / "bench"
"""Where random checkpoints are kept for the next run."""
BUDGETS = dict(zip(TaskType, (2, 12, 20, 256, 4, 6, 16), strict=True))
"""Most tokens of a random model's answers: about what true ones have with their end, of a letter, labels, one box, many
boxes, digits and a sentence. True boxes of a whole image, about 46, take some 800 tokens; a random model often ends the
list at once."""

BaseLoader = Callable[[Path, Quantization, torch.device], Any]


@dataclass(frozen=True)
class Plain:
    """The same checkpoint as transformers and peft load it, with nothing of the predictor's around it.

    Attributes:
        model: The peft model with eight adapters.
        processor: The transformers processor, set to pad on the left.
        ends: Tokens that end an answer.
        router: The task classifier and its tokenizer.
        router_settings: What the classifier was trained with.
    """

    model: Any
    processor: Any
    ends: tuple[int, ...]
    router: tuple[Any, Any]
    router_settings: RouterSettings


@dataclass(frozen=True)
class System:
    """A checkpoint and how it is loaded.

    Attributes:
        shape: Its name.
        checkpoint: Its folder, read.
        choice: The device asked for.
        trained: Whether it ends its answers by itself, and they mean something.
        base: Loads the base model.
        exact: Whether it computes in float32 on a GPU too: there equal questions get equal answers, however batched.
    """

    shape: Shape
    checkpoint: Checkpoint
    choice: Device
    trained: bool
    base: BaseLoader = load_base
    exact: bool = False

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return choose_device(self.choice)

    @property
    def dtype(self) -> torch.dtype:
        """In what its matrices are multiplied."""
        return torch.float32 if self.exact else compute_dtype(self.device)

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor, which is what the bench measures."""
        return self._find()

    @cached_property
    def reference(self) -> Predictor:
        """The predictor that answers one question at a time, with nothing of its own."""
        return self._find(reference=True)

    @cached_property
    def plain(self) -> Plain:
        """The checkpoint for loops of transformers and peft, loaded on its own."""
        from gliclass import GLiClassModel
        from transformers import AutoTokenizer, GenerationConfig

        self._lift_memory_limit()
        base = self.base(self.checkpoint.base, self.checkpoint.quantization, self.device)
        eos = base.generation_config.eos_token_id
        ends = tuple(eos if isinstance(eos, list) else [eos])
        model = self._put_adapters(base, self.checkpoint)
        greedy = GenerationConfig(
            do_sample=False, eos_token_id=list(ends), pad_token_id=self.processor.tokenizer.pad_token_id
        )
        model.generation_config = model.get_base_model().generation_config = greedy
        folder = self.checkpoint.router
        classifier = GLiClassModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return Plain(model, self.processor, ends, (classifier, tokenizer), Router.load(folder).settings)

    @cached_property
    def config(self) -> InternVLConfig:
        """Its shape."""
        from transformers import InternVLConfig

        return InternVLConfig.from_pretrained(self.checkpoint.base)

    @cached_property
    def processor(self) -> Any:
        """The transformers processor, set to pad on the left."""
        processor = find_family(self.config.model_type).load_processor(self.checkpoint.base)
        processor.tokenizer.padding_side = "left"
        return processor

    @cached_property
    def work(self) -> Work:
        """What its answers cost by arithmetic."""
        stored = NF4_BYTES if self.checkpoint.quantization.kind == "nf4" else self.dtype.itemsize
        return Work.of(self.config, stored, self.dtype.itemsize)

    def _lift_memory_limit(self) -> int:
        """Makes room for one more model on a GPU: a predictor limits the whole process to what it needs itself.

        Returns:
            Bytes of the GPU that are held already.
        """
        if self.device.type != "cuda":
            return 0
        torch.cuda.set_per_process_memory_fraction(1.0, self.device)
        return torch.cuda.memory_allocated(self.device)

    def _put_adapters(self, base: Any, checkpoint: Checkpoint) -> Any:
        model = load_adapters(base, checkpoint)
        return compute_in_float32(model) if self.dtype == torch.float32 else model

    def _find(self, **settings: Any) -> Predictor:
        chosen = PredictorSettings(checkpoint=str(self.checkpoint.folder), device=self.choice, **settings)

        def load(checkpoint: Checkpoint, settings: PredictorSettings) -> Any:
            if held := self._lift_memory_limit():
                settings = settings.model_copy(update={"max_memory": f"{held + GPU_MEMORY}B"})
            # The predictor's own loader, with another source of weights.
            with ExitStack() as stack:
                for name, loader in (("load_base", self.base), ("load_adapters", self._put_adapters)):
                    stack.enter_context(patch(f"mevlip.inference.model.{name}", loader))
                model = load_model(checkpoint, settings)
            self._lift_memory_limit()
            return model

        return Predictor.find(chosen, load_model=load)


def open_system(shape: Shape, device: Device = "auto", cache: Path = CACHE) -> System:
    """Opens a shape's checkpoint; one of random weights is written first, where the cache has none.

    Args:
        shape: Which.
        device: Where it is to run.
        cache: Folder of checkpoints with random weights.

    Raises:
        EnvironmentProblem: The cache cannot be written, or the true shape has no room or no vocabulary.
        CheckpointError: The demo checkpoint is absent.
    """
    demo = read_checkpoint(find_checkpoint("demo"))
    if shape == "demo":
        return System(shape, demo, device, trained=True)
    from tokenizers import Tokenizer

    from mevlip_training.shapes.checkpoint import write_checkpoint
    from mevlip_training.shapes.internvl3 import host_bound, internvl3_8b, proportioned

    if shape == "internvl3-8b":
        return open_true_width(internvl3_8b(), device, cache, demo)
    tokenizer = Tokenizer.from_file(str(demo.base / "tokenizer.json"))
    config = {"proportioned": proportioned, "host-bound": host_bound}[shape](_vocabulary(tokenizer))
    folder = _place(cache, shape, config, demo)
    if not folder.exists():
        unquantized = Quantization(kind="none")
        with writing(folder):
            write_checkpoint(folder, config, demo.router, BUDGETS, tokenizer=tokenizer, quantization=unquantized)
    return System(shape, read_checkpoint(folder), device, trained=False, exact=True)


def open_true_width(config: InternVLConfig, device: Device, cache: Path, demo: Checkpoint) -> System:
    """Opens a checkpoint without weights, whose base is made in four bits where it runs.

    Args:
        config: InternVL3-8B's shape, or one with fewer layers, for tests.
        device: Where it is to run.
        cache: Folder of checkpoints with random weights.
        demo: The demo checkpoint, whose router it gets.

    Raises:
        EnvironmentProblem: There is no room for it in main memory, or Qwen2.5's vocabulary is not installed.
    """
    from transformers import InternVLForConditionalGeneration

    with torch.device("meta"):
        check_room(InternVLForConditionalGeneration(config), choose_device(device))
    folder = _place(cache, "internvl3-8b", config, demo)
    if not folder.exists():
        with writing(folder):
            _write_without_weights(folder, config, demo)
    return System("internvl3-8b", read_checkpoint(folder), device, trained=False, base=load_random_base)


def _place(cache: Path, shape: Shape, config: InternVLConfig, demo: Checkpoint) -> Path:
    """The folder of a random checkpoint, named by all that goes into it."""
    content = json.dumps([config.to_dict(), BUDGETS, demo.digest], sort_keys=True, default=str)
    return cache / f"{shape}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    from mevlip_training.shapes.internvl3 import Vocabulary

    return Vocabulary(tokenizer.get_vocab_size(), *(tokenizer.token_to_id(name) for name in (END, PAD, IMAGE)))


def _write_without_weights(folder: Path, config: InternVLConfig, demo: Checkpoint) -> None:
    """Writes a checkpoint whose base has a single number for its weights, a file that nothing reads."""
    from safetensors.torch import save_file
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    from mevlip_training.assembly import assemble
    from mevlip_training.shapes.checkpoint import NOTICE, write_adapters, write_encoder

    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        base, adapters = Path(scratch, "base"), Path(scratch, "adapters")
        write_encoder(base, config)
        described = {**config.to_dict(), "architectures": [InternVLForConditionalGeneration.__name__]}
        InternVLConfig.from_dict(described).save_pretrained(base)
        save_file({"made_on_the_device": torch.zeros(1)}, base / "model.safetensors", {"format": "pt"})
        write_adapters(adapters, config, f"random/{folder.name}", BUDGETS)
        assemble(
            folder,
            base=base,
            adapters=adapters,
            router=demo.router,
            name=folder.name,
            kind="demo",
            notice=NOTICE,
            probe=False,
        )
