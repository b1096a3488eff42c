"""A router asked for real: by a decoder that follows a script, on a clock that goes by step times, and simulated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router.splits import is_held_out
from sim.errors import InputError
from sim.lab.end_to_end.end_to_end import RealRun, end_to_end, run_for_real
from sim.lab.end_to_end.live_router import held_out_contexts
from sim.lab.end_to_end.loaded import loaded_to
from sim.lab.end_to_end.stream import write_stream
from sim.lab.engine.clocks import StepWork, VirtualClock
from sim.lab.outcomes.outcomes import Exam, measure_outcomes
from sim.load import load_scenario
from sim.simulation import simulate
from sim.steptime.files import load_step_time
from tests.scripted_decoder import Pupil, ScriptedDecoder
from tests.test_lab_end_to_end import STEP_TIMES, Decoder

EXAM = Exam(questions=160)
SECONDS = 30.0
ROUTER = Path(__file__).parents[1] / "data" / "router" / "default.onnx"
SCENARIO = """
name: lab
start: 2026-03-02T00:00:45
workload:
  - name: pupils
    arrivals: {kind: trace, path: stream.csv, format: nightshift}
    questions: {kind: table, path: outcomes.parquet}
    contexts: {lead: 10s}
    slo: {e2e: 200ms}
    usd_per_correct: 0.01
fleet:
  - name: own
    gpu: H100-SXM
    model: Llama-3.1-8B
    replicas: 1
    offer:
      kind: reserved
      tariff:
        kind: windows
        usd_per_gpu_hour: 36.0
        windows: [{name: peak, hours: "00:01-00:02", usd_per_gpu_hour: 360.0}]
    step_time: {path: step-times.json}
    engine: {max_num_seqs: 8, max_num_batched_tokens: 256, kv_capacity_tokens: 3072, prefix_cache: false,
             sleep_slowdown: 0}
strategies:
  - {name: direct, kind: direct}
  - {name: think16, kind: think, budget_tokens: 16}
  - {name: long, kind: think, budget_tokens: 96}
  - {name: vote4, kind: vote, samples: 4, length_sigma: 0}
router: {policy: learned, model: ROUTER, labels: {long: think}, value_usd: 0.0002, latency: 0s}
"""
SLEEP = "sleep={when: [always], effort: medium, min_saving: 0, tick: 2s}"
EXACT = ("ttft_s", "tpot_s", "e2e_s", "cost_usd", "output_tokens", "prompt_tokens")


def contexts() -> list[int]:
    """Those that the shipped router was not trained on."""
    out = is_held_out([str(number) for number in EXAM.contexts], 0.3, 0)
    return [number for number, is_out in zip(EXAM.contexts, out, strict=True) if is_out]


def pupil() -> Pupil:
    known = Pupil()
    for number in EXAM.contexts:
        known.learn(EXAM.context(number)[0])
    return known


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("router")
    measure_outcomes(ScriptedDecoder(pupil(), slots=48), folder / "outcomes.parquet", exam=EXAM, width=12)
    table = pd.read_parquet(folder / "outcomes.parquet")
    table.loc[table["strategy"] == "think", "strategy"] = "long"
    kept = pd.read_parquet  # the exam stands in the file's metadata, which a new strategy's name must not lose
    del kept
    rewrite(folder / "outcomes.parquet", table)
    write_stream(folder / "stream.csv", EXAM, requests_per_s=12.0, seconds=SECONDS, contexts=contexts())
    (folder / "step-times.json").write_text(json.dumps(STEP_TIMES))
    (folder / "lab.yaml").write_text(SCENARIO.replace("ROUTER", str(ROUTER)))
    return folder


def rewrite(file: Path, table: pd.DataFrame) -> None:
    """Other rows, and what the file says of itself as it was."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = pq.read_schema(file).metadata
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(told), file)


def clock(folder: Path, pace: float = 1.0) -> VirtualClock:
    """A step takes what the scenario's law says, or so many times that."""
    law = load_step_time(folder / "step-times.json").covering(16)

    def step_s(work: StepWork) -> float:
        return pace * law.mixed_step_s(work.decode_rows, work.kv_tokens, work.prompt_tokens, work.pairs)

    return VirtualClock(step_s)


def served(folder: Path, overrides: Sequence[str] = (), pace: float = 1.0) -> RealRun:
    scenario = load_scenario(folder / "lab.yaml", overrides)
    return run_for_real(Decoder(pupil(), slots=9), scenario, clock=clock(folder, pace))


def simulated(folder: Path, overrides: Sequence[str] = ()) -> tuple[pd.DataFrame, Any]:
    results = simulate(load_scenario(folder / "lab.yaml", overrides), keep_requests=True)
    rows = pd.concat(list(results.requests())).sort_values("request_id", ignore_index=True)
    return rows, results


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["router.price=false"],
        ["router.load=false"],
        ["router={policy: difficulty-threshold, model: ROUTER, cheap: direct, strong: vote4, below: 0.5, latency: 0s}"],
        ["workload.0.slo.e2e=60ms", "router.lateness_usd=0.001", "fleet.0.engine.max_num_seqs=4"],
    ],
    ids=["all", "mean-price", "no-load", "threshold", "late"],
)
def test_every_choice_time_and_cost_is_the_simulations(folder: Path, overrides: list[str]) -> None:
    """Where step times are those of the law both see the same load, and nothing is left to chance."""
    changes = [text.replace("ROUTER", str(ROUTER)) for text in overrides]
    real, (told, results) = served(folder, changes), simulated(folder, changes)
    frame = real.frame()
    assert len(frame) == len(told) > 200
    assert frame["strategy"].nunique() > 1
    assert frame["strategy"].tolist() == told["strategy"].tolist()
    for column in EXACT:
        mine, other = (rows[column].to_numpy(float) for rows in (frame, told))
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12, err_msg=column)
    account = results.replications[0].routing
    assert account is not None
    for name, total in (("p_correct", account.p), ("cost_usd", account.cost_usd), ("p_late", account.p_late)):
        mine = sum(getattr(decision, name) for decision in real.served.decisions)
        assert mine == pytest.approx(total.sum(), rel=1e-9)
