"""Fields of a trace row: text to number, with the rule that a bad text breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sim.workload.blocks import NOTHING, PRIORITIES
from sim.workload.traces.table import RowFault

__all__ = ["identifier", "instant_ns", "instants_ns", "number", "priority", "whole", "whole_if_any"]

_LOCAL = r"((?:19[7-9]|2[01]\d)\d-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?"
_LOCAL_INSTANT = re.compile(_LOCAL, flags=re.ASCII)
_INSTANT = re.compile(_LOCAL + r"(Z|[+-]\d\d:?\d\d)?", flags=re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", flags=re.ASCII)
_LARGEST_IDENTIFIER = 2**62 - 1


def number(text: str, column: str) -> float:
    """A decimal number; NaN and infinity are numbers here, and refused with the values."""
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise RowFault(_shown(text), column, "is not a number")


def whole(text: str, column: str) -> int:
    """A whole number, also when written with a decimal point, such as 12.0."""
    if _WHOLE.fullmatch(text.strip()):
        return int(text)
    value = number(text, column)
    if value.is_integer() and abs(value) < 1e18:
        return int(value)
    raise RowFault(_shown(text), column, "is not a whole number")


def whole_if_any(text: str, column: str) -> int:
    """A whole number; -1 where none is given."""
    return whole(text, column) if text.strip() else NOTHING


def instant_ns(text: str, column: str) -> int:
    """Nanoseconds since 1970 of a time such as 2023-11-16 18:15:46.6805900, in UTC where no offset is given.

    The years 1970 to 2199 are known.
    """
    match = _INSTANT.fullmatch(text.strip())
    rule = "is not a time such as 2023-11-16 18:15:46.6805900"
    if match is None:
        raise RowFault(_shown(text), column, rule)
    day, clock, decimals, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
    except ValueError:
        raise RowFault(_shown(text), column, rule) from None
    return round(moment.timestamp()) * 1_000_000_000 + int((decimals or "").ljust(9, "0"))


def instants_ns(texts: Sequence[str]) -> NDArray[np.int64]:
    """The same for many times without offsets; a ValueError where any of them is not plain."""
    if not all(map(_LOCAL_INSTANT.fullmatch, texts)):
        raise ValueError("not all are plain times")
    return np.array(texts, dtype=np.str_).astype("datetime64[ns]").astype(np.int64)


def identifier(text: str, column: str) -> int:
    """A number for a context or question: whole numbers as they are, -1 for none, texts by their hash.

    The number of a text is 62 bits of its BLAKE2 hash above 2^62, so it does not depend on what else is in
    the file and no table of texts is kept; among ten million texts the chance that any two share a number is
    1 in 90,000.
    """
    name = text.strip()
    if name in ("", str(NOTHING)):
        return NOTHING
    if name.isascii() and name.isdigit() and len(name) <= 19 and int(name) < 2**63:
        return int(name)
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) & _LARGEST_IDENTIFIER | 2**62


def priority(text: str, column: str) -> int:
    """Number of a priority class given by name or number; -1 where none is given."""
    name = text.strip().lower()
    if not name:
        return NOTHING
    if name in PRIORITIES:
        return PRIORITIES.index(name)
    if name in ("0", "1", "2"):
        return int(name)
    raise RowFault(text, column, f"is not a priority ({', '.join(PRIORITIES)}, or 0 to 2)")


def _shown(text: str) -> str:
    return text.strip() or "an empty field"
