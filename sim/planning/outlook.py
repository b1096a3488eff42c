"""What a fleet is expected to come to: objectives kept, latencies, dollars, right answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import inf

import numpy as np

from sim.engine.specs import ApiSpec, StreamSpec
from sim.planning.instance import Floats, Integers
from sim.planning.latency import Replica
from sim.planning.overflow import Met, Tier, met_by
from sim.planning.scaling import running
from sim.planning.stages import StageWork
from sim.planning.supplies import available_share, failing_share, follows_load
from sim.planning.traffic import replica_of
from sim.planning.work import Option, Work
from sim.scenario import ApiPool, GpuPool

__all__ = ["Hours", "Outlook", "Predicted"]

_LUCK = np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645])
"""Normal numbers at the middles of ten equal parts."""
_WAITS = np.array([0.0, 0.105, 0.5, 1.2, 3.0])
"""Exponential waits that stand for all, of mean 1 but for what is cut off; the first for those that do not wait."""


@dataclass(frozen=True)
class Hours:
    """Stretches of time that are alike: H blocks by what is open then and how high the load is."""

    block: int
    hours: float
    """Hours a month."""
    rps: Floats
    """Requests a second, [S]."""
    usd: Sequence[Floats]
    """Prices of each pool, as `sim.planning.prices.prices_of` gives them."""
    closed: tuple[bool, ...]
    """APIs that are too dear just then, by pool."""


@dataclass
class Predicted:
    """What a fleet is expected to come to."""

    attainment: float
    """Share of requests within all their objectives."""
    ttft_p99_s: float
    e2e_p99_s: float
    usd_per_month: float
    accuracy: float
    """Share of right answers among those known; NaN where none is."""
    attainment_of: Floats = field(default_factory=lambda: np.zeros(0))
    """The same of each stream, [S]; NaN of one without requests."""
    attainment_in: Floats = field(default_factory=lambda: np.zeros(0))
    """The same of each block, [H]; NaN of one without requests."""
    usd_by_pool: Floats = field(default_factory=lambda: np.zeros(0))
    """[P]"""
    replicas: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """Mean replicas that are paid, [P, H]."""


class Outlook:
    """Adds up what every stretch of time comes to for one option."""

    def __init__(self, option: Option, work: Work, clump: Floats, replicas: Integers) -> None:
        """`replicas` [P, H] are those bought; of an API 1 where it is used."""
        self._option, self._work, self._clump, self._replicas = option, work, clump, replicas
        streams, _, pools = option.shape
        blocks = replicas.shape[1]
        self._requests = np.zeros((streams, blocks))
        self._kept = np.zeros((streams, blocks))
        self._right, self._known = 0.0, 0.0
        self._usd = np.zeros(pools)
        self._paid = np.zeros((pools, blocks))
        self._times: list[tuple[Floats, Floats, Floats]] = []
        self._serving: dict[tuple[int, bytes], Replica] = {}

    def add(self, hours: Hours) -> None:
        """One stretch of time."""
        for weight, there in self._luck():
            for pairs, pools in self._parts(hours, there):
                self._serve(hours, weight, there, pairs, pools)
            for pool in self._idle(hours, there):
                self._pay(hours, weight, there, pool, self._fewest(pool, hours.block), 0.0)

    def total(self, hours_in: Floats) -> Predicted:
        """What it all comes to; `hours_in` [H] are the blocks' hours a month."""
        requests = self._requests.sum()
        with np.errstate(invalid="ignore"):
            ttft_s, e2e_s = self._p99()
            return Predicted(
                attainment=float(self._kept.sum() / requests),
                ttft_p99_s=ttft_s,
                e2e_p99_s=e2e_s,
                usd_per_month=float(self._usd.sum()),
                accuracy=self._right / self._known if self._known else float("nan"),
                attainment_of=self._kept.sum(axis=1) / self._requests.sum(axis=1),
                attainment_in=self._kept.sum(axis=0) / self._requests.sum(axis=0),
                usd_by_pool=self._usd,
                replicas=self._paid / np.maximum(hours_in, 1e-9),
            )

    def _luck(self) -> Iterator[tuple[float, Floats]]:
        """Shares of the time and which spot pools have capacity then, 1 or 0 by pool, [P]."""
        shares = [available_share(pool) for pool in self._option.scenario.fleet]
        uncertain = [index for index, share in enumerate(shares) if share < 1.0]
        for case in product((1.0, 0.0), repeat=len(uncertain)):
            there, weight = np.ones(len(shares)), 1.0
            for index, up in zip(uncertain, case, strict=True):
                there[index] = up
                weight *= shares[index] if up else 1.0 - shares[index]
            yield weight, there

    def _open(self, hours: Hours, there: Floats, pool: int) -> bool:
        return bool(self._replicas[pool, hours.block] * there[pool] > 0 and not hours.closed[pool])

    def _parts(self, hours: Hours, there: Floats) -> Iterator[tuple[list[tuple[int, int]], list[int]]]:
        """Streams by strategies that share pools, and the pools that they share."""
        left = {
            pair: {pool for pool in pools if self._open(hours, there, pool)}
            for pair, pools in self._option.can.items()
            if hours.rps[pair[0]] * self._work.share[(*pair, hours.block)] > 0.0
        }
        while left:
            first = next(iter(left))
            pairs, pools = [first], set(left.pop(first))
            while more := [pair for pair, own in left.items() if own & pools]:
                for pair in more:
                    pairs.append(pair)
                    pools |= left.pop(pair)
            yield sorted(pairs), sorted(pools)

    def _idle(self, hours: Hours, there: Floats) -> Iterator[int]:
        used = {pool for _, pools in self._parts(hours, there) for pool in pools}
        for pool in range(len(self._replicas)):
            if pool not in used and there[pool]:
                yield pool

    def _fewest(self, pool: int, block: int) -> float:
        own = self._option.scenario.fleet[pool]
        most = float(self._replicas[pool, block])
        if isinstance(own, GpuPool) and own.autoscale is not None and follows_load(own):
            return min(float(own.autoscale.min), most)
        return most

    def _serve(
        self, hours: Hours, weight: float, there: Floats, pairs: list[tuple[int, int]], pools: list[int]
    ) -> None:
        rates = np.array(
            [hours.rps[stream] * self._work.share[stream, strategy, hours.block] for stream, strategy in pairs]
        )
        requests = weight * hours.hours * rates
        for (stream, strategy), count in zip(pairs, requests, strict=True):
            self._requests[stream, hours.block] += count
            p = self._work.p_correct[stream, strategy]
            if not np.isnan(p):
                self._known += count
                self._right += count * p
        clump = (float(rates @ [self._clump[stream] for stream, _ in pairs]) / rates.sum() + 1.0) / 2.0
        left_rps = float(rates.sum())
        for tier_pools, spilling in self._order(pools):
            if left_rps <= 1e-9 * rates.sum():
                break
            left_rps, clump = self._at_tier(hours, weight, there, pairs, rates, tier_pools, spilling, left_rps, clump)
        self._pay_rest(hours, weight, there, pools)

    def _pay_rest(self, hours: Hours, weight: float, there: Floats, pools: list[int]) -> None:
        """Pools that nothing has come to are paid all the same."""
        for pool in set(pools) - self._reached:
            self._pay(hours, weight, there, pool, self._fewest(pool, hours.block), 0.0)
        self._reached = set()

    _reached: set[int] = set()

    def _order(self, pools: list[int]) -> Iterator[tuple[list[int], bool]]:
        """Tiers as requests try them, and whether they leave early for the next: pools that let in none before others
        are full come last."""
        specs = self._option.fleet.pools
        by_tier = sorted({specs[pool].tier for pool in pools})
        first = [[p for p in pools if specs[p].tier == tier and specs[p].spill_at > 0] for tier in by_tier]
        last = [[p for p in pools if specs[p].tier == tier and specs[p].spill_at == 0] for tier in by_tier]
        early = [tier for tier in first if tier]
        for index, tier in enumerate(early):
            yield tier, index < len(early) - 1
        for tier in last:
            if tier:
                yield tier, False

    def _at_tier(
        self,
        hours: Hours,
        weight: float,
        there: Floats,
        pairs: list[tuple[int, int]],
        rates: Floats,
        pools: list[int],
        spilling: bool,
        rps: float,
        clump: float,
    ) -> tuple[float, float]:
        apis = [pool for pool in pools if isinstance(self._option.fleet.pools[pool], ApiSpec)]
        shares = rates / rates.sum()
        if apis:
            pool = apis[0]
            self._reached = self._reached | {pool}
            self._count_api(hours, weight, pairs, shares, pool, rps)
            return 0.0, clump
        self._reached = self._reached | set(pools)
        serving = [self._served_by(pool, pairs, shares) for pool in pools]
        numbers = np.array(
            [
                self._number(hours, pool, each, rps, rates, clump, spilling)
                for pool, each in zip(pools, serving, strict=True)
            ]
        )
        for pool, number in zip(pools, numbers, strict=True):
            self._pay(hours, weight, there, pool, float(number), 0.0)
        there_now = numbers * [1.0 - failing_share(self._option.scenario.fleet[pool]) for pool in pools]
        if there_now.sum() <= 0.0:
            return rps, clump
        used = [index for index in range(len(pools)) if there_now[index] > 0]
        tier = self._tier([pools[i] for i in used], [serving[i] for i in used], there_now[used], spilling)
        met = met_by(tier, rps, clump)
        self._count(hours, weight, pairs, shares, tier, met)
        return met.left_rps, met.left_clump

    def _tier(self, pools: list[int], serving: list[Replica], numbers: Floats, spilling: bool) -> Tier:
        room = 0.0
        for pool, number in zip(pools, numbers, strict=True):
            spec = self._option.fleet.pools[pool]
            limit = spec.spill_at if spilling else spec.max_outstanding
            room += number * limit if limit < 1_000_000 else inf
        return Tier(tuple(pools), numbers, tuple(serving), room)

    def _number(
        self, hours: Hours, pool: int, serving: Replica, rps: float, rates: Floats, clump: float, spilling: bool
    ) -> float:
        own, most = self._option.scenario.fleet[pool], int(self._replicas[pool, hours.block])
        assert isinstance(own, GpuPool)
        if not follows_load(own):
            return float(most)

        def rows(number: int) -> float:
            if number == 0:
                return inf
            return met_by(self._tier([pool], [serving], np.array([float(number)]), spilling), rps, clump).rows

        return float(running(own, most, serving, rps, float(rates.sum()), rows))

    def _served_by(self, pool: int, pairs: list[tuple[int, int]], shares: Floats) -> Replica:
        mine = [index for index, pair in enumerate(pairs) if pool in self._option.can[pair]]
        weights = shares[mine].round(3)
        key = pool, weights.tobytes() + bytes(str([pairs[i] for i in mine]), "ascii")
        if key not in self._serving:
            used = np.maximum(weights, 1e-6)
            self._serving[key] = replica_of(self._option, pool, [pairs[i] for i in mine], used, self._clump)
        return self._serving[key]

    def _pay(self, hours: Hours, weight: float, there: Floats, pool: int, number: float, requests: float) -> None:
        own = self._option.scenario.fleet[pool]
        if isinstance(own, ApiPool) or not there[pool]:
            return
        if own.offer.kind == "reserved":
            number = float(self._replicas[pool].max())
        self._paid[pool, hours.block] += weight * hours.hours * number
        self._usd[pool] += weight * hours.hours * number * float(hours.usd[pool][0])

    def _count(
        self, hours: Hours, weight: float, pairs: list[tuple[int, int]], shares: Floats, tier: Tier, met: Met
    ) -> None:
        for pool, serving, share, seen, number in zip(
            tier.pools, tier.serving, met.share, met.seen, tier.replicas, strict=True
        ):
            mine = [index for index, pair in enumerate(pairs) if pool in self._option.can[pair]]
            requests = weight * hours.hours * met.served_rps * float(share) * shares[mine]
            kept = serving.kept(seen, number)[:, 0]
            for index, each, count in zip(mine, kept, requests, strict=True):
                self._kept[pairs[index][0], hours.block] += count * each
            for one, count in zip(serving.classes, requests, strict=True):
                first_s, token_s = serving.times_s(one, seen)
                busy, wait_s = serving.prompt_wait(seen, number)
                odds = np.full(_WAITS.size, float(busy.ravel()[0]) / (_WAITS.size - 1))
                odds[0] = 1.0 - float(busy.ravel()[0])
                first = first_s[0][..., np.newaxis] + _WAITS * float(wait_s.ravel()[0])
                further = np.maximum(one.taken.path_tokens - 1.0, 0.0) * token_s[0]
                each_weight = np.broadcast_to(one.odds[:, np.newaxis] * odds * (count / first.shape[0]), first.shape)
                self._times.append((first.ravel(), (first + further[..., np.newaxis]).ravel(), each_weight.ravel()))

    def _count_api(
        self, hours: Hours, weight: float, pairs: list[tuple[int, int]], shares: Floats, pool: int, rps: float
    ) -> None:
        spec, own = self._option.fleet.pools[pool], self._option.scenario.fleet[pool]
        assert isinstance(spec, ApiSpec)
        assert isinstance(own, ApiPool)
        for (stream, strategy), share in zip(pairs, shares, strict=True):
            requests = weight * hours.hours * rps * float(share)
            fresh, cached, output = hours.usd[pool]
            prompt_usd = (1.0 - own.cached_share) * fresh + own.cached_share * cached
            usd = (
                self._work.prompt_tokens[stream, strategy] * prompt_usd
                + self._work.output_tokens[stream, strategy] * output
            )
            self._usd[pool] += requests * 3600.0 * usd
            ttft_s, e2e_s, kept = api_times_s(
                spec, self._option.stages(stream, strategy, 0), self._option.fleet.streams[stream]
            )
            self._kept[stream, hours.block] += requests * kept
            self._times.append((ttft_s, e2e_s, np.full(ttft_s.size, requests / ttft_s.size)))

    def _p99(self) -> tuple[float, float]:
        if not self._times:
            return float("nan"), float("nan")
        ttft_s, e2e_s, weights = (np.concatenate(columns) for columns in zip(*self._times, strict=True))
        return _quantile(ttft_s, weights, 0.99), _quantile(e2e_s, weights, 0.99)


