"""The summary of a run: the figures of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.allocation import pool_usd
from sim.cost import cost_splits
from sim.errors import EngineError
from sim.fleet import Fleet
from sim.headline import gpus_of, headline_figures, strategy_figures
from sim.replication import Replication
from sim.routing.section import router_section
from sim.scenario import GpuPool, Scenario, Stream
from sim.sleep_section import sleep_section
from sim.stats import mean_of_known, ratio
from sim.tally import ANSWERS, COUNTS, REJECTIONS, figures

if TYPE_CHECKING:
    from router.learned import LearnedRouter

__all__ = ["Sections", "summarise"]


class Sections(NamedTuple):
    """What a run was asked for beside the scenario, section by section; None for what was not asked for."""

    precision: dict[str, Any] | None = None
    """How closely figures were wanted, and are known."""
    warm_up: dict[str, Any] | None = None
    """How the warm-up was found."""
    uncertainty: dict[str, Any] | None = None
    """What was drawn because it is not known."""


_NONE = Sections()


def summarise(
    scenario: Scenario,
    fleet: Fleet,
    replications: Sequence[Replication],
    wall_s: float,
    warnings: Sequence[str] = (),
    opened: LearnedRouter | None = None,
    sections: Sections = _NONE,
) -> dict[str, Any]:
    """The contents of `summary.json`: means over the replications, intervals under `intervals`.

    `warnings` are what is to be held against the figures, such as curves used beyond what they were fitted to; `opened`
    is the router file in use.

    Counts and dollars are those of one replication, on average. None stands where there is nothing to measure.
    Only `speed` differs from run to run.
    """
    spread = sections.uncertainty is not None
    names = [strategy.name for strategy in fleet.strategies]
    headline, intervals = headline_figures(scenario, replications, spread=spread)
    strategies, of_strategies = strategy_figures(names, replications, spread=spread)
    splits = cost_splits(scenario, fleet, replications)
    requests = _requests(replications)
    figure = _nested(headline)
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "replications": len(replications),
        "horizon_s": mean_of_known([run.tally.seconds[0] for run in replications]),
        "warm_up_s": scenario.warm_up,
        "requests": requests,
        "latency": figure["latency"],
        "slo": figure["slo"] | {"set": any(_has_objectives(stream) for stream in scenario.workload)},
        "quality": figure["quality"] | {"known": _known(replications)},
        "cost": figure["cost"] | splits,
        "energy": _energy(scenario, replications),
        "strategies": _with_cost(strategies, splits["allocated"]["by_strategy"], replications),
        "streams": _streams(scenario, replications),
        "pools": _pools(scenario, replications),
        "sleep": sleep_section(scenario, replications),
        "router": router_section(scenario, [run.routing for run in replications if run.routing is not None], opened),
        "fleet": figure["fleet"]
        | {
            "peak_replicas": max(run.peak_replicas for run in replications),
            **{name: _count([getattr(run, name) for run in replications]) for name in _EVENTS},
            "step_times": {name: asdict(trust) for name, trust in fleet.trust.items()},
        },
        **sections._asdict(),
        "warnings": list(warnings),
        "intervals": intervals | of_strategies,
        "speed": {
            "requests_per_s": ratio(requests["offered"] * len(replications), wall_s),
            "wall_s": wall_s,
        },
    }


_EVENTS = ("starts", "reclaims", "failures")
"""What happened to servers."""


def _has_objectives(stream: Stream) -> bool:
    return any(limit_s is not None for limit_s in (stream.slo.ttft, stream.slo.tpot, stream.slo.e2e))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return tree


def _requests(replications: Sequence[Replication]) -> dict[str, Any]:
    runs = [_ends(run) for run in replications]
    count = {name: _count([run[name] for run in runs]) for name in runs[0]}
    ends = {name: count[name] for name in ("completed", "rejected", "timed_out", "failed", "unfinished")}
    return {
        # Not a mean of its own, so that rounding cannot part it from its parts.
        "offered": sum(ends.values()),
        **ends,
        "rejected_by": {name: count[name] for name in REJECTIONS},
        "attempts": count["attempts"],
        "retries": count["retried"],
        "skipped_rows": replications[0].skipped_rows,
        "prompt_tokens": count["prompt_tokens"],
        "output_tokens": count["output_tokens"],
        "preemptions": count["preemptions"],
    }


def _ends(run: Replication) -> dict[str, int]:
    """How the requests of one replication ended.

    Raises:
        EngineError: where one was lost.
    """
    found = dict(zip(COUNTS, run.tally.streams.sum(axis=0).tolist(), strict=True))
    rejected = sum(found[name] for name in REJECTIONS)
    if found["offered"] != found["completed"] + rejected + found["timed_out"] + found["failed"] + run.unfinished:
        raise EngineError(f"{found['offered']} requests came, and not as many ended or are in flight: {found}")
    preemptions = int(run.buckets["preemptions"].sum())
    return found | {"rejected": rejected, "unfinished": run.unfinished, "preemptions": preemptions}


def _energy(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What the pools of GPUs drew; carbon is None where no pool says how its electricity is made."""
    drawn = np.mean([run.energy for run in replications], axis=0)
    counts = [isinstance(pool, GpuPool) and pool.carbon is not None for pool in scenario.fleet]
    output_tokens = float(np.mean([run.charges.answered_tokens.sum() for run in replications]))
    kwh = float(drawn[:, 0].sum())
    return {
        "kwh": kwh,
        "carbon_kg": float(drawn[counts, 1].sum()) if any(counts) else None,
        "wh_per_1k_output_tokens": ratio(kwh * 1e6, output_tokens),
        "by_pool": {
            pool.name: {"kwh": float(drawn[p, 0]), "carbon_kg": float(drawn[p, 1]) if counts[p] else None}
            for p, pool in enumerate(scenario.fleet)
            if isinstance(pool, GpuPool)
        },
    }


