"""`replay(scenario, target)`: send a scenario's requests to a server, and what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.lab.client.answer import Answer
from sim.lab.client.client import Client, Target
from sim.lab.replay.cost import cost_of, pool_of
from sim.lab.replay.dispatch import LoopClock, Sender
from sim.lab.replay.measured import Served, measured_files
from sim.lab.replay.plan import Plan, Planned, planned
from sim.lab.replay.prompts import GivenPrompt, read_prompts
from sim.lab.replay.ready import Options, Ready, get_ready
from sim.lab.replay.rows import made_rows, replay_schema
from sim.lab.replay.summary import replay_summary
from sim.lab.replay.trust import client_section, doubts
from sim.load import dump_scenario
from sim.scenario import Scenario
from sim.workload.blocks import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OWN_FILES", "Replayed", "replay"]

OWN_FILES = frozenset({"summary.json", "scenario.yaml", "requests.parquet", "measured"})
"""What the folder of a replay holds."""

_Given = Mapping[tuple[str, int], GivenPrompt]


@dataclass(frozen=True)
class Replayed:
    """What came of a replay: `summary` as in `summary.json`, and a row for each request."""

    scenario: Scenario
    options: Options
    plan: Plan
    summary: dict[str, Any]
    rows: pd.DataFrame
    interrupted: bool
    """Whether it was ended from the keyboard."""

    def save(self, folder: Path) -> None:
        """Write the results into `folder`, which is made if need be; `measured/` where it is known what was served."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(self.rows, schema=replay_schema(), preserve_index=False)
        pq.write_table(table, folder / "requests.parquet")
        (folder / "scenario.yaml").write_text(dump_scenario(self.scenario), encoding="utf-8")
        if self.options.served is not None:
            self._save_measured(folder / "measured", self.options.served)
        summary = json.dumps(self.summary, indent=2, allow_nan=False)
        (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")

    def _save_measured(self, folder: Path, served: Served) -> None:
        folder.mkdir(exist_ok=True)
        how = {"scenario": self.scenario.name, **self.summary["client"]}
        for name, text in measured_files(self.rows, served, how).items():
            (folder / name).write_text(text, encoding="utf-8")


def replay(
    scenario: Scenario,
    target: Target,
    options: Options | None = None,
    *,
    progress: Callable[[Sender], None] | None = None,
) -> Replayed:
    """Send the requests of a scenario's open streams to a server, each when it is due, and wait for their answers.

    An interrupt from the keyboard ends the replay early: what is outstanding then counts as unfinished, and what was
    not yet due as never sent.

    Raises:
        InputError: for a scenario with nothing to send, prompts that cannot be read, a pool that is not there, and a
            server that answers nothing even before the replay.
    """
    options = options or Options()
    pool = pool_of(scenario, options.pool)
    plan = planned(scenario, speed=options.speed, limit=options.limit)
    given = read_prompts(options.prompts) if options.prompts is not None else {}
    ready, sender = asyncio.run(_run(scenario, target, options, plan, given, progress))
    names = [stream.name for stream in scenario.workload]
    rows = made_rows(plan, sender.sent, names, sender.begin_s, pool.name if pool else None)
    horizon_s, warm_up_s = _horizon_s(rows), scenario.warm_up / options.speed
    cost = cost_of(scenario, pool, rows, horizon_s, options.speed)
    summary = replay_summary(
        scenario,
        rows,
        _gaps_s(sender, warm_up_s),
        cost,
        client_section(target, options, plan, ready, sender, rows),
        horizon_s=horizon_s,
        warm_up_s=warm_up_s,
    )
    summary["warnings"] = [
        *plan.warnings,
        *ready.dialect.warnings,
        *_prompt_warnings(plan, ready, given),
        *_warm_up_warnings(rows, warm_up_s),
        *doubts(summary["client"], summary["errors"]),
    ]
    return Replayed(scenario, options, plan, summary, rows.assign(cost_usd=cost.request_usd), sender.interrupted)


async def _run(
    scenario: Scenario,
    target: Target,
    options: Options,
    plan: Plan,
    given: _Given,
    progress: Callable[[Sender], None] | None,
) -> tuple[Ready, Sender]:
    clock = LoopClock()
    patience_s = [_least(options.timeout_s, stream.client.timeout) for stream in scenario.workload]
    async with Client.open(target, clock.now_s) as client:
        ready = await get_ready(client, target.model, options, scenario.seed, given)

        async def ask(request: Planned, body: bytes, answer: Answer) -> None:
            await client.stream(ready.dialect.path, body, answer)

        sender = Sender(
            ask, ready.write, timeout_s=lambda request: patience_s[request.stream], clock=clock, progress=progress
        )
        await sender.send(plan)
    return ready, sender


def _least(*limits_s: float | None) -> float | None:
    return min((limit_s for limit_s in limits_s if limit_s is not None), default=None)


def _horizon_s(rows: pd.DataFrame) -> float:
    """How long the replay took, to the last answer."""
    return float(rows["end_s"].max()) if len(rows) else 0.0


def _gaps_s(sender: Sender, warm_up_s: float) -> Floats:
    """Times between the pieces of all whole answers to requests due after the warm-up."""
    whole = [one.answer for one in sender.sent if one.answer.error is None and one.planned.due_s >= warm_up_s]
    gaps_s = [np.diff(np.frombuffer(answer.pieces_s)) for answer in whole if answer.pieces_s]
    return np.concatenate(gaps_s) if gaps_s else np.empty(0)


def _prompt_warnings(plan: Plan, ready: Ready, given: _Given) -> Iterator[str]:
    drawn = sum(ready.prompts.given(request) is None for request in plan) if given else 0
    if drawn:
        yield f"the file of prompts has none for {drawn:,} of {len(plan):,} requests: theirs are drawn"


def _warm_up_warnings(rows: pd.DataFrame, warm_up_s: float) -> Iterator[str]:
    if len(rows) and not (rows["arrival_s"] >= warm_up_s).any():
        yield f"no request was due after the warm-up of {warm_up_s:.0f} s, so there are no latencies: --set warm_up=0s"
