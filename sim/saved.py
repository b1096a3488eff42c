"""A results folder opened again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SavedResults", "load_results"]


@dataclass(frozen=True)
class SavedResults:
    """A results folder: its summary, and its tables read when asked for."""

    folder: Path
    summary: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """The table `requests`, `buckets`, `streams`, `latency` or `ledger`.

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
