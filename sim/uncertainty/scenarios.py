"""The scenario as it may be instead: other rates of arrivals, other prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.prices import token_tariff
from sim.prices.gpus import hourly_price
from sim.prices.shipped import shipped_gpu
from sim.scenario import (
    ApiPool,
    Closed,
    Daily,
    Gamma,
    GpuPool,
    GpuSeries,
    GpuWindows,
    Poisson,
    Scenario,
    Spot,
    SpotProcess,
    Stream,
    TraceArrivals,
)

__all__ = ["has_moving_price", "with_loads", "with_prices"]


def with_loads(scenario: Scenario, factors: Mapping[str, float]) -> Scenario:
    """The scenario with the rates of streams multiplied, by name; a trace is played so much faster."""
    streams = [_busier(stream, factors.get(stream.name, 1.0)) for stream in scenario.workload]
    return scenario.model_copy(update={"workload": streams})


def _busier(stream: Stream, factor: float) -> Stream:
    return stream.model_copy(update={"arrivals": _faster(stream.arrivals, factor)})


def _faster(arrivals: Any, factor: float) -> Any:
    if isinstance(arrivals, Closed) or factor == 1.0:
        return arrivals
    if isinstance(arrivals, TraceArrivals):
        if arrivals.starts is not None:
            return arrivals.model_copy(update={"starts": _faster(arrivals.starts, factor)})
        return arrivals.model_copy(update={"speed": arrivals.speed * factor})
    rate = "mean_rps" if isinstance(arrivals, Daily) else "rps" if isinstance(arrivals, Poisson | Gamma) else "scale"
    return arrivals.model_copy(update={rate: getattr(arrivals, rate) * factor})


def has_moving_price(pool: GpuPool | ApiPool) -> bool:
    """Whether a pool is paid at prices that its seller may change: tokens of APIs, and spot GPUs.

    Prices recorded in a file are what they were.
    """
    if isinstance(pool, ApiPool):
        return True
    tariff = pool.offer.tariff
    return isinstance(pool.offer, Spot) and not (isinstance(tariff, GpuSeries) and tariff.usd_per_gpu_hour is None)


def with_prices(scenario: Scenario, factors: Mapping[str, float]) -> Scenario:
    """The scenario with the moving prices of pools multiplied, by name.

    Raises:
        InputError: for a price that is not known.
    """
    pools = [_dearer(pool, factors[pool.name]) if pool.name in factors else pool for pool in scenario.fleet]
    return scenario.model_copy(update={"fleet": pools})


def _dearer(pool: GpuPool | ApiPool, factor: float) -> GpuPool | ApiPool:
    if isinstance(pool, ApiPool):
        tariff = token_tariff(pool.tariff)
        dearer = tariff.model_copy(update={"multiplier": (tariff.multiplier or 1.0) * factor})
        return pool.model_copy(update={"tariff": dearer})
    return pool.model_copy(update={"offer": pool.offer.model_copy(update=_spot_price(pool, factor))})


def _spot_price(pool: GpuPool, factor: float) -> dict[str, Any]:
    """What changes in a spot offer; floor and cap of a random price stay, as they are set by others."""
    tariff = pool.offer.tariff
    if tariff is None:
        price = hourly_price(pool.offer, pool.gpu) * factor
        return {"usd_per_gpu_hour": price, "cloud": None, "region": None}
    process = shipped_gpu(tariff, pool.gpu) if isinstance(tariff, str) else tariff
    if isinstance(process, SpotProcess):
        dearer: Any = {"mean_usd_per_gpu_hour": process.mean_usd_per_gpu_hour * factor}
    elif isinstance(process, GpuSeries):
        dearer = {"usd_per_gpu_hour": [price * factor for price in process.usd_per_gpu_hour or ()]}
    else:
        dearer = _windows(process, factor)
    return {"tariff": process.model_copy(update=dearer)}


def _windows(tariff: GpuWindows, factor: float) -> dict[str, Any]:
    windows = [
        window
        if window.usd_per_gpu_hour is None
        else window.model_copy(update={"usd_per_gpu_hour": window.usd_per_gpu_hour * factor})
        for window in tariff.windows
    ]
    return {"usd_per_gpu_hour": tariff.usd_per_gpu_hour * factor, "windows": windows}
