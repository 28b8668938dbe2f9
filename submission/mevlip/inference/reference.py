"""One question at a time through transformers' own `generate` and peft's own adapters, to compare others with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mevlip.inference import decoding
from mevlip.inference.completion import Cost, Encoded, Generation, Request
from mevlip.inference.decoding import Draft, Grammars
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

    def use(self, adapters: Sequence[str]) -> None:
        """Selects adapters, whose changes of the base are added; none for the base alone."""
        select(self._model, adapters)

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
        draft = self._grammars.draft(request.grammar, request.max_new_tokens)
        whole = self._model.generate(
            **inputs,
            max_new_tokens=request.max_new_tokens,
            logits_to_keep=1,
            logits_processor=[lambda _, scores: choose(draft, scores, self._grammars.words)],
            stopping_criteria=[lambda now, _: torch.full((len(now),), draft.done, device=now.device)],
        )
        steps = whole.shape[1] - tokens.shape[1]
        cost = Cost(
            forwards=steps,
            prompt_tokens=tokens.shape[1],
            pictures_encoded=len(request.pictures),
            tiles_encoded=sum(map(len, tiles)),
            row_steps=steps - 1,
            generated_tokens=len(draft.tokens),
            vocabulary_rows=steps,
            synchronizations=2 * steps,
        )
        [text] = self._tokenizer.batch_decode([draft.tokens], skip_special_tokens=True)
        return Generation((draft.completion(text),), cost)

    def first_logits(self, prompt: Encoded) -> torch.Tensor:
        """The logits of an answer's first token, for a prompt without pictures; (vocabulary,), float32 on the CPU."""
        tokens = torch.tensor([prompt.tokens], device=self._device)
        logits: torch.Tensor = self._model(input_ids=tokens, logits_to_keep=1).logits
        return logits[0, -1].float().cpu()


def choose(draft: Draft, scores: torch.Tensor, words: int) -> torch.Tensor:
    """Chooses the next token of an answer from the logits of the whole vocabulary.

    Args:
        draft: The answer, which takes the token.
        scores: The logits, (1, tokens).
        words: Number of 32-bit words that have a bit for each logit.

    Returns:
        The same in shape, all tokens but the chosen one forbidden.
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
    held[0, draft.tokens[-1]] = 0.0
    return held
