"""The demand side of a scenario: streams of requests, their arrivals, lengths and objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.clients import ClientArrivals
from sim.scenario.contexts import Contexts, Questions
from sim.scenario.lengths import Lengths
from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import (
    Amount,
    Change,
    Count,
    Duration,
    LengthOfTime,
    Rate,
    Share,
    Whole,
    format_duration,
)
from sim.scenario.shape import Growth, SpecialDay, Weekday, Weekly

__all__ = [
    "Arrivals",
    "Client",
    "Closed",
    "Daily",
    "ForecastError",
    "Gamma",
    "Generated",
    "Poisson",
    "Priority",
    "RetryReason",
    "Slo",
    "Stream",
    "TraceArrivals",
    "TraceFormat",
    "Weekday",
]

Priority = Literal["interactive", "batch", "sleep"]
TraceFormat = Literal["azure", "mooncake", "burstgpt", "nightshift", "agentic"]
_FORMATS_WITH_CONTEXTS: tuple[TraceFormat, ...] = ("mooncake", "nightshift", "agentic")
RetryReason = Literal["rejected", "timed_out", "failed"]


class Poisson(Part):
    """Arrivals that know nothing of each other."""

    kind: Literal["poisson"] = "poisson"
    """Independent arrivals at a steady rate."""
    rps: Rate
    """Mean requests per second."""


class Gamma(Part):
    """Arrivals whose gaps follow a gamma distribution: bursty above a variation of 1, regular below."""

    kind: Literal["gamma"] = "gamma"
    """Gamma-distributed gaps at a steady rate."""
    rps: Rate
    """Mean requests per second."""
    cv: Annotated[Rate, Field(le=100)]
    """Coefficient of variation of the gaps; 1 is Poisson."""


class Daily(Part):
    """Arrivals whose rate swings over the local day and differs by weekday."""

    kind: Literal["daily"] = "daily"
    """A sinusoid over the local day."""
    mean_rps: Rate
    """Requests per second, averaged over a day of factor 1."""
    peak_hour: Annotated[Amount, Field(lt=24)] = 14.0
    """Local hour of the highest rate, 0 to 24."""
    amplitude: Share = 0.5
    """Swing as a share of the mean: the rate runs from mean*(1 - amplitude) to mean*(1 + amplitude)."""
    burstiness_cv: Annotated[Rate, Field(le=100)] = 1.0
    """Coefficient of variation of the gaps at a constant rate; 1 is Poisson."""
    weekday_factors: dict[Weekday, Amount] = Field(default={})
    """Factor on the rate by local weekday; 1 where none is given."""


Starts = Annotated[Poisson | Gamma | Daily, Field(discriminator="kind")]
"""Arrivals of sessions."""


class TraceArrivals(Part):
    """Arrivals and lengths replayed from a file."""

    kind: Literal["trace"] = "trace"
    """Replay of a recorded trace."""
    name: str | None = Field(default=None, min_length=1)
    """A public trace by name; `nightshift trace fetch NAME` brings it into the cache."""
    path: Path | None = None
    """A trace file, plain or .gz, relative to the scenario; goes before `name` if both are given."""
    format: TraceFormat | None = None
    """Layout of the file; may be left out where `name` is given."""
    speed: Rate = 1.0
    """How many times faster than recorded; 2 halves every gap."""
    repeat: Count = 1
    """How many times the trace is played, one after the other."""
    starts: Starts | None = None
    """When the sessions of a trace begin whose rows only say how long after the start of their session they come, as in
    `agentic`; its rate counts sessions. All begin at once where left out."""
    on_bad_row: Literal["refuse", "skip"] = "refuse"
    """What to do with a row that cannot be read: stop with its line number, or leave it out and count it."""

    @model_validator(mode="after")
    def _has_a_source(self) -> TraceArrivals:
        refuse_all(_trace_refusals(self))
        return self

    @property
    def may_hold_contexts(self) -> bool:
        """Whether its format has contexts; one that only the trace's name tells may."""
        return self.format in (None, *_FORMATS_WITH_CONTEXTS)


class Closed(Part):
    """A fixed number of clients, each waiting for its answer before it asks again."""

    kind: Literal["closed"] = "closed"
    """Fixed concurrency."""
    concurrency: Count
    """Clients."""
    think_time: Duration = 0.0
    """Pause of a client between an answer and its next request."""
    requests: Count | None = None
    """Requests in all; without it the clients go on until the horizon."""


