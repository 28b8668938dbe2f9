"""The base model in four bits and its eight adapters.

Adapters stay unmerged: merging one back into NF4 weights rounds a rank-8 update away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mevlip.answers import QuestionSpec
from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.checkpoints.probes import QUESTION, Probe, distance
from mevlip.checkpoints.routes import Route
from mevlip.core import memory
from mevlip.core.errors import CheckpointError, MevlipError, ModelFailure
from mevlip.inference.completion import Generation, OutOfMemory
from mevlip.inference.decoding import Grammars
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.loading import (
    REFETCH,
    RETRAIN,
    describe_error,
    is_out_of_memory,
    load_adapters,
    load_base,
    naming_failures,
    no_room,
)
from mevlip.inference.prompts import Prompt, build_prompt
from mevlip.reading import grammar_of
from mevlip.tasks import NO_ADAPTER

if TYPE_CHECKING:
    from PIL import Image

_TOP, _FIXED = 16, 16
"""How many logits a known answer has: of the likeliest tokens, and of some evenly spaced in the vocabulary."""


class VisionLanguageModel:
    """A loaded checkpoint that answers prompts with one of its adapters.

    Attributes:
        encoder: The prompt encoder, which also knows the tokenizer's special tokens.
        device: Where the weights are.
        grammars: Grammars compiled for its tokenizer.
    """

    grammars: Grammars

    def __init__(self, model: Any, encoder: PromptEncoder, device: torch.device) -> None:
        self._model = model
        self.encoder = encoder
        self.device = device

    @classmethod
    def load(cls, checkpoint: Checkpoint, device: torch.device) -> VisionLanguageModel:
        """Loads base and adapters from a checkpoint folder and proves that each adapter and each grammar takes effect.

        Raises:
            CheckpointError: The base is incomplete, an adapter's keys don't match, is all zero, not finite or changes
                nothing, its known answer is another one, or a route's prompt holds a token that the base does not know.
            EnvironmentProblem: It does not fit into the free memory.
            ModelFailure: The device does not compute, or what may be said in answer to a task cannot be compiled for
                the base's tokenizer.
        """
        model = load_base(checkpoint.base, checkpoint.quantization, device)
        eos = model.generation_config.eos_token_id
        with naming_failures(f"The tokenizer or image processor in {checkpoint.base}", REFETCH):
            encoder = PromptEncoder(model.config.model_type, checkpoint.base)
        model = load_adapters(model, checkpoint)
        loaded = cls(model, encoder, device)
        loaded._pin_decoding(eos)
        with _first_forward():
            loaded._prove_adapters(checkpoint.routes, checkpoint.probes)
        loaded._prove_routes(checkpoint.routes.values())
        return loaded

    def record_probes(self, routes: Mapping[str, Route]) -> dict[str, Probe]:
        """The known answer of each adapter, as this machine computes it.

        Raises:
            CheckpointError: An adapter's logits are not finite.
        """
        probes = {}
        for name, route in routes.items():
            tokens, logits = self._first_logits(name, route, QUESTION)
            _, base = self._first_logits(NO_ADAPTER, route, QUESTION)
            ids = sorted({*logits.topk(_TOP).indices.tolist(), *range(0, len(logits), len(logits) // _FIXED)})
            own, spread = logits[ids].tolist(), float(logits.std())
            probes[name] = Probe(
                tokens=tokens,
                ids=tuple(ids),
                logits=tuple(own),
                spread=spread,
                effect=distance(own, base[ids].tolist(), spread),
                recorded_on=f"{self.device.type}, torch {torch.__version__}",
            )
        return probes

    @property
    def reserved(self) -> frozenset[str]:
        """Strings that the tokenizer turns into special tokens."""
        return self.encoder.reserved

    @property
    def window(self) -> int:
        """Most tokens that a prompt and its answer should have together: the tokenizer's limit, or the model's."""
        positions = self._model.config.get_text_config().max_position_embeddings
        return int(min(positions, self.encoder.tokenizer.model_max_length))

    def count_tokens(self, prompt: Prompt, images: Sequence[Image.Image], route: Route) -> int:
        """Number of tokens that a prompt takes, those of its images included."""
        return self.encoder.count_tokens(prompt, images, route.images)

    def use(self, adapter: str) -> None:
        """Selects the adapter of the next generate calls, or the base model alone."""
        if adapter == NO_ADAPTER:
            self._model.base_model.disable_adapter_layers()
        else:
            self._model.base_model.enable_adapter_layers()
            self._model.set_adapter(adapter)

    def generate(
        self,
        prompts: Sequence[Prompt],
        images: Sequence[Sequence[Image.Image]],
        route: Route,
        max_new_tokens: int,
        grammars: Sequence[Grammar | None],
    ) -> Generation:
        """Answers a batch of prompts greedily with the selected adapter.

        Args:
            prompts: One prompt per row.
            images: The images of each row, 8-bit RGB.
            route: The selected adapter's route.
            max_new_tokens: Token budget of each row.
            grammars: What each row may say; None for anything.

        Raises:
            OutOfMemory: The batch does not fit into memory.
            CheckpointError: A prompt holds a token that the base does not know.
        """
        with _memory_that_runs_out(), torch.inference_mode():
            inputs = self._encode(prompts, images, route).to(self.device)
            rows, length = inputs["input_ids"].shape
            self._check_room(rows, length + max_new_tokens)
            decoding = self.grammars.start(grammars)
            whole = self._model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                logits_to_keep=1,
                logits_processor=[decoding.process],
                stopping_criteria=[decoding.stop],
            )
        new = whole[:, length:]
        decoded = self.encoder.tokenizer.batch_decode(new, skip_special_tokens=True)
        return Generation(
            completions=decoding.completions(decoded),
            prefill_tokens=int(inputs["attention_mask"].sum()),
            image_encodes=len(inputs["pixel_values"]) if "pixel_values" in inputs else 0,
            forwards=new.shape[1],
        )

    def _check_room(self, rows: int, length: int) -> None:
        """Raises OutOfMemory where a batch would not fit into main memory: there the kernel ends the whole program."""
        if self.device.type != "cpu":
            return
        config = self._model.config.get_text_config()
        heads = config.num_key_value_heads * getattr(
            config, "head_dim", config.hidden_size // config.num_attention_heads
        )
        cached = 2 * config.num_hidden_layers * heads  # keys and values
        working = 4 * config.hidden_size + 3 * config.intermediate_size  # one layer's states
        mask = length  # a byte for each pair of tokens
        needed = rows * length * (torch.bfloat16.itemsize * (cached + working) + mask)
        free = memory.available()
        if needed > free:
            raise OutOfMemory(f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")

    def release_memory(self) -> None:
        """Returns cached GPU memory, after a batch that broke.

        Raises:
            ModelFailure: The GPU no longer answers; after a device-side assert, for example, nothing works any more.
        """
        if self.device.type != "cuda":
            return
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except RuntimeError as error:
            raise ModelFailure(
                f"The GPU stopped working ({str(error).splitlines()[0]})",
                "Finished answers are kept: run the same command again, on another GPU if it comes back.",
            ) from error

    def _encode(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image.Image]], route: Route) -> Any:
        """Encodes a batch, and refuses a token that has no embedding: on a GPU it would break the device for good."""
        inputs = self.encoder.encode(prompts, images, route.images)
        known = self._model.get_input_embeddings().weight.shape[0]
        highest = int(inputs["input_ids"].max())
        if highest >= known:
            token = self.encoder.tokenizer.convert_ids_to_tokens(highest)
            raise CheckpointError(
                f"adapter {route.adapter!r}: a prompt holds the token {token!r} ({highest}), "
                f"the base model knows {known} tokens",
                "Take it out of the route's prompt, or use the tokenizer that belongs to the base.",
            )
        return inputs

    def _pin_decoding(self, eos: int | list[int] | None) -> None:
        """Fixes greedy decoding, whatever the base's generation_config.json asks for; only its end tokens are kept."""
        from transformers import GenerationConfig

        tokenizer = self.encoder.tokenizer
        ends = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
        pinned = GenerationConfig(
            do_sample=False, num_beams=1, use_cache=True, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id
        )
        self._model.generation_config = pinned
        self._model.get_base_model().generation_config = pinned
        head = self._model.get_base_model().get_output_embeddings()
        # The last position of each row, cut from a batch of prompts, has strides for which torch multiplies row by row
        # instead of once: at 151,674 logits and eight rows that takes a hundred times as long on a CPU.
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
        self.grammars = Grammars(tokenizer, head.weight.shape[0], pinned.eos_token_id)

    def _prove_adapters(self, routes: Mapping[str, Route], probes: Mapping[str, Probe]) -> None:
        """Raises CheckpointError for an adapter that does not answer as recorded, or whose logits equal the base's.

        One forward pass for each adapter, and one of the base where a known answer is missing or too weak to tell.
        """
        base: dict[tuple[int, ...], torch.Tensor] = {}
        for name, route in routes.items():
            probe = probes.get(name)
            question = probe.question if probe else QUESTION
            tokens, logits = self._first_logits(name, route, question)
            if probe:
                _check_answer(name, probe, tokens, logits)
            if probe is None or not probe.shows_the_adapter:
                if tokens not in base:
                    base[tokens] = self._first_logits(NO_ADAPTER, route, question)[1]
                if torch.equal(logits, base[tokens]):
                    raise CheckpointError(f"adapter {name!r}: its logits equal the base model's", RETRAIN)

    def _first_logits(self, adapter: str, route: Route, question: str) -> tuple[tuple[int, ...], torch.Tensor]:
        """Asks an adapter, or the base alone, a question without an image.

        Returns:
            The prompt's tokens, and the logits of the answer's first token in float32 on the CPU.

        Raises:
            CheckpointError: A logit is not finite.
        """
        inputs = self._encode([build_prompt(question, 0, route.prompt, self.reserved)], [[]], route)
        self.use(adapter)
        with torch.inference_mode():
            logits = self._model(**inputs.to(self.device), logits_to_keep=1).logits[0, -1].float().cpu()
        if not logits.isfinite().all():
            if adapter == NO_ADAPTER:
                raise CheckpointError("The base model's logits are not finite", REFETCH)
            self._first_logits(NO_ADAPTER, route, question)  # is the base to blame?
            raise CheckpointError(f"adapter {adapter!r}: its logits are not finite", RETRAIN)
        return tuple(inputs["input_ids"][0].tolist()), logits

    def _prove_routes(self, routes: Iterable[Route]) -> None:
        """Raises where a prompt, of any number of images, or a task's grammar does not fit template and tokenizer."""
        for route in routes:
            self._encode([build_prompt("?", 0, route.prompt, self.reserved)], [[]], route)
            for count in range(route.images.max_count + 1):
                self.encoder.render(build_prompt("?", count, route.prompt, self.reserved))
            for task in route.max_new_tokens:
                grammar = grammar_of(task, QuestionSpec("?", None, route.box_space, route.value_range))
                if grammar is not None:
                    self.grammars.prove(grammar)


