"""One row for each request that was sent, in the layout of a simulation's `requests.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.engine.state import NONE
from sim.lab.client.answer import Answer
from sim.lab.replay.dispatch import Sent
from sim.lab.replay.plan import Plan
from sim.rows import STATUSES, request_schema
from sim.workload.blocks import PRIORITIES, Floats

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["ERRORS", "made_rows", "replay_schema", "status_of"]

ERRORS = {
    "timeout": "no whole answer in time",
    "cancelled": "outstanding when the replay was interrupted",
    "refused_connection": "the server took no connection",
    "broken_stream": "the answer broke off",
    "server_error": "the server reported an error within the answer",
    "client_limit": "this machine may open no more connections",
}
"""Kinds of errors in words, beside those of HTTP such as `http_500`."""

_STATUSES = {
    None: "completed",
    "timeout": "timed_out",
    "cancelled": "unfinished",
    "http_429": "rejected_rate_limited",
    "http_503": "rejected_queue_full",
}
_TOO_LONG = ("context length", "context_length", "maximum context", "context window", "too long")


def status_of(answer: Answer) -> str:
    """How a request ended, in the words of a simulation."""
    if answer.error in ("http_400", "http_413", "http_422") and _is_too_long(answer.detail):
        return "rejected_too_long"
    return _STATUSES.get(answer.error, "failed")


def _is_too_long(detail: str) -> bool:
    return any(words in detail.casefold() for words in _TOO_LONG)


def made_rows(
    plan: Plan, sent: Sequence[Sent], streams: Sequence[str], begin_s: float, pool: str | None
) -> pd.DataFrame:
    """A row for each request, in the order of the plan.

    Times count from when the request was due. First and last token are the first and last piece of the answer that
    holds text; of an answer without any, its end. Times between tokens are those between pieces. What an answer
    does not have, such as a time per token of one that came in one piece, is null.
    """
    import pandas as pd

    block, numbers = plan.block, np.array([one.planned.number for one in sent], np.int64)
    answers = [one.answer for one in sent]
    due_s = np.array([one.due_s for one in sent])
    status = np.array([status_of(answer) for answer in answers], object)
    counted = np.array([answer.output_tokens is None for answer in answers], bool)
    output_tokens = np.array([_output_tokens(answer) for answer in answers], np.int64)
    first_s, last_s = _instants(answers, _first_s), _instants(answers, _last_s)
    done = status == "completed"
    decoded = done & (output_tokens > 1) & np.array([len(answer.pieces_s) > 1 for answer in answers], bool)
    gaps_s = [np.diff(np.frombuffer(answer.pieces_s)) for answer in answers]
    rows = len(sent)
    return pd.DataFrame(
        {
            "replication": np.zeros(rows, np.int64),
            "request_id": numbers,
            "stream": _named(block.stream[numbers], streams),
            "context_id": _known(block.context_id[numbers], NONE),
            "arrival_s": due_s - begin_s,
            "strategy": _all("direct", rows),
            "pool": _all(pool, rows),
            "replica": _known(np.full(rows, NONE), NONE),
            "status": pd.Categorical(status, categories=list(STATUSES)),
            "prompt_tokens": _prompt_tokens(answers, block.prompt_tokens[numbers]),
            "cached_tokens": _known(_counts(answers, "cached_tokens"), NONE),
            "output_tokens": output_tokens,
            "ttft_s": np.where(np.isnan(first_s), np.nan, first_s - due_s),
            "tpot_s": np.where(decoded, (last_s - first_s) / np.maximum(output_tokens - 1, 1), np.nan),
            "e2e_s": np.where(done, last_s - due_s, np.nan),
            "correct": pd.array([None] * rows, dtype="boolean"),
            "p_correct": np.full(rows, np.nan),
            "prepared": np.zeros(rows, bool),
            "cost_usd": np.full(rows, np.nan),
            "priority": _named(block.priority[numbers], PRIORITIES),
            "preemptions": _known(np.full(rows, NONE), NONE),
            "attempts": np.ones(rows, np.int64),
            "steps": _known(np.full(rows, NONE), NONE),
            "itl_mean_s": _over(gaps_s, np.mean),
            "itl_p50_s": _over(gaps_s, np.median),
            "itl_p99_s": _over(gaps_s, lambda gaps: np.quantile(gaps, 0.99)),
            "error": pd.Series([answer.error for answer in answers], dtype="string"),
            "error_detail": pd.Series([answer.detail or None for answer in answers], dtype="string"),
            "dispatch_delay_s": np.array([one.dispatched_s - one.due_s for one in sent]),
            "end_s": _instants(answers, lambda answer: answer.end_s) - begin_s,
            "pieces": np.array([len(answer.pieces_s) for answer in answers], np.int64),
            "tokens_are_counted": counted,
            "planned_prompt_tokens": block.prompt_tokens[numbers],
            "planned_output_tokens": block.output_tokens[numbers],
        }
    )


def replay_schema() -> pa.Schema:
    """Types of the columns of a replay's `requests.parquet`: those of a simulation's, and its own."""
    import pyarrow as pa

    own = {
        **dict.fromkeys(("itl_mean_s", "itl_p50_s", "itl_p99_s"), pa.float64()),
        **dict.fromkeys(("error", "error_detail"), pa.string()),
        **dict.fromkeys(("dispatch_delay_s", "end_s"), pa.float64()),
        "pieces": pa.int64(),
        "tokens_are_counted": pa.bool_(),
        **dict.fromkeys(("planned_prompt_tokens", "planned_output_tokens"), pa.int64()),
    }
    return pa.schema([*request_schema(), *own.items()])


def _first_s(answer: Answer) -> float | None:
    if answer.pieces_s:
        return answer.pieces_s[0]
    return answer.end_s if answer.error is None else None


def _last_s(answer: Answer) -> float | None:
    return answer.pieces_s[-1] if answer.pieces_s else answer.end_s


def _output_tokens(answer: Answer) -> int:
    return answer.pieces if answer.output_tokens is None else answer.output_tokens


def _prompt_tokens(answers: Sequence[Answer], planned: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As the server counts them, else as planned."""
    counted = _counts(answers, "prompt_tokens")
    return np.where(counted == NONE, planned, counted)


def _counts(answers: Sequence[Answer], name: str) -> np.ndarray[Any, Any]:
    return np.array([NONE if (count := getattr(answer, name)) is None else count for answer in answers], np.int64)


def _instants(answers: Sequence[Answer], of: Callable[[Answer], float | None]) -> Floats:
    return np.array([np.nan if (instant := of(answer)) is None else instant for answer in answers])


def _over(gaps_s: Sequence[Floats], figure: Callable[[Floats], Any]) -> Floats:
    return np.array([float(figure(gaps)) if gaps.size else np.nan for gaps in gaps_s])


def _named(codes: Any, names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.Categorical(np.asarray(names, dtype=object)[codes], categories=list(names))


def _known(values: np.ndarray[Any, Any], nothing: int) -> Any:
    import pandas as pd

    return pd.arrays.IntegerArray(values.astype(np.int64), values == nothing)


def _all(text: str | None, rows: int) -> pd.Series[str]:
    import pandas as pd

    return pd.Series([text] * rows, dtype="string")
