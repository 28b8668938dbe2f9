"""Passes that take one token of each row that is being written.

Launching the kernels of a pass one by one takes the host far longer than a GPU takes to run them. So the second pass is
recorded as a CUDA graph, and from then on a single call launches all of its kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from mevlip.inference.attention import Indices, moved
from mevlip.inference.loading import describe_error, is_out_of_memory
from mevlip.inference.packed import Cache, StepPass

PLAIN = 1
"""Passes of a batch before one is recorded: recording takes about as long as a pass, and some answers are short."""

logger = logging.getLogger(__name__)

Run = Callable[[StepPass, torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes embedded tokens, (rows, hidden size), with their position ids, (rows,) or (axes, rows), through the language
model: the last layer's states, normalized, of the tokens' shape."""
Replay = Callable[[], None]
Record = Callable[[Callable[[], torch.Tensor]], tuple[torch.Tensor, Replay]]
"""Gives the tensor that a function's result is in whenever the replay was called."""


def record_graph(function: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Replay]:
    """Records a function's kernels as a CUDA graph, without running them; a `Record`.

    Other threads may use the GPU meanwhile. What memory the kernels need is theirs as long as the graph exists.
    """
    graph = torch.cuda.CUDAGraph()
    # The outer context: where recording fails, torch stays on the stream that it recorded.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        made = function()
    return made, graph.replay


class Recorder:
    """Records passes, as long as device and libraries can.

    Args:
        record: How; None where passes are not recorded.
    """

    def __init__(self, record: Record | None) -> None:
        self._record = record

    def __call__(self, function: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Replay] | None:
        """See `Record`; None where nothing was recorded."""
        if self._record is None:
            return None
        try:
            return self._record(function)
        except RuntimeError as error:
            if is_out_of_memory(error):  # a pass that is not recorded has the room that was reckoned with
                logger.debug("no memory to record a pass")
                return None
            self._record = None
            logger.warning(
                "A pass could not be recorded as a CUDA graph (%s): answers are written without, more slowly",
                describe_error(error),
            )
            return None


class Steps:
    """The passes of one batch.

    Args:
        cache: Keys and values of its rows so far.
        run: Takes a pass through the language model.
        record: Records a pass.
    """

    def __init__(self, cache: Cache, run: Run, record: Recorder) -> None:
        self._cache = cache
        self._run = run
        self._record = record
        self._taken = 0
        self._recording: _Recording | None = None

    @property
    def recorded(self) -> int:
        """How many passes were recorded: one at most."""
        return int(self._recording is not None)

    def take(self, states: torch.Tensor) -> torch.Tensor:
        """Takes one token of each of the first rows of the cache.

        Args:
            states: The tokens, embedded, (rows, hidden size).

        Returns:
            What the pass makes of them; the next pass may write over it.
        """
        places, positions = self._cache.advance(len(states))
        device = states.device
        if self._recording is not None:
            return self._recording.take(states, places, positions)
        self._taken += 1
        if self._taken == PLAIN + 1:
            inputs = states.clone(), moved(places, device), moved(positions, device)
            if (found := self._record(lambda: self._pass(*inputs, self._cache.room))) is not None:
                self._recording = _Recording(*inputs, *found)
                return self._recording.take(states, places, positions)
        return self._pass(states, moved(places, device), moved(positions, device), int(places.max()) + 1)

    def _pass(self, states: torch.Tensor, places: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
        return self._run(StepPass(self._cache, places, length), states, positions)


class _Recording:
    """A recorded pass. Its rows stay as many: what it makes of those that are done is not used."""

    def __init__(
        self,
        states: torch.Tensor,
        places: torch.Tensor,
        positions: torch.Tensor,
        made: torch.Tensor,
        replay: Replay,
    ) -> None:
        self._states = states
        self._places = places
        self._positions = positions
        self._made = made
        self._replay = replay

    def take(self, states: torch.Tensor, places: Indices, positions: Indices) -> torch.Tensor:
        """See `Steps.take`."""
        count, device = len(states), states.device
        self._states[:count] = states
        self._places[:count] = moved(places, device)
        self._positions[..., :count] = moved(positions, device)
        self._replay()
        return self._made[:count]
