"""The same requests simulated: measured times beside those of the scenario's own fleet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.lab.replay.plan import Plan
from sim.lab.replay.summary import latency_section
from sim.scenario import Scenario, Stream, TraceArrivals
from sim.workload.convert import write_rows
from sim.workload.traces import TraceRows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["beside", "scenario_of_replay"]

_FIGURES = ("mean", "p50", "p99")


def beside(scenario: Scenario, plan: Plan, rows: pd.DataFrame) -> dict[str, Any]:
    """Latencies of the requests that were replayed, as measured and as simulated, and by how much they differ.

    Simulated are the same arrivals with the tokens that were counted, as plain requests on the scenario's fleet. The
    difference is a share of what was measured. Both are of completed requests due after the warm-up.
    """
    from sim.simulation import simulate

    with tempfile.TemporaryDirectory(prefix="nightshift-") as folder:
        results = simulate(scenario_of_replay(scenario, plan, rows, Path(folder)))
    measured = latency_section(rows[rows["arrival_s"] >= scenario.warm_up / plan.speed])
    simulated = results.summary["latency"]
    return {
        name: {
            figure: {
                "measured": measured[name][figure],
                "simulated": simulated[name][figure],
                "off": _off(measured[name][figure], simulated[name][figure]),
            }
            for figure in _FIGURES
        }
        for name in measured
    }


def _off(measured: float | None, simulated: float | None) -> float | None:
    return None if not measured or simulated is None else simulated / measured - 1.0


def scenario_of_replay(scenario: Scenario, plan: Plan, rows: pd.DataFrame, folder: Path) -> Scenario:
    """The scenario with the requests that were sent in place of its streams, as traces in `folder`."""
    streams = []
    for index, stream in enumerate(scenario.workload):
        file = folder / f"{index}.csv"
        if _write(file, plan, rows, index):
            streams.append(_replaying(stream, file))
    alone = {
        "workload": streams,
        "horizon": None,
        "warm_up": scenario.warm_up / plan.speed,
        "replications": 1,
        "strategies": [],
        "router": None,
        "sleep": None,
        "training": [],
    }
    return scenario.model_copy(update=alone)


def _replaying(stream: Stream, file: Path) -> Stream:
    kept = {name: getattr(stream, name) for name in ("name", "slo", "priority", "model", "pools")}
    return Stream(**kept, arrivals=TraceArrivals(path=file, format="nightshift"))


def _write(file: Path, plan: Plan, rows: pd.DataFrame, stream: int) -> int:
    """Write the requests of a stream that were sent; gives back how many."""
    numbers = rows["request_id"].to_numpy(np.int64)
    mine = plan.block.stream[numbers] == stream
    places, block = numbers[mine], plan.block
    done = (rows["status"] == "completed").to_numpy(bool)[mine]
    prompt = np.where(done, rows["prompt_tokens"][mine], block.prompt_tokens[places]).astype(np.int64)
    output = np.where(done, rows["output_tokens"][mine], block.output_tokens[places]).astype(np.int64)
    trace = TraceRows(
        arrival_s=plan.due_s[places],
        prompt_tokens=np.maximum(prompt, 1),
        output_tokens=np.maximum(output, 1),
        context_id=block.context_id[places],
        question_id=block.question_id[places],
        priority=block.priority[places],
        version=block.version[places],
        prefix_tokens=np.minimum(block.prefix_tokens[places], prompt),
        keep_tokens=np.minimum(block.keep_tokens[places], prompt + output),
    )
    with file.open("wb") as target:
        return write_rows(target, iter([trace]), identifiers=True, shares=True) if places.size else 0