Generated = Poisson | Gamma | Daily | ClientArrivals
"""Arrivals that follow a rate, which growth, weekly and special days may shape."""

Arrivals = Annotated[Poisson | Gamma | Daily | ClientArrivals | TraceArrivals | Closed, Field(discriminator="kind")]


class Slo(Part):
    """What a request is promised; a request that breaks any of these misses its objective."""

    ttft: LengthOfTime | None = None
    """Longest time to the first token."""
    tpot: LengthOfTime | None = None
    """Longest mean time per output token after the first."""
    e2e: LengthOfTime | None = None
    """Longest time to the last token."""


class Client(Part):
    """What the sender of a request does when the answer is late, refused or lost; all of it is load."""

    timeout: LengthOfTime | None = None
    """Longest wait for the whole answer of one attempt; the client waits for ever where left out."""
    retries: Whole = 0
    """How often a request is sent again after the first attempt."""
    backoff: Duration = 1.0
    """Wait before the first retry."""
    backoff_factor: Annotated[Rate, Field(ge=1, le=1000)] = 2.0
    """Factor on the wait from one retry to the next."""
    backoff_max: Duration = 60.0
    """Longest wait before a retry."""
    jitter: Share = 0.5
    """Share of the wait that is left to chance: the wait is shortened by up to this much."""
    retry_on: list[RetryReason] = Field(default=["rejected", "timed_out", "failed"])
    """After what an attempt is repeated."""
    on_loss: Literal["resend", "fail"] = "resend"
    """When a replica is lost with the request: sent again at once by the service, or failed to the client."""

    @model_validator(mode="after")
    def _retries_make_sense(self) -> Client:
        refuse_all(_client_refusals(self))
        return self


class ForecastError(Part):
    """How far the forecast of requests, which a predictive autoscaler sees, is from the truth.

    forecast = truth * (1 + bias) * exp(e - error^2 / 2), where e is normal with standard deviation `error` and
    its correlation falls as exp(-lag / correlation).
    """

    error: Annotated[Amount, Field(le=3)] = 0.15
    """Standard deviation of the logarithm of the error; 0 is a perfect forecast."""
    correlation: Duration = 3600.0
    """Time in which the correlation of errors falls to 1/e; 0 for errors that know nothing of each other."""
    bias: Change = 0.0
    """Mean error as a share of the truth; 0.1 is 10 % too high."""
    window: LengthOfTime = 300.0
    """Time between new errors, and width of the windows in which a trace's own requests are counted."""


class Stream(Part):
    """Requests of one sort."""

    name: str = Field(min_length=1)
    """Name of the stream, unique in the scenario; its random draws follow from it."""
    arrivals: Arrivals
    """When requests arrive."""
    lengths: Lengths | None = None
    """How long prompts and outputs are; left out for a trace, and for clients that bring their own."""
    contexts: Contexts | None = None
    """What its requests ask about, several of them about the same; each about a thing of its own where left out."""
    questions: Questions | None = None
    """How it is known whether an answer is right; quality is not modelled where left out."""
    strategy: str | None = Field(default=None, min_length=1)
    """Strategy of all its requests, whatever the router says; the router's choice where left out."""
    usd_per_correct: Amount | None = None
    """What a right answer is worth, US dollars; not known where left out."""
    growth: Growth | None = None
    """Growth of the rate over months; not for a trace or closed arrivals."""
    weekly: Weekly = Field(default={})
    """Factor on the rate by local weekday, 1 where none is given, or 168 factors from Monday 00:00 on."""
    special_days: list[SpecialDay] = Field(default=[])
    """Local dates with a factor of their own; where several meet, their factors multiply."""
    client: Client = Field(default_factory=Client)
    """What the sender does when the answer is late, refused or lost."""
    slo: Slo = Field(default_factory=Slo)
    """What these requests are promised."""
    priority: Priority = "interactive"
    """Interactive goes before batch, batch before sleep."""
    model: str | None = None
    """Model that must answer; any pool will do without it."""
    pools: Annotated[list[str], Field(min_length=1)] | None = None
    """Pools that may answer; any with the right model where left out."""

    @model_validator(mode="after")
    def _agrees(self) -> Stream:
        refuse_all([*_lengths_refusals(self), *_shape_refusals(self), *_context_refusals(self)])
        return self

    @property
    def has_contexts(self) -> bool:
        """Whether its requests may share contexts."""
        arrivals = self.arrivals
        return self.contexts is not None or (isinstance(arrivals, TraceArrivals) and arrivals.may_hold_contexts)

    def may_use(self, pool: str, model: str) -> bool:
        """Whether a pool of this name, which serves this model, may answer."""
        return self.model in (None, model) and (self.pools is None or pool in self.pools)

    @property
    def finite(self) -> bool:
        """Whether the stream ends by itself, without a horizon."""
        arrivals = self.arrivals
        return isinstance(arrivals, TraceArrivals) or (isinstance(arrivals, Closed) and arrivals.requests is not None)


