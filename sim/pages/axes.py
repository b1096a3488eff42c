"""Logarithmic axes that begin and end at round values, with ticks that can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["limits_of", "log_ticks", "tick_text"]


def limits_of(values: Sequence[float]) -> tuple[float, float]:
    """Limits of a logarithmic axis around the values: 1, 2 or 5 times a power of ten.

    >>> limits_of([3.0, 700.0])
    (2.0, 1000.0)
    >>> limits_of([])
    (1.0, 10.0)
    """
    if not values:
        return 1.0, 10.0
    low, high = min(values), max(values)
    steps = [step * 10.0**power for power in range(_power(low) - 1, _power(high) + 2) for step in (1, 2, 5)]
    return max(step for step in steps if step < low), min(step for step in steps if step > high)


def _power(value: float) -> int:
    return math.floor(math.log10(value))


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the limits; 2 and 5 times them as well where that makes few.

    >>> log_ticks(2.0, 1000.0), log_ticks(2.0, 50.0)
    ([10.0, 100.0, 1000.0], [2.0, 5.0, 10.0, 20.0, 50.0])
    """
    steps = (1,) if math.log10(high / low) > 2.2 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(_power(low) - 1, _power(high) + 2) for step in steps]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def tick_text(milliseconds: float) -> str:
    """A time at an axis.

    >>> tick_text(0.5), tick_text(20.0), tick_text(5000.0)
    ('0.5 ms', '20 ms', '5 s')
    """
    return f"{milliseconds:g} ms" if milliseconds < 1000.0 else f"{milliseconds / 1000.0:g} s"
