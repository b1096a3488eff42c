"""A router for a gateway: requests, prices and load go in, a strategy for each and the reasons come out.

It is the router of the simulation (`router.learned`, `router.choose`) behind one call; it needs numpy and ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from router.choose import Choices, Estimates, Stakes, choose, estimates_of, explain
from router.errors import RouterError
from router.learned import LearnedRouter
from router.types import Floats, Load, Prices, Rule, Scores

__all__ = ["Decision", "Decisions", "Request", "Router", "StrategyLoad", "StrategyPrice"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a gateway knows of a request before it is answered."""

    prompt_tokens: float
    value_usd: float
    """What a right answer is worth."""
    text: str | None = None
    """The question, for routers that read it."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Columns of numbers that the router was trained on, by name."""
    e2e_slo_s: float = inf
    """Time until the answer that is promised."""
    lateness_usd: float | None = None
    """What an answer after that costs; as much as a right one is worth where left out."""
    prepared: bool = False
    """Whether its context is prepared."""


@dataclass(frozen=True, slots=True)
class StrategyPrice:
    """What a strategy's tokens cost now, in USD."""

    usd_per_prompt_token: float
    usd_per_output_token: float


@dataclass(frozen=True, slots=True)
class StrategyLoad:
    """How busy the servers behind a strategy are now."""

    tpot_s: float
    """Seconds from one output token to the next."""
    wait_s: float = 0.0
    """Seconds until a request that comes now is begun."""
    prompt_s_per_token: float = 0.0
    path_share: float = 1.0
    """Tokens of the longest branch, stages one after another, as a share of all output tokens."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The strategy of one request, with what is expected of it."""

    strategy: str
    p_correct: float
    output_tokens: float
    cost_usd: float
    """Expected, at the prices given and before the budget's multiplier."""
    e2e_s: float
    """Expected time until the answer; NaN where no load was given."""
    p_late: float
    utility_usd: float
    why: str
    """The terms that made it, beside those of the next best strategy."""


class Decisions(Sequence[Decision]):
    """Decisions for n requests, kept as columns; single ones are put together when asked for."""

    def __init__(self, choices: Choices, estimates: Estimates, strategies: tuple[str, ...], mu: float) -> None:
        self.choices, self.estimates = choices, estimates
        self._strategies, self._mu = strategies, mu

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Of each request's strategy, [n]."""
        return self.choices.strategy

    @property
    def strategies(self) -> list[str]:
        """The name of each request's strategy."""
        return [self._strategies[place] for place in self.chosen]

    def __len__(self) -> int:
        return int(self.chosen.size)

    @overload
    def __getitem__(self, place: int) -> Decision: ...
    @overload
    def __getitem__(self, place: slice) -> list[Decision]: ...
    def __getitem__(self, place: int | slice) -> Decision | list[Decision]:
        if isinstance(place, slice):
            return [self._decision(row) for row in range(len(self))[place]]
        return self._decision(range(len(self))[place])

    def __iter__(self) -> Iterator[Decision]:
        return map(self._decision, range(len(self)))

    def _decision(self, row: int) -> Decision:
        chosen = int(self.chosen[row])
        at, terms = (row, chosen), self.choices.terms
        return Decision(
            strategy=self._strategies[chosen],
            p_correct=float(self.estimates.p[at]),
            output_tokens=float(self.estimates.tokens[at]),
            cost_usd=float(terms.cost_usd[at]) / self._mu,
            e2e_s=float(terms.e2e_s[at]),
            p_late=float(terms.p_late[at]),
            utility_usd=float(self.choices.utility_usd[at]),
            why=explain(self.choices, row, list(self._strategies)),
        )