def _check_answer(name: str, probe: Probe, tokens: tuple[int, ...], logits: torch.Tensor) -> None:
    """Raises CheckpointError for an adapter whose known answer is another one."""
    again = "assemble the checkpoint again to record its answers anew."
    if tokens != probe.tokens:
        raise CheckpointError(
            f"adapter {name!r}: the prompt of its known answer is encoded to other tokens than when it was recorded",
            f"The chat template, the tokenizer or the route's prompt was changed: put it back, or {again}",
        )
    if max(probe.ids) >= len(logits):
        raise CheckpointError(f"adapter {name!r}: its known answer holds a token that the base does not have", RETRAIN)
    off = probe.distance(logits[list(probe.ids)].tolist())
    if not off <= probe.tolerance:
        raise CheckpointError(
            f"adapter {name!r}: its known answer is {off:.2f} standard deviations of the logits away from the one "
            f"recorded ({probe.recorded_on}); at most {probe.tolerance:.2f} is rounding",
            "Try --device cpu: if that passes, this device, its driver or its packages are at fault. Otherwise fetch "
            f"the checkpoint again or, if its files are right, {again}",
        )


@contextmanager
def _first_forward() -> Iterator[None]:
    """Names what keeps a loaded model from computing, such as a driver too old for the kernels."""
    try:
        yield
    except MevlipError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise no_room("What the model computes") from error
        raise ModelFailure(
            f"The loaded model cannot compute ({describe_error(error)})",
            "Check the GPU, its driver and the packages with `mevlip doctor`, or choose --device cpu.",
        ) from error


@contextmanager
def _memory_that_runs_out() -> Iterator[None]:
    """Raises OutOfMemory for the errors by which libraries say so."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(str(error)) from error
        raise
