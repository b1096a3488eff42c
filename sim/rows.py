"""Rows of single requests: spooled to disk while a run goes on, read back as data frames."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.engine import state as st
from sim.engine.meter import bin_edges_s
from sim.errors import InputError
from sim.tally import LATENCIES
from sim.workload.blocks import PRIORITIES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["STATUSES", "RowSpool", "latency_frame", "request_frame", "request_schema"]

STATUSES = (
    "completed",
    "rejected_too_long",
    "rejected_no_replica",
    "unfinished",
    "rejected_queue_full",
    "rejected_rate_limited",
    "timed_out",
    "failed",
)
"""How a request ended, by the engine's status code."""


class RowSpool:
    """Rows of finished requests in a nameless file on disk, so that memory does not grow with them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="nightshift-")  # noqa: SIM115
        self._end = 0
        self._pieces: dict[int, list[tuple[int, int]]] = {}
        self._lock = Lock()

    def add(self, replication: int, rows: st.Records) -> None:
        """Append rows of the engine's ROW type; from any thread.

        Raises:
            InputError: where the disk is full.
        """
        written = rows.tobytes()
        with self._lock:
            self._pieces.setdefault(replication, []).append((self._end, len(written)))
            self._file.seek(self._end)
            self._end += len(written)
            try:
                self._file.write(written)
                self._file.flush()
            except OSError as error:
                remedy = "make room there, or set TMPDIR to a folder that has room"
                rule = f"cannot take rows of requests: {error.strerror or error}"
                raise InputError(tempfile.gettempdir(), rule, remedy) from None

    def chunks(self) -> Iterator[tuple[int, st.Records]]:
        """All rows again: replications in order, each in the order in which its requests ended."""
        for replication, pieces in sorted(self._pieces.items()):
            for begin, size in pieces:
                with self._lock:
                    self._file.seek(begin)
                    read = self._file.read(size)
                yield replication, np.frombuffer(read, st.ROW)


def request_frame(
    replication: int,
    rows: st.Records,
    streams: Sequence[str],
    strategies: Sequence[str],
    replicas: Sequence[tuple[str, int]],
) -> pd.DataFrame:
    """Rows of the engine as the columns of `requests.parquet`; times in seconds, missing where there is none.

    `replicas` names pool and number of each replica, or of each rank of data-parallel ones. Output tokens are
    those asked for, of all branches of the strategy. Nothing says whether an answer is right where quality is not
    modelled.
    """
    import pandas as pd

    done = rows["status"] == st.COMPLETED
    placed = np.where(rows["replica"] == st.NONE, len(replicas), rows["replica"])
    e2e_s = np.where(done, rows["finish_s"] - rows["arrival_s"], np.nan)
    ttft_s = rows["first_token_s"] - rows["arrival_s"]
    # An answer that comes whole, as from a batch API, has no time per token.
    streamed = done & (rows["path_tokens"] > 1) & (e2e_s > ttft_s)
    later_tokens = np.where(streamed, rows["path_tokens"] - 1, 1)
    tpot_s = np.where(streamed, (e2e_s - ttft_s) / later_tokens, np.nan)
    return pd.DataFrame(
        {
            "replication": replication,
            "request_id": rows["request_id"],
            "stream": _named(rows["stream"], streams),
            "context_id": _known(rows["context_id"]),
            "arrival_s": rows["arrival_s"],
            "strategy": _named(rows["strategy"], strategies),
            "pool": pd.Series([*(pool for pool, _ in replicas), None], dtype="string")[placed].to_numpy(),
            "replica": _known(np.array([*(number for _, number in replicas), st.NONE])[placed]),
            "status": _named(rows["status"], STATUSES),
            "prompt_tokens": rows["prompt_tokens"],
            "cached_tokens": rows["cached_tokens"],
            "output_tokens": rows["output_tokens"],
            "ttft_s": ttft_s,
            "tpot_s": tpot_s,
            "e2e_s": e2e_s,
            "correct": pd.arrays.BooleanArray(rows["correct"] == 1, rows["correct"] == st.NONE),
            "p_correct": rows["p_correct"],
            "prepared": rows["prepared"] != 0,
            "cost_usd": rows["cost_usd"],
            "priority": _named(rows["priority"], PRIORITIES),
            "preemptions": rows["preemptions"],
            "attempts": rows["attempts"],
            "steps": rows["steps"],
        }
    )


def latency_frame(histograms: NDArray[np.int64], streams: Sequence[str]) -> pd.DataFrame:
    """Latency histograms [S, 3, bins] as rows of stream, metric, bin and requests: 16 bins an octave, none empty."""
    import pandas as pd

    coarse = histograms.reshape(*histograms.shape[:2], -1, _FINE_BINS).sum(axis=3)
    edges_s = bin_edges_s()[::_FINE_BINS]
    stream, metric, place = np.nonzero(coarse)
    return pd.DataFrame(
        {
            "stream": pd.Series([streams[index] for index in stream.tolist()], dtype="string"),
            "metric": pd.Series([list(LATENCIES)[index] for index in metric.tolist()], dtype="string"),
            "begin_s": edges_s[place],
            "end_s": edges_s[place + 1],
            "requests": coarse[stream, metric, place],
        }
    )


_FINE_BINS = 16
"""Bins of the engine in one of the table."""


def request_schema() -> pa.Schema:
    """Types of the columns of `requests.parquet`."""
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    types = {
        "replication": whole,
        "request_id": whole,
        "stream": text,
        "context_id": whole,
        "arrival_s": number,
        "strategy": text,
        "pool": text,
        "replica": whole,
        "status": text,
        "prompt_tokens": whole,
        "cached_tokens": whole,
        "output_tokens": whole,
        "ttft_s": number,
        "tpot_s": number,
        "e2e_s": number,
        "correct": pa.bool_(),
        "p_correct": number,
        "prepared": pa.bool_(),
        "cost_usd": number,
        "priority": text,
        "preemptions": whole,
        "attempts": whole,
        "steps": whole,
    }
    return pa.schema(list(types.items()))


def _named(codes: Any, names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.Categorical(np.asarray(names, dtype=object)[codes], categories=list(names))


def _known(values: np.ndarray[Any, Any]) -> Any:
    import pandas as pd

    return pd.arrays.IntegerArray(values.astype(np.int64), values == st.NONE)
