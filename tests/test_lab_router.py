"""A router asked for real: by a decoder that follows a script, on a clock that goes by step times, and simulated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router.splits import is_held_out
from sim.errors import InputError
from sim.lab.end_to_end.end_to_end import RealRun, end_to_end, run_for_real
from sim.lab.end_to_end.live_router import Decision, LiveRouter, held_out_contexts
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
router: {policy: learned, model: ROUTER, labels: {long: think}, value_usd: 0.002, latency: 0s}
"""
SLEEP = "sleep={when: [always], effort: medium, min_saving: 0, tick: 2s}"
TIGHT = ["workload.0.slo.e2e=120ms", "router.lateness_usd=0.01"]
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
    rewrite(folder / "outcomes.parquet", table)
    write_stream(folder / "stream.csv", EXAM, requests_per_s=20.0, seconds=SECONDS, contexts=contexts())
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
        [*TIGHT, "fleet.0.engine.max_num_seqs=4"],
        ["strategies=[{name: direct}, {name: vote4, kind: vote, samples: 4, length_sigma: 0}]", "router.labels={}"],
    ],
    ids=["all", "mean-price", "no-load", "threshold", "late", "votes"],
)
def test_every_choice_time_and_cost_is_the_simulations(folder: Path, overrides: list[str]) -> None:
    """Where step times are those of the law both see the same load, and nothing is left to chance."""
    changes = [text.replace("ROUTER", str(ROUTER)) for text in overrides]
    real, (told, results) = served(folder, changes), simulated(folder, changes)
    frame = real.frame()
    assert len(frame) > 300
    assert frame["strategy"].nunique() > 1
    same(frame, told)
    account = results.replications[0].routing
    for name, total in (("p_correct", account.p), ("cost_usd", account.cost_usd), ("p_late", account.p_late)):
        mine = sum(getattr(decision, name) for decision in real.served.decisions)
        # A file asked about one question rounds its float32 otherwise than about a block of them.
        assert mine == pytest.approx(total.sum(), rel=1e-6, abs=1e-9)


def same(real: pd.DataFrame, told: pd.DataFrame) -> None:
    assert real["strategy"].tolist() == told["strategy"].tolist()
    for column in EXACT:
        mine, other = (rows[column].to_numpy(float) for rows in (real, told))
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12, err_msg=column)


def test_it_looks_at_the_price_and_at_the_load(folder: Path) -> None:
    """Otherwise agreement would say little."""
    choices = {
        name: served(folder, [*TIGHT, *more]).frame()
        for name, more in {"all": [], "no-load": ["router.load=false"], "no-price": ["router.price=false"]}.items()
    }
    thinks = {name: (rows["strategy"] != "direct").to_numpy(float) for name, rows in choices.items()}
    at_peak = choices["all"]["arrival_s"].to_numpy() > 15.0
    assert thinks["all"][at_peak].mean() < 0.5 * thinks["all"][~at_peak].mean()
    assert thinks["no-price"][at_peak].mean() > 1.5 * thinks["all"][at_peak].mean()
    assert thinks["no-load"].mean() > 1.1 * thinks["all"].mean()
    late = {name: (rows["e2e_s"] > 0.12).mean() for name, rows in choices.items()}
    assert late["all"] < late["no-load"]


def test_a_machine_that_is_slower_than_its_law_is_seen_to_be(folder: Path, tmp_path: Path) -> None:
    """The router knows the law as it was, and the pace of the last steps; so it chooses as if it knew the true law."""
    slow = json.loads(json.dumps(STEP_TIMES))
    for part, name in (("prefill", "a_s"), ("prefill", "b_s_per_token"), ("prefill", "c_s_per_token_pair")):
        slow[part][name] *= 1.5
    slow["decode"] |= {name: [1.5 * value for value in slow["decode"][name]] for name in ("base_s", "kv_s")}
    (tmp_path / "slow.json").write_text(json.dumps(slow))
    real, (told, _) = served(folder, pace=1.5), simulated(folder, [f"fleet.0.step_time.path={tmp_path / 'slow.json'}"])
    paces = [decision.pace for decision in real.served.decisions]
    assert paces[0] == 1.0
    assert paces[1:] == pytest.approx([1.5] * (len(paces) - 1))
    assert real.frame()["strategy"].tolist() != simulated(folder)[0]["strategy"].tolist()
    same(real.frame(), told)


