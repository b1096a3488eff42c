"""API pools: somebody else's servers, paid by the token."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.operation import Admission
from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, LengthOfTime, Rate, Share, Whole, format_duration
from sim.scenario.tariffs import TokenTariff

__all__ = ["ApiBatch", "ApiLatency", "ApiPool", "RateLimit"]

_Z90 = 1.2815515655446004
"""The 90 % quantile of the standard normal distribution."""
_Sigma = Annotated[Amount, Field(le=5)]


class ApiLatency(Part):
    """How fast answers stream in, log-normal by request. The defaults are assumed: measure those of your own."""

    ttft_median: LengthOfTime = 0.6
    """Median time to first token; 600ms is assumed, as is usual of hosted models of middle size."""
    ttft_sigma: _Sigma = 0.5
    """Standard deviation of its logarithm; assumed: one request in ten takes 1.9 times the median."""
    tokens_per_s_median: Rate = 60.0
    """Median speed after the first token, tokens per second of one request; 60 is assumed."""
    tokens_per_s_sigma: _Sigma = 0.3
    """Standard deviation of its logarithm; assumed: one request in ten streams at less than 0.68 of the median."""


class ApiBatch(Part):
    """Answers that come whole and late, at a lower price. The default is the published experience of one batch API."""

    median: LengthOfTime = 420.0
    """Time within which half of the answers are there."""
    p90: LengthOfTime = 3600.0
    """Time within which nine in ten are; log-normal between and beyond."""
    window: LengthOfTime = 86_400.0
    """Completion window: what is not answered within it expires, unbilled."""

    @model_validator(mode="after")
    def _times_ascend(self) -> ApiBatch:
        refuse_all(list(_batch_refusals(self)))
        return self

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm of the time to the answer: ln(p90 / median) / z90."""
        return log(self.p90 / self.median) / _Z90


class RateLimit(Part):
    """Requests and tokens the API takes per minute, refilled steadily, with bursts up to a bucket's size."""

    requests_per_minute: Rate | None = None
    """Requests per minute; no limit where left out."""
    tokens_per_minute: Rate | None = None
    """Tokens per minute, prompt and output together; no limit where left out."""
    burst: LengthOfTime = 60.0
    """Size of the bucket: the limit's allowance for this long may come at once."""
    when_full: Literal["refuse", "wait"] = "refuse"
    """Whether a request beyond the limit goes elsewhere or is refused, or waits until there is room."""

    @model_validator(mode="after")
    def _limits_something(self) -> RateLimit:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            remedy = "give requests_per_minute or tokens_per_minute, or leave out `rate_limit`"
            refuse_all([Refusal((), "rate_limit", "limits nothing", remedy)])
        return self


class ApiPool(Part):
    """An endpoint that answers any number of requests at once, up to its limits."""

    name: str = Field(min_length=1)
    """Name of the pool, unique in the scenario."""
    kind: Literal["api"] = "api"
    """An API paid by the token."""
    model: str = Field(min_length=1)
    """Model it serves: the name by which streams ask for it."""
    tariff: TokenTariff
    """Price of its tokens: the name of a shipped tariff, or one written out."""
    latency: ApiLatency = Field(default_factory=ApiLatency)
    """How fast answers stream in; unused with `batch`."""
    batch: ApiBatch | None = None
    """A batch tier: answers come whole; interactive where left out."""
    rate_limit: RateLimit | None = None
    """Requests and tokens per minute; no limit where left out."""
    cached_share: Share = 0.0
    """Share of each prompt that is billed as cached input."""
    max_model_len: Count | None = None
    """Most tokens of prompt and output together, longer requests are rejected; no limit where left out."""
    max_usd_per_1m_output: Amount | None = None
    """The pool takes no requests while a million output tokens cost more than this."""
    tier: Whole = 1
    """Pools of a lower tier are tried first."""
    admission: Admission = Field(default_factory=Admission)
    """How many requests it lets in at once."""


def _batch_refusals(batch: ApiBatch) -> Iterator[Refusal]:
    pairs = (("median", batch.median, "p90", batch.p90), ("p90", batch.p90, "window", batch.window))
    for name, value, limit, limit_s in pairs:
        if value > limit_s:
            rule = f"must be at most {limit} ({format_duration(limit_s)})"
            yield Refusal((name,), format_duration(value), rule, f"shorten it, or lengthen {limit}")
