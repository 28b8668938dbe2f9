"""The base model in four bits and its eight adapters.

Adapters stay unmerged: merging one back into NF4 weights rounds a rank-8 update away.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.checkpoints.probes import QUESTION, Probe, distance
from mevlip.checkpoints.routes import ImageSettings, Route
from mevlip.core import memory
from mevlip.core.errors import CheckpointError, MevlipError, ModelFailure
from mevlip.inference.batching import Budget
from mevlip.inference.completion import Encoded, Generation, OutOfMemory, Picture, Request
from mevlip.inference.decoding import Grammars
from mevlip.inference.device import limit_memory, release_memory
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.generation import Generator
from mevlip.inference.loading import (
    REFETCH,
    RETRAIN,
    compute_dtype,
    compute_in_float32,
    describe_error,
    is_out_of_memory,
    load_adapters,
    load_base,
    naming_failures,
    no_room,
)
from mevlip.inference.memory import budget, cached_bytes, computed_bytes, row_bytes, state_bytes, tower_room
from mevlip.inference.prompts import Prompt, build_prompt
from mevlip.inference.reference import Reference
from mevlip.inference.vision import Features
from mevlip.reading import grammar_of
from mevlip.tasks import NO_ADAPTER

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

_WORKERS = 8
"""Most threads that prepare images."""
_TOP, _FIXED = 16, 16
"""How many logits a known answer has: of the likeliest tokens, and of some evenly spaced in the vocabulary."""


class VisionLanguageModel:
    """A loaded checkpoint that answers prompts with one of its adapters.

    Attributes:
        encoder: The prompt encoder, which also knows the tokenizer's special tokens.
        device: Where the weights are.
        grammars: Grammars compiled for its tokenizer.
    """

    def __init__(
        self,
        model: Any,
        encoder: PromptEncoder,
        device: torch.device,
        max_memory: int | None = None,
        reference: bool = False,
        routes: Mapping[str, Route] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._routes = routes
        self.encoder = encoder
        self.device = device
        base = model.get_base_model()
        ends = self._pin_decoding(base.generation_config.eos_token_id)
        self.grammars = Grammars(encoder.tokenizer, base.get_output_embeddings().weight.shape[0], ends)
        alone = reference or encoder.family.stateful
        room, item = limit_memory(base, device, max_memory, movable=not alone), model.dtype.itemsize
        self._features = Features(base, encoder.family, encoder.processor, device, tower_room(room))
        self._generator: Generator | Reference
        tools = (encoder.tokenizer, self.grammars, self._features, encoder.family, device)
        if alone:
            self._generator = Reference(model, *tools)
            self._budget = Budget(1, 1)
        else:
            self._generator = Generator(model, *tools)
            self._budget = budget(room, model.config.get_text_config(), item, gpu=device.type == "cuda")

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        device: torch.device,
        max_memory: int | None = None,
        reference: bool = False,
        dtype: torch.dtype | None = None,
    ) -> VisionLanguageModel:
        """Loads base and adapters from a checkpoint folder and proves that each adapter and each grammar takes effect.

        Args:
            checkpoint: The checkpoint.
            device: Where to.
            max_memory: Most bytes to take there; None for `GPU_MEMORY` of a GPU, or for what is free without one.
            reference: Whether to answer each question alone, through transformers' and peft's own code, as a family
                whose layers carry a state is asked anyway.
            dtype: In what to compute, bfloat16 or float32; None for what the device is fast with.

        Raises:
            CheckpointError: The base is incomplete, an adapter's keys don't match, is all zero, not finite or changes
                nothing, its known answer is another one, or a route's prompt holds a token that the base does not know.
            EnvironmentProblem: It does not fit into the free memory.
            ModelFailure: The device does not compute, or what may be said in answer to a task cannot be compiled for
                the base's tokenizer.
        """
        model = load_base(checkpoint.base, checkpoint.quantization, device)
        with naming_failures(f"The tokenizer or image processor in {checkpoint.base}", REFETCH):
            encoder = PromptEncoder(model.config.model_type, checkpoint.base)
        if encoder.family.stateful:
            logger.info("layers of this base carry a state from token to token: each question is asked alone, slowly")
        model = load_adapters(model, checkpoint)
        if (dtype or compute_dtype(device)) == torch.float32:
            model = compute_in_float32(model)
        loaded = cls(model, encoder, device, max_memory, reference, checkpoint.routes)
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

    @property
    def budget(self) -> Budget:
        """How many tokens memory has room for; one question at a time where each is asked alone."""
        return self._budget

    @property
    def workers(self) -> int:
        """In how many threads images should be prepared; without a GPU the processor has other work."""
        return min(_WORKERS, max(1, (os.cpu_count() or 2) - 1)) if self.device.type == "cuda" else 1

    def image_tokens(self, settings: ImageSettings) -> int:
        """Most tokens of an image."""
        return self.encoder.image_tokens(settings)

    def picture(self, image: Image.Image, settings: ImageSettings) -> Picture:
        """Prepares an image, 8-bit RGB."""
        return self.encoder.picture(image, settings)

    def remembers(self, key: str) -> bool:
        """Whether a picture has been through the vision tower, and what came out is at hand until it is forgotten."""
        return self._features.remembers(key)

    def forget(self, keys: Iterable[str]) -> None:
        """Says which pictures will not be asked about any more."""
        self._features.forget(keys)

    def forget_pictures(self) -> None:
        """Forgets all pictures, so that a measurement begins anew."""
        self._features.clear()

    def encode(self, prompt: Prompt, pictures: Sequence[Picture]) -> Encoded:
        """Encodes a prompt, and refuses a token that has no embedding: on a GPU it would break the device for good.

        Raises:
            CheckpointError: It holds a token that the base does not know.
        """
        return self._encode(prompt, pictures, "")

    def _encode(self, prompt: Prompt, pictures: Sequence[Picture], owner: str) -> Encoded:
        encoded = self.encoder.encode_prompt(prompt, pictures)
        known = self._model.get_input_embeddings().weight.shape[0]
        highest = max(encoded.tokens)
        if highest >= known:
            token = self.encoder.tokenizer.convert_ids_to_tokens(highest)
            raise CheckpointError(
                f"{owner}a prompt holds the token {token!r} ({highest}), the base model knows {known} tokens",
                "Take it out of the route's prompt, or use the tokenizer that belongs to the base.",
            )
        return encoded

    def decided_at_once(self, grammar: Grammar | None) -> bool:
        """Whether the first token of an answer decides it."""
        return self.grammars.decided_at_once(grammar)

    def use(self, adapter: str) -> None:
        """Selects the adapter of the next calls, with those that its route names beside it, or the base alone."""
        route = self._routes.get(adapter)
        names = () if adapter == NO_ADAPTER else (adapter, *(route.others if route else ()))
        self._generator.use(names, route.mix if route else None)

    def generate(self, requests: Sequence[Request]) -> Generation:
        """Answers prompts greedily with the selected adapter.

        Raises:
            OutOfMemory: They do not fit into memory.
        """
        with _memory_that_runs_out(), torch.inference_mode():
            self._check_room(requests)
            return self._generator.generate(requests)

    def answer_loss(self, prompt: Encoded, pixels: torch.Tensor, answer: str) -> torch.Tensor:
        """How unlikely an answer is under the selected adapter: the mean cross-entropy of its tokens and the end token.

        It can be differentiated by the pixels; the weights are frozen and have no gradient.

        Args:
            prompt: The prompt.
            pixels: All tiles of its pictures, (tiles, 3, height, width), 0 to 255.
            answer: The text, as training writes it.

        Raises:
            CheckpointError: This family, or a mix of adapters, is not differentiated.
        """
        if not isinstance(self._generator, Generator) or not self._generator.differentiable:
            raise CheckpointError(
                "Answers cannot be differentiated: the base is not of type internvl, or two adapters are mixed",
                "Use a checkpoint on InternVL, without --reference, whose routes have no mix.",
            )
        tokens = self.encoder.tokenizer(answer, add_special_tokens=False)["input_ids"]
        return self._generator.answer_loss(prompt, pixels, (*tokens, self.encoder.tokenizer.eos_token_id))

    def _check_room(self, requests: Sequence[Request]) -> None:
        """Raises OutOfMemory where a batch would not fit into main memory: there the kernel ends the whole program."""
        if self.device.type != "cpu":
            return
        config, item = self._model.config.get_text_config(), self._model.dtype.itemsize
        lengths = [len(request.prompt.tokens) for request in requests]
        cached = [length + one.new_tokens for length, one in zip(lengths, requests, strict=True)]
        needed = sum(lengths) * computed_bytes(config, item) + sum(cached) * cached_bytes(config, item)
        needed += len(requests) * (row_bytes(config) + state_bytes(config, item))
        free = memory.available()
        if needed > free:
            raise OutOfMemory(f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")

    def release_memory(self) -> None:
        """Returns cached GPU memory, after a batch that broke.

        Raises:
            ModelFailure: The GPU no longer answers.
        """
        release_memory(self.device)

    def _pin_decoding(self, eos: int | list[int] | None) -> list[int]:
        """Fixes greedy decoding, whatever the base's generation_config.json asks for; returns its end tokens."""
        from transformers import GenerationConfig

        tokenizer = self.encoder.tokenizer
        ends = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
        pinned = GenerationConfig(
            do_sample=False, num_beams=1, use_cache=True, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id
        )
        self._model.generation_config = pinned
        self._model.get_base_model().generation_config = pinned
        return sorted(ends)

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
        owner = f"adapter {route.adapter!r}: "
        prompt = self._encode(build_prompt(question, 0, route.prompt, self.reserved), [], owner)
        self.use(adapter)
        with torch.inference_mode():
            logits = self._generator.first_logits(prompt)
        if not logits.isfinite().all():
            if adapter == NO_ADAPTER:
                raise CheckpointError("The base model's logits are not finite", REFETCH)
            self._first_logits(NO_ADAPTER, route, question)  # is the base to blame?
            raise CheckpointError(f"adapter {adapter!r}: its logits are not finite", RETRAIN)
        return prompt.tokens, logits

    def _prove_routes(self, routes: Iterable[Route]) -> None:
        """Raises where a prompt, of any number of images, or a task's grammar does not fit template and tokenizer."""
        for route in routes:
            if route.prompt.thinking:
                self.grammars.draft(None, 1, route.prompt.thinking_tokens)  # spells its marks
            self._encode(build_prompt("?", 0, route.prompt, self.reserved), [], f"adapter {route.adapter!r}: ")
            for count in {*range(route.images.max_count + 1), route.images.frames}:
                self.encoder.render(build_prompt("?", count, route.prompt, self.reserved))
            for task in route.max_new_tokens:
                grammar = grammar_of(task, route.spec("?", None))
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
