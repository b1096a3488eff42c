"""What a simulation gives back, and how it is kept: a folder with a summary, tables and the scenario itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.cost import names_of
from sim.engine.state import Records
from sim.fleet import Fleet
from sim.ledger import Names, ledger_frame
from sim.load import dump_scenario
from sim.replication import Replication
from sim.rows import RowSpool, latency_frame, request_frame, request_schema
from sim.scenario import ApiPool, GpuPool, Scenario

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """The outcome of a simulation: `summary` as in `summary.json`, and tables made when asked for."""

    scenario: Scenario
    fleet: Fleet
    replications: list[Replication]
    summary: dict[str, Any]
    spool: RowSpool | None = None

    @property
    def buckets(self) -> pd.DataFrame:
        """One row per replication, pool and bucket of time."""
        frame = _numbered([run.buckets for run in self.replications])
        names, windows = self._names.pools, self._names.windows
        window = [windows[pool][index] for pool, index in zip(frame["pool"], frame["window"], strict=True)]
        return frame.assign(pool=_text([names[pool] for pool in frame["pool"]]), window=_text(window))

    @property
    def stream_buckets(self) -> pd.DataFrame:
        """One row per replication, stream and bucket of time."""
        frame = _numbered([run.stream_buckets for run in self.replications])
        return frame.assign(stream=_text([self._names.streams[stream] for stream in frame["stream"]]))

    @property
    def ledger(self) -> pd.DataFrame:
        """One row per replication and line of the bill."""
        return ledger_frame([run.charges for run in self.replications], self._names)

    @property
    def latency(self) -> pd.DataFrame:
        """Histograms of all replications together: one row per stream, metric and bin that is not empty."""
        histograms = np.sum([run.tally.histogram for run in self.replications], axis=0)
        return latency_frame(histograms, self._names.streams)

    def requests(self) -> Iterator[pd.DataFrame]:
        """One row per request, in frames of bounded size; nothing unless requests were kept.

        Preparing a context is none.
        """
        names = self._names
        replicas = [(pool.name, n) for pool in self.scenario.fleet for n in range(_replicas(pool))]
        for replication, rows in self.spool.chunks() if self.spool else ():
            mine = rows[rows["stream"] < len(self.scenario.workload)]
            yield request_frame(replication, mine, names.streams, names.strategies, replicas)

    def save(self, folder: Path) -> None:
        """Write the results into `folder`, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        from sim.report import write_report

        summary = json.dumps(self.summary, indent=2, allow_nan=False)
        (folder / "scenario.yaml").write_text(dump_scenario(self.scenario), encoding="utf-8")
        self.buckets.to_parquet(folder / "buckets.parquet", index=False)
        self.stream_buckets.to_parquet(folder / "streams.parquet", index=False)
        self.latency.to_parquet(folder / "latency.parquet", index=False)
        self.ledger.to_parquet(folder / "ledger.parquet", index=False)
        if self.spool is not None:
            self._save_requests(folder / "requests.parquet")
        (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
        write_report(folder)

    def _save_requests(self, file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = request_schema()
        with pq.ParquetWriter(file, schema) as writer:
            for frame in self.requests():
                writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))

    @property
    def _names(self) -> Names:
        return names_of(self.scenario, self.fleet, self.replications[0].windows)


def _numbered(pieces: Sequence[Records]) -> pd.DataFrame:
    """The rows of all replications, with the number of each."""
    import pandas as pd

    frames = [pd.DataFrame(rows).assign(replication=n) for n, rows in enumerate(pieces)]
    frame = pd.concat(frames, ignore_index=True)
    return frame[["replication", *frame.columns.drop("replication")]]


def _text(names: Sequence[str]) -> pd.Series[str]:
    import pandas as pd

    return pd.Series(names, dtype="string")


def _replicas(pool: GpuPool | ApiPool) -> int:
    """What the engine counts as replicas of a pool."""
    return pool.ranks if isinstance(pool, GpuPool) else 1
