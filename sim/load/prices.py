"""What tariffs and offers name and the run asks of them, checked while the file and its lines are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path as FilePath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from sim.errors import InputError
from sim.hardware import load_catalogue
from sim.load.tree import Path, Tree
from sim.prices import carbon_intensity, demand_charges, electricity_prices, gpu_prices, tier, token_prices
from sim.prices.gpus import hourly_price
from sim.prices.shipped import (
    commitment,
    gpu_price,
    shipped_carbon,
    shipped_electricity,
    shipped_gpu,
    shipped_tokens,
    spot_runs,
)
from sim.scenario import Carbon, Electricity, Offer, Scenario, TokenTariff
from sim.scenario.local_time import LocalTime, TimeZone
from sim.scenario.part import Part
from sim.scenario.quantities import LengthOfTime

__all__ = ["PRICE_FILES", "check_prices"]

PRICE_FILES = (("fleet", "offer", "tariff", "path"), ("fleet", "electricity", "path"), ("fleet", "carbon", "path"))
"""Where a pool may name a file of prices."""

_NAMES: tuple[tuple[tuple[str, ...], Callable[[str], object]], ...] = (
    (("tariff",), shipped_tokens),
    (("tariff", "name"), shipped_tokens),
    (("tariff", "tier"), tier),
    (("offer", "tariff"), shipped_gpu),
    (("offer", "availability", "zone"), spot_runs),
    (("electricity",), shipped_electricity),
    (("carbon",), shipped_carbon),
)
"""Where a pool may name something shipped, and what looks it up."""


class _Run(Part):
    """When a scenario is played."""

    start: LocalTime
    """Local start."""
    time_zone: TimeZone
    """Zone it is local to."""
    horizon: LengthOfTime | None
    """Length, where known."""


class _When(NamedTuple):
    start: datetime
    zone: ZoneInfo
    horizon_s: float | None


def check_prices(tree: Tree) -> None:
    """Note as faults: names of prices that are not shipped, files that hold none, tariffs not valid in the run.

    What is itself faulty is passed over: the schema tells of it.
    """
    fleet, when = tree.get(("fleet",)), _when(tree)
    for index in range(len(fleet)) if isinstance(fleet, list) else ():
        pool = ("fleet", index)
        for keys, look_up in _NAMES:
            _check_name(tree, (*pool, *keys), look_up)
        for path, ask in _questions(tree, pool, when):
            _note(tree, path, ask)


def _when(tree: Tree) -> _When | None:
    given = {key: tree.data.get(key, Scenario.model_fields[key].default) for key in _Run.model_fields}
    try:
        run = _Run.model_validate(given)
    except ValidationError:
        return None
    return _When(run.start, ZoneInfo(run.time_zone), run.horizon)


def _check_name(tree: Tree, path: Path, look_up: Callable[[str], object]) -> None:
    name = tree.get(path)
    if isinstance(name, str) and name:
        _note(tree, path, lambda: look_up(name))


def _questions(tree: Tree, pool: Path, when: _When | None) -> Iterator[tuple[Path, Callable[[], object]]]:
    """What is asked of the prices of a pool, each at its path; an InputError is the answer that tells a fault."""
    gpu, offer = tree.get((*pool, "gpu")), (*pool, "offer")
    if isinstance(gpu, str) and gpu in load_catalogue().gpus:
        yield from ((offer, question) for question in _place_questions(tree, offer, gpu))
        bought = _read(tree, offer, "offer")
        if bought is not None and bought.tariff is None:
            yield offer, lambda: hourly_price(bought, gpu)
        elif bought is not None and when is not None:
            yield (*offer, "tariff"), lambda: gpu_prices(bought, gpu, *when[:2], None, horizon_s=when.horizon_s)
    for key, functions in _CLOCKS.items():
        tariff = _read(tree, (*pool, key), key)
        if tariff is not None and when is not None:
            yield from (((*pool, key), _priced(function, tariff, when)) for function in functions)


def _place_questions(tree: Tree, offer: Path, gpu: str) -> Iterator[Callable[[], object]]:
    """Those about a cloud, its region and a commitment, as far as they are texts, whatever else the offer holds."""
    cloud, region, name = (tree.get((*offer, key)) for key in ("cloud", "region", "commitment"))
    if isinstance(cloud, str) and cloud:
        if isinstance(region, str) and region:
            yield lambda: gpu_price(cloud, region, gpu)
        if isinstance(name, str) and name:
            yield lambda: commitment(name, cloud, gpu)


_CLOCKS: dict[str, tuple[Callable[..., object], ...]] = {
    "tariff": (token_prices,),
    "electricity": (electricity_prices, demand_charges),
    "carbon": (carbon_intensity,),
}
"""Keys of a pool under which a tariff may stand, and what makes prices of it."""


def _priced(function: Callable[..., object], tariff: Any, when: _When) -> Callable[[], object]:
    return lambda: function(tariff, when.start, when.zone, horizon_s=when.horizon_s)


def _read(tree: Tree, path: Path, kind: str) -> Any:
    """The part at `path`; None where there is none, or a faulty one."""
    value = tree.get(path)
    try:
        return None if value is None else _adapters()[kind].validate_python(value)
    except ValidationError:
        return None


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    return {
        "offer": TypeAdapter(Offer),
        "tariff": TypeAdapter(TokenTariff),
        "electricity": TypeAdapter(Electricity),
        "carbon": TypeAdapter(Carbon),
    }


def _note(tree: Tree, path: Path, ask: Callable[[], object]) -> None:
    """Note what is told in answer, but for a file that is not there, which is noted already."""
    try:
        ask()
    except InputError as error:
        if isinstance(error.value, FilePath) and not error.value.is_file():
            return
        rule = f"in {error.where} {error.rule}" if error.where else error.rule
        tree.fault(_place(tree, path, error.value), error.value, rule, error.remedy)


def _place(tree: Tree, path: Path, value: object) -> Path:
    """Where below `path` the value stands; the file of prices, or `path` itself, where it is not written there."""
    node = tree.get(path)
    if not isinstance(node, dict):
        return path
    key = next((key for key, written in node.items() if written == str(value)), None)
    if key is None and "path" in node:
        key = "path"
    return path if key is None else (*path, key)
