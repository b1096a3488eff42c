"""What it costs to choose strategies as requests arrive: the same requests with options and without, in turns.

Every strategy of a question has the same answer, so the replicas do the same work in all runs, and what differs is the
choice. Expectations differ, so that costs, chances to be late and chances to be right are all looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np

from benchmarks.cases import EIGHT, Case, scenario_of
from benchmarks.serving import blocks_of
from sim.engine.plane import DataPlane
from sim.engine.specs import Corpus, Options, RouteSpec, Scored, StrategySpec, undecided
from sim.engine.state import Integers
from sim.fleet import build_fleet
from sim.scenario import Scenario
from sim.workload.blocks import RequestBlock

__all__ = ["STRATEGIES", "choosing", "table_of"]

STRATEGIES = (4, 8)
QUESTIONS = 5000
"""Rows of the table of outcomes that all blocks share."""
CASES = (EIGHT, replace(EIGHT, name="64 replicas", replicas=64))


def choosing(requests: int, runs: int) -> list[dict[str, Any]]:
    """Nanoseconds of CPU time a request, the best of the runs, without options and with some strategies to choose from;
    the ratio to the run without them.
    """
    return [row for case in CASES for row in _of_case(case, requests, runs)]


def _of_case(case: Case, requests: int, runs: int) -> list[dict[str, Any]]:
    scenario = scenario_of(case, requests)
    blocks = list(blocks_of(scenario))
    rows = [np.random.default_rng(n).integers(0, QUESTIONS, len(block.key)) for n, block in enumerate(blocks)]
    count = sum(len(row) for row in rows)
    tables = {ways: table_of(blocks[0], ways) for ways in STRATEGIES}
    best_s: dict[int, float] = {}
    for _ in range(runs + 1):  # the first compiles, or reads what was compiled
        for ways in (1, *STRATEGIES):
            known = _given(tables[STRATEGIES[0]], rows) if ways == 1 else _chosen(tables[ways], rows)
            took_s = _serve_s(scenario, blocks, known, ways)
            best_s[ways] = min(best_s.get(ways, took_s), took_s)
    return [
        {
            "case": case.name,
            "strategies": ways,
            "requests": count,
            "ns": best_s[ways] / count * 1e9,
            "requests_per_s": count / best_s[ways],
            "ratio": best_s[ways] / best_s[1],
        }
        for ways in best_s
    ]


def table_of(block: RequestBlock, ways: int) -> Corpus:
    """Questions with answers as long as those of the block, whatever the strategy, and expectations by chance."""
    random, shape = np.random.default_rng(ways), (QUESTIONS, 1, ways)
    answers = np.resize(block.output_tokens, QUESTIONS)
    real = np.ascontiguousarray(np.broadcast_to(answers[:, None, None, None], (QUESTIONS, ways, 1, 1)))
    tokens = answers[:, None, None] * random.lognormal(0.0, 0.5, shape)
    unknown = np.full(real.shape, np.nan)
    spread = random.uniform(0.1, 0.6, shape)
    return Corpus(random.random(shape), tokens, tokens, spread, real, unknown, unknown, np.zeros_like(real))


def _given(table: Corpus, rows: Sequence[Integers]) -> Iterator[Scored]:
    for row in rows:
        columns = (table.output_tokens, table.p_sample, table.p_correct, table.escalates)
        tokens, p_sample, p_correct, escalates = (column[row, 0] for column in columns)
        yield Scored(np.zeros(len(row), np.int64), tokens, p_sample, p_correct, escalates)


def _chosen(table: Corpus, rows: Sequence[Integers]) -> Iterator[Scored]:
    return (undecided(Options(table, row)) for row in rows)


def _serve_s(scenario: Scenario, blocks: Sequence[RequestBlock], known: Iterator[Scored], ways: int) -> float:
    fleet = build_fleet(scenario)
    scored = iter(list(known))
    plane = DataPlane(
        fleet.pools,
        fleet.streams,
        [fleet.targets[0][:1] * ways],
        strategies=[StrategySpec()] * ways,
        blocks=iter(blocks),
        score=lambda _: next(scored),
        routes=[RouteSpec(value_usd=0.001)],
    )
    begun_s = process_time()
    plane.advance(float("inf"))
    return process_time() - begun_s
