"""What is asked of an engine, and the row by which it remembers how far a job is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sim.lab.engine.prefixes import Segment

__all__ = [
    "BLOCK_TOKENS",
    "NOWHERE",
    "SLEEP",
    "EngineSettings",
    "Fault",
    "Job",
    "Row",
    "blocks",
    "job_fault",
    "settings_fault",
]

BLOCK_TOKENS = 16
"""KV memory is given out in blocks of so many tokens."""

SLEEP = 2
"""The class of sleep work, which yields to all others; 0 is interactive, 1 batch."""

NO_LIMIT = 1 << 62
NOWHERE = -1
"""The slot of a row that has none."""


@dataclass(frozen=True)
class EngineSettings:
    """Limits of an engine, with the meaning they have for the simulator's replica.

    `chunked`: every step decodes all rows and reads a slice of prompt in the tokens left; `prefill-first`: whole
    prompts before any decode. `kv_capacity_tokens` is counted in blocks of 16. `sleep_step_tokens` bounds a step in
    which there is nothing but sleep work. With `share` "blocks" a job that goes on from another's prompt
    (`Job.prefix_of`) takes over whole blocks of it, as a paged cache does; with "tokens" all of it but the last
    token, which is then read in the batch of the decodes. Without `logprobs` they are recorded as NaN.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    kv_capacity_tokens: int
    scheduler: Literal["chunked", "prefill-first"] = "chunked"
    sleep_step_tokens: int = NO_LIMIT
    share: Literal["blocks", "tokens"] = "blocks"
    logprobs: bool = True


@dataclass(frozen=True)
class Job:
    """One sequence: a prompt, and how its answer is drawn.

    It ends at a token of `stop`, which is its last, or with `max_tokens`; `fixed_tokens`: with exactly so many,
    whatever they are.
    Before `min_tokens` are out, none of `stop` is drawn. `force` = (b, tokens): after b tokens of output these are
    fed as if they had been drawn, unless the last of them was drawn before; so ends a thinking budget. The draws of
    a job depend on its `seed` and on its own tokens alone, never on what else is in the batch; at `temperature` 0
    the likeliest token is taken. `prefix_of`: the job whose prompt KV it takes over, for as many tokens as their
    prompts have in common; it waits until that prompt is read.
    """

    job_id: int
    prompt: tuple[int, ...]
    max_tokens: int = 16
    stop: frozenset[int] = frozenset()
    temperature: float = 0.0
    seed: int = 0
    priority: int = 0
    fixed_tokens: int | None = None
    min_tokens: int = 0
    force: tuple[int, tuple[int, ...]] | None = None
    prefix_of: int | None = None

    @property
    def most_tokens(self) -> int:
        """Tokens of output that it can come to."""
        return self.max_tokens if self.fixed_tokens is None else self.fixed_tokens

    @property
    def family(self) -> int:
        """The job whose prompt it shares; its own where it leads."""
        return self.job_id if self.prefix_of is None else self.prefix_of


