"""What the name of a file or folder says of the setup: GPU, model and tensor-parallel size, where unambiguous."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sim.hardware import Catalogue, normalised

__all__ = ["Spoken", "in_words", "words_of"]

_TENSOR = re.compile(r"tp[-_]?(\d{1,3})", flags=re.ASCII)


class Spoken(NamedTuple):
    """What a name says; None for what it does not, or not clearly."""

    model: str | None
    gpu: str | None
    tensor_parallel: int | None


def in_words(path: Path, catalogue: Catalogue) -> Spoken:
    """What the name of a file or folder says.

    Runs of words that are a name or alias of the catalogue count, longer runs before shorter ones; where two
    of the longest name different things, none does. So `8b` alone says nothing.
    """
    words = words_of(path)
    sizes = {int(match[1]) for word in words if (match := _TENSOR.fullmatch(word)) and int(match[1]) > 0}
    size = sizes.pop() if len(sizes) == 1 else None
    return Spoken(_named(words, catalogue.model_aliases), _named(words, catalogue.gpu_aliases), size)


def words_of(path: Path) -> list[str]:
    """The words of a name, in lower case, without the ending of a CSV file."""
    return [word for word in re.split(r"[-_\s]+", path.name.casefold().removesuffix(".csv")) if word]


def _named(words: list[str], aliases: Mapping[str, str]) -> str | None:
    for length in range(len(words), 0, -1):
        runs = ("-".join(words[first : first + length]) for first in range(len(words) - length + 1))
        found = {aliases[key] for run in runs if (key := normalised(run)) in aliases}
        if found:
            return found.pop() if len(found) == 1 else None
    return None
