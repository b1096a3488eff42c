"""What the data plane is built from: pools, streams, closed-loop clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol

import numpy as np

from sim.engine import state as st
from sim.steptime import StepTime

__all__ = [
    "DIRECT_SPEC",
    "ApiSpec",
    "ClientSpec",
    "Corpus",
    "Options",
    "PoolSpec",
    "RouteSpec",
    "Scored",
    "StageSpec",
    "StepSpec",
    "StrategySpec",
    "StreamSpec",
    "undecided",
]


@dataclass(frozen=True)
class PoolSpec:
    """Equal replicas, and what one of them costs."""

    replicas: int
    step_time: StepTime
    kv_capacity_tokens: int
    usd_per_replica_hour: float
    scheduler: int = st.CHUNKED
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = st.NO_LIMIT
    """Most tokens of prompt and output together."""
    always_paid: bool = True
    """Reserved capacity is paid whether it is switched on or not."""
    ranks: int = 1
    """Replicas, one after the other, that are one server: paid for until all of them are done."""
    tier: int = 0
    """Pools of a lower tier are tried first."""
    spill_at: int = st.NO_LIMIT
    """Requests of a replica from which the next tier is tried."""
    max_outstanding: int = st.NO_LIMIT
    """Most requests of a replica, running and waiting."""
    windows: int = 1
    """Tariff windows its price knows."""
    prefix_cache: bool = True
    """Whether what requests on a context have read is kept for later ones."""
    sleep_slowdown: float = 0.0
    """Share by which sleep work may lengthen a step that other requests are in."""
    sleep_step_tokens: int = st.NO_LIMIT
    """Most tokens in a step of sleep work alone."""


@dataclass(frozen=True)
class ApiSpec:
    """An API: lognormal latencies, rate limits, and a price for tokens."""

    rates_usd_per_token: st.Floats
    """Of each tariff window: fresh prompt tokens, cached ones, output tokens; [W, 3]."""
    ttft_median_s: float
    ttft_sigma: float = 0.0
    tokens_per_s_median: float = inf
    tokens_per_s_sigma: float = 0.0
    batch_window_s: float = 0.0
    """Completion window of a batch tier, whose answers come whole after the time to first token; 0: it streams."""
    cached_share: float = 0.0
    """Share of each prompt that is billed as cached."""
    bill_by: int = st.BILL_ARRIVAL
    requests_per_minute: float = inf
    tokens_per_minute: float = inf
    burst_s: float = 60.0
    """How far ahead of an even flow the limits may be used up."""
    waits: bool = False
    """Beyond its limits requests queue; otherwise they are refused."""
    max_model_len: int = st.NO_LIMIT
    tier: int = 1
    spill_at: int = st.NO_LIMIT
    max_outstanding: int = st.NO_LIMIT

    @property
    def replicas(self) -> int:
        """To the engine an API is one replica without steps."""
        return 1

    @property
    def windows(self) -> int:
        """Tariff windows."""
        return int(self.rates_usd_per_token.shape[0])


@dataclass(frozen=True)
class StreamSpec:
    """What a stream is promised, in seconds, infinity where nothing is; and what its clients do."""

    ttft_slo_s: float = inf
    tpot_slo_s: float = inf
    e2e_slo_s: float = inf
    timeout_s: float = inf
    """How long a client waits for the answer to one attempt."""
    retries: int = 0
    backoff_s: float = 0.0
    backoff_factor: float = 1.0
    backoff_max_s: float = inf
    jitter: float = 0.0
    """Largest share of a back-off that chance takes off it."""
    retry_rejected: bool = True
    retry_timed_out: bool = True
    retry_failed: bool = True
    resend_lost: bool = True
    """What is lost with its replica is sent to another at once, unnoticed by the client."""


@dataclass(frozen=True)
class StageSpec:
    """Branches that run side by side on one replica: `groups` prompts, each answered `per_group` times."""

    step: int = 0
    """The step it belongs to."""
    groups: int = 1
    per_group: int = 1
    extends: bool = False
    """The prompt of group g is the question and all that branch g of the stage before was given and has answered."""
    apart: bool = False
    """It begins with something else, so that nothing of that is found in the KV of the stage before."""
    prompt_tokens: int = 0
    """What is added to each prompt."""
    tokens_factor: float = 1.0
    """Mean length of a branch, as a multiple of the step's tokens."""
    sigma: float = 0.0
    """Spread of lengths: standard deviation of their logarithm."""
    most_tokens: int = st.NO_LIMIT
    """Longest branch."""
    wait_for: int = st.NO_LIMIT
    """Branches that end the stage; all where there are fewer."""
    agree: int = 0
    """Equal answers that end the stage; 0: it does not look at them."""

    @property
    def branches(self) -> int:
        """Branches in all."""
        return self.groups * self.per_group


