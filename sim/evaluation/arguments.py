"""Arguments of `nightshift evaluate` as values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.errors import InputError

__all__ = ["listed", "prices_of", "router_and_outcomes"]


def router_and_outcomes(files: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """Which of up to two files is the router, by its ending, and which holds outcomes.

    Raises:
        InputError: for more files, and for two of a kind.
    """
    routers = [file for file in files if file.suffix == ".onnx"]
    others = [file for file in files if file.suffix != ".onnx"]
    if len(routers) > 1 or len(others) > 1:
        extra = (routers if len(routers) > 1 else others)[1]
        raise InputError(extra, "is one file too many", "give a router (.onnx) and a file of outcomes, one each")
    return next(iter(routers), None), next(iter(others), None)


def listed(text: str | None) -> tuple[str, ...] | None:
    """Names between commas.

    >>> listed("direct, think"), listed(None)
    (('direct', 'think'), None)
    """
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def prices_of(option: str, pairs: Sequence[str] | None) -> dict[str, float]:
    """Prices by strategy, from STRATEGY=USD.

    >>> prices_of("--cost", ["think=0.002"])
    {'think': 0.002}

    Raises:
        InputError: for what is no such pair.
    """
    found = {}
    for pair in pairs or ():
        name, equals, usd = pair.rpartition("=")
        try:
            found[name] = float(usd)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise InputError(pair, "is no price of a strategy", "write STRATEGY=USD", where=option)
    return found
