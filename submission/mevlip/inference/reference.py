"""One question at a time through transformers' own `generate` and peft's own adapters, to compare others with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mevlip.checkpoints.routes import Mix
from mevlip.inference import decoding, mixing
from mevlip.inference.completion import Cost, Encoded, Generation, Request
from mevlip.inference.decoding import Grammars
from mevlip.inference.drafts import Draft
from mevlip.inference.families import Family
from mevlip.inference.lora import select
from mevlip.inference.vision import Features


class Reference:
    """Generates as transformers does.

    Args:
        model: The peft model.
        tokenizer: Its tokenizer.
        grammars: Grammars compiled for it.
        features: What normalizes pictures.
        family: Its family.
        device: Where it is.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        grammars: Grammars,
        features: Features,
        family: Family,
        device: torch.device,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._grammars = grammars
        self._features = features
        self._kinds_argument = family.kinds_argument
        self._image_token = int(model.get_base_model().config.image_token_id)
        self._device = device
        self._adapters: Sequence[str] = ()
        self._mix: Mix | None = None

    def use(self, adapters: Sequence[str], mix: Mix | None = None) -> None:
        """Selects adapters, whose changes of the base are added; none for the base alone.

        Args:
            adapters: Their names.
            mix: How the second of two is mixed with the first.
        """
        select(self._model, adapters)
        self._adapters, self._mix = adapters, mix

    def generate(self, requests: Sequence[Request]) -> Generation:
        """Answers one prompt; nothing is shared with another."""
        [request] = requests
        tokens = torch.tensor([request.prompt.tokens], device=self._device)
        inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        tiles = [torch.from_numpy(one) for picture in request.pictures if (one := picture.tiles) is not None]
        if tiles:
            inputs |= self._features.inputs([tile for own in tiles for tile in own])
        if self._kinds_argument:
            inputs[self._kinds_argument] = (tokens == self._image_token).long()
        draft = self._grammars.draft(request.grammar, request.max_new_tokens, request.thinking)
        share = self._measure(inputs)
        with self._mixed(share):
            whole = self._model.generate(
                **inputs,
                max_new_tokens=request.new_tokens,
                logits_to_keep=1,
                logits_processor=[lambda _, scores: choose(draft, scores, self._grammars.words)],
                stopping_criteria=[lambda now, _: torch.full((len(now),), draft.done, device=now.device)],
            )
        steps = whole.shape[1] - tokens.shape[1]
        measured = 0 if share is None else 2
        cost = Cost(
            forwards=steps + measured,
            prompt_tokens=tokens.shape[1] * (1 + measured),
            pictures_encoded=len(request.pictures) * (1 + measured),
            tiles_encoded=sum(map(len, tiles)) * (1 + measured),
            row_steps=steps - 1,
            generated_tokens=draft.taken,
            vocabulary_rows=steps + measured,
            synchronizations=2 * steps + measured // 2,
        )
        [text] = self._tokenizer.batch_decode([draft.tokens], skip_special_tokens=True)
        return Generation((replace(draft.completion(text), share=share),), cost)

    def first_logits(self, prompt: Encoded) -> torch.Tensor:
        """The logits of an answer's first token, for a prompt without pictures; (vocabulary,), float32 on the CPU."""
        inputs = {"input_ids": torch.tensor([prompt.tokens], device=self._device)}
        with self._mixed(self._measure(inputs)):
            return self._first(inputs)[0].float().cpu()

    def _first(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """The logits of an answer's first token, (1, vocabulary)."""
        logits: torch.Tensor = self._model(**inputs, logits_to_keep=1).logits
        return logits[:, -1]

    def _measure(self, inputs: Mapping[str, Any]) -> float | None:
        """The share of the second adapter in a prompt's answer; None where none is mixed."""
        if self._mix is None:
            return None
        logits = []
        for name in self._adapters:
            select(self._model, (name,))
            logits.append(self._first(inputs))
        select(self._model, self._adapters)
        return float(mixing.share(logits[0], logits[1], self._mix))

    @contextmanager
    def _mixed(self, share: float | None) -> Iterator[None]:
        """Scales what the adapters add by their shares, in peft's layers, and puts the scales back as they were."""
        if share is None:
            yield
            return
        layers = [module for module in self._model.modules() if hasattr(module, "lora_A")]
        before = [dict(layer.scaling) for layer in layers]
        weights = dict(zip(self._adapters, (1 - share, share), strict=True))
        try:
            for layer, scales in zip(layers, before, strict=True):
                layer.scaling.update({name: scales[name] * weights[name] for name in weights if name in scales})
            yield
        finally:
            for layer, scales in zip(layers, before, strict=True):
                layer.scaling.update(scales)


def choose(draft: Draft, scores: torch.Tensor, words: int) -> torch.Tensor:
    """Chooses the next token of an answer from the logits of the whole vocabulary.

    Args:
        draft: The answer, which takes the token.
        scores: The logits, (1, tokens).
        words: Number of 32-bit words that have a bit for each logit.

    Returns:
        The same in shape, all tokens but the one that was taken forbidden.
    """
    logits = scores[0].float()
    if (few := draft.choices) is not None:
        decoding.choose([draft], [few], few, logits[list(few)][None].cpu().numpy())
    else:
        mask = np.zeros(words, dtype=np.uint32)
        draft.fill(mask)
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(logits)].astype(bool)
        token = int(logits.masked_fill(torch.from_numpy(~allowed).to(logits.device), -torch.inf).argmax())
        draft.take(token, float(logits.log_softmax(-1)[token]))
    held = torch.full_like(scores, -torch.inf)
    held[0, draft.last] = 0.0
    return held
