"""A server that looks its step times up in the measured table: the reference for what a fitted law makes of it.

Steps are formed by the engine's rules for chunked prefill, said again without it: every decode row gets a token, and
prompts fill the tokens left, first come first served. A step takes what the table says, interpolated linearly between
measured steps:

    decode rows alone   by rows and by KV tokens a row
    prompts alone       by prompt tokens and by tokens that each attends to
    both                the decode rows' time alone, and what the prompts add to it, by rows, by KV tokens a row and by
                        tokens in the step; more where the prompts attend to more than fresh ones do
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, concat

from sim.errors import InputError
from sim.measurements.kinds import StepTable
from sim.steptime import StepTime
from sim.validation.replay import latencies, replay_open_loop
from sim.validation.steps import kind_of_step, with_slices

__all__ = ["poisson_check", "replay_on_table"]

Lookup = Callable[..., float]

_STATISTICS = ("mean", "p50", "p90", "p99")
_BOUNDLESS = 1 << 40


def replay_on_table(
    table: StepTable,
    requests: DataFrame,
    *,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
) -> DataFrame:
    """What one server makes of requests if each of its steps takes what the table says.

    Requests and what is given back are as in `replay_open_loop`. The limits are the table's own unless given: the most
    decode rows alone, the most tokens in a mixed step. KV memory is never short.

    Raises:
        InputError: where a kind of step is missing, or a limit is beyond the table.
    """
    limits = _limits(table, max_num_seqs, max_num_batched_tokens)
    return _served(_Times(table), limits, requests)


def poisson_check(
    table: StepTable,
    step_time: StepTime,
    *,
    loads: Sequence[float] = (0.5, 0.8),
    count: int = 2000,
    seed: int = 0,
) -> DataFrame:
    """Poisson arrivals served from the table itself and by the engine on step times, which were fitted to it.

    A load is the share of what the server does at most, which is found by sending all requests at once. Lengths are
    lognormal, and short enough that no request grows out of the table.
    One row for each load, quantity (`ttft_s`, `tpot_s`, `e2e_s`) and statistic (mean, p50, p90, p99), with columns
    `load`, `requests_per_s`, `quantity`, `statistic`, `measured_s`, `predicted_s` and `error` (relative).

    Raises:
        InputError: where the table cannot be fitted or replayed.
    """
    times, limits = _Times(table), _limits(table)
    requests = _lognormal_requests(times.longest, count, seed)
    at_once = _served(times, limits, requests.assign(arrival_s=0.0))
    most_per_s = count / float(at_once.e2e_s.max())
    checks = [_compared(times, limits, step_time, requests, load, most_per_s) for load in loads]
    return concat(checks, ignore_index=True)


def _compared(
    times: _Times, limits: _Limits, law: StepTime, requests: DataFrame, load: float, most_per_s: float
) -> DataFrame:
    """Statistics at one load; the arrivals given are at one a second."""
    rate = load * most_per_s
    arriving = requests.assign(arrival_s=requests.arrival_s / rate)
    measured = _statistics(_served(times, limits, arriving))
    served = replay_open_loop(
        arriving,
        law,
        replicas=1,
        kv_capacity_tokens=_BOUNDLESS,
        max_num_seqs=limits.rows,
        max_num_batched_tokens=limits.tokens,
    )
    both = measured.assign(predicted_s=_statistics(served).measured_s, load=load, requests_per_s=rate)
    both["error"] = both.predicted_s / both.measured_s - 1.0
    return both[["load", "requests_per_s", "quantity", "statistic", "measured_s", "predicted_s", "error"]]


def _statistics(served: DataFrame) -> DataFrame:
    rows = []
    for quantity in ("ttft_s", "tpot_s", "e2e_s"):
        values = served[quantity].dropna()
        figures = [values.mean(), *values.quantile([0.5, 0.9, 0.99])]
        rows += [(quantity, name, figure) for name, figure in zip(_STATISTICS, figures, strict=True)]
    return DataFrame(rows, columns=["quantity", "statistic", "measured_s"])


def _lognormal_requests(longest: int, count: int, seed: int) -> DataFrame:
    """Arrivals at one a second; prompts of about a tenth of the longest context, outputs of about a twenty-fifth."""
    rng = np.random.default_rng(seed)
    prompt = longest / 10 * rng.lognormal(0.0, 0.8, count)
    output = longest / 25 * rng.lognormal(0.0, 0.7, count)
    return DataFrame(
        {
            "arrival_s": rng.standard_exponential(count).cumsum(),
            "prompt_tokens": np.clip(np.rint(prompt), 1, longest // 2).astype(np.int64),
            "output_tokens": np.clip(np.rint(output), 1, longest // 4).astype(np.int64),
        }
    )


@dataclass(frozen=True)
class _Limits:
    """Most decode rows, and most tokens in a step."""

    rows: int
    tokens: int


def _limits(table: StepTable, rows: int | None = None, tokens: int | None = None) -> _Limits:
    steps = _by_kind(table)
    mixed = steps["mixed"]
    most_rows = int(steps["decode"].decode_rows.max())
    most_tokens = int((mixed.decode_rows + mixed.prompt_tokens).max())
    for given, most, what in ((rows, most_rows, "decode rows"), (tokens, most_tokens, "tokens in a step")):
        if given is not None and not 1 <= given <= most:
            raise InputError(given, f"is beyond the {most} {what} of {table.source}", f"give 1 to {most}")
    return _Limits(rows or most_rows, tokens or most_tokens)


def _by_kind(table: StepTable) -> dict[str, DataFrame]:
    rows = with_slices(table.rows)
    single = rows.loc[rows.slices <= 1]
    steps = {str(kind): mine for kind, mine in single.groupby(kind_of_step(single))}
    for kind, what in (("decode", "decode rows alone"), ("prefill", "prompts alone"), ("mixed", "both")):
        if kind not in steps:
            remedy = f"add steps of {what}; without them only single steps can be compared"
            raise InputError(table.source, f"has no {kind} steps, so no server can be replayed on it", remedy)
    return steps


class _Times:
    """Step times looked up in a table."""

    def __init__(self, table: StepTable) -> None:
        steps = _by_kind(table)
        alone = steps["decode"].assign(kv_per_row=lambda rows: rows.kv_tokens / rows.decode_rows)
        pure = steps["prefill"].assign(attended=lambda rows: rows.pairs / rows.prompt_tokens)
        mixed = steps["mixed"].assign(kv_per_row=lambda rows: rows.kv_tokens / rows.decode_rows)
        self.longest = int(alone.kv_per_row.max())
        """Tokens of the longest context measured."""
        self._rows_s = _lookup(alone, ["decode_rows", "kv_per_row"], "step_s")
        self._prompts_s = _lookup(pure, ["prompt_tokens", "attended"], "step_s")
        alone_s = np.array([self._rows_s(*at) for at in zip(mixed.decode_rows, mixed.kv_per_row, strict=True)])
        older_s = np.array([self._older_s(*at) for at in zip(mixed.prompt_tokens, mixed.pairs, strict=True)])
        mixed = mixed.assign(tokens=mixed.decode_rows + mixed.prompt_tokens, added_s=mixed.step_s - alone_s - older_s)
        self._added_s = _lookup(mixed, ["decode_rows", "kv_per_row", "tokens"], "added_s")

    def step_s(self, rows: int, kv_tokens: int, prompt_tokens: int, pairs: float) -> float:
        """Seconds of a step of at least one decode row or prompt token."""
        if prompt_tokens == 0:
            return self._rows_s(rows, kv_tokens / rows)
        if rows == 0:
            return self._prompts_s(prompt_tokens, pairs / prompt_tokens)
        kv_per_row = kv_tokens / rows
        added_s = self._added_s(rows, kv_per_row, rows + prompt_tokens) + self._older_s(prompt_tokens, pairs)
        return self._rows_s(rows, kv_per_row) + added_s

    def _older_s(self, prompt_tokens: int, pairs: float) -> float:
        """What prompts take longer alone than one fresh prompt of as many tokens; less than nothing for several."""
        fresh = (prompt_tokens + 1) / 2
        return self._prompts_s(prompt_tokens, pairs / prompt_tokens) - self._prompts_s(prompt_tokens, fresh)


def _lookup(steps: DataFrame, axes: Sequence[str], value: str) -> Lookup:
    """A function of the axes' values, multilinear between measured steps; equal steps count with their mean.

    Beyond the ends of the last axis its line goes on; beyond those of the others their last value holds.
    """
    if len(axes) == 1:
        means = steps.groupby(axes[0])[value].mean()
        return _Line(means.index.to_list(), means.to_list())
    places = np.unique(steps[axes[0]].to_numpy(np.float64)).tolist()
    return _Sheets(places, [_lookup(steps[steps[axes[0]] == at], axes[1:], value) for at in places])


@dataclass(frozen=True)
class _Line:
    """Straight lines between points, going on beyond them."""

    at: list[float]
    values: list[float]

    def __call__(self, x: float) -> float:
        if len(self.at) == 1:
            return self.values[0]
        i = min(max(bisect_right(self.at, x), 1), len(self.at) - 1)
        before, value = self.at[i - 1], self.values[i - 1]
        return value + (self.values[i] - value) * (x - before) / (self.at[i] - before)


@dataclass(frozen=True)
class _Sheets:
    """Functions at points of one more axis, mixed linearly between two of them."""

    at: list[float]
    sheets: list[Lookup]

    def __call__(self, x: float, *rest: float) -> float:
        i = bisect_right(self.at, x)
        if i == 0 or i == len(self.at):
            return self.sheets[max(i - 1, 0)](*rest)
        share = (x - self.at[i - 1]) / (self.at[i] - self.at[i - 1])
        value = self.sheets[i - 1](*rest)
        return value + share * (self.sheets[i](*rest) - value) if share else value


@dataclass
class _Prompt:
    """A request whose prompt is being read."""

    request: int
    tokens: int
    read: int = 0
    slice: int = 0


@dataclass
class _Server:
    """One server of requests given by their lengths, a step at a time."""

    times: _Times
    limits: _Limits
    prompt_tokens: list[int]
    output_tokens: list[int]
    waiting: deque[int] = field(default_factory=deque)
    reading: deque[_Prompt] = field(default_factory=deque)
    rows: list[tuple[int, int]] = field(default_factory=list)
    """(step after which it has all its tokens, request) of each decode row, as a heap."""
    kv_tokens: int = 0
    """Resident, of the decode rows."""
    steps: int = 0

    @property
    def is_idle(self) -> bool:
        return not (self.waiting or self.reading or self.rows)

    def begin_step(self) -> float:
        """Put prompts beside the rows; seconds that the step takes."""
        left = self.limits.tokens - len(self.rows)
        pairs = 0.0
        for prompt in self.reading:
            left, pairs = self._slice(prompt, left, pairs)
        while self.waiting and left > 0 and len(self.rows) + len(self.reading) < self.limits.rows:
            request = self.waiting.popleft()
            self.reading.append(_Prompt(request, self.prompt_tokens[request]))
            left, pairs = self._slice(self.reading[-1], left, pairs)
        prompt_tokens = self.limits.tokens - len(self.rows) - left
        return self.times.step_s(len(self.rows), self.kv_tokens + len(self.rows), prompt_tokens, pairs)

    def _slice(self, prompt: _Prompt, left: int, pairs: float) -> tuple[int, float]:
        prompt.slice = min(prompt.tokens - prompt.read, left)
        return left - prompt.slice, pairs + prompt.slice * (prompt.read + (prompt.slice + 1) / 2)

    def end_step(self) -> tuple[list[int], list[int]]:
        """Requests that have their first token, and those that have their last."""
        self.steps += 1
        self.kv_tokens += len(self.rows)
        done = []
        while self.rows and self.rows[0][0] == self.steps:
            done.append(heapq.heappop(self.rows)[1])
            self.kv_tokens -= self.prompt_tokens[done[-1]] + self.output_tokens[done[-1]] - 1
        for prompt in self.reading:
            prompt.read += prompt.slice
        begun = []
        while self.reading and self.reading[0].read == self.reading[0].tokens:
            begun.append(self.reading.popleft().request)
            self._decode(begun[-1])
        return begun, done + [request for request in begun if self.output_tokens[request] == 1]

    def _decode(self, request: int) -> None:
        further = self.output_tokens[request] - 1
        if further:
            heapq.heappush(self.rows, (self.steps + further, request))
            self.kv_tokens += self.prompt_tokens[request]


def _served(times: _Times, limits: _Limits, requests: DataFrame) -> DataFrame:
    return latencies(requests, lambda in_time: _token_times(times, limits, in_time))


def _token_times(
    times: _Times, limits: _Limits, requests: DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each request has its first and its last token, [n] each; requests in order of arrival."""
    arrival_s = requests.arrival_s.to_list()
    server = _Server(times, limits, requests.prompt_tokens.to_list(), requests.output_tokens.to_list())
    first_token_s, finish_s = np.zeros(len(arrival_s)), np.zeros(len(arrival_s))
    now_s, arrived = 0.0, 0
    while arrived < len(arrival_s) or not server.is_idle:
        now_s = max(now_s, arrival_s[arrived]) if server.is_idle else now_s
        while arrived < len(arrival_s) and arrival_s[arrived] <= now_s:
            server.waiting.append(arrived)
            arrived += 1
        now_s += server.begin_step()
        begun, done = server.end_step()
        first_token_s[begun], finish_s[done] = now_s, now_s
    return first_token_s, finish_s