def test_while_it_decides_the_engine_waits_but_no_step_is_longer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation adds the time to the request alone; here others wait as well, and that is what differs."""
    ticking = clock(folder)
    plain, choose = served(folder), LiveRouter.choose

    def slowly(self: LiveRouter, *arguments: Any, **more: Any) -> Decision:
        decision = choose(self, *arguments, **more)
        ticking.wait_until(ticking.now_s() + 0.004)
        return decision

    monkeypatch.setattr(LiveRouter, "choose", slowly)
    run = run_for_real(Decoder(pupil(), slots=9), load_scenario(folder / "lab.yaml"), clock=ticking)
    assert [decision.seconds for decision in run.served.decisions] == pytest.approx([0.004] * len(run.requests))
    mine, before = run.frame(), plain.frame()
    assert mine["ttft_s"].min() == pytest.approx(before["ttft_s"].min() + 0.004)
    books, law_s = run.books, sum(plain.books.busy_s.values())
    assert sum(books.busy_s.values()) == pytest.approx(law_s, rel=0.05)
    assert sum(books.busy_s.values()) + sum(books.idle_s.values()) == pytest.approx(books.end_s)
    told = simulated(folder, ["router.latency=4ms"])[0]
    assert told["ttft_s"].to_numpy() == pytest.approx(simulated(folder)[0]["ttft_s"].to_numpy() + 0.004)


def test_on_prepared_contexts_it_expects_what_the_file_says_of_them(folder: Path) -> None:
    """When notes are done hangs on how long they really are, which the simulation knows only on average."""
    real, (told, _) = served(folder, [SLEEP]), simulated(folder, [SLEEP])
    frame = real.frame()
    assert frame["prepared"].mean() > 0.5
    alike = (frame["strategy"].to_numpy() == told["strategy"].to_numpy()).mean()
    assert alike > 0.85
    p = np.array([decision.p_correct for decision in real.served.decisions])
    direct, prepared = (frame["strategy"] == "direct").to_numpy(), frame["prepared"].to_numpy(bool)
    bare = served(folder)
    p_bare = np.array([decision.p_correct for decision in bare.served.decisions])
    assert p[direct & prepared].mean() > p_bare[bare.frame()["strategy"].to_numpy() == "direct"].mean() + 0.2


def test_the_comparison_tells_of_the_router(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = end_to_end(Decoder(pupil(), slots=9), out, scenario=folder / "lab.yaml", clock=clock(folder))
    figures = {(figure["group"], figure["name"]): figure for figure in found["figures"]}
    assert figures["router", "chosen as in the simulation"]["real"] == 1.0
    assert figures["router", "time to decide mean, s"]["real"] == 0.0
    for group, name in (
        ("router", "right, expected"),
        ("router", "USD per 1,000 requests, expected"),
        ("share", "long in window base"),
        ("share", "long in window peak"),
        ("cost", "USD per 1,000 requests in window peak"),
    ):
        assert figures[group, name]["error"] == pytest.approx(0.0, abs=1e-6), name
        assert figures[group, name]["inside"], name
    assert figures["share", "long in window base"]["real"] > 2.0 * figures["share", "long in window peak"]["real"]
    decisions, rows = pd.read_parquet(out / "decisions.parquet"), pd.read_parquet(out / "requests.parquet")
    assert decisions["strategy"].tolist() == rows["strategy"].tolist()
    assert set(decisions["usd_per_s"].round(6)) == {0.01, 0.1}


def test_a_stream_for_a_router_asks_only_what_is_new_to_it(folder: Path, tmp_path: Path) -> None:
    scenario = load_scenario(folder / "lab.yaml")
    assert held_out_contexts(scenario, EXAM) == contexts()
    assert 0 < len(contexts()) < len(EXAM.contexts)
    loaded_to(scenario, 0.3, tmp_path / "stream.csv")
    asked = pd.read_csv(tmp_path / "stream.csv")["question_id"] // EXAM.per_context
    assert set(asked) == set(contexts())


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["router={policy: oracle}"], "router 'oracle' decides by what the lab does not know; give it a router file"),
        (["router.budget={usd_per_hour: 1}"], "router.budget is not paced for real; leave it out"),
        (["router.labels={long: thought}"], "label 'thought' of strategy 'long' is not known to default.onnx"),
        (["training=[{name: tune, usd: 1, over: 1d, strategies: [long]}]"], "training changes answers in a simulation"),
    ],
)
def test_a_router_that_cannot_be_asked_for_real_is_refused(folder: Path, overrides: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        served(folder, overrides)


def test_questions_that_it_was_trained_on_are_refused(folder: Path, tmp_path: Path) -> None:
    write_stream(tmp_path / "all.csv", EXAM, requests_per_s=5.0, seconds=SECONDS)
    with pytest.raises(InputError, match=r"\d+ of \d+ requests ask about contexts that the router was trained on"):
        served(folder, [f"workload.0.arrivals.path={tmp_path / 'all.csv'}"])


def test_a_router_trained_on_everything_has_nothing_to_be_tried_on(folder: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(ROUTER)
    for entry in model.metadata_props:
        if entry.key == "labels":
            labels = json.loads(entry.value)
            del labels["held_out"]
            entry.value = json.dumps(labels)
    onnx.save(model, tmp_path / "greedy.onnx")
    with pytest.raises(InputError, match=r"greedy.onnx was trained on all contexts.*--hold-out 0.3"):
        served(folder, [f"router.model={tmp_path / 'greedy.onnx'}"])
