"""End to end: a priced stream of mixed strategies, served for real and simulated, figure by figure.

The same scenario is run twice. For real, requests arrive in real seconds at the engine, are answered by the model in
the way that the router says, votes and checks are counted, notes are written by jobs of the lowest class, and every
step is paid for by the rule of the simulator's ledger. The simulation knows only step times, the table of outcomes and
the scenario.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import InputError
from sim.folders import write_file
from sim.lab.end_to_end.booked import BookedEngine, Books, booked
from sim.lab.end_to_end.comparison import Comparison, as_markdown, compared
from sim.lab.end_to_end.live import LiveContext, LiveRequest, LiveSleep, Routing, Served, serve
from sim.lab.end_to_end.live_answers import check_strategy
from sim.lab.end_to_end.live_load import LiveLoad
from sim.lab.end_to_end.live_router import LiveRouter, decisions_frame, held_out_contexts
from sim.lab.engine.clocks import Clock
from sim.lab.engine.jobs import EngineSettings
from sim.lab.engine.model import Model
from sim.lab.outcomes.outcomes import Exam
from sim.load import load_scenario
from sim.prices import PriceClock
from sim.scenario import GpuPool, Scenario, Strategy, TableQuestions
from sim.scenario.choices import is_routed
from sim.scenario.sleep import Sleep
from sim.streams import RandomStreams

if TYPE_CHECKING:
    import pandas as pd

    from sim.engine.specs import PoolSpec

__all__ = ["end_to_end", "run_for_real"]

Progress = Callable[[int, int], None]

_FIRST_LOOKS = 50
"""Questions that a router is asked about before the run, as its first answers take longer."""
_OFF_PEAK = "off-peak"
"""The window in which work is done ahead."""


def end_to_end(
    decoder: Model,
    out: Path,
    *,
    scenario: Path | str = "lab-day",
    overrides: Sequence[str] = (),
    load: float | None = None,
    clock: Clock | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    served: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a scenario for real on a decoder and simulate it; both side by side in the folder `out`.

    The scenario has one pool of one GPU server with step times of its own (`step_time`), streams that are traces of
    question numbers, and `questions: {kind: table}` of a table that the lab has measured. With `load` the trace is
    made anew, for as many seconds, so that this machine is loaded to that share of what full batches could do. Where
    the scenario's router has a file, it is asked about each request as it arrives, by the prices and the load of the
    engine at that moment; questions are on contexts that it was not trained on. Writes `comparison.json`,
    `comparison.md` and `requests.parquet` (of the real run), and `decisions.parquet` of its router; gives back the
    comparison. `served` is called when the real run is over, and may then write the step times anew on which it is
    simulated.

    Raises:
        InputError: for a scenario that cannot be run for real.
    """
    loaded = load_scenario(scenario, overrides)
    out.mkdir(parents=True, exist_ok=True)
    if load is not None:
        from sim.lab.end_to_end.loaded import loaded_to

        loaded = loaded_to(loaded, load, out / "stream.csv")
    real = run_for_real(decoder, loaded, clock=clock, progress=progress, served=served)
    found = compared(loaded, real.frame(), real.books, real.served.decisions)
    _write(out, found, real, provenance or {})
    return found.document()


@dataclass(frozen=True)
class RealRun:
    """A scenario as it really went."""

    scenario: Scenario
    requests: Sequence[LiveRequest]
    served: Served
    books: Books

    def frame(self) -> pd.DataFrame:
        """One row per request, with the columns of `requests.parquet`."""
        import pandas as pd

        from sim.rows import request_schema

        usd = self._usd_by_request()
        rows = [self._row(request, usd[request.number]) for request in self.requests]
        return pd.DataFrame(rows, columns=request_schema().names)

    def _usd_by_request(self) -> np.ndarray:
        usd = np.zeros(len(self.requests))
        for job, spent in self.books.by_job().items():
            if (owner := self.served.jobs[job]) >= 0:
                usd[owner] += spent
        return usd

    def _row(self, request: LiveRequest, usd: float) -> dict[str, Any]:
        reply = self.served.replies[request.number]
        ttft_s, e2e_s = reply.first_token_s - request.arrival_s, reply.finish_s - request.arrival_s
        later = reply.path_tokens - 1
        return {
            "replication": 0,
            "request_id": request.number,
            "stream": self.scenario.workload[0].name,
            "context_id": request.context_id,
            "arrival_s": request.arrival_s,
            "strategy": _strategies(self.scenario)[self.served.chosen[request.number]].name,
            "pool": self.scenario.fleet[0].name,
            "replica": 0,
            "status": "completed",
            "prompt_tokens": reply.prompt_tokens,
            "cached_tokens": reply.cached_tokens,
            "output_tokens": reply.output_tokens,
            "ttft_s": ttft_s,
            "tpot_s": (e2e_s - ttft_s) / later if later > 0 else np.nan,
            "e2e_s": e2e_s,
            "correct": reply.correct,
            "p_correct": np.nan,
            "prepared": request.number in self.served.prepared,
            "cost_usd": usd,
            "priority": self.scenario.workload[0].priority,
            "preemptions": reply.preemptions,
            "attempts": 1,
            "steps": 1,
        }


