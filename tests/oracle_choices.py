"""How a request gets its strategy when it comes, said plainly: what each would cost now, how busy its replicas are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np

from router.choose import Choices, Estimates, Stakes, Switch, choose, thompson
from router.types import Load, Prices, Rule
from tests.oracle import BLOCK_TOKENS, NearTie, Replica
from tests.oracle_families import Attempt, Branch, Job, Strategy
from tests.oracle_luck import BANDIT, FEEDBACK, normal, uniform

if TYPE_CHECKING:
    from tests.oracle_fleet import Fleet, Place

__all__ = ["Chooser", "Route", "Seen"]


@dataclass
class Route:
    """How the requests of a stream get their strategies; `strategies` are those that they may get."""

    rule: Rule
    strategies: Sequence[int]
    value_usd: float
    lateness_usd: float
    e2e_slo_s: float
    price: bool
    load: bool
    cheap: int = 0
    strong: int = 0
    threshold: float = 0.0
    feedback: float = 1.0
    mu: float = 1.0


@dataclass
class Seen:
    """What has come of a strategy."""

    right: int = 0
    wrong: int = 0
    ended: int = 0
    tokens: int = 0
    path_tokens: int = 0


@dataclass(frozen=True)
class Figures:
    """What is known of a strategy's prices and replicas."""

    usd_per_prompt_token: float
    usd_per_output_token: float
    wait_s: float
    prompt_s_per_token: float
    tpot_s: float