class Router:
    """Chooses a strategy for each request by what its answer is worth, costs and risks to come late."""

    def __init__(self, learned: LearnedRouter) -> None:
        self.learned = learned

    @classmethod
    def load(cls, path: str | Path, provider: Literal["auto", "cpu", "cuda"] = "cpu", threads: int = 1) -> Router:
        """A router from its file; single requests are quickest on the CPU.

        Raises:
            RouterError: for a file that `LearnedRouter.load` refuses.
        """
        return cls(LearnedRouter.load(path, provider, threads))

    @property
    def strategies(self) -> tuple[str, ...]:
        """What it chooses among."""
        return self.learned.strategies

    def prices(self, now: Mapping[str, StrategyPrice]) -> Prices:
        """Prices by strategy, for `choose`. A strategy without a price is never chosen.

        Raises:
            RouterError: for strategies that the router does not know, for prices below zero, and for none.
        """
        self._check_names(now, "a price")
        rows = [now.get(name) or StrategyPrice(np.nan, np.nan) for name in self.strategies]
        return Prices(
            _column("usd_per_prompt_token", [row.usd_per_prompt_token for row in rows], now),
            _column("usd_per_output_token", [row.usd_per_output_token for row in rows], now),
        )

    def load_now(self, now: Mapping[str, StrategyLoad]) -> Load:
        """Load by strategy, for `choose`; every strategy that has a price needs one.

        Raises:
            RouterError: for strategies that the router does not know, for times below zero, and for none.
        """
        self._check_names(now, "a load")
        rows = [now.get(name) or StrategyLoad(np.nan, np.nan, np.nan, np.nan) for name in self.strategies]
        names = ("wait_s", "prompt_s_per_token", "tpot_s", "path_share")
        return Load(*(_column(name, [getattr(row, name) for row in rows], now) for name in names))

    def choose(
        self, requests: Sequence[Request], prices: Prices, load: Load | None = None, *, mu: float = 1.0
    ) -> Decisions:
        """A decision for each request; `prices` and `load` have a column for each of `strategies`.

        Without `load` nobody is expected to be late. `mu` is a budget's multiplier of costs, as of
        `router.pacing.Pacer`.

        Raises:
            RouterError: for requests that lack what the router reads or hold what cannot be, for a strategy with a
                price but without a load, and for a `mu` below 1.
        """
        if not (mu >= 1.0 and isfinite(mu)):
            raise RouterError(f"mu={mu}", "is below 1 or no number", "give the multiplier of a pacer, or 1")
        available = ~np.isnan(prices.usd_per_output_token)
        if load is not None and np.isnan(load.tpot_s[available]).any():
            rule = "has a price but no load"
            lacking = self.strategies[int(np.argmax(available & np.isnan(load.tpot_s)))]
            raise RouterError(lacking, rule, "give the load of every strategy that may be chosen")
        table = _Table.of(requests)
        scores = _as_prepared(self.learned.score(self._features(requests)), table.prepared)
        estimates = estimates_of(scores, 1.0 if load is None else load.path_share)
        stakes = Stakes(table.value_usd, table.lateness_usd, table.e2e_slo_s, mu)
        choices = choose(Rule.UTILITY, estimates, table.prompt_tokens, prices, load, stakes, available=available)
        return Decisions(choices, estimates, self.strategies, mu)

    def _features(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        spec = self.learned.features.spec
        texts = None
        if spec.text:
            texts = [request.text for request in requests if request.text is not None]
            if len(texts) < len(requests):
                raise RouterError("a request", "has no text, which this router reads", "give its text")
        numbers: dict[str, list[Any]] = {}
        for name in spec.numbers:
            numbers[name] = [request.numbers.get(name) for request in requests]
            if None in numbers[name]:
                remedy = f"give all of: {', '.join(spec.numbers)}"
                raise RouterError(name, "is a number that this router reads and a request lacks", remedy)
        return self.learned.features.of(texts, numbers)

    def _check_names(self, now: Mapping[str, Any], what: str) -> None:
        unknown = sorted(set(now) - set(self.strategies))
        if unknown:
            remedy = f"use some of: {', '.join(self.strategies)}"
            raise RouterError(unknown[0], f"has {what} but is no strategy of this router", remedy)
        if not now:
            raise RouterError("no strategy", f"has {what}", f"give some of: {', '.join(self.strategies)}")


@dataclass(frozen=True)
class _Table:
    """Requests as columns, [n] each."""

    prompt_tokens: Floats
    value_usd: Floats
    e2e_slo_s: Floats
    lateness_usd: Floats
    prepared: NDArray[np.bool_]

    @classmethod
    def of(cls, requests: Sequence[Request]) -> _Table:
        """The columns, checked."""
        table = np.array(
            [
                (
                    request.prompt_tokens,
                    request.value_usd,
                    request.e2e_slo_s,
                    request.value_usd if request.lateness_usd is None else request.lateness_usd,
                )
                for request in requests
            ],
            np.float64,
        ).reshape(-1, 4)
        _refuse(table[:, 0], "prompt_tokens", table[:, 0] >= 0.0, "is no number of tokens")
        _refuse(table[:, 1], "value_usd", table[:, 1] >= 0.0, "is no value of an answer")
        _refuse(table[:, 3], "lateness_usd", table[:, 3] >= 0.0, "is no cost of being late")
        good = table[:, 2] > 0.0
        if not good.all():
            raise RouterError(f"e2e_slo_s={table[~good, 2][0]}", "is not above zero", "leave it out where none is")
        prepared = np.array([request.prepared for request in requests], bool)
        return cls(table[:, 0], table[:, 1], table[:, 2], table[:, 3], prepared)


def _refuse(values: Floats, name: str, good: NDArray[np.bool_], rule: str) -> None:
    bad = values[~(good & np.isfinite(values))]
    if bad.size:
        raise RouterError(f"{name}={bad[0]}", rule, "give a number, at least 0")


def _column(name: str, values: list[float], now: Mapping[str, Any]) -> Floats:
    column = np.array(values, np.float64)
    if np.count_nonzero(column >= 0.0) < len(now) or np.isinf(column).any():
        raise RouterError(f"{name}={values}", "holds what is below zero or no number", "give numbers, at least 0")
    return column


def _as_prepared(scores: Scores, prepared: NDArray[np.bool_]) -> Scores:
    """Scores of each request by whether its context is prepared; as without where nothing is known of that."""
    if scores.prepared is None or not prepared.any():
        return scores
    ready, which = scores.prepared, prepared[:, np.newaxis]
    return Scores(
        np.where(which, ready.p_correct, scores.p_correct),
        np.where(which, ready.log_tokens, scores.log_tokens),
        np.where(which, ready.log_tokens_sd, scores.log_tokens_sd),
    )