def _trace_refusals(trace: TraceArrivals) -> list[Refusal]:
    if trace.path is None and trace.name is None:
        remedy = "add `path: FILE` with its `format`, or the `name` of a public trace"
        return [Refusal(("path",), "path", "is missing", remedy)]
    if trace.name is None and trace.format is None:
        remedy = "add one of: azure, mooncake, burstgpt, nightshift, agentic"
        return [Refusal(("format",), "format", "is missing", remedy)]
    if trace.starts is not None and trace.format not in (None, "agentic"):
        rule = f"cannot be given with a trace of format {trace.format}, whose rows say when they come"
        return [Refusal(("starts",), "starts", rule, "leave it out")]
    return []


def _client_refusals(client: Client) -> list[Refusal]:
    found = []
    if client.retries and not client.retry_on:
        remedy = "name some of rejected, timed_out, failed, or leave `retries` out"
        found.append(Refusal(("retry_on",), "retry_on", "is empty, so nothing is ever retried", remedy))
    if client.backoff_max < client.backoff:
        rule = f"must be at least backoff ({format_duration(client.backoff)})"
        found.append(Refusal(("backoff_max",), format_duration(client.backoff_max), rule, "raise it, or lower backoff"))
    return found


def _lengths_refusals(stream: Stream) -> list[Refusal]:
    arrivals = stream.arrivals
    replayed = isinstance(arrivals, TraceArrivals)
    if replayed and stream.lengths is not None:
        rule = "cannot be given with a trace, which holds its own lengths"
        return [Refusal(("lengths",), "lengths", rule, "leave it out")]
    brought = replayed or (isinstance(arrivals, ClientArrivals) and arrivals.brings_lengths)
    if not brought and stream.lengths is None:
        tables = ", or the clients' own `tokens`" if isinstance(arrivals, ClientArrivals) else ""
        remedy = f"add `lengths` of kind constant, lognormal or quantiles{tables}"
        return [Refusal(("lengths",), "lengths", "is missing", remedy)]
    return []


def _shape_refusals(stream: Stream) -> list[Refusal]:
    if isinstance(stream.arrivals, Generated):
        return []
    given = [key for key in ("growth", "weekly", "special_days") if getattr(stream, key)]
    rule = f"cannot be given with {stream.arrivals.kind} arrivals, which follow no rate"
    return [Refusal((key,), key, rule, "leave it out, or use poisson, gamma, daily or clients") for key in given]


def _context_refusals(stream: Stream) -> list[Refusal]:
    contexts, arrivals = stream.contexts, stream.arrivals
    if contexts is None:
        return []
    given = [key for key in ("queries", "think_time", "tokens") if getattr(contexts, key) is not None]
    if isinstance(arrivals, Generated):
        absent = [key for key in ("queries", "think_time", "tokens") if key not in given]
        return [Refusal(("contexts", key), key, "is missing", _CONTEXT_REMEDIES[key]) for key in absent]
    if not (isinstance(arrivals, TraceArrivals) and arrivals.may_hold_contexts):
        return [Refusal(("contexts",), "contexts", *_no_contexts(arrivals))]
    given += ["conversation"] if contexts.conversation else []
    rule = "cannot be given with a trace, which holds its own"
    return [Refusal(("contexts", key), key, rule, "leave it out") for key in given]


_CONTEXT_REMEDIES = {
    "queries": "add the questions of a context, such as 4 or {kind: geometric, mean: 4}",
    "think_time": "add the time between its questions, such as 2m or {kind: lognormal, median: 2m, sigma: 1}",
    "tokens": "add the tokens of a context, such as 6000 or {kind: lognormal, median: 6000, sigma: 1}",
}


def _no_contexts(arrivals: TraceArrivals | Closed) -> tuple[str, str]:
    if isinstance(arrivals, Closed):
        return "cannot be given with closed arrivals", "leave it out, or use poisson, gamma, daily or clients"
    remedy = f"leave it out, or use one of {', '.join(_FORMATS_WITH_CONTEXTS)}"
    return f"cannot be given with a trace of format {arrivals.format}, which has none", remedy
