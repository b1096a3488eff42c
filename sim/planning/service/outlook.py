"""What a fleet is expected to come to, stretch of time by stretch of time: who is sent where, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf

import numpy as np

from sim.engine.specs import ApiSpec
from sim.engine.state import NO_LIMIT
from sim.planning.needs.policy import Option
from sim.planning.needs.work import Work
from sim.planning.purchase.instance import Floats, Integers
from sim.planning.service.api_times import api_times_s
from sim.planning.service.latency import Replica
from sim.planning.service.overflow import Met, Tier, met_by
from sim.planning.service.predicted import Predicted, Sums
from sim.planning.service.prices import upfront_usd_per_month
from sim.planning.service.scaling import running
from sim.planning.service.supplies import available_share, failing_share, fewest_replicas, follows_load
from sim.planning.service.traffic import replica_of
from sim.scenario import ApiPool, GpuPool

__all__ = ["Hours", "Outlook"]

_WAITS: Floats = np.array([0.0, 0.14, 0.47, 0.98, 2.39])
"""Quarters of exponential waits by their means, of mean 1; the first for requests that do not wait."""
_NEGLIGIBLE = 1e-9
"""Share of requests below which nobody looks for where they go."""

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Hours:
    """A stretch of time in which load and prices are about the same."""

    block: int
    hours: float
    """Hours a month."""
    rps: Floats
    """Requests a second, [S]."""
    usd: Sequence[Floats]
    """Prices of each pool, as `sim.planning.service.prices.prices_of` gives them."""
    closed: tuple[bool, ...]
    """APIs that are too dear just then, by pool."""


@dataclass(frozen=True)
class _Case:
    """A stretch of time in which some spot pools have capacity."""

    hours: Hours
    weight_h: float
    """Hours a month of it."""
    there: tuple[bool, ...]
    """By pool, whether there is capacity."""

    @property
    def block(self) -> int:
        return self.hours.block


@dataclass(frozen=True)
class _Crowd:
    """Requests that share pools."""

    pairs: Pairs
    """Streams and strategies."""
    rps: Floats
    """Requests a second of each, [pairs]."""

    @property
    def shares(self) -> Floats:
        found: Floats = self.rps / self.rps.sum()
        return found


class Outlook:
    """Adds up what every stretch of time comes to for one option and its fleet."""

    def __init__(self, option: Option, work: Work, clump: Floats, replicas: Integers) -> None:
        """`replicas` [P, H] are those bought, of an API 1 where it is used; `clump` [S] is that of `Demand`."""
        self._option, self._work, self._clump, self._replicas = option, work, clump, replicas
        self.sums = Sums(option.shape[0], option.shape[2], replicas.shape[1])
        self._serving: dict[tuple[int, str], Replica] = {}

    def add(self, hours: Hours) -> None:
        """One stretch of time."""
        for share, there in self._luck():
            case = _Case(hours, share * hours.hours, there)
            left = set(range(len(self._replicas)))
            for crowd, pools in self._crowds(case):
                left -= self._serve(case, crowd, pools)
            for pool in left:
                # What nobody comes to is kept at its fewest.
                self._rent(case, pool, fewest_replicas(self._fleet[pool], int(self._replicas[pool, case.block])))

    def total(self, hours: Floats) -> Predicted:
        """What it all comes to, payments in advance too; `hours` are the blocks' hours a month, [H]."""
        for pool, own in enumerate(self._fleet):
            self.sums.pay(pool, upfront_usd_per_month(own) * float(self._replicas[pool].max(initial=0)))
        return self.sums.total(hours)

    @property
    def _fleet(self) -> Sequence[GpuPool | ApiPool]:
        return self._option.scenario.fleet

    def _luck(self) -> Iterator[tuple[float, tuple[bool, ...]]]:
        """Shares of the time, and by pool whether it has capacity then."""
        shares = [available_share(pool) for pool in self._fleet]
        for case in product(*[(True, False) if share < 1.0 else (True,) for share in shares]):
            odds = [share if up else 1.0 - share for share, up in zip(shares, case, strict=True)]
            yield float(np.prod(odds)), case

    def _crowds(self, case: _Case) -> Iterator[tuple[_Crowd, list[int]]]:
        """Requests that share pools, and the pools; what no pool takes is asked in vain."""
        left: dict[tuple[int, int], set[int]] = {}
        for (stream, strategy), pools in self._option.can.items():
            rps = case.hours.rps[stream] * self._work.share[stream, strategy, case.block]
            if rps > 0.0:
                left[stream, strategy] = {pool for pool in pools if self._is_open(case, pool)}
                requests = rps * case.weight_h * 3600.0
                self.sums.ask(stream, case.block, requests, float(self._work.p_correct[stream, strategy]))
        while left:
            pairs = [next(iter(left))]
            together = left.pop(pairs[0])
            while more := [pair for pair, own in left.items() if own & together]:
                for pair in more:
                    together |= left.pop(pair)
                pairs += more
            rps = [
                case.hours.rps[stream] * self._work.share[stream, strategy, case.block] for stream, strategy in pairs
            ]
            yield _Crowd(pairs, np.array(rps)), sorted(together)

    def _is_open(self, case: _Case, pool: int) -> bool:
        bought = self._replicas[pool] if isinstance(self._fleet[pool], ApiPool) else self._replicas[pool, case.block]
        return bool(np.max(bought) > 0 and case.there[pool] and not case.hours.closed[pool])

    def _serve(self, case: _Case, crowd: _Crowd, pools: list[int]) -> set[int]:
        """Tier by tier; gives back the pools that have been paid."""
        paid: set[int] = set()
        clump = (float(crowd.shares @ [self._clump[stream] for stream, _ in crowd.pairs]) + 1.0) / 2.0
        left_rps = float(crowd.rps.sum())
        some_take_all = any(isinstance(self._fleet[pool], ApiPool) for pool in pools)
        for tier_pools, spills in self._tiers(pools):
            if left_rps <= _NEGLIGIBLE * crowd.rps.sum():
                break
            if isinstance(self._fleet[tier_pools[0]], ApiPool):
                self._call(case, crowd, tier_pools[0], left_rps)
                break
            paid |= set(tier_pools)
            tier = self._tier(case, crowd, tier_pools, spills, left_rps, clump, wakes=not some_take_all)
            if tier is not None:
                met = met_by(tier, left_rps, clump)
                self._count(case, crowd, tier, met)
                left_rps, clump = met.left_rps, met.left_clump
        return paid

    def _tiers(self, pools: list[int]) -> Iterator[tuple[list[int], bool]]:
        """Pools as requests try them, and whether these leave early for others; an API on its own.

        Pools that let in none before all others are full come last.
        """
        specs = self._option.fleet.pools
        kinds = [(specs[p].spill_at == 0, specs[p].tier, isinstance(specs[p], ApiSpec)) for p in pools]
        order = sorted(set(kinds))
        for kind in order:
            others = any(not late for late, *_ in order[order.index(kind) + 1 :])
            yield [pool for pool, own in zip(pools, kinds, strict=True) if own == kind], others and not kind[0]

    def _tier(
        self, case: _Case, crowd: _Crowd, pools: list[int], spills: bool, rps: float, clump: float, *, wakes: bool
    ) -> Tier | None:
        """The replicas of these pools, paid for; None where there are none."""
        serving = [self._served_by(pool, crowd) for pool in pools]
        numbers = []
        for pool, each in zip(pools, serving, strict=True):
            number = self._number(case, pool, each, rps, float(crowd.rps.sum()), clump, spills, wakes=wakes)
            self._rent(case, pool, number)
            numbers.append(number * (1.0 - failing_share(self._fleet[pool])))
        used = [index for index, number in enumerate(numbers) if number > 0.0]
        if not used:
            return None
        return self._made([pools[i] for i in used], [serving[i] for i in used], [numbers[i] for i in used], spills)

    def _made(self, pools: list[int], serving: list[Replica], numbers: list[float], spills: bool) -> Tier:
        specs = [self._option.fleet.pools[pool] for pool in pools]
        limits = [spec.spill_at if spills else spec.max_outstanding for spec in specs]
        room = sum(number * (limit if limit < NO_LIMIT else inf) for number, limit in zip(numbers, limits, strict=True))
        return Tier(tuple(pools), np.array(numbers), tuple(serving), room)

    def _number(
        self,
        case: _Case,
        pool: int,
        serving: Replica,
        rps: float,
        all_rps: float,
        clump: float,
        spills: bool,
        *,
        wakes: bool,
    ) -> float:
        """Replicas there are: as bought, or as its autoscaler keeps them."""
        own, most = self._fleet[pool], int(self._replicas[pool, case.block])
        assert isinstance(own, GpuPool)
        if not follows_load(own):
            return float(most)

        def rows(number: int) -> float:
            return met_by(self._made([pool], [serving], [float(number)], spills), rps, clump).rows

        return float(running(own, most, serving, rps, all_rps, rows, wakes=wakes))

    def _served_by(self, pool: int, crowd: _Crowd) -> Replica:
        """A replica of the pool with those of the crowd that it may serve."""
        mine = self._mine(pool, crowd)
        weights = np.maximum(crowd.shares[mine].round(2), 0.005)
        key = pool, str(([crowd.pairs[index] for index in mine], weights.tolist()))
        if key not in self._serving:
            pairs = [crowd.pairs[index] for index in mine]
            self._serving[key] = replica_of(self._option, pool, pairs, weights, self._clump)
        return self._serving[key]

    def _mine(self, pool: int, crowd: _Crowd) -> list[int]:
        return [index for index, pair in enumerate(crowd.pairs) if pool in self._option.can[pair]]

    def _rent(self, case: _Case, pool: int, number: float) -> None:
        own = self._fleet[pool]
        if isinstance(own, GpuPool) and case.there[pool]:
            bought = float(self._replicas[pool].max()) if own.offer.kind == "reserved" else number
            self.sums.rent(pool, case.block, case.weight_h * bought, float(case.hours.usd[pool][0]))

    def _count(self, case: _Case, crowd: _Crowd, tier: Tier, met: Met) -> None:
        """What a tier has served."""
        columns = zip(tier.pools, tier.serving, met.share, met.seen, tier.replicas, strict=True)
        for pool, serving, share, seen, number in columns:
            mine = self._mine(pool, crowd)
            requests = case.weight_h * 3600.0 * met.served_rps * float(share) * crowd.shares[mine]
            kept = serving.kept(seen, number)[:, 0]
            chance, wait_s = (float(each.ravel()[0]) for each in serving.prompt_wait(seen, number))
            odds = np.array([1.0 - chance, *[chance / (_WAITS.size - 1)] * (_WAITS.size - 1)])
            for index, one, share_kept, count in zip(mine, serving.classes, kept, requests, strict=True):
                self.sums.answer(crowd.pairs[index][0], case.block, float(count), float(share_kept))
                first_s, token_s = serving.times_s(one, seen)
                first = first_s[0][..., np.newaxis] + _WAITS * wait_s
                further = np.maximum(one.taken.path_tokens - 1.0, 0.0) * token_s[0]
                weights = np.broadcast_to(one.odds[:, np.newaxis] * odds * (count / first.shape[0]), first.shape)
                self.sums.time(first.ravel(), (first + further[..., np.newaxis]).ravel(), weights.ravel())

    def _call(self, case: _Case, crowd: _Crowd, pool: int, rps: float) -> None:
        """An API takes all that comes."""
        spec, own = self._option.fleet.pools[pool], self._fleet[pool]
        assert isinstance(spec, ApiSpec)
        assert isinstance(own, ApiPool)
        fresh, cached, output_usd = case.hours.usd[pool]
        prompt_usd = (1.0 - own.cached_share) * fresh + own.cached_share * cached
        for (stream, strategy), share in zip(crowd.pairs, crowd.shares, strict=True):
            requests = case.weight_h * 3600.0 * rps * float(share)
            tokens = self._work.prompt_tokens[stream, strategy], self._work.output_tokens[stream, strategy]
            self.sums.pay(pool, requests * float(tokens[0] * prompt_usd + tokens[1] * output_usd))
            stages = self._option.stages(stream, strategy, 0)
            ttft_s, e2e_s, kept = api_times_s(spec, stages, self._option.fleet.streams[stream])
            self.sums.answer(stream, case.block, requests, kept)
            self.sums.time(ttft_s, e2e_s, np.full(ttft_s.size, requests / ttft_s.size))
