"""Arrivals by client: a table of each client's rate and burstiness over time, or clients by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.lengths import Lengths
from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Count, Duration, LengthOfTime, Rate

__all__ = ["ClientArrivals", "InlineClient"]

MOST_CV = 2_000.0
"""Highest coefficient of variation of a client's gaps."""


class InlineClient(Part):
    """A client of steady rate."""

    name: str = Field(min_length=1)
    """Name of the client, unique in its stream; its random draws follow from it."""
    rps: Rate
    """Mean requests per second."""
    cv: Annotated[Rate, Field(le=MOST_CV)] = 1.0
    """Coefficient of variation of the gaps; 1 is Poisson."""
    distribution: Literal["gamma", "weibull"] = "gamma"
    """Law of the gaps."""
    lengths: Lengths | None = None
    """Lengths of its requests; those of the stream where left out."""


class ClientArrivals(Part):
    """Requests of many clients, each with a rate, a burstiness and lengths of its own that change over time."""

    kind: Literal["clients"] = "clients"
    """Clients from a table, or by hand."""
    path: Path | None = None
    """Rates, CSV, plain or .gz: client,t_s,rate_rps,cv_interarrival,dist; a window without a row has no requests."""
    tokens: Path | None = None
    """Lengths, CSV, plain or .gz: client,window_start_s and mean, p50, p90, p99 of in_ and out_ tokens."""
    window: LengthOfTime = 600.0
    """How long a row of the rates holds."""
    busiest: Count | None = None
    """Only so many clients of the table, those with most requests."""
    scale: Rate = 1.0
    """Factor on all rates."""
    begin: Duration = 0.0
    """Time in the table at which the run starts; its hour 0 need not be midnight anywhere."""
    repeat: bool = True
    """Whether the table starts again at its end; without it no requests come after it."""
    clients: Annotated[list[InlineClient], Field(min_length=1)] | None = None
    """Clients by hand, in place of a table."""

    @model_validator(mode="after")
    def _one_source(self) -> ClientArrivals:
        refuse_all([*_source_refusals(self), *_name_refusals(self.clients or [])])
        return self

    @property
    def brings_lengths(self) -> bool:
        """Whether every request has its lengths without those of the stream."""
        if self.clients is None:
            return self.tokens is not None
        return all(client.lengths is not None for client in self.clients)


def _source_refusals(arrivals: ClientArrivals) -> list[Refusal]:
    if arrivals.path is None and arrivals.clients is None:
        remedy = "add `path: RATES.csv`, or a list of `clients` with name and rps"
        return [Refusal(("path",), "path", "is missing", remedy)]
    if arrivals.clients is None:
        return []
    given = [key for key in ("path", "tokens", "busiest") if getattr(arrivals, key) is not None]
    rule = "cannot be given with `clients`, which stand for themselves"
    return [Refusal((key,), key, rule, "leave one of them out") for key in given]


def _name_refusals(clients: list[InlineClient]) -> list[Refusal]:
    names = [client.name for client in clients]
    return [
        Refusal(("clients", index, "name"), name, "is given twice", "give each its own name")
        for index, name in enumerate(names)
        if name in names[:index]
    ]
