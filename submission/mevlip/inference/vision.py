"""What the language model gets to see of pictures: each goes through the vision tower once, for all adapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from typing import Any

import torch

from mevlip.inference.completion import Cost, Picture
from mevlip.inference.families import Family
from mevlip.inference.memory import passes, tile_bytes

ROOM = 1 << 30
"""Bytes of main memory in which features are remembered: 585 pictures of one tile at InternVL3-8B."""


class Features:
    """The features of pictures.

    Args:
        base: The transformers model.
        family: Its family.
        processor: Its processor.
        device: Where it is.
        most: Bytes that one pass through the vision tower may take.
        room: Bytes in which features are remembered.
    """

    def __init__(
        self,
        base: Any,
        family: Family,
        processor: Any,
        device: torch.device,
        most: int,
        room: int = ROOM,
    ) -> None:
        self._base = base
        self._family = family
        self._processor = processor
        self._device = device
        self._levels = torch.from_numpy(family.levels(processor)).to(device)
        self._channels = torch.arange(3, device=device)[:, None, None]
        self._config = base.config.vision_config
        self._numbers = family.patch_numbers(self._config)
        self._item = base.dtype.itemsize
        self._most = most
        self._room = room
        self._remembered: dict[str, torch.Tensor] = {}
        self._forgettable: dict[str, None] = {}

    def remembers(self, key: str) -> bool:
        """Whether a picture's features are at hand until it is forgotten."""
        return key in self._remembered

    def forget(self, keys: Iterable[str]) -> None:
        """Says which pictures may give way to others."""
        self._forgettable |= {key: None for key in keys if key in self._remembered}

    def clear(self) -> None:
        """Forgets all pictures."""
        self.forget(list(self._remembered))
        self._make_room(sum(map(_size, self._remembered.values())) + self._room)

    def of(self, pictures: Sequence[Picture], cost: Cost) -> dict[str, torch.Tensor]:
        """The features of pictures by their key, (tokens, hidden size) each, on the device.

        Args:
            pictures: The pictures; equal ones are encoded once.
            cost: Where the cost is added.

        Raises:
            RuntimeError: A picture that has no tiles is not remembered.
        """
        found: dict[str, torch.Tensor] = {}
        new: dict[str, torch.Tensor] = {}
        for picture in pictures:
            if picture.key in self._remembered:
                self._forgettable.pop(picture.key, None)
                found[picture.key] = self._remembered[picture.key].to(self._device, non_blocking=True)
            elif picture.tiles is None:
                raise RuntimeError("a picture was forgotten before its last question")
            else:
                new.setdefault(picture.key, torch.from_numpy(picture.tiles))
        if not new:
            return found
        tiles = [tile for own in new.values() for tile in own]
        taken = [tile_bytes(self._config, self._numbers, self._item, *tile.shape[1:]) for tile in tiles]
        parts = [part for few in passes(taken, self._most) for part in self._encode(tiles[few])]
        cost.pictures_encoded += len(new)
        cost.tiles_encoded += len(tiles)
        made = torch.cat(parts)
        kept = made.cpu()
        if kept is not made:
            cost.synchronizations += 1
        lengths = iter(map(len, parts))
        start = 0
        for key, own in new.items():
            place = slice(start, start := start + sum(islice(lengths, len(own))))
            found[key] = made[place]
            self._remember(key, kept[place])
        return found

    def of_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """The features of tiles with their gradient, (tokens, hidden size); nothing is remembered.

        Args:
            pixels: The tiles, (tiles, 3, height, width), 0 to 255; need not be whole numbers.
        """
        # Normalizing is a line through the levels of black and white.
        black, white = (self._levels[:, level, None, None] for level in (0, 255))
        normalized = black + pixels.to(self._device) * ((white - black) / 255)
        return torch.cat(tuple(self._family.features(self._base, self._family.inputs(self._processor, [normalized]))))

    def inputs(self, tiles: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The image arguments of transformers' model for tiles, (3, height, width) each; pixels are float32.

        Pixels are normalized as the family's processor does; neighboring tiles of one size are normalized together.
        """
        alike = (torch.stack(list(same)) for _, same in groupby(tiles, lambda tile: tile.shape))
        pixels = [self._levels[self._channels, one.to(self._device, non_blocking=True).long()] for one in alike]
        return self._family.inputs(self._processor, pixels)

    def _encode(self, tiles: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return self._family.features(self._base, self.inputs(tiles))

    def _remember(self, key: str, features: torch.Tensor) -> None:
        """Keeps features in main memory while there is room; forgotten ones give way, the oldest first."""
        size = _size(features)
        self._make_room(size)
        if self._room >= size:
            self._remembered[key] = features.clone()  # a part of a batch would keep all of it
            self._room -= size

    def _make_room(self, size: int) -> None:
        while self._room < size and self._forgettable:
            oldest = next(iter(self._forgettable))
            del self._forgettable[oldest]
            self._room += _size(self._remembered.pop(oldest))


def _size(features: torch.Tensor) -> int:
    return features.numel() * features.element_size()
