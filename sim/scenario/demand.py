"""The demand side of a scenario: streams of requests, their arrivals, lengths and objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, Duration, LengthOfTime, Rate, Share

__all__ = [
    "Arrivals",
    "Closed",
    "ConstantLengths",
    "Daily",
    "Gamma",
    "Lengths",
    "LognormalLengths",
    "Poisson",
    "Priority",
    "QuantileLengths",
    "Slo",
    "Stream",
    "TraceArrivals",
    "TraceFormat",
    "Weekday",
]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Priority = Literal["interactive", "batch", "sleep"]
TraceFormat = Literal["azure", "mooncake", "burstgpt", "nightshift"]
_Sigma = Annotated[Amount, Field(le=5)]


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
    on_bad_row: Literal["refuse", "skip"] = "refuse"
    """What to do with a row that cannot be read: stop with its line number, or leave it out and count it."""

    @model_validator(mode="after")
    def _has_a_source(self) -> TraceArrivals:
        refuse_all(_trace_refusals(self))
        return self


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


Arrivals = Annotated[Poisson | Gamma | Daily | TraceArrivals | Closed, Field(discriminator="kind")]


class ConstantLengths(Part):
    """Every request alike."""

    kind: Literal["constant"] = "constant"
    """The same lengths for all requests."""
    prompt_tokens: Count
    """Prompt tokens of a request."""
    output_tokens: Count
    """Output tokens of a request."""


class LognormalLengths(Part):
    """Lengths whose logarithms are normal; rounded to whole tokens, one at least."""

    kind: Literal["lognormal"] = "lognormal"
    """Lognormal lengths."""
    prompt_median: Rate
    """Median prompt tokens."""
    prompt_sigma: _Sigma
    """Standard deviation of the logarithm of the prompt tokens."""
    output_median: Rate
    """Median output tokens."""
    output_sigma: _Sigma
    """Standard deviation of the logarithm of the output tokens."""
    prompt_max: Count | None = None
    """Longer prompts are cut to this many tokens."""
    output_max: Count | None = None
    """Longer outputs are cut to this many tokens."""


Quantiles = Annotated[list[Annotated[Rate, Field(ge=1)]], Field(min_length=2)]


class QuantileLengths(Part):
    """Lengths drawn from measured quantiles, linear in between; prompt and output are independent."""

    kind: Literal["quantiles"] = "quantiles"
    """Empirical quantiles."""
    prompt_tokens: Quantiles
    """Prompt tokens at evenly spaced probabilities from 0 to 1, smallest first."""
    output_tokens: Quantiles
    """Output tokens at evenly spaced probabilities from 0 to 1, smallest first."""

    @model_validator(mode="after")
    def _ascend(self) -> QuantileLengths:
        refuse_all([*_descents("prompt_tokens", self.prompt_tokens), *_descents("output_tokens", self.output_tokens)])
        return self


Lengths = Annotated[ConstantLengths | LognormalLengths | QuantileLengths, Field(discriminator="kind")]


class Slo(Part):
    """What a request is promised; a request that breaks any of these misses its objective."""

    ttft: LengthOfTime | None = None
    """Longest time to the first token."""
    tpot: LengthOfTime | None = None
    """Longest mean time per output token after the first."""
    e2e: LengthOfTime | None = None
    """Longest time to the last token."""


class Stream(Part):
    """Requests of one sort."""

    name: str = Field(min_length=1)
    """Name of the stream, unique in the scenario; its random draws follow from it."""
    arrivals: Arrivals
    """When requests arrive."""
    lengths: Lengths | None = None
    """How long prompts and outputs are; left out for a trace, which holds its own."""
    slo: Slo = Field(default_factory=Slo)
    """What these requests are promised."""
    priority: Priority = "interactive"
    """Interactive goes before batch, batch before sleep."""
    model: str | None = None
    """Model that must answer; any pool will do without it."""

    @model_validator(mode="after")
    def _lengths_once(self) -> Stream:
        refuse_all(_lengths_refusals(self))
        return self

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
        remedy = "add one of: azure, mooncake, burstgpt, nightshift"
        return [Refusal(("format",), "format", "is missing", remedy)]
    return []


def _descents(key: str, values: list[float]) -> list[Refusal]:
    return [
        Refusal((key, index), value, "is below the value before it", "list the quantiles from smallest to largest")
        for index, value in enumerate(values)
        if index and value < values[index - 1]
    ]


def _lengths_refusals(stream: Stream) -> list[Refusal]:
    replayed = isinstance(stream.arrivals, TraceArrivals)
    if replayed and stream.lengths is not None:
        rule = "cannot be given with a trace, which holds its own lengths"
        return [Refusal(("lengths",), "lengths", rule, "leave it out")]
    if not replayed and stream.lengths is None:
        remedy = "add `lengths` of kind constant, lognormal or quantiles"
        return [Refusal(("lengths",), "lengths", "is missing", remedy)]
    return []
