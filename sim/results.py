"""What a simulation gives back, and how it is kept: a folder with a summary, tables and the scenario itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.fleet import Fleet
from sim.ledger import ledger_frame
from sim.load import dump_scenario
from sim.replication import Replication
from sim.rows import RowSpool, request_frame, request_schema
from sim.scenario import Scenario
from sim.workload.blocks import PRIORITIES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "SavedResults", "load_results"]


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
        import pandas as pd

        rows = [{"replication": n, **row} for n, run in enumerate(self.replications) for row in run.buckets]
        frame = pd.DataFrame(rows)
        return frame.assign(pool=frame["pool"].map(dict(enumerate(self._pools))).astype("string"))

    @property
    def ledger(self) -> pd.DataFrame:
        """One row per replication and line of the bill."""
        streams = [stream.name for stream in self.scenario.workload]
        strategies = [strategy.name for strategy in self.fleet.strategies]
        charges = [run.charges for run in self.replications]
        return ledger_frame(charges, self._pools, streams, strategies, PRIORITIES)

    def requests(self) -> Iterator[pd.DataFrame]:
        """One row per request, in frames of bounded size; nothing unless requests were kept."""
        streams = [stream.name for stream in self.scenario.workload]
        strategies = [strategy.name for strategy in self.fleet.strategies]
        replicas = [(pool.name, n) for pool in self.scenario.fleet for n in range(pool.ranks)]
        for replication, rows in self.spool.chunks() if self.spool else ():
            yield request_frame(replication, rows, streams, strategies, replicas)

    def save(self, folder: Path) -> None:
        """Write the results into `folder`, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        summary = json.dumps(self.summary, indent=2, allow_nan=False)
        (folder / "scenario.yaml").write_text(dump_scenario(self.scenario), encoding="utf-8")
        self.buckets.to_parquet(folder / "buckets.parquet", index=False)
        self.ledger.to_parquet(folder / "ledger.parquet", index=False)
        if self.spool is not None:
            self._save_requests(folder / "requests.parquet")
        (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")

    def _save_requests(self, file: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = request_schema()
        with pq.ParquetWriter(file, schema) as writer:
            for frame in self.requests():
                writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))

    @property
    def _pools(self) -> list[str]:
        return [pool.name for pool in self.scenario.fleet]


@dataclass(frozen=True)
class SavedResults:
    """A results folder: its summary, and its tables read when asked for."""

    folder: Path
    summary: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """The table `requests`, `buckets` or `ledger`.

        Raises:
            InputError: where the folder does not hold it.
        """
        import pandas as pd

        file = self.folder / f"{name}.parquet"
        if not file.is_file():
            raise InputError(file, "is not there", "run `nightshift simulate` with --requests for single requests")
        return pd.read_parquet(file)


def load_results(folder: Path) -> SavedResults:
    """Open a results folder.

    Raises:
        InputError: where it is none.
    """
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(folder, "is not a results folder", "give one written by `nightshift simulate --out`") from None
    return SavedResults(folder, summary)
