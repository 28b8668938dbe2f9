"""Answering prompts together: one pass for all prompts, then one for each further token of the answers not yet done.

Where two adapters are mixed, two more passes for all prompts come first, one with each adapter alone. From then on each
row has shares of its own and no beginning in common with another, whose keys and values would be different ones.

Answers that are one of a few options are chosen from the logits of these options alone; the whole vocabulary is looked
at only for what is written freely or within a grammar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from mevlip.checkpoints.routes import Mix
from mevlip.core.errors import CheckpointError
from mevlip.inference import mixing
from mevlip.inference.attention import Indices, install, moved
from mevlip.inference.completion import Completion, Cost, Encoded, Generation, Picture, Request
from mevlip.inference.decoding import Grammars, choose
from mevlip.inference.drafts import Draft
from mevlip.inference.families import Family
from mevlip.inference.lora import Adapters
from mevlip.inference.memory import cached_shape
from mevlip.inference.packed import Cache, PromptPass, Room, Row, StepPass
from mevlip.inference.steps import Recorder, Steps, record_graph
from mevlip.inference.tries import Choices
from mevlip.inference.vision import Features

_MEASURED = 32
"""Rows whose two distributions over all tokens are compared at a time: they take what the budget has for choosing."""


class Generator:
    """Generates with a loaded transformers model.

    Args:
        model: The peft model.
        tokenizer: Its tokenizer.
        grammars: Grammars compiled for it.
        features: What it sees of pictures.
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
        base = model.get_base_model()
        self._adapters = Adapters(model)
        self._mix: Mix | None = None
        self._language_model = base.get_decoder()
        self._embedding = base.get_input_embeddings()
        self._head = base.get_output_embeddings()
        self._kept_shape, self._dtype = cached_shape(base.config.get_text_config()), base.dtype
        self._image_token = int(base.config.image_token_id)
        self._family = family
        self._mutual = self._image_token if family.mutual else None
        self._tokenizer = tokenizer
        self._grammars = grammars
        self._features = features
        self._device = device
        self._record = Recorder(record_graph if device.type == "cuda" else None)
        self._bits = torch.arange(32, dtype=torch.int32, device=device)
        install(self._language_model.config)

    @property
    def differentiable(self) -> bool:
        """Whether `answer_loss` is that of what the selected adapters answer."""
        return self._family.keeps_tiles and self._mix is None

    def use(self, adapters: Sequence[str], mix: Mix | None = None) -> None:
        """Selects adapters, whose changes of the base are added; none for the base alone.

        Args:
            adapters: Their names.
            mix: How the second of two is mixed with the first.

        Raises:
            CheckpointError: They cannot be mixed.
        """
        if mix and not self._adapters.can_weigh:
            raise CheckpointError(
                f"adapter {adapters[0]!r}: it is mixed with {adapters[1]!r}, but not all adapters are plain LoRA",
                "Leave mix out of the route, or train all adapters without DoRA and without biases.",
            )
        self._adapters.use(adapters)
        self._mix = mix

    def generate(self, requests: Sequence[Request]) -> Generation:
        """See `mevlip.inference.completion.Model`."""
        cost = Cost()
        drafts = [self._grammars.draft(one.grammar, one.max_new_tokens, one.thinking) for one in requests]
        writing = [
            number
            for number, request in enumerate(requests)
            if request.thinking or (request.max_new_tokens > 1 and not self._grammars.decided_at_once(request.grammar))
        ]
        kept = {number: slot for slot, number in enumerate(writing)}
        rows = [
            Row(
                tuple(picture.key for picture in request.pictures),
                request.prompt.tokens,
                request.prompt.shared,
                kept.get(number),
                request.prompt.positions,
            )
            for number, request in enumerate(requests)
        ]
        longest = max(
            (len(requests[number].prompt.tokens) + requests[number].new_tokens for number in writing), default=0
        )
        room = Room(longest, self._kept_shape, self._dtype)
        states, shares, cache = self._read(rows, [request.pictures for request in requests], room, cost)
        self._choose(drafts, states, cost)
        if cache is not None:
            if shares is not None:
                cache.shares = shares[moved(np.array(writing), self._device)]
            self._write([drafts[number] for number in writing], cache, cost)
        cost.generated_tokens = sum(draft.taken for draft in drafts)
        completions = self._complete(drafts)
        if shares is not None:
            known = self._fetch(shares[:, 1], cost).tolist()
            completions = tuple(replace(one, share=share) for one, share in zip(completions, known, strict=True))
        return Generation(completions, cost)

    def first_logits(self, prompt: Encoded) -> torch.Tensor:
        """The logits of an answer's first token, for a prompt without pictures; (vocabulary,), float32 on the CPU."""
        line = PromptPass.lay_out([Row(None, prompt.tokens, 0, None, prompt.positions)], self._device)
        if self._mix:
            self._weigh(line, self._measure(line, None, self._mix, Cost()))
        return self._head(self._take(line, None, Cost()))[0].float().cpu()  # type: ignore[no-any-return]

    def answer_loss(self, prompt: Encoded, pixels: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        """How unlikely an answer is: the mean cross-entropy of its tokens, with its gradient.

        Args:
            prompt: The prompt; its positions count from 0.
            pixels: All tiles of its pictures, (tiles, 3, height, width), 0 to 255.
            answer: The answer's tokens, the end token included.
        """
        tokens = (*prompt.tokens, *answer[:-1])
        line = PromptPass.lay_out([Row(None, tokens, 0)], self._device, mutual=self._mutual)
        states = self._embed(line.tokens)
        places = moved(np.flatnonzero(line.tokens == self._image_token), self._device)
        more = self._family.enter(states, places, self._features.of_pixels(pixels))
        made = self._run(line, states, moved(line.positions, self._device), **more)
        logits = self._head(made[len(prompt.tokens) - 1 :]).float()
        return torch.nn.functional.cross_entropy(logits, moved(np.array(answer), self._device))

    def _read(
        self, rows: Sequence[Row], pictures: Sequence[Sequence[Picture]], room: Room, cost: Cost
    ) -> tuple[torch.Tensor, torch.Tensor | None, Cache | None]:
        """Takes prompts through the language model.

        Args:
            rows: The prompts.
            pictures: Their pictures.
            room: What there is room for in the cache.
            cost: Where the cost is added.

        Returns:
            The states that their answers' first tokens are read from, each row's shares of two adapters where these are
            mixed, and the cache of rows that are kept.
        """
        if self._mix is None:
            line = PromptPass.lay_out(rows, self._device, room, self._mutual)
            found = self._find(line, pictures, cost)
            cost.shared_prompts += len(rows) - len(line.order)
            return self._take(line, self._places(line, pictures, found), cost), None, line.cache
        line = PromptPass.lay_out([replace(row, kept=None) for row in rows], self._device, mutual=self._mutual)
        found = self._find(line, pictures, cost)
        cost.shared_prompts += len(rows) - len(line.order)
        shares = self._measure(line, self._places(line, pictures, found), self._mix, cost)
        line = PromptPass.lay_out([replace(row, shared=0) for row in rows], self._device, room, self._mutual)
        self._weigh(line, shares)
        return self._take(line, self._places(line, pictures, found), cost), shares, line.cache

    def _measure(
        self, line: PromptPass, pictures: tuple[torch.Tensor, torch.Tensor] | None, mix: Mix, cost: Cost
    ) -> torch.Tensor:
        """The share of each of two adapters in each row, (rows, 2), float32."""
        states = []
        for alone in torch.eye(2, device=self._device):
            self._adapters.weigh(alone.expand(len(line.tokens), 2))
            states.append(self._take(line, pictures, cost))
        own, other = states
        cost.vocabulary_rows += 2 * len(line.last)
        parts = [slice(start, start + _MEASURED) for start in range(0, len(line.last), _MEASURED)]
        share = torch.cat([mixing.share(self._head(own[part]), self._head(other[part]), mix) for part in parts])
        return torch.stack([1 - share, share], dim=1)

    def _weigh(self, line: PromptPass, shares: torch.Tensor) -> None:
        """Gives each token of a line whose rows share nothing its row's shares."""
        order = np.array(line.order)
        ends = np.sort(line.last)  # rows stand one behind the other
        self._adapters.weigh(shares[moved(np.repeat(order, np.diff(ends, prepend=-1)), self._device)])

    def _take(self, line: PromptPass, pictures: tuple[torch.Tensor, torch.Tensor] | None, cost: Cost) -> torch.Tensor:
        """Takes prompts through the language model; returns the states that their first tokens are read from."""
        states = self._embed(line.tokens)
        more = {} if pictures is None else self._family.enter(states, *pictures)
        made = self._run(line, states, moved(line.positions, self._device), **more)
        cost.forwards += 1
        cost.prompt_tokens += len(line.tokens)
        return made[moved(line.last, self._device)]

    def _write(self, drafts: Sequence[Draft], cache: Cache, cost: Cost) -> None:
        """Goes on until every answer is done, those that are no longer taking part."""
        slots = list(drafts)
        count = len(slots)
        steps = Steps(cache, partial(self._step, cache), self._record)
        while True:
            for slot in reversed(range(count)):
                if slots[slot].done:
                    count -= 1
                    if slot != count:
                        slots[slot] = slots[count]
                        cache.move(count, slot)
            if not count:
                cost.recorded_passes += steps.recorded
                cost.synchronizations += steps.recorded  # nothing else may be under way
                return
            states = steps.take(self._embed(np.array([draft.last for draft in slots[:count]])))
            cost.forwards += 1
            cost.row_steps += count
            self._choose(slots[:count], states, cost)

    def _embed(self, tokens: Indices) -> torch.Tensor:
        """Tokens as the first layer gets them, (tokens, hidden size)."""
        return self._embedding(moved(tokens, self._embedding.weight.device)).to(self._device)  # type: ignore[no-any-return]

    def _step(self, cache: Cache, step: StepPass, states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Takes one token of each of the first rows of a cache through the language model; see `Steps`."""
        if cache.shares is not None:
            self._adapters.weigh(cache.shares[: len(states)])
        return self._run(step, states, positions)

    def _run(
        self, line: PromptPass | StepPass, states: torch.Tensor, positions: torch.Tensor, **more: Any
    ) -> torch.Tensor:
        """Takes tokens through the language model.

        Args:
            line: What attention has to know of them.
            states: The tokens, embedded, (tokens, hidden size).
            positions: Their position ids, (tokens,) or (axes, tokens).
            more: Further arguments of the language model.

        Returns:
            The last layer's states, normalized, (tokens, hidden size).
        """
        made = self._language_model(
            inputs_embeds=states[None],
            position_ids=positions.unsqueeze(-2),  # one row: (1, tokens) or (axes, 1, tokens)
            attention_mask=None,
            use_cache=False,
            packed=line,
            **more,
        )
        return made.last_hidden_state[0]  # type: ignore[no-any-return]

    def _find(self, line: PromptPass, pictures: Sequence[Sequence[Picture]], cost: Cost) -> dict[str, torch.Tensor]:
        """The features of the line's pictures, by their keys."""
        return self._features.of([picture for number in line.order for picture in pictures[number]], cost)

    def _places(
        self, line: PromptPass, pictures: Sequence[Sequence[Picture]], found: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Where features stand in the line, and the features.

        Raises:
            RuntimeError: There are more or fewer than tokens for them.
        """
        shown = [picture for number in line.order for picture in pictures[number]]
        places = np.flatnonzero(line.tokens == self._image_token)
        if not shown and not len(places):
            return None
        features = torch.cat([found[picture.key] for picture in shown]) if shown else torch.empty(0)
        if len(features) != len(places):
            raise RuntimeError(f"the prompts have {len(places)} places for pictures that take {len(features)}")
        return moved(places, self._device), features

    def _choose(self, drafts: Sequence[Draft], states: torch.Tensor, cost: Cost) -> None:
        """Chooses the next token of each answer.

        Args:
            drafts: The answers.
            states: The states that their next tokens are read from, (answers, hidden size).
            cost: Where the cost is added.
        """
        choices = [draft.choices for draft in drafts]
        closed = [number for number, few in enumerate(choices) if few is not None]
        if closed:
            few = [choices[number] or () for number in closed]
            ids = tuple(sorted(set().union(*set(few))))
            logits = self._fetch(self._logits_of(ids, self._only(closed, states)), cost)
            choose([drafts[number] for number in closed], few, ids, logits)
        if len(closed) < len(drafts):
            self._choose_freely(drafts, [number for number, few in enumerate(choices) if few is None], states, cost)

    def _choose_freely(self, drafts: Sequence[Draft], numbers: list[int], states: torch.Tensor, cost: Cost) -> None:
        """Chooses among all tokens that the grammar of each answer allows."""
        words = np.zeros((len(numbers), self._grammars.words), dtype=np.uint32)
        for own, number in zip(words, numbers, strict=True):
            drafts[number].fill(own)
        logits = self._head(self._only(numbers, states))
        cost.vocabulary_rows += len(numbers)
        packed = moved(words.view(np.int32), self._device)
        allowed = ((packed[:, :, None] >> self._bits) & 1).bool().flatten(1)[:, : logits.shape[1]]
        chosen = logits.masked_fill(~allowed, -torch.inf).argmax(-1, keepdim=True)
        logits = logits.float()
        sureness = logits.gather(-1, chosen) - logits.logsumexp(-1, keepdim=True)
        # Token ids are exact in float32 up to 16,777,216.
        for number, (token, sure) in zip(
            numbers, self._fetch(torch.cat([chosen.float(), sureness], -1), cost), strict=True
        ):
            drafts[number].take(int(token), float(sure))

    def _only(self, numbers: Sequence[int], states: torch.Tensor) -> torch.Tensor:
        """Some rows of states, (rows, hidden size)."""
        return states if len(numbers) == len(states) else states[moved(np.array(numbers), self._device)]

    def _logits_of(self, ids: Choices, states: torch.Tensor) -> torch.Tensor:
        """The logits of a few tokens, (rows, tokens)."""
        chosen = moved(np.array(ids), self._device)
        bias = self._head.bias
        return torch.nn.functional.linear(states, self._head.weight[chosen], None if bias is None else bias[chosen])

    def _fetch(self, tensor: torch.Tensor, cost: Cost) -> Any:
        """Waits for the device."""
        cost.synchronizations += 1
        return tensor.float().cpu().numpy()

    def _complete(self, drafts: Sequence[Draft]) -> tuple[Completion, ...]:
        decoded = self._tokenizer.batch_decode([draft.tokens for draft in drafts], skip_special_tokens=True)
        return tuple(draft.completion(text) for draft, text in zip(drafts, decoded, strict=True))
