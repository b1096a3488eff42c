"""An API endpoint, said plainly: no batch and no memory of ours, but times of its own, rate limits and a price list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, floor, inf

from tests.oracle import NO_LIMIT, SLEEP, Branch, NearTie
from tests.oracle_luck import API_FIRST, API_SPEED, normal

Timer = tuple[float, int, int, Callable[[], None]]
"""When, whose (the request's number), which first of one request's at one time, and what happens."""
DEADLINE, RESENDING = 1 << 40, 1 + (1 << 40)
"""They come after the calls of a request at one time, which go by their index."""


@dataclass(frozen=True)
class Endpoint:
    """An API's settings. A request's two normal numbers say how slow it is there: first token, then each token."""

    ttft_median_s: float = 0.5
    ttft_sigma: float = 0.0
    tokens_per_s_median: float = 64.0
    tokens_per_s_sigma: float = 0.0
    batch_window_s: float = 0.0
    """Of a batch tier: answers come whole at what is else the first token, or not at all if that is later than this."""
    cached_share: float = 0.0
    bill_by: str = "arrival"
    """Which moment's prices count: arrival | start | completion."""
    usd_per_token: tuple[tuple[float, float, float], ...] = ((1.0, 1.0, 1.0),)
    """Input, cached input and output, by tariff window."""
    requests_per_minute: float = inf
    tokens_per_minute: float = inf
    burst_s: float = 60.0
    waits: bool = False
    """Above its rate limits it queues requests instead of refusing them."""
    max_model_len: int = NO_LIMIT
    tier: int = 1
    spill_at: int = NO_LIMIT
    max_outstanding: int = NO_LIMIT


@dataclass(eq=False)
class Call:
    """A branch at an API."""

    branch: Branch
    window: int
    """Tariff window whose prices count."""
    start_s: float
    first_s: float
    end_s: float
    token_s: float
    expires: bool
    begun: bool = False

    def output_tokens(self, now_s: float) -> int:
        """Output tokens that have come by now."""
        times_s = [self.first_s + i * self.token_s for i in range(self.branch.output_tokens)]
        return sum(time_s <= now_s for time_s in times_s)


@dataclass
class Api:
    """Calls queued and running, and the rate limits' memory."""

    server: Endpoint
    finish: Callable[[Branch, float], None]
    """Told of a branch that is answered, and when."""
    expire: Callable[[Branch, float], None]
    """Told of a branch that will not be, and when that is known."""
    accepting: int = 1
    window: int = 0
    calls: list[Call] = field(default_factory=list)
    theoretical_s: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """When the next request, and the next token, would come if all came evenly at the limit (GCRA)."""
    exact_ties: bool = True

    def load(self, priority: int) -> int:
        """Calls, those of sleep work for sleep work only."""
        return sum(call.branch.priority != SLEEP or priority == SLEEP for call in self.calls)

    @property
    def outstanding(self) -> int:
        return self.load(0)

    @property
    def asleep(self) -> int:
        return len(self.calls) - self.outstanding

    def affinity(self, branch: Branch) -> int:
        return 0

    def holds(self, branch: Branch) -> bool:
        return branch.tokens <= self.server.max_model_len

    def has_room(self, branch: Branch, now_s: float) -> bool:
        return self.server.waits or self.wait_s(branch, now_s) == 0.0

    def increments_s(self, branch: Branch) -> tuple[float, float]:
        return 60.0 / self.server.requests_per_minute, branch.tokens * 60.0 / self.server.tokens_per_minute

    def wait_s(self, branch: Branch, now_s: float) -> float:
        """Seconds until both limits have room: each lets `burst_s` come at once, and then no more than its rate.

        What is larger than the burst waits until all of it is there.
        """
        waits_s = [0.0]
        for theoretical_s, increment_s in zip(self.theoretical_s, self.increments_s(branch), strict=True):
            over_s = max(theoretical_s, now_s) - now_s + min(increment_s, self.server.burst_s) - self.server.burst_s
            if not self.exact_ties and abs(over_s) < 1e-10 and theoretical_s > now_s:
                raise NearTie
            waits_s.append(over_s)
        return max(waits_s)

    def receive(self, branches: Sequence[Branch], now_s: float) -> None:
        """Every branch of a stage is a call with the whole prompt; only the first was asked whether there is room."""
        for branch in branches:
            self.call(branch, now_s)

    def call(self, branch: Branch, now_s: float) -> None:
        server = self.server
        start_s = now_s + self.wait_s(branch, now_s)
        if start_s <= branch.attempt.deadline_s:
            for limit, increment_s in enumerate(self.increments_s(branch)):
                self.theoretical_s[limit] = max(self.theoretical_s[limit], start_s) + increment_s
        first_luck, token_luck = luck_of(branch)
        token_s = 1.0 / (server.tokens_per_s_median * exp(server.tokens_per_s_sigma * token_luck))
        first_s = start_s + server.ttft_median_s * exp(server.ttft_sigma * first_luck)
        end_s, expires = first_s + (branch.output_tokens - 1) * token_s, False
        if server.batch_window_s:
            expires = first_s > start_s + server.batch_window_s
            first_s = end_s = min(first_s, start_s + server.batch_window_s)
        branch.is_call, branch.cached_tokens = True, floor(server.cached_share * branch.prompt_tokens)
        self.calls.append(Call(branch, self.window, start_s, first_s, end_s, token_s, expires))

    def timers(self) -> list[Timer]:
        """The start of those that wait, the end of those that run."""
        return [
            (call.end_s if call.begun else call.start_s, *call.branch.order, lambda call=call: self.go_on(call))
            for call in self.calls
        ]

    def go_on(self, call: Call) -> None:
        if not call.begun:
            call.begun = True
            if self.server.bill_by == "start":
                call.window = self.window
            return
        self.calls.remove(call)
        if call.expires:
            self.expire(call.branch, call.end_s)
        else:
            call.branch.produced, call.branch.first_token_s = call.branch.output_tokens, call.first_s
            self.bill(call, call.branch.produced)
            call.branch.end_s = call.end_s
            self.finish(call.branch, call.end_s)

    def abandon(self, branch: Branch, now_s: float) -> None:
        """Nobody waits for it and it stops: what it has read and said is billed; if it has not begun, nothing."""
        call = next(call for call in self.calls if call.branch is branch)
        self.bill_so_far(call, now_s)
        self.calls.remove(call)
        branch.dropped = True

    drop = abandon

    def bill_so_far(self, call: Call, now_s: float) -> None:
        """Bill a call that has no answer yet; a batch without an answer costs nothing."""
        if call.begun and not self.server.batch_window_s:
            self.refuse_near_tie(call, now_s)
            call.branch.produced = call.output_tokens(now_s)
            if call.branch.produced:
                call.branch.first_token_s = call.first_s
            self.bill(call, call.branch.produced)

    def bill(self, call: Call, output_tokens: int) -> None:
        """Prompt and output at the prices of the window that counts; part of the prompt is cached."""
        if self.server.bill_by == "completion":
            call.window = self.window
        prompt_tokens = call.branch.prompt_tokens
        cached_tokens = floor(self.server.cached_share * prompt_tokens)
        fresh_usd, cached_usd, output_usd = self.server.usd_per_token[call.window]
        call.branch.cost = (
            (prompt_tokens - cached_tokens) * fresh_usd + cached_tokens * cached_usd + output_tokens * output_usd
        )

    def refuse_near_tie(self, call: Call, now_s: float) -> None:
        """A token at the very time its client goes is made or not by rounding."""
        times_s = [call.first_s + i * call.token_s for i in range(call.branch.output_tokens)]
        if not self.exact_ties and any(abs(time_s - now_s) < 1e-10 for time_s in times_s):
            raise NearTie


def luck_of(branch: Branch) -> tuple[float, float]:
    """Two normal numbers that say how slow a call is: the request's own for its first branch, else the branch's."""
    if branch.attempt.stage == branch.index == 0:
        return branch.job.api_luck
    key, stage = branch.job.key, branch.attempt.stage
    return normal(key, stage, branch.index, API_FIRST), normal(key, stage, branch.index, API_SPEED)
