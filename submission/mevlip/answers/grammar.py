"""What may be said, as data: the grammars that constrained decoding holds a model to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OneOf:
    """Exactly one of some texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class SomeOf:
    """One or more of some texts, each at most once, in any order, with a separator between them."""

    texts: tuple[str, ...]
    separator: str


@dataclass(frozen=True)
class Lark:
    """A context-free grammar in llguidance's dialect of Lark; its start symbol is `start`."""

    source: str


Grammar = OneOf | SomeOf | Lark


def up_to(most: int) -> str:
    """A regular expression of the whole numbers from 0 to `most`, without leading zeros."""
    digits = str(most)
    parts = ["0"] if most == 0 else ["0", *(f"[1-9][0-9]{{{size}}}" for size in range(len(digits) - 1))]
    if most:
        for place, digit in enumerate(digits):
            first, last = (1 if place == 0 else 0), int(digit) - 1
            if last >= first:
                parts.append(f"{digits[:place]}[{first}-{last}][0-9]{{{len(digits) - place - 1}}}")
        parts.append(digits)
    return f"({'|'.join(parts)})"
