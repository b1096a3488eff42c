"""Prices over a run: tariffs of tokens, GPUs and electricity become periods of one price each."""

from __future__ import annotations

from sim.prices.billing import billed_s, upfront_usd
from sim.prices.calendar import Month
from sim.prices.carbon import carbon_intensity
from sim.prices.clock import Period, PriceClock, TokenClock
from sim.prices.electricity import billing_months, demand_charges, electricity_prices, usd_per_day
from sim.prices.gpus import gpu_prices
from sim.prices.shipped import Tier, shipped_names, tier
from sim.prices.spot import availability_runs
from sim.prices.tokens import token_prices, token_tariff

__all__ = [
    "Month",
    "Period",
    "PriceClock",
    "Tier",
    "TokenClock",
    "availability_runs",
    "billed_s",
    "billing_months",
    "carbon_intensity",
    "demand_charges",
    "electricity_prices",
    "gpu_prices",
    "shipped_names",
    "tier",
    "token_prices",
    "token_tariff",
    "upfront_usd",
    "usd_per_day",
]