@dataclass(eq=False, slots=True)
class Row:
    """How far a job is. `tokens` are those of its prompt and of its output so far; times are the clock's.

    Of a decoding row all tokens but the last are in its KV: `kv_tokens`. Of one that is being read, `prefilled` of
    `target` tokens are, and `chunk` are read in this step. `held` tokens are really there: fewer than `prefilled`
    where a prefix that it took over had to be overwritten; they are then read anew. Its first `common` tokens are
    those of its leader's prompt.
    """

    job: Job
    number: int
    arrival_s: float
    tokens: list[int]
    prompt_tokens: int
    target: int
    logprobs: list[float] = field(default_factory=list)
    produced: int = 0
    prefilled: int = 0
    chunk: int = 0
    held: int = 0
    kv_tokens: int = 0
    admission: int = 0
    own_blocks: int = 0
    shared_blocks: int = 0
    common: int = 0
    segment: Segment | None = None
    slot: int = NOWHERE
    cached_tokens: int | None = None
    scheduled_s: float | None = None
    first_token_s: float | None = None
    preemptions: int = 0
    status: str = "unfinished"

    @property
    def priority(self) -> int:
        return self.job.priority

    @property
    def family(self) -> int:
        return self.job.family

    @property
    def all_blocks(self) -> int:
        """Blocks that its tokens take, those it shares with others among them."""
        return blocks(max(self.kv_tokens, self.target))

    @property
    def in_place(self) -> int:
        """Tokens whose KV is in its slot."""
        return self.kv_tokens or self.held

    @property
    def in_common(self) -> int:
        """Of these, tokens of its leader's prompt."""
        return min(self.in_place, self.common)

    @property
    def reads_to(self) -> int:
        """Tokens that will be in its KV when the slice of this step is read."""
        return self.prefilled + self.chunk

    @property
    def unread(self) -> int:
        """Tokens that are read for that."""
        return self.prefilled + self.chunk - self.held


def blocks(tokens: int) -> int:
    """Blocks of KV memory that so many tokens take.

    >>> [blocks(tokens) for tokens in (0, 1, 16, 17)]
    [0, 1, 1, 2]
    """
    return -(-tokens // BLOCK_TOKENS)


Fault = tuple[object, str, str]
"""A value, the rule that it breaks, and the remedy."""


def job_fault(job: Job, settings: EngineSettings, capacity: int, vocab_size: int) -> Fault | None:
    """Why a job can never be served, on rows of `capacity` tokens; None: it can.

    The KV of its last token is never needed, so it may be one token longer than a row.
    """
    tokens = len(job.prompt) + job.most_tokens
    if not job.prompt:
        return "the prompt", "is empty", "give at least one token"
    if job.most_tokens < 1:
        return job.most_tokens, "in max_tokens is not at least 1", "ask for one token or more"
    if tokens - 1 > capacity:
        rule = f"tokens of prompt and output do not fit into a row of {capacity}"
        return tokens, rule, "shorten the prompt or ask for fewer tokens"
    if blocks(tokens - 1) > settings.kv_capacity_tokens // BLOCK_TOKENS:
        rule = f"tokens of prompt and output do not fit into the KV memory of {settings.kv_capacity_tokens}"
        return tokens, rule, "shorten the prompt or give the engine more memory"
    if not 0 <= min(job.prompt) <= max(job.prompt) < vocab_size:
        strange = next(token for token in job.prompt if not 0 <= token < vocab_size)
        return strange, f"is no token of a vocabulary of {vocab_size}", "encode the prompt for this model"
    if not 0 <= job.priority <= SLEEP:
        return job.priority, f"is no class of 0 to {SLEEP}", "give one of them"
    if not 0.0 <= job.temperature < float("inf"):
        return job.temperature, "is no temperature", "give zero or more"
    return None


def settings_fault(settings: EngineSettings, slots: int) -> Fault | None:
    """Why an engine cannot run so on a decoder with so many slots; None: it can."""
    if settings.max_num_seqs < 1:
        return settings.max_num_seqs, "in max_num_seqs is not at least 1", "raise it"
    if settings.max_num_seqs >= slots:
        rule = f"rows (max_num_seqs) need a decoder with one slot more to move them about, not {slots}"
        return settings.max_num_seqs, rule, "open the decoder with more slots, or lower max_num_seqs"
    if settings.max_num_batched_tokens < 1:
        return settings.max_num_batched_tokens, "in max_num_batched_tokens is not at least 1", "raise it"
    if settings.kv_capacity_tokens < BLOCK_TOKENS:
        return settings.kv_capacity_tokens, f"KV tokens are less than a block of {BLOCK_TOKENS}", "raise it"
    if settings.scheduler not in ("chunked", "prefill-first"):
        return settings.scheduler, "is no scheduler", "give chunked or prefill-first"
    return None