def api_times_s(spec: ApiSpec, stages: Sequence[StageWork], promised: StreamSpec) -> tuple[Floats, Floats, float]:
    """Times to the first token and to the last of calls of an API, and the share that keeps its objectives."""
    some = slice(None, None, max(stages[0].output_tokens.size // 40, 1))
    first = spec.ttft_median_s * np.exp(spec.ttft_sigma * _LUCK)[:, np.newaxis, np.newaxis]
    token_s = np.exp(-spec.tokens_per_s_sigma * _LUCK)[:, np.newaxis] / spec.tokens_per_s_median
    path = sum(stage.output_tokens[some] * stage.path_factor * stage.taken[some] for stage in stages)
    further = token_s * np.maximum(np.asarray(path) - 1.0, 0.0) if spec.batch_window_s == 0.0 else 0.0 * token_s * path
    waits = sum(stage.taken[some] for stage in stages)
    e2e_s = first * waits + further
    ttft_s = np.broadcast_to(first, e2e_s.shape)
    kept = (ttft_s <= promised.ttft_slo_s) & (e2e_s <= promised.e2e_slo_s) & (e2e_s <= promised.timeout_s)
    slow = token_s[np.newaxis] > promised.tpot_slo_s if spec.batch_window_s == 0.0 else np.zeros_like(e2e_s, bool)
    return ttft_s.ravel(), e2e_s.ravel(), float((kept & ~slow).mean())


def _quantile(values: Floats, weights: Floats, at: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(np.searchsorted(total, at * total[-1]), values.size - 1)])