def run_for_real(
    decoder: Model,
    scenario: Scenario,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
    served: Callable[[], None] = lambda: None,
) -> RealRun:
    """Serve a scenario's stream on a decoder, and book what it costs; `served` is called in between.

    Raises:
        InputError: for a scenario that cannot be run for real, or that the decoder has too little room for.
    """
    from sim.control.prices import price_clocks
    from sim.engine.specs import PoolSpec
    from sim.fleet import build_fleet

    pool = _checked(scenario)

    def spec() -> PoolSpec:
        built = build_fleet(scenario).pools[0]
        assert isinstance(built, PoolSpec)
        return built

    requests = _requests(scenario)
    engine = BookedEngine(decoder, _settings(pool, spec()), clock)
    (price,) = price_clocks(scenario, RandomStreams(scenario.seed, 0))
    sleep = None if scenario.sleep is None else _sleep(scenario, scenario.sleep, requests, price)
    routing = _routing(scenario, requests, engine, price)
    answers = serve(
        engine, requests, _strategies(scenario), sleep=sleep, routing=routing, seed=scenario.seed, progress=progress
    )
    end_s = engine.steps[-1].begin_s + engine.steps[-1].seconds
    served()
    return RealRun(scenario, requests, answers, booked(engine, spec().step_time, price, end_s, pool.gpus_per_replica))


def _routing(
    scenario: Scenario, requests: Sequence[LiveRequest], engine: BookedEngine, price: PriceClock
) -> Routing | None:
    """Who chooses, where somebody looks at each request.

    Raises:
        InputError: for a router that cannot be asked for real, and for questions that it was trained on.
    """
    from sim.engine.specs import PoolSpec
    from sim.fleet import build_fleet

    if not is_routed(scenario, scenario.workload[0]):
        return None
    router = LiveRouter(scenario, price)
    questions = scenario.workload[0].questions
    assert isinstance(questions, TableQuestions)
    new = set(held_out_contexts(scenario, Exam.of_file(questions.path)))
    known = sum(request.question.context not in new for request in requests)
    if known:
        rule = f"of {len(requests)} requests ask about contexts that the router was trained on"
        raise InputError(known, rule, "give a trace of the contexts that were held out")
    for request in requests[:_FIRST_LOOKS]:
        router.expected(request.context, request.question, prepared=False)
    fleet = build_fleet(scenario)
    (spec,) = fleet.pools
    assert isinstance(spec, PoolSpec)
    return Routing(router, LiveLoad(engine, spec, fleet.strategy_specs))


def _strategies(scenario: Scenario) -> Sequence[Strategy]:
    from sim.scenario import DirectStrategy

    return scenario.strategies or [DirectStrategy(name="direct")]


def _settings(pool: GpuPool, spec: PoolSpec) -> EngineSettings:
    return EngineSettings(
        max_num_seqs=spec.max_num_seqs,
        max_num_batched_tokens=spec.max_num_batched_tokens,
        kv_capacity_tokens=spec.kv_capacity_tokens,
        scheduler=pool.engine.scheduler,
        sleep_step_tokens=spec.sleep_step_tokens,
    )


