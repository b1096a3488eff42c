"""The policies that are held against each other, each with the dial by which it spends more or less."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sim.errors import InputError
from sim.scenario import FileRouter, LookingRouter, Scenario, WeighingRouter

__all__ = ["Dial", "Family", "dialled", "families_of", "mixed", "single"]

Dial = Literal["value", "threshold"]


@dataclass(frozen=True)
class Family:
    """A policy with a dial: what a right answer is worth to it, or its threshold."""

    name: str
    router: Mapping[str, Any]
    """The scenario's `router`, but for the dial."""
    dial: Dial
    key: str
    """The key of the router that the dial turns."""


def families_of(scenario: Scenario, ends: tuple[str, str]) -> list[Family]:
    """The policies of a scenario; `ends` are the strategies between which thresholds choose, cheap and strong.

    Raises:
        InputError: for a scenario whose router does not look at requests.
    """
    router = scenario.router
    if not isinstance(router, LookingRouter):
        remedy = "give a router that looks at requests, such as {policy: oracle} or {policy: learned, model: FILE.onnx}"
        raise InputError("router", "does not look at requests, so there is nothing to hold against", remedy)
    shared = _shared(router)
    found = []
    if isinstance(router, FileRouter):
        file = {"model": str(router.model), "labels": dict(router.labels), "latency": router.latency}
        both, price, alone = ({"price": p, "load": q} for p, q in ((True, True), (True, False), (False, False)))
        for name, flags in (
            ("learned, price and load", both),
            ("learned, price", price),
            ("learned", alone),
        ):
            found.append(Family(name, {"policy": "learned", **file, **shared, **flags}, "value", "value_usd"))
        two = {"cheap": ends[0], "strong": ends[1], **file}
        found.append(Family("difficulty threshold", {"policy": "difficulty-threshold", **two}, "threshold", "below"))
        found.append(Family("gain threshold", {"policy": "gain-threshold", **two}, "threshold", "above"))
    found.append(Family("bandit", {"policy": "bandit", **shared}, "value", "value_usd"))
    found.append(Family("oracle", {"policy": "oracle", **shared}, "value", "value_usd"))
    return found


def _shared(router: LookingRouter) -> dict[str, Any]:
    """What all weighing policies take over; a late answer costs in proportion to the dial where nothing is said."""
    given = router.lateness_usd if isinstance(router, WeighingRouter) else None
    return {"latency": router.latency, **({} if given is None else {"lateness_usd": given})}


def dialled(family: Family, at: float) -> str:
    """The override by which a scenario is routed by a family at a place of its dial."""
    return _override({**family.router, family.key: at})


def single(strategy: str) -> str:
    """The override by which all requests get one strategy."""
    return _override({"policy": "always", "strategy": strategy})


def mixed(names: Sequence[str], weights: Sequence[float]) -> str:
    """The override by which requests get strategies by chance."""
    return _override({"policy": "random", "weights": dict(zip(names, weights, strict=True))})


def _override(router: Mapping[str, Any]) -> str:
    return f"router={json.dumps(router)}"
