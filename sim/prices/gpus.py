"""What a GPU costs by the hour, whichever way its offer says so."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from sim.errors import InputError
from sim.prices.clock import HOURLY, PriceClock, constant
from sim.prices.run import run_of, while_valid
from sim.prices.series import series_periods
from sim.prices.shipped import commitment, gpu_price, shipped_gpu
from sim.prices.spot import SPOT, spot_periods
from sim.prices.windows import names, windowed
from sim.scenario.offers import Offer, Reserved, Spot
from sim.scenario.tariffs import GpuSeries, GpuWindow, GpuWindows, SpotProcess

__all__ = ["gpu_prices", "hourly_price"]

_LABELS = ("usd_per_gpu_hour",)


def gpu_prices(
    offer: Offer,
    gpu: str,
    start: datetime,
    zone: ZoneInfo,
    random: np.random.Generator | None,
    *,
    horizon_s: float | None = None,
) -> PriceClock:
    """US dollars a GPU-hour from a local start on; `gpu` is the catalogue's name.

    Without `random` a random price stands at its mean.

    Raises:
        InputError: for a price that is not known, an unknown tariff, or a run it is not valid for.
    """
    if offer.tariff is None:
        return constant((hourly_price(offer, gpu),), _LABELS)
    tariff = shipped_gpu(offer.tariff, gpu) if isinstance(offer.tariff, str) else offer.tariff
    return _clock(tariff, start, zone, random, horizon_s)


def hourly_price(offer: Offer, gpu: str) -> float:
    """US dollars a GPU-hour of an offer without a tariff: as given, or as known of its cloud and region.

    Raises:
        InputError: where none is known.
    """
    if offer.usd_per_gpu_hour is not None:
        return offer.usd_per_gpu_hour
    assert offer.cloud is not None
    assert offer.region is not None
    where = f"{offer.cloud} {offer.region}"
    price = gpu_price(offer.cloud, offer.region, gpu)
    if isinstance(offer, Spot):
        remedy = "take another region, or give `usd_per_gpu_hour`: spot as dear as on-demand means that there was none"
        return _known(price.spot_usd_per_gpu_hour, where, f"has no spot price of {gpu}", remedy)
    remedy = "take another region, or give `usd_per_gpu_hour`"
    on_demand = _known(price.on_demand_usd_per_gpu_hour, where, f"has no on-demand price of {gpu}", remedy)
    return _committed(offer, gpu, on_demand) if isinstance(offer, Reserved) else on_demand


def _committed(offer: Reserved, gpu: str, on_demand: float) -> float:
    if offer.commitment is None:
        return on_demand * (1.0 - (offer.discount or 0.0))
    price, discount = commitment(offer.commitment, offer.cloud or "", gpu)
    return on_demand * (1.0 - (discount or 0.0)) if price is None else price


def _known(price: float | None, where: str, rule: str, remedy: str) -> float:
    if price is None:
        raise InputError(where, rule, remedy)
    return price


def _clock(
    tariff: GpuWindows | GpuSeries | SpotProcess,
    start: datetime,
    zone: ZoneInfo,
    random: np.random.Generator | None,
    horizon_s: float | None,
) -> PriceClock:
    run = run_of(tariff, start, zone, horizon_s)
    if isinstance(tariff, SpotProcess):
        return PriceClock((SPOT,), _LABELS, while_valid(spot_periods(tariff, random), tariff, run))
    if isinstance(tariff, GpuSeries):
        columns = {"usd_per_gpu_hour": 1.0}
        return PriceClock((HOURLY,), _LABELS, series_periods(tariff, columns, HOURLY, run))
    base = tariff.usd_per_gpu_hour
    windows = [*tariff.windows, GpuWindow(name=tariff.base_name)]
    priced = [
        (window.label, (base if window.usd_per_gpu_hour is None else window.usd_per_gpu_hour,)) for window in windows
    ]
    return PriceClock(names(priced), _LABELS, windowed(tariff, tariff.windows, priced, run))
