"""How a pool is run: what it lets in, how it fails, what power it draws."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, LengthOfTime, Whole

__all__ = ["Admission", "Failures", "Power"]


class Admission(Part):
    """How many requests a replica lets in, waiting and running together."""

    max_outstanding: Count | None = None
    """Requests at which a replica is full and takes no more; no limit where left out."""
    spill_at: Whole | None = None
    """Requests from which on other pools are tried first, by tier: with 0 the pool takes what no other will;
    `max_outstanding` where left out."""

    @model_validator(mode="after")
    def _spills_before_full(self) -> Admission:
        full, spill = self.max_outstanding, self.spill_at
        if full is not None and spill is not None and spill > full:
            rule = f"must be at most max_outstanding ({full})"
            refuse_all([Refusal(("spill_at",), spill, rule, "lower it, or raise max_outstanding")])
        return self


class Failures(Part):
    """Servers that break down by chance, from their launch on, and are repaired."""

    mtbf: LengthOfTime
    """Mean time between failures of one server; exponentially distributed."""
    repair: LengthOfTime
    """Mean time to repair; exponentially distributed, and the start-up comes after it."""


class Power(Part):
    """Electric power of one GPU, with its share of the server around it."""

    busy_w: Amount | None = None
    """Watts while it works; a share of the catalogue's TDP where left out."""
    idle_w: Amount | None = None
    """Watts while it is switched on and does not; a share of the catalogue's TDP where left out."""
    pue: Annotated[Amount, Field(ge=1, le=10)] = 1.0
    """Power usage effectiveness: watts the site draws for each watt of its servers."""

    @model_validator(mode="after")
    def _works_hardest_when_busy(self) -> Power:
        if self.busy_w is not None and self.idle_w is not None and self.idle_w > self.busy_w:
            rule = f"must be at most busy_w ({self.busy_w:g})"
            refuse_all([Refusal(("idle_w",), f"{self.idle_w:g}", rule, "lower it, or raise busy_w")])
        return self
