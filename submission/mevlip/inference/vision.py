"""What the language model gets to see of pictures: each goes through the vision tower once, for all adapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from mevlip.inference.completion import Cost, Picture
from mevlip.inference.families import Family
from mevlip.inference.memory import MOST_TILES

ROOM = 1 << 30
"""Bytes of main memory in which features are remembered: 585 pictures of one tile at InternVL3-8B."""


class Features:
    """The features of pictures.

    Args:
        base: The transformers model.
        family: Its family.
        processor: Its processor.
        device: Where it is.
        tiles: Most tiles in one pass through the vision tower.
        room: Bytes in which features are remembered.
    """

    def __init__(
        self,
        base: Any,
        family: Family,
        processor: Any,
        device: torch.device,
        tiles: int = MOST_TILES,
        room: int = ROOM,
    ) -> None:
        self._base = base
        self._family = family
        self._device = device
        self._levels = torch.from_numpy(family.levels(processor)).to(device)
        self._channels = torch.arange(3, device=device)[:, None, None]
        self._tiles = tiles
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
        tiles = torch.cat(list(new.values()))
        starts = range(0, len(tiles), self._tiles)
        made = torch.cat([self._encode(tiles[start : start + self._tiles]) for start in starts])
        cost.pictures_encoded += len(new)
        cost.tiles_encoded += len(tiles)
        kept = made.cpu()
        if kept is not made:
            cost.synchronizations += 1
        start = 0
        for key, own in new.items():
            place = slice(start, start + len(own))
            found[key] = made[place].flatten(0, 1)
            self._remember(key, kept[place].flatten(0, 1))
            start += len(own)
        return found

    def pixels(self, tiles: torch.Tensor) -> torch.Tensor:
        """Normalizes tiles as the family's processor does, (tiles, 3, height, width), float32 on the device."""
        return self._levels[self._channels, tiles.to(self._device, non_blocking=True).long()]

    def _encode(self, tiles: torch.Tensor) -> torch.Tensor:
        return self._family.features(self._base, self.pixels(tiles))  # type: ignore[no-any-return]

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