def _checked(scenario: Scenario) -> GpuPool:
    """The pool of a scenario that can be run for real.

    Raises:
        InputError: for one that cannot.
    """
    for strategy in _strategies(scenario):
        check_strategy(strategy)
    if len(scenario.workload) != 1:
        raise InputError(len(scenario.workload), "streams cannot be run for real", "give one stream")
    if not isinstance(scenario.workload[0].questions, TableQuestions):
        stream = f"stream '{scenario.workload[0].name}'"
        raise InputError(stream, "asks no questions of a table", "give it `questions: {kind: table, path: ...}`")
    pool = scenario.fleet[0]
    if len(scenario.fleet) != 1 or not isinstance(pool, GpuPool) or pool.ranks != 1:
        raise InputError("fleet", "is not one server of GPUs", "give one pool of one replica")
    if pool.engine.prefix_cache:
        rule = "keeps contexts in its prefix cache, which the lab's engine does not"
        raise InputError(f"pool '{pool.name}'", rule, "give it `engine: {prefix_cache: false}`")
    return pool


def _requests(scenario: Scenario) -> list[LiveRequest]:
    """The requests that the simulation meets, each with its strategy and the question that it asks."""
    from sim.fleet import build_fleet
    from sim.scoring import with_own_choices
    from sim.simulation import policy_of
    from sim.workload.blocks import NOTHING
    from sim.workload.workload import build_workload

    streams = RandomStreams(scenario.seed, 0)
    policy = policy_of(scenario, build_fleet(scenario), streams)
    questions = scenario.workload[0].questions
    assert isinstance(questions, TableQuestions)
    exam = Exam.of_file(questions.path)
    found: list[LiveRequest] = []
    for block in build_workload(scenario, streams).blocks():
        strategy = with_own_choices(scenario, block, policy.choose(block.stream.size)).tolist()
        if is_routed(scenario, scenario.workload[0]):
            strategy = [None] * len(strategy)
        if np.any((block.question_id == NOTHING) | (block.question_id >= len(exam.contexts) * exam.per_context)):
            stream = f"stream '{scenario.workload[0].name}'"
            raise InputError(stream, "has requests without a question of the table", "give a trace of question numbers")
        columns = (block.arrival_s, block.context_id, block.question_id, block.priority)
        for chosen, *columns_ in zip(strategy, *(column.tolist() for column in columns), strict=True):
            arrival_s, context_id, question_id, priority = columns_
            context, question = exam.asked(question_id)
            found.append(LiveRequest(len(found), arrival_s, chosen, context_id, context, question, priority))
    return found


def _sleep(scenario: Scenario, rules: Sleep, requests: Sequence[LiveRequest], price: PriceClock) -> LiveSleep:
    """Sleep-time work as the lab does it.

    Raises:
        InputError: where it would hang on forecasts or on the load.
    """
    if (
        "idle" in rules.when
        or rules.prepare == "learned"
        or rules.min_saving
        or rules.drafts > 1
        or rules.budget_usd_per_day is not None
    ):
        rule = "decides by what the lab does not know"
        raise InputError(
            "sleep",
            rule,
            "give it `when: [always]` or [off-peak], `min_saving: 0`, `prepare: rank`, one draft, no budget",
        )

    def is_open(now_s: float) -> bool:
        return "always" in rules.when or price.at(now_s).window == _OFF_PEAK

    return LiveSleep(rules, _contexts(scenario, requests), is_open)


def _contexts(scenario: Scenario, requests: Sequence[LiveRequest]) -> list[LiveContext]:
    """When the contexts of the requests appear and end, as the simulation has it."""
    from sim.workload.blocks import APPEARS, ENDS
    from sim.workload.workload import build_workload

    known = {request.context_id: request.context for request in requests}
    found: dict[int, LiveContext] = {}
    for block in build_workload(scenario, RandomStreams(scenario.seed, 0)).contexts():
        columns = (block.context_id, block.kind, block.at_s, block.tokens)
        for number, kind, at_s, tokens in zip(*(column.tolist() for column in columns), strict=True):
            if kind == APPEARS and number in known:
                found[number] = LiveContext(number, at_s, inf, tokens, known[number])
            elif kind == ENDS and number in found:
                found[number] = found[number]._replace(ends_s=at_s)
    return list(found.values())


def _write(out: Path, found: Comparison, real: RealRun, provenance: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sim.rows import request_schema

    document = {**provenance, **found.document()}
    table = pa.Table.from_pandas(real.frame(), schema=request_schema(), preserve_index=False)
    pq.write_table(table, out / "requests.parquet", compression="zstd")
    if real.served.decisions:
        names = [strategy.name for strategy in _strategies(real.scenario)]
        decisions_frame(real.served.decisions, names).to_parquet(out / "decisions.parquet", index=False)
    write_file(out / "comparison.md", as_markdown(found))
    write_file(out / "comparison.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