def _known(replications: Sequence[Replication], stream: int | None = None) -> int | float:
    """Answers of a replication, or of a stream in it, whose quality is modelled."""
    mine = slice(None) if stream is None else slice(stream, stream + 1)
    return _count([int(run.tally.answers[mine, :, ANSWERS.index("known")].sum()) for run in replications])


def _with_cost(
    strategies: Mapping[str, Mapping[str, Any]], usd: Mapping[str, float], replications: Sequence[Replication]
) -> dict[str, Any]:
    """Each strategy with what an answer and a right answer by it cost, with its share of what was paid and not used.

    What preparing contexts costs is no strategy's.
    """
    answers = np.mean([run.tally.answers.sum(axis=0) for run in replications], axis=0)
    found = {}
    for a, (name, strategy) in enumerate(strategies.items()):
        sums = dict(zip(ANSWERS, answers[a].tolist(), strict=True))
        found[name] = {
            **strategy,
            "usd_per_1k_requests": ratio(usd[name] * 1e3, sums["requests"]),
            "usd_per_correct": ratio(usd[name], sums["correct"]),
        }
    return found


def _pools(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What each pool was sent and answered, every attempt counting, and what an answer of it costs."""
    usd = np.mean([pool_usd(run.charges) for run in replications], axis=0)
    found = {}
    for p, pool in enumerate(scenario.fleet):
        rows = [run.buckets[run.buckets["pool"] == p] for run in replications]
        names = ("arrived", "completed", "prompt_tokens", "output_tokens")
        counts = {name: _count([int(row[name].sum()) for row in rows]) for name in names}
        found[pool.name] = {
            "received": counts.pop("arrived"),
            **counts,
            "usd": float(usd[p]),
            "usd_per_1k_requests": ratio(float(usd[p]) * 1e3, counts["completed"]),
            "usd_per_1m_output_tokens": ratio(float(usd[p]) * 1e6, counts["output_tokens"]),
        }
    return found


def _streams(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What each stream saw, without intervals."""
    found = {}
    for index, stream in enumerate(scenario.workload):
        runs = [figures(run.tally.of_stream(index), gpus_of(scenario)) for run in replications]
        flat = {
            name: mean_of_known([run[name] for run in runs])
            for name in runs[0]
            if name.startswith(("latency", "slo", "quality"))
        }
        ends = [dict(zip(COUNTS, run.tally.streams[index].tolist(), strict=True)) for run in replications]
        counts = {name: _count([end[name] for end in ends]) for name in ("offered", "completed", "timed_out", "failed")}
        rejected = _count([sum(end[name] for name in REJECTIONS) for end in ends])
        nested = _nested(flat)
        found[stream.name] = {
            **counts,
            "rejected": rejected,
            **nested,
            "quality": nested["quality"] | {"known": _known(replications, index)},
            "contexts": {key: _count([end[name] for end in ends]) for key, name in _CONTEXTS.items()},
        }
    return found


_CONTEXTS = {
    "asked": "asked",
    "hits": "hits",
    "stale": "stale",
    "expired": "expired",
    "late": "late",
    "saved_output_tokens": "saved_tokens",
}
"""What requests with a context found prepared of it: key of the summary, count of the tally."""


def _count(values: Sequence[int]) -> int | float:
    mean = sum(values) / len(values)
    return int(mean) if mean.is_integer() else mean
