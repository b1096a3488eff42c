"""All that a validation found, as plain JSON: what `nightshift validate --json` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from pandas import DataFrame

from sim.validation.comparison import COLUMNS, Comparison, with_errors
from sim.validation.groups import HEADLINES, Group, error_groups, pair_groups, request_groups
from sim.validation.targets import targets_met

__all__ = ["Fitted", "Payload", "held_out_errors", "validation_payload"]

Payload: TypeAlias = dict[str, Any]
"""`groups` (see `groups.Group`), `rows` (see `comparison.COLUMNS`, with `error`), `requests` (groups by log, of single
requests), `pairs` (groups by pair of GPU and model, of pairs that were not in the fit), `targets` (see `targets_met`),
`notes`, `calibration` (`name`, `sources`, and `held_out` as it was told) and `command`."""


class Fitted(Protocol):
    """What is told of a calibration."""

    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> Sequence[str]: ...

    @property
    def held_out(self) -> Mapping[str, Any]:
        """Errors on runs that its fit did not use, as of `held_out_errors`; empty where nobody looked."""


def validation_payload(comparison: Comparison, calibration: Fitted, *, command: str = "") -> Payload:
    """The comparison as JSON: errors are fractions of what was measured, and what is not known is null.

    `command` is what the reader types to get the same.
    """
    rows = list(_rows(comparison.rows))
    groups = error_groups(comparison.rows)
    return {
        "groups": groups,
        "rows": rows,
        "requests": request_groups(comparison.requests),
        "pairs": pair_groups(_never_seen(comparison.rows)),
        "targets": targets_met(groups, rows, calibration.held_out.get("groups", ())),
        "notes": [*comparison.notes, *_without_prediction(rows)],
        "calibration": {
            "name": calibration.name,
            "sources": list(calibration.sources),
            "held_out": dict(calibration.held_out),
        },
        "command": command,
    }


def held_out_errors(rows: DataFrame) -> dict[str, list[Group]]:
    """Errors on runs that a fit did not use: `groups`, the headlines, and `pairs`, of pairs left out as a whole.

    `rows` are those of a `Comparison` of each run with a fit made without it; `seen` says that other runs of its
    pair of GPU and model were in that fit. Headlines are of closed loops where there are any, for which targets are
    set: batches sent at once and logs are few, and each of a kind of its own.
    """
    loops = rows.loc[rows["kind"].eq("closed-loop").to_numpy()]
    groups = [group for group in error_groups(loops if len(loops) else rows) if group["group"] in HEADLINES]
    return {"groups": groups, "pairs": pair_groups(_never_seen(rows))}


def _never_seen(rows: DataFrame) -> DataFrame:
    return rows.loc[~rows["seen"].to_numpy(np.bool_)]


def _rows(rows: DataFrame) -> Iterator[dict[str, Any]]:
    for row in with_errors(rows)[[*COLUMNS, "error"]].to_dict("records"):
        yield {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """A value as JSON has it: a number of Python, a whole one without a point; None for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, float):
        return value
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _without_prediction(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    lacking = sum(row["error"] is None for row in rows)
    if lacking:
        yield f"{lacking} of {len(rows)} figures have no prediction and count in no group"
