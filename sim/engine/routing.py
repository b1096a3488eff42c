"""Choosing strategies as requests arrive, seen from Python: its arrays, how it is steered, what it has done so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.engine import state as st
from sim.engine.specs import ApiSpec, Corpus, Options, PoolSpec, RouteSpec, StrategySpec, StreamSpec
from sim.errors import EngineError

__all__ = ["Routing", "client_options", "corpus_columns", "routing_arrays", "rows_of"]

_ESTIMATES = ("p", "tokens", "path_tokens", "sd")
_REAL = ("output_tokens", "p_sample", "p_correct", "escalates")
_WHOLE = ("output_tokens", "escalates")


def routing_arrays(
    pools: Sequence[PoolSpec | ApiSpec],
    streams: Sequence[StreamSpec],
    strategies: Sequence[StrategySpec],
    targets: Sequence[Sequence[Sequence[Sequence[int]]]],
    routes: Sequence[RouteSpec],
) -> dict[str, Any]:
    """The state's arrays about choosing, without options yet; streams beyond those of `routes` get the usual one.

    Raises:
        EngineError: where a route names a strategy that is not there.
    """
    ways = st.records(st.WAY, len(strategies))
    for way, strategy in zip(ways, strategies, strict=True):
        _fill_way(way, strategy)
    every = [*routes, *[RouteSpec()] * (len(streams) - len(routes))]
    allowed = np.array([_allowed(route, by_strategy) for route, by_strategy in zip(every, targets, strict=True)])
    records = st.records(st.ROUTE, len(streams))
    for record, route, stream, mine in zip(records, every, streams, allowed, strict=True):
        if not 0 <= min(route.cheap, route.strong) <= max(route.cheap, route.strong) < len(strategies):
            raise EngineError(f"routes: strategies {route.cheap} and {route.strong} of {len(strategies)}")
        _fill_route(record, route, stream, mine)
    mean_usd_per_s = [pool.usd_per_replica_hour / 3600.0 if isinstance(pool, PoolSpec) else 0.0 for pool in pools]
    rates = [pool.rates_usd_per_token[0] if isinstance(pool, ApiSpec) else np.zeros(3) for pool in pools]
    return {
        "routes": records,
        "allowed": allowed,
        "like": np.array([_like(mine, by_strategy) for mine, by_strategy in zip(allowed, targets, strict=True)]),
        "ways": ways,
        "choices": st.records(st.CHOICE, len(strategies)),
        "chosen": np.zeros((len(streams), len(strategies)), st.CHOSEN).view(np.recarray),
        "seen": np.zeros((len(streams), 2, len(strategies)), st.SEEN).view(np.recarray),
        "mean_usd_per_s": np.array(mean_usd_per_s, np.float64),
        "mean_rates_usd": np.array(rates, np.float64),
        "option_row": np.zeros(0, np.int64),
        **{f"option_{name}": np.zeros((0, 1, 1)) for name in _ESTIMATES},
        **{f"option_{name}": np.zeros((0, 1, 1, 1), _kind(name)) for name in _REAL},
        **{f"closed_option_{name}": np.zeros((0, 0, 1)) for name in _ESTIMATES},
        **{f"closed_option_{name}": np.zeros((0, 0, 1, 1), _kind(name)) for name in _REAL},
    }


def _kind(name: str) -> type:
    return np.int64 if name in _WHOLE else np.float64


def _fill_way(way: st.Records, strategy: StrategySpec) -> None:
    """In its first step a replica reads the prompt once a group, unless it goes on from what it holds already."""
    first_step = [stage for stage in strategy.stages if stage.step == 0]
    way.branches = strategy.stages[0].branches
    way.prompts = sum(stage.groups for stage in first_step if not stage.extends or stage.apart)
    way.calls = sum(stage.branches for stage in first_step)


def _fill_route(record: st.Records, route: RouteSpec, stream: StreamSpec, allowed: st.Integers) -> None:
    for name in ("rule", "mu", "value_usd", "price", "load", "cheap", "strong", "threshold", "feedback", "latency_s"):
        record[name] = getattr(route, name)
    record.lateness_usd = route.value_usd if route.lateness_usd is None else route.lateness_usd
    record.e2e_slo_s = stream.e2e_slo_s if route.e2e_slo_s is None else route.e2e_slo_s
    mine = np.flatnonzero(allowed)
    # Where it may get none, nobody takes its requests, whatever they get.
    record.only = st.NONE if mine.size > 1 else mine[0] if mine.size else 0


def _allowed(route: RouteSpec, targets: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    wanted = range(len(targets)) if route.strategies is None else route.strategies
    return [int(a in wanted and all(len(pools) > 0 for pools in stages)) for a, stages in enumerate(targets)]


def _like(allowed: st.Integers, targets: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    """Of each strategy the first allowed one whose first stage goes to the same pools."""
    first = [list(stages[0]) for stages in targets]
    mine = [a for a in range(len(first)) if allowed[a]]
    return [next((b for b in mine if first[b] == first[a]), a) for a in range(len(first))]


def corpus_columns(corpus: Corpus, strategies: int, steps: int) -> dict[str, Any]:
    """The state's columns of a corpus, as the compiled code knows them: copied only where it has another layout.

    Raises:
        EngineError: where shapes do not go together.
    """
    variants = corpus.p.shape[1]
    estimates, real = (len(corpus.p), variants, strategies), (len(corpus.p), strategies, variants, steps)
    shapes = {name: estimates for name in _ESTIMATES} | {name: real for name in _REAL}
    for name, shape in shapes.items():
        if getattr(corpus, name).shape != shape or variants not in (1, 2):
            raise EngineError(f"options: {name} has shape {getattr(corpus, name).shape}, {shape} was to come")
    return {f"option_{name}": np.require(getattr(corpus, name), _kind(name), ("C", "W")) for name in shapes}


def rows_of(options: Options, requests: int) -> st.Integers:
    """The rows of a block's requests in their corpus.

    Raises:
        EngineError: where they are not as many as the requests, or not all in the corpus.
    """
    row: st.Integers = np.require(options.row, np.int64, ("C", "W"))
    if row.shape != (requests,) or row.min(initial=0) < st.NONE or row.max(initial=-1) >= len(options.corpus.p):
        raise EngineError(f"options: {row.shape} rows up to {row.max(initial=-1)} of {len(options.corpus.p)}")
    return row


def client_options(state: st.State, c: int, options: Options, clients: int, draws: int) -> dict[str, Any]:
    """Have closed stream c's next requests choose among options; returns the columns that had to be made for it.

    Its requests have no contexts, so of two variants only the first counts.
    """
    steps, strategies = state.slot_tokens.shape[1], state.choices.size
    columns = corpus_columns(options.corpus, strategies, steps)
    row = rows_of(options, draws)
    made: dict[str, Any] = {}
    if state.closed_option_p.shape[1] == 0:
        made = {f"closed_option_{name}": np.zeros((clients, draws, strategies)) for name in _ESTIMATES}
        shape = (clients, draws, strategies, steps)
        made |= {f"closed_option_{name}": np.zeros(shape, _kind(name)) for name in _REAL}
    held = state._asdict() | made
    for name in _ESTIMATES:
        held[f"closed_option_{name}"][c] = columns[f"option_{name}"][row, 0]
    for name in _REAL:
        held[f"closed_option_{name}"][c] = columns[f"option_{name}"][row, :, 0]
    return made


class Routing:
    """How requests with options get their strategies, and what has come of it: for control processes and reports.

    `routes` are the streams' records (ROUTE), which may be changed between two events: multiplier, values, objective,
    flags, thresholds, rule. A bandit learns only in a run that has one from its start.
    """

    def __init__(self, state: st.State) -> None:
        # These stay the same arrays for the whole run.
        self._ended_usd, self._recent_usd = state.ended_usd, state.recent_usd
        self._chosen, self._seen = state.chosen, state.seen
        self._mean_usd_per_s, self._mean_rates_usd = state.mean_usd_per_s, state.mean_rates_usd
        self.routes = state.routes

    def set_mu(self, mu: float, streams: Sequence[int] | None = None) -> None:
        """The multiplier of costs from now on, of these streams or of all."""
        self.routes["mu"][slice(None) if streams is None else list(streams)] = mu

    def set_mean_price(self, pool: int, usd_per_replica_hour: float) -> None:
        """What a replica costs on average over time: the price for streams that do not look at the clock."""
        self._mean_usd_per_s[pool] = usd_per_replica_hour / 3600.0

    def set_mean_rates(self, pool: int, usd_per_token: st.Floats) -> None:
        """An API's rates on average over time, [3]: fresh prompt tokens, cached ones, output tokens."""
        self._mean_rates_usd[pool] = usd_per_token

    def spent_usd(self) -> st.Floats:
        """Cost of the requests of each stream that have ended so far, whatever came of them, [S]."""
        spent: st.Floats = (self._ended_usd + self._recent_usd).sum(axis=(0, 2, 3, 4, 5))
        return spent

    def chosen(self) -> st.Records:
        """How often each stream's requests have got each strategy so far, and sums of what was expected of the answers:
        chance to be right, cost, chance to be late, time until the answer (0 where load is not looked at). Of type
        CHOSEN, [S, A].
        """
        return self._chosen.copy()

    def seen(self) -> st.Records:
        """What bandits have learned so far: of type SEEN, [S, 2, A], without and with a prepared context."""
        return self._seen.copy()
