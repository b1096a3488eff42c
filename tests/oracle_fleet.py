"""A fleet and its clients, said plainly: who is sent where, who gives up, who tries again, what control events do.

What happens at one instant happens in this order: control events; arrivals; ends of steps, lowest replica first;
timers (clients that give up or try again, API calls that begin or end) by request; requests that go on to their next
stage, in the order in which their last one ended; closed-loop clients that send; replicas that begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from tests.oracle import DOWN, DRAINING, OFF, OPEN, SLEEP, STARTING, NearTie, Replica, Server, is_near_tie
from tests.oracle_api import DEADLINE, RESENDING, Api, Endpoint, Timer
from tests.oracle_balancers import LeastOutstanding, RoundRobin
from tests.oracle_choices import Chooser, Route
from tests.oracle_clients import Loop, Stream, backoff_s
from tests.oracle_contexts import Contexts, Preparation
from tests.oracle_families import Attempt, Branch, Job, Strategy
from tests.oracle_luck import API_FIRST, API_SPEED, normal

Place: TypeAlias = Replica | Api
Event: TypeAlias = tuple[float, str, int, float]
"""A control event: time, verb, replica (any rank of a server; a pool for prices and APIs, a stream for budgets), and
what the verb needs."""

REJECTED = ("too_long", "no_replica", "queue_full", "rate_limited")
FIRST_JOB = 1 << 40
"""Sleep work is numbered from here."""
REFUSED_PAUSE_S = 1.0
"""A closed-loop client whose request was refused waits this long before it thinks of the next."""


@dataclass(frozen=True)
class Pool:
    """Equal replicas in servers of some ranks each, or an API."""

    server: Server | Endpoint
    replicas: int = 1
    ranks_per_server: int = 1


@dataclass
class Fleet:
    """Places in the order of their pools, and all that is to come.

    `targets[stream][strategy][stage]` lists the pools that may serve a stage of a request. `jobs` are sorted by
    arrival; `script` holds control events by time. `run` fills in the jobs, numbered as they come.
    """

    pools: Sequence[Pool]
    jobs: Sequence[Job] = ()
    streams: Sequence[Stream] = (Stream(),)
    targets: Sequence[Sequence[Sequence[Sequence[int]]]] = ()
    strategies: Sequence[Strategy] = (Strategy(),)
    loops: Sequence[Loop] = ()
    script: Sequence[Event] = ()
    balancer: Callable[[], RoundRobin] = LeastOutstanding
    preparations: Sequence[Preparation] = ()
    """What control events `prepare`; its requests are those of the last stream."""
    routes: Sequence[Route] = ()
    """Of each stream, where requests have options."""
    exact_ties: bool = True
    """False: times may differ by rounding from the engine's, so NearTie is raised where their order matters."""

    now_s: float = 0.0
    places: list[Place] = field(default_factory=list)
    came: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool_of = [p for p, pool in enumerate(self.pools) for _ in range(pool.replicas)]
        self.places = [self.build(self.pools[p].server) for p in self.pool_of]
        everywhere = [[list(range(len(self.pools)))] * len(strategy.stages) for strategy in self.strategies]
        self.targets = self.targets or [everywhere] * len(self.streams)
        self.memory: dict[tuple[int, ...], RoundRobin] = {}
        self.continued: list[Attempt] = []
        self.contexts = Contexts()
        self.chooser = Chooser(self, self.routes)
        self.jobs_sent: list[Job] = []
        self.counts: list[Counter[str]] = [Counter() for _ in self.pools]
        self.arrivals, self.events = list(self.jobs), list(self.script)

    def build(self, server: Server | Endpoint) -> Place:
        if isinstance(server, Server):
            return Replica(server, exact_ties=self.exact_ties)
        return Api(server, self.called, self.expired, exact_ties=self.exact_ties)

    def run(self, until_s: float = inf, end_s: float | None = None) -> list[Job]:
        """Everything before `until_s`; gives back the requests that came, in order, and closes the books at `end_s`.

        Raises:
            NearTie: unless `exact_ties`, where two events are equal but for rounding, so that their order is chance.
        """
        happen = [self.control, self.arrive, self.end_step, self.ring, self.go_on, self.send_next, self.begin]
        while True:
            times_s = [self.control_s, self.arrival_s, self.boundary_s, self.timer_s]
            times_s += [self.now_s if self.continued else inf, self.client_s, self.wake_s]
            now_s = min(times_s)
            if now_s >= until_s or now_s == inf:
                break
            if not self.exact_ties and now_s > 0.0:
                self.refuse_near_ties()
            self.now_s = now_s
            happen[times_s.index(now_s)]()
        self.close(end_s if end_s is not None else until_s if until_s < inf else self.now_s)
        return self.came

    def close(self, end_s: float) -> None:
        """What is under way is charged so far."""
        for p, replica in zip(self.pool_of, self.places, strict=True):
            if isinstance(replica, Replica):
                self.counts[p].update(preemptions=replica.preemptions, recomputed_tokens=replica.recomputed_tokens)
        for place in self.places:
            if isinstance(place, Replica):
                place.charge(end_s)
            else:
                for call in place.calls:
                    place.bill_so_far(call, end_s)

    @property
    def replicas(self) -> list[Replica]:
        return [place for place in self.places if isinstance(place, Replica)]

    # What comes next, of each kind.

    @property
    def control_s(self) -> float:
        return self.events[0][0] if self.events else inf

    @property
    def arrival_s(self) -> float:
        return self.arrivals[0].arrival_s if self.arrivals else inf

    @property
    def boundary_s(self) -> float:
        return min((replica.step_end_s for replica in self.replicas if not replica.wakes), default=inf)

    @property
    def timer_s(self) -> float:
        return min((timer[0] for timer in self.timers()), default=inf)

    @property
    def client_s(self) -> float:
        return min((min(loop.sends_s) for loop in self.loops if loop.sends_s and loop.unsent), default=inf)

    @property
    def wake_s(self) -> float:
        return min((replica.step_end_s for replica in self.replicas if replica.wakes), default=inf)

    def timers(self) -> Iterator[Timer]:
        for job in [*self.came, *self.jobs_sent]:
            if job.awaited is not None and not job.awaited.gone:
                yield job.awaited.deadline_s, job.number, DEADLINE, lambda job=job: self.give_up(job.awaited)
            yield job.resend_s, job.number, RESENDING, lambda job=job: self.send(job)
        for place in self.places:
            if isinstance(place, Api):
                yield from place.timers()

    def refuse_near_ties(self) -> None:
        """Ends of steps are sums of many terms; other times that are equal to the last digit were made alike."""
        others_s = {self.control_s, self.arrival_s, self.client_s, *(timer[0] for timer in self.timers())}
        ends_s = [replica.step_end_s for replica in self.replicas if not replica.wakes]
        if is_near_tie([*others_s, *ends_s, inf]):
            raise NearTie

    # What happens.

    def arrive(self) -> None:
        self.offer(self.arrivals.pop(0))

    def send_next(self) -> None:
        """The client that is due sends its next request; of two closed streams the first goes first."""
        now_s = self.now_s
        due = next(c for c, loop in enumerate(self.loops) if loop.unsent and now_s in loop.sends_s)
        loop = self.loops[due]
        loop.sends_s.remove(now_s)
        job = loop.unsent.pop(0)
        job.arrival_s, job.loop = now_s, due
        self.offer(job)

    def offer(self, job: Job) -> None:
        job.number = len(self.came)
        self.came.append(job)
        if self.preparations:
            self.contexts.look_up(job, self.now_s)
        if job.options:
            self.chooser.choose(job)
        self.contexts.count_saved(job, self.strategies[job.strategy])
        self.send(job)

    def ring(self) -> None:
        *_, action = min(self.timers(), key=lambda timer: timer[:3])
        action()

    def end_step(self) -> None:
        """A step ends; then it is seen whose stages are over, and the next step begins."""
        replica = next(
            replica for replica in self.replicas if self.boundary_s == replica.step_end_s and not replica.wakes
        )
        over: list[Attempt] = []
        for branch in replica.end_step(self.now_s):
            if branch.attempt not in over:
                over.append(branch.attempt)
        for attempt in sorted(over, key=lambda attempt: attempt.job.number):
            self.look(attempt, self.now_s)
        replica.begin_step(self.now_s)
        self.switch_off(replica)

    def begin(self) -> None:
        replica = next(replica for replica in self.replicas if replica.wakes and replica.step_end_s == self.now_s)
        replica.begin_step(self.now_s)

    # Who is sent where.

    def send(self, job: Job) -> None:
        """Send a request, for the first time or again."""
        targets = self.targets[job.stream][job.strategy]
        same = [s > 0 and list(targets[s]) == list(targets[s - 1]) for s in range(len(targets))]
        job.resend_s, deadline_s = inf, self.now_s + self.streams[job.stream].timeout_s
        attempt = Attempt(job, self.strategies[job.strategy], same, self.now_s, deadline_s)
        job.attempts.append(attempt)
        job.sendings += 1
        self.send_stage(attempt, 0)

    def send_stage(self, attempt: Attempt, stage: int) -> None:
        """Send the branches of a stage; a request that nobody takes is rejected."""
        job, before = attempt.job, attempt.place
        attempt.begin(stage)
        stays = before is not None and attempt.same_targets[stage] and self.stays(attempt, self.places[before])
        attempt.place = job.replica = before if stays else self.choose(attempt)
        if before is not None and attempt.place != before:
            self.forget(attempt, before)
        if attempt.place is None:
            self.over(attempt, self.why_refused(attempt), self.now_s)
        else:
            job.awaited = attempt
            self.count(attempt, arrived=1)
            self.places[attempt.place].receive(attempt.branches, self.now_s)

    def stays(self, attempt: Attempt, place: Place) -> bool:
        """Whether the next stage goes where the last one was, whatever the limits on numbers."""
        return place.accepting == 1 and self.may_take(attempt, place)

    def may_take(self, attempt: Attempt, place: Place) -> bool:
        return all(map(place.holds, attempt.branches)) and place.has_room(attempt.branches[0], self.now_s)

    def choose(self, attempt: Attempt) -> int | None:
        """Its place: tier by tier where no pool spills over yet, else where there is room, else where it can wait."""
        job = attempt.job
        for rule in self.passes(job):
            for tier, members in self.tiers(attempt):
                places = [self.places[r] for r in members]
                open_ = [at for at, place in enumerate(places) if rule(place) and self.may_take(attempt, place)]
                if open_:
                    balancer = self.memory.setdefault((job.stream, job.strategy, attempt.stage, tier), self.balancer())
                    found = [place.affinity(attempt.branches[0]) for place in places]
                    load = [place.load(job.priority) for place in places]
                    return members[balancer(load, open_, job.luck, found)]
        return None

    def passes(self, job: Job) -> list[Callable[[Place], bool]]:
        """Which places are asked first, second and last."""
        return [
            lambda place: place.accepting == 1 and not is_full(place, job) and not spills(place, job),
            lambda place: place.accepting == 1 and not is_full(place, job),
            lambda place: place.accepting == 2 and not is_full(place, job),
        ]

    def tiers(self, attempt: Attempt) -> list[tuple[int, list[int]]]:
        """The places that may serve a request's stage by tier, the lowest first."""
        job = attempt.job
        pools = self.targets[job.stream][job.strategy][attempt.stage]
        members = [r for p in pools for r in range(len(self.places)) if self.pool_of[r] == p]
        tiers = sorted({self.places[r].server.tier for r in members})
        return [(tier, [r for r in members if self.places[r].server.tier == tier]) for tier in tiers]

    def why_refused(self, attempt: Attempt) -> str:
        members = [self.places[r] for _, members in self.tiers(attempt) for r in members]
        holding = [place for place in members if all(map(place.holds, attempt.branches))]
        if not holding:
            return "too_long"
        accepting = [place for place in holding if place.accepting]
        if not accepting:
            return "no_replica"
        return "queue_full" if all(is_full(place, attempt.job) for place in accepting) else "rate_limited"

    # How a request goes through its stages.

    def called(self, branch: Branch, now_s: float) -> None:
        """A call of an API is answered."""
        self.look(branch.attempt, now_s)

    def expired(self, branch: Branch, now_s: float) -> None:
        """A batch tier has no answer in time: that is the end of the attempt."""
        branch.dropped = True
        self.drop_rest(branch.attempt)
        self.timed_out(branch.attempt, now_s)

    def look(self, attempt: Attempt, now_s: float) -> None:
        """Some of its branches have ended or left: perhaps its stage is over, or all of it."""
        if attempt.gone:
            if not attempt.alive:
                self.timed_out(attempt, attempt.deadline_s)
        elif attempt.stage_is_over:
            self.drop_rest(attempt)
            attempt.close_stage()
            following = attempt.next_stage()
            if following is None:
                self.answered(attempt, *self.seen(attempt, now_s))
            else:
                self.count(attempt, **attempt.stage_tokens)
                self.await_next(attempt, following)

    def count(self, attempt: Attempt, **what: int) -> None:
        """Add to the counts of the pool that it is at; sleep work for contexts is none of its requests."""
        assert attempt.place is not None
        if attempt.job.preparation is None:
            self.counts[self.pool_of[attempt.place]].update(what)

    def drop_rest(self, attempt: Attempt) -> None:
        """What of its stage is still under way is needed no more."""
        assert attempt.place is not None
        for branch in attempt.alive:
            self.places[attempt.place].drop(branch, self.now_s)

    def await_next(self, attempt: Attempt, stage: int) -> None:
        attempt.following = stage
        if not attempt.same_targets[stage]:
            self.forget(attempt, attempt.place)
        self.continued.append(attempt)

    def go_on(self) -> None:
        """The request that has waited for it longest is sent on to its next stage."""
        attempt = self.continued.pop(0)
        assert attempt.following is not None
        self.send_stage(attempt, attempt.following)

    def forget(self, attempt: Attempt, r: int | None) -> None:
        """Nobody will go on from what this request has left there."""
        place = None if r is None else self.places[r]
        if isinstance(place, Replica):
            place.cache.forget(attempt.job.number)

    def seen(self, attempt: Attempt, now_s: float) -> tuple[float, float]:
        """When its client sees first and last token: the server's front end is later than the steps say."""
        assert attempt.place is not None
        assert attempt.first_token_s is not None
        place, first_s = self.places[attempt.place], attempt.first_token_s
        if isinstance(place, Api):
            return first_s, now_s
        law, tpot_s = place.server.step_time, (now_s - first_s) / max(attempt.path_tokens - 1, 1)
        later_s = law.front_end_s + law.front_end_steps * tpot_s
        return first_s + later_s, now_s + later_s

    # What clients see, and do.

    def answered(self, attempt: Attempt, first_token_s: float, finish_s: float) -> None:
        """An attempt is done; if its client would see that too late, he will have gone at his deadline."""
        if not self.exact_ties and abs(finish_s - attempt.deadline_s) < 1e-10:
            raise NearTie
        if finish_s > attempt.deadline_s:
            self.timed_out(attempt, attempt.deadline_s)
        else:
            attempt.job.first_token_s = first_token_s
            self.chooser.learn(attempt)
            self.count(attempt, **attempt.stage_tokens, completed=1)
            self.over(attempt, "completed", finish_s)

    def give_up(self, attempt: Attempt) -> None:
        """Its client goes; what is under way at a replica goes on for nobody to the end of its step."""
        attempt.gone = True
        if attempt in self.continued:
            self.continued.remove(attempt)
        assert attempt.place is not None
        place = self.places[attempt.place]
        for branch in attempt.alive:
            place.abandon(branch, self.now_s)
        if not attempt.alive:
            self.timed_out(attempt, self.now_s)
        if isinstance(place, Replica):
            self.switch_off(place)

    def timed_out(self, attempt: Attempt, seen_s: float) -> None:
        """The place is done with an attempt whose client has gone at `seen_s`, or will have."""
        for branch in attempt.branches if attempt.following is None else ():
            branch.line = "timed_out"
        self.over(attempt, "timed_out", seen_s)

    def over(self, attempt: Attempt, status: str, seen_s: float) -> None:
        """An attempt has come to an end that its client sees at `seen_s`: he tries again, or lives with it.

        He does nothing more before the place is done with it, which is now.
        """
        job = attempt.job
        self.forget(attempt, attempt.place)
        stream, job.awaited = self.streams[job.stream], None
        outcome = "rejected" if status in REJECTED else status
        if outcome in stream.retry_on and job.retries < stream.retries and status != "too_long":
            job.retries += 1
            job.resend_s = max(seen_s + backoff_s(stream, job.number, job.retries), self.now_s)
            return
        job.status, job.finish_s = status, seen_s
        if job.preparation is not None:
            self.contexts.end(job, status == "completed", self.now_s)
        if job.loop is not None:
            loop = self.loops[job.loop]
            pause_s = REFUSED_PAUSE_S if outcome == "rejected" else 0.0
            loop.sends_s.append(max(seen_s + pause_s + loop.think_time_s, self.now_s))

    # What the control plane does.

    def control(self) -> None:
        """Apply the next control event, if it makes sense as things are."""
        _, verb, target, value = self.events.pop(0)
        if verb == "prepare":
            self.prepare(self.preparations[target])
        elif verb == "mu":
            self.routes[target].mu = value
        elif verb in ("price", "rates", "close_api"):
            for p, place in zip(self.pool_of, self.places, strict=True):
                if p == target:
                    tell(place, verb, value, self.now_s)
        elif self.makes_sense(verb, target):
            for rank in self.ranks(target):
                getattr(self, verb)(rank, value)

    def makes_sense(self, verb: str, r: int) -> bool:
        """Whether the server of replica r can do that now."""
        life = self.ranks(r)[0].life
        return {
            "start": life in (OFF, DOWN),
            "open": life != OPEN,
            "drain": life in (OPEN, STARTING),
            "hold": life == OFF,
            "lose": True,
        }[verb]

    def ranks(self, r: int) -> list[Replica]:
        """The ranks of the server that replica r belongs to."""
        first = self.pool_of.index(self.pool_of[r])
        many = self.pools[self.pool_of[r]].ranks_per_server
        begin = first + (r - first) // many * many
        return [place for place in self.places[begin : begin + many] if isinstance(place, Replica)]

    def start(self, replica: Replica, hold: float) -> None:
        replica.live(STARTING, self.now_s)
        replica.holding = bool(hold)

    def open(self, replica: Replica, _: float) -> None:
        replica.live(OPEN, self.now_s)
        replica.holding = False
        replica.wake(self.now_s)

    def drain(self, replica: Replica, _: float) -> None:
        """Closed to new requests, it ends what it has; one that never opened sends away what it held."""
        replica.live(DRAINING if replica.life == OPEN else OFF, self.now_s)
        replica.holding = False
        if replica.life == OFF:
            self.send_away(replica)
        self.switch_off(replica)

    def hold(self, replica: Replica, on: float) -> None:
        replica.holding = bool(on)
        if not on:
            self.send_away(replica)

    def lose(self, replica: Replica, down: float) -> None:
        """All that is there is lost, the step under way included."""
        replica.live(DOWN if down else OFF, self.now_s)
        replica.holding = False
        self.send_away(replica)

    def send_away(self, replica: Replica) -> None:
        """Everything is taken off at once; then requests are sent again one after the other, or have failed."""
        lost: list[Attempt] = []
        for branch in replica.clear():
            lost += [branch.attempt] if branch.attempt not in lost else []
        for attempt in lost:
            for branch in attempt.branches:
                branch.line = "lost_work"
                branch.dropped = True
        for attempt in sorted(lost, key=lambda attempt: attempt.job.number):
            if attempt.gone:
                self.timed_out(attempt, attempt.deadline_s)
            elif self.streams[attempt.job.stream].resend_lost:
                attempt.job.sendings += 1
                self.send_stage(attempt, attempt.stage)
            else:
                self.over(attempt, "failed", self.now_s)

    def prepare(self, work: Preparation) -> None:
        """Send sleep work for a context, unless the same is under way."""
        now = self.contexts.of(work.context)
        if now.state == "preparing" and now.version == work.version:
            return
        job = Job(self.now_s, work.prompt_tokens, work.output_tokens, SLEEP, stream=len(self.streams) - 1)
        job.strategy, job.key, job.context = work.strategy, work.key, (work.context, work.version)
        job.api_luck = normal(work.key, 0, 0, API_FIRST), normal(work.key, 0, 0, API_SPEED)
        job.prefix_tokens = job.keep_tokens = work.prompt_tokens
        job.preparation, job.number = work.context, FIRST_JOB + len(self.jobs_sent)
        self.contexts.begin(work)
        self.jobs_sent.append(job)
        self.send(job)

    def switch_off(self, replica: Replica) -> None:
        """A server whose ranks have all drained is no longer paid."""
        if replica.life != DRAINING:
            return
        ranks = self.ranks(next(r for r, place in enumerate(self.places) if place is replica))
        if all(rank.life in (OFF, DOWN) or (rank.life == DRAINING and not rank.everything) for rank in ranks):
            for rank in ranks:
                rank.live(OFF if rank.life == DRAINING else rank.life, self.now_s)


def tell(place: Place, verb: str, value: float, now_s: float) -> None:
    """A new price of a replica's second, other prices of an API, an API closed or open."""
    if isinstance(place, Replica):
        place.charge(now_s)
        place.usd_per_s = value
    elif verb == "rates":
        place.window = int(value)
    else:
        place.accepting = 0 if value else 1


def is_full(place: Place, job: Job) -> bool:
    return place.load(job.priority) >= place.server.max_outstanding


def spills(place: Place, job: Job) -> bool:
    return place.load(job.priority) >= place.server.spill_at