@dataclass(frozen=True)
class StepSpec:
    """How the answer of a step comes about: as one, or as the plurality of the last stage's samples."""

    vote: bool = False
    wrong_answers: int = 1
    """Different wrong answers that samples may give."""
    skew: float = 1.0
    """How unevenly: the number of a wrong answer is floor(wrong_answers * v ** skew) with uniform v."""
    blank_share: float = 0.0
    """Share of the samples that are not right which give no answer at all."""
    agreement_below: float = 0.0
    """A vote with a smaller share for the winner goes on to the next step."""


@dataclass(frozen=True)
class StrategySpec:
    """A way to answer: stages in turn, by steps; only the last stage of a step gives its answer."""

    stages: Sequence[StageSpec] = field(default=(StageSpec(),))
    steps: Sequence[StepSpec] = field(default=(StepSpec(),))


DIRECT_SPEC = StrategySpec()
"""One branch."""


class Corpus(NamedTuple):
    """What is expected of R questions with each of A strategies, and what really comes of it.

    V is 2 where answers may come from a prepared context (index 1), else 1; strategies have at most K steps.
    """

    p: st.Floats
    """Estimated chance of a right answer, [R, V, A]."""
    tokens: st.Floats
    """Estimated output tokens of all branches, [R, V, A]."""
    path_tokens: st.Floats
    """Of them, those that are written one after another, [R, V, A]."""
    sd: st.Floats
    """Standard deviation of the logarithm of the output tokens, [R, V, A]."""
    output_tokens: st.Integers
    """As in `Scored`, for every strategy: [R, A, V, K]."""
    p_sample: st.Floats
    p_correct: st.Floats
    escalates: st.Integers


class Options(NamedTuple):
    """What the n requests of a block may become: their strategies are chosen when they arrive."""

    corpus: Corpus
    row: st.Integers
    """Row of each request in the corpus, [n]; -1 for those that have their strategy already, as `Scored` says."""


class Scored(NamedTuple):
    """What is known of a block of n requests once each has a strategy, of at most K steps.

    V is 2 where answers may come from a prepared context (index 1), else 1.
    """

    strategy: st.Integers
    """Its index, [n]."""
    output_tokens: st.Integers
    """Tokens of one branch of each step, [n, V, K]."""
    p_sample: st.Floats
    """Chance that one sample is right, [n, V, K]; NaN where quality is not modelled."""
    p_correct: st.Floats
    """Chance that the step's answer is right, [n, V, K]."""
    escalates: st.Integers
    """1 where a cascade goes on after the step, [n, V, K]."""
    options: Options | None = None
    """What each may become when it arrives; `strategy` and the columns above are not looked at where it has a row."""


def undecided(options: Options) -> Scored:
    """What is known of a block whose requests get their strategies when they arrive."""
    no_tokens, no_chances = np.zeros((0, 1, 1), np.int64), np.zeros((0, 1, 1))
    return Scored(np.zeros(0, np.int64), no_tokens, no_chances, no_chances, no_tokens, options)


@dataclass(frozen=True)
class RouteSpec:
    """How the requests of a stream get their strategies where they have options; `router.choose` has the rules."""

    rule: int = st.BY_UTILITY
    strategies: Sequence[int] | None = None
    """Those that they may get; all where nothing is said. Of these only such as have pools for all of their stages."""
    value_usd: float = 0.0
    """Of a right answer."""
    lateness_usd: float | None = None
    """What an answer after the objective costs; as much as a right one is worth where nothing is said."""
    e2e_slo_s: float | None = None
    """Time until the answer that counts for that; the stream's objective where nothing is said."""
    mu: float = 1.0
    """The budget's multiplier of costs."""
    price: bool = True
    """Prices count as they are now; otherwise by their means over time."""
    load: bool = True
    """It counts how busy the replicas are."""
    cheap: int = 0
    """Strategies between which DIFFICULTY and GAIN decide."""
    strong: int = 0
    threshold: float = 0.0
    feedback: float = 1.0
    """Chance that BANDIT learns whether an answer was right."""
    latency_s: float = 0.0
    """What the choice takes: its client has sent a request so much earlier than it comes here."""


class ClientSpec(Protocol):
    """A closed stream: `concurrency` clients, each with one request in flight at a time."""

    @property
    def stream(self) -> int: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def think_time_s(self) -> float: ...
    @property
    def requests(self) -> int: ...
    @property
    def priority(self) -> int: ...
    def draw(self, n: int) -> tuple[st.Integers, st.Integers]: ...
    def draw_keys(self, n: int) -> st.Integers: ...
