"""What an engine writes down: every step, and every job."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Event", "JobRecord", "StepRecord"]


class StepRecord(NamedTuple):
    """A step: when it began, how long it took, its decode rows with the KV they read (each new token counted), the
    prompt tokens read beside them in so many slices, and pairs of a prompt token with itself or one before it."""

    begin_s: float
    seconds: float
    decode_rows: int
    kv_tokens: int
    prompt_tokens: int
    pairs: int
    slices: int = 0


class JobRecord(NamedTuple):
    """A job that is over, in seconds of the engine's clock: `status` is "completed" or "cancelled".

    `tokens` are those of its output, the one that stopped it among them, and `logprobs` their log-probabilities at
    temperature 1. Of its prompt, `cached_tokens` were taken over from another job when it first began. What did not
    come to pass is NaN.
    """

    job_id: int
    arrival_s: float
    scheduled_s: float
    first_token_s: float
    finish_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    preemptions: int
    priority: int
    status: str

    @property
    def ttft_s(self) -> float:
        return self.first_token_s - self.arrival_s

    @property
    def tpot_s(self) -> float:
        """Seconds a token after the first; NaN where there is none."""
        after = self.output_tokens - 1
        return (self.finish_s - self.first_token_s) / after if after > 0 else float("nan")

    @property
    def e2e_s(self) -> float:
        return self.finish_s - self.arrival_s


class Event(NamedTuple):
    """A job has one more token; `record` tells that it was the last."""

    job_id: int
    token: int
    logprob: float
    record: JobRecord | None
