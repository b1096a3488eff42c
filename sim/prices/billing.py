"""How the time of a server becomes the time on its bill, and how an upfront payment becomes a cost of the run."""

from __future__ import annotations

from math import ceil

from sim.scenario.offers import Billing, Offer, Reserved

__all__ = ["billed_s", "upfront_usd"]

_LAST_DIGITS = 1e-9


def billed_s(billing: Billing, duration_s: float) -> float:
    """Seconds that are billed for one life of a server: in whole units, begun ones in full, and the minimum at least.

    A server that never ran costs nothing. What is over a whole unit by less than a billionth of it is rounding, and no
    unit of its own.

    >>> billed_s(Billing(unit=60.0, minimum=600.0), 61.0), billed_s(Billing(unit=60.0), 61.0)
    (600.0, 120.0)
    """
    if duration_s <= 0.0:
        return 0.0
    units = duration_s / billing.unit
    return max(billing.minimum, max(ceil(units - _LAST_DIGITS * max(units, 1.0)), 1) * billing.unit)


def upfront_usd(offer: Offer, gpus: int, seconds: float) -> float:
    """Share of the upfront payment that falls to a time: it is spread evenly over the term."""
    if not isinstance(offer, Reserved) or offer.term is None:
        return 0.0
    return offer.upfront_usd_per_gpu * gpus * (seconds / offer.term)