@dataclass
class Chooser:
    """Chooses for a fleet, and remembers what was chosen and what came of it."""

    fleet: Fleet
    routes: Sequence[Route]
    chosen: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    """By stream and strategy: how often, and sums of expected chance, cost, chance to be late and time."""
    seen: dict[tuple[int, bool, int], Seen] = field(default_factory=dict)

    def choose(self, job: Job) -> None:
        """A request that has just come, whose context has been looked at, gets one of its options."""
        assert job.options is not None
        route = self.routes[job.stream]
        job.strategy = route.strategies[0] if len(route.strategies) == 1 else self.best(job, route)
        job.scores = job.options[job.strategy].scores

    def best(self, job: Job, route: Route) -> int:
        figures = self.takers(job, route) if route.load else {}
        if not figures:
            figures = {a: self.figures(job, a, self.first(job, a)) for a in route.strategies}
        estimates = self.estimates(job, route)
        columns = {name: np.zeros(len(job.options or ())) for name in Figures.__annotations__}
        for a, mine in figures.items():
            for name, column in columns.items():
                column[a] = getattr(mine, name)
        prices = Prices(columns.pop("usd_per_prompt_token"), columns.pop("usd_per_output_token"))
        stakes = Stakes(route.value_usd, route.lateness_usd, route.e2e_slo_s, route.mu)
        choices = choose(
            route.rule,
            estimates,
            [job.prompt_tokens],
            prices,
            Load(**columns, path_share=np.ones(0)) if route.load else None,
            stakes,
            available=[a in figures for a in range(len(job.options or ()))],
            switch=Switch(route.cheap, route.strong, route.threshold),
        )
        refuse_near_ties(choices)
        self.note(job, route, choices, estimates)
        return int(choices.strategy[0])

    def note(self, job: Job, route: Route, choices: Choices, estimates: Estimates) -> None:
        a = int(choices.strategy[0])
        sums, terms = self.chosen.setdefault((job.stream, a), [0.0] * 5), choices.terms
        p = float(estimates.p[0, a])
        cost_usd = float(terms.cost_usd[0, a]) / route.mu
        e2e_s = float(terms.e2e_s[0, a]) if route.load else 0.0
        for i, more in enumerate((1.0, 0.0 if isnan(p) else p, cost_usd, float(terms.p_late[0, a]), e2e_s)):
            sums[i] += more

    def estimates(self, job: Job, route: Route) -> Estimates:
        """What is expected of each of a request's options; a bandit has its own view of chances and lengths."""
        options = [option.estimates[job.prepared] for option in job.options or ()]
        p, tokens, path_tokens, sd = (np.array([column]) for column in zip(*options, strict=True))
        if route.rule == Rule.BANDIT:
            seen = [self.seen.get((job.stream, job.prepared, a), Seen()) for a in range(len(options))]
            luck = [normal(job.key, 0, a, BANDIT) for a in range(len(options))]
            p = thompson([[each.right for each in seen]], [[each.wrong for each in seen]], [luck])
            ended = 1.0 + np.array([each.ended for each in seen])
            tokens = (tokens + [each.tokens for each in seen]) / ended
            path_tokens = (path_tokens + [each.path_tokens for each in seen]) / ended
        return Estimates(p, tokens, path_tokens, sd)

    def learn(self, attempt: Attempt) -> None:
        """A request is answered: its tokens are known, and perhaps whether the answer was right."""
        job = attempt.job
        if job.preparation is not None or not self.routes:
            return
        seen = self.seen.setdefault((job.stream, job.prepared, job.strategy), Seen())
        seen.ended += 1
        seen.tokens += attempt.output_tokens
        seen.path_tokens += attempt.path_tokens
        if attempt.correct >= 0 and uniform(job.key, 0, 0, FEEDBACK) < self.routes[job.stream].feedback:
            seen.right += attempt.correct
            seen.wrong += 1 - attempt.correct

    # Prices and load.

    def takers(self, job: Job, route: Route) -> dict[int, Figures]:
        """Of each strategy that somebody takes now, by whoever is least loaded of the first tier that does."""
        found = {a: self.taker(job, a) for a in route.strategies}
        return {a: self.figures(job, a, place) for a, place in found.items() if place is not None}

    def probe(self, job: Job, strategy: int) -> Attempt:
        """The request as it would be sent, as far as that is known: its answer has one token at least."""
        probe = Attempt(replace(job, strategy=strategy, attempts=[]), Strategy(), [], stage=0)
        probe.branches = [Branch(probe, 0, job.prompt_tokens, 1)]
        return probe

    def taker(self, job: Job, strategy: int) -> Place | None:
        probe = self.probe(job, strategy)
        for rule in self.fleet.passes(job):
            for _, members in self.fleet.tiers(probe):
                places = [self.fleet.places[r] for r in members]
                takers = [place for place in places if rule(place) and self.fleet.may_take(probe, place)]
                if takers:
                    return min(takers, key=lambda place: place.load(job.priority))
        return None

    def first(self, job: Job, strategy: int) -> Place:
        return self.fleet.places[self.fleet.tiers(self.probe(job, strategy))[0][1][0]]

    def figures(self, job: Job, strategy: int, place: Place) -> Figures:
        plan, route = self.fleet.strategies[strategy], self.routes[job.stream]
        first_step = [stage for stage in plan.stages if stage.step == 0]
        if isinstance(place, Replica):
            reads = sum(stage.groups for stage in first_step if not stage.extends or stage.apart)
            return self.at_replica(job, route, place, plan.stages[0].branches, reads)
        server = place.server
        fresh, cached, output = server.usd_per_token[place.window if route.price else 0]
        prompt_usd = (1.0 - server.cached_share) * fresh + server.cached_share * cached
        calls = sum(stage.branches for stage in first_step)
        tpot_s = 0.0 if server.batch_window_s else 1.0 / server.tokens_per_s_median
        return Figures(prompt_usd * calls, output, server.ttft_median_s, 0.0, tpot_s)

    def at_replica(self, job: Job, route: Route, replica: Replica, branches: int, reads: int) -> Figures:
        server, prompt = replica.server, job.prompt_tokens
        law, most = server.step_time, server.max_num_batched_tokens
        done = self.fleet.counts[self.fleet.pool_of[self.fleet.places.index(replica)]]
        fresh = 1.0
        if job.context is not None and done["prompt_tokens"]:
            fresh = 1.0 - done["cached_tokens"] / done["prompt_tokens"]
        usd_per_s = replica.usd_per_s if route.price else server.usd_per_s
        read_s = law.linear(most) / most + law.attention_s_per_pair * prompt / 2.0
        alone_s = law.linear(prompt) + law.attention_s_per_pair * prompt * (prompt + 1) / 2.0 + law.slice_s

        kv_tokens = sum(row.kv_tokens for row in replica.rows)
        row_kv = kv_tokens / len(replica.rows) if replica.rows else float(prompt)
        places = places_in(replica, row_kv)
        there = replica.load(job.priority) + branches
        rows = min(there, places)
        tpot_s = law.decode_step_s(rows, rows * row_kv)
        mean_tokens = done["output_tokens"] / done["branches"] if done["branches"] else 0.0
        queue_s = max(there - places, 0) * mean_tokens * tpot_s / places
        return Figures(
            usd_per_s * fresh * read_s * reads,
            usd_per_s * full_batch_s(replica, done, prompt),
            law.front_end_s + law.front_end_steps * tpot_s + queue_s,
            fresh * alone_s / prompt,
            tpot_s,
        )


def places_in(replica: Replica, row_kv: float) -> int:
    """Places for rows of so many KV tokens: in the batch, and in memory."""
    return max(min(replica.server.max_num_seqs, int(replica.capacity * BLOCK_TOKENS / row_kv)), 1)


def full_batch_s(replica: Replica, done: dict[str, int], prompt: int) -> float:
    """Seconds of an output token in full batches of branches such as the pool has ended so far."""
    branches, each, row_kv = done["branches"], float(prompt), float(prompt)
    if branches:
        each = max((done["prompt_tokens"] + done["output_tokens"] / 2.0) / branches, 1.0)
        row_kv = (done["attended_tokens"] + done["output_tokens"] / 2.0) / branches
    rows = places_in(replica, each)
    return replica.server.step_time.decode_step_s(rows, rows * max(row_kv, 1.0)) / rows


def refuse_near_ties(choices: Choices) -> None:
    """Two utilities that differ by rounding only are in no order that means anything."""
    free = choices.utility_usd[0][choices.utility_usd[0] > -inf]
    gaps = free.max() - free
    scale = max(float(np.max(np.abs(choices.terms.value_usd))), float(np.max(choices.terms.cost_usd)), 1.0)
    if np.any((gaps > 0.0) & (gaps < 1e-9 * scale)):
        raise NearTie
