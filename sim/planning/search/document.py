"""The document that `nightshift plan` gives back, part by part, as JSON holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from sim.planning.search.analysis import Analysis
from sim.planning.search.confirm import Confirmed
from sim.planning.search.judge import Judged, Promise, misses
from sim.planning.search.point import Point, Space
from sim.planning.search.realise import Refused, realised
from sim.planning.search.trials import Trial, Trials
from sim.scenario import ApiPool, GpuPool
from sim.stats import estimate, paired_difference

__all__ = [
    "blocks_json",
    "by_hour_json",
    "difference_json",
    "interval_json",
    "known",
    "options_json",
    "pareto_json",
    "plan_json",
    "pools_json",
    "runner_up_json",
    "short_pools",
    "targets_json",
    "verified_json",
]


def known(value: float | None) -> float | None:
    """A number as JSON holds it; None where it is not known."""
    return float(value) if value is not None and isfinite(value) else None


def targets_json(promise: Promise) -> dict[str, Any]:
    """What is promised."""
    by_stream: dict[str, dict[str, float]] = {}
    for target in promise.targets:
        kind, of, stream = target.name.partition(" of ")
        if of:
            key = "slo_attainment" if kind == "slo" else "accuracy"
            by_stream.setdefault(stream, {})[key] = target.limit
    return {
        "slo_attainment": promise.limit("slo"),
        "accuracy": promise.limit("accuracy"),
        "budget_usd": promise.limit("budget"),
        "by_stream": by_stream,
    }


def blocks_json(space: Space, mean_rps: Sequence[float] | None) -> list[dict[str, Any]]:
    """The blocks of hours; `mean_rps` is the rate of all streams in each [H]."""
    blocks = space.blocks
    return [
        {
            "name": name,
            "hours_per_month": float(blocks.hours_per_month[h]),
            "windows": [{"days": list(days), "hours": hours} for days, hours in blocks.windows(h)],
            "mean_rps": None if mean_rps is None else float(mean_rps[h]),
        }
        for h, name in enumerate(blocks.names)
    ]


def pools_json(space: Space, point: Point, judged: Judged | None) -> list[dict[str, Any]]:
    """What is bought, pool by pool; those of which there is none are left out."""
    scenario = space.options[point.option].scenario
    answered = {} if judged is None else {p.name: judged.mean(f"pools.{p.name}.completed") for p in scenario.fleet}
    total = float(np.nansum(list(answered.values()))) if answered else 0.0
    found = []
    for pool, choice, row in zip(scenario.fleet, space.choices, point.replicas, strict=True):
        if not any(row):
            continue
        share = answered.get(pool.name, float("nan")) / total if total else float("nan")
        found.append(
            {
                "name": pool.name,
                "kind": choice.kind,
                "gpu": None if isinstance(pool, ApiPool) else pool.gpu,
                "model": pool.model,
                "offer": _offer(pool),
                "scales_itself": _scales(pool) and not choice.by_block,
                "replicas_by_block": dict(zip(space.blocks.names, row, strict=True)),
                "gpus_peak": 0 if isinstance(pool, ApiPool) else max(row) * pool.gpus_per_replica,
                "usd_per_month": None if judged is None else known(judged.mean(f"pools.{pool.name}.usd_per_month")),
                "share_of_requests": known(share),
                "busy_share": None if judged is None else known(judged.mean(f"pools.{pool.name}.busy_share")),
            }
        )
    return found


def _offer(pool: GpuPool | ApiPool) -> Any:
    if isinstance(pool, ApiPool):
        return None
    return pool.offer.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"kind": pool.offer.kind}


def _scales(pool: GpuPool | ApiPool) -> bool:
    return isinstance(pool, GpuPool) and pool.autoscale is not None


def plan_json(space: Space, point: Point, judged: Judged) -> dict[str, Any]:
    """A point with its cost, as a plan that can be run."""
    from sim.load import dump_scenario

    option = space.options[point.option]
    usd = estimate(judged.values("usd_per_month"))
    made = realised(space, point)
    policy = option.scenario.router
    return {
        "monthly_usd": known(usd.mean),
        "interval": [known(usd.low), known(usd.high)],
        "pools": pools_json(space, point, judged),
        "policy": {
            "label": option.label,
            "router": None
            if policy is None
            else policy.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"policy": policy.policy},
        },
        "settings": dict(option.settings),
        "scenario_yaml": "" if isinstance(made, Refused) else dump_scenario(made),
    }


def verified_json(judged: Judged, promise: Promise, *, seed: int, keeps: bool) -> dict[str, Any]:
    """What a point came to on the fresh seed, with intervals and chances to miss."""
    names = {
        "slo_attainment": "slo.attainment",
        "accuracy": "quality.accuracy",
        "monthly_usd": "usd_per_month",
        "e2e_p99_s": "latency.e2e_s.p99",
        "ttft_p99_s": "latency.ttft_s.p99",
        "goodput_rps": "slo.goodput_rps",
    }
    chances = misses(judged, promise)
    streams = dict.fromkeys(name.split(".")[1] for name in judged.figures if name.startswith("streams."))
    return {
        **{key: known(judged.mean(figure)) for key, figure in names.items()},
        "p_over_budget": chances.get("budget"),
        "p_miss_slo": chances.get("slo"),
        "p_miss_accuracy": chances.get("accuracy"),
        "p_miss": chances,
        "intervals": {key: interval_json(judged, figure) for key, figure in names.items()},
        "replications": judged.replications,
        "seed": seed,
        "by_stream": {name: _stream_json(judged, name, chances) for name in streams},
        "keeps_promise": keeps,
    }


def _stream_json(judged: Judged, stream: str, chances: Mapping[str, float]) -> dict[str, Any]:
    return {
        "slo_attainment": known(judged.mean(f"streams.{stream}.slo.attainment")),
        "accuracy": known(judged.mean(f"streams.{stream}.quality.accuracy")),
        "e2e_p99_s": known(judged.mean(f"streams.{stream}.latency.e2e_s.p99")),
        "ttft_p99_s": known(judged.mean(f"streams.{stream}.latency.ttft_s.p99")),
        "p_miss_slo": chances.get(f"slo of {stream}"),
        "p_miss_accuracy": chances.get(f"accuracy of {stream}"),
    }


def interval_json(judged: Judged, figure: str) -> list[float | None]:
    """The 95 % Student interval of the mean of a figure."""
    found = estimate(judged.values(figure))
    return [known(found.low), known(found.high)]


def difference_json(judged: Judged, other: Judged, figure: str = "usd_per_month") -> dict[str, float | None]:
    """By how much a figure of the first is above that of the other, paired by the replications that both have."""
    mine, theirs = judged.values(figure), other.values(figure)
    both = min(len(mine), len(theirs))
    found = paired_difference(mine[:both], theirs[:both])
    return {name: known(value) for name, value in found._asdict().items()}


def by_hour_json(space: Space, point: Point, usd_per_hour: Any) -> list[dict[str, Any]]:
    """The fleet by hour of the local week and pool, with what its replicas cost; `usd_per_hour` is [P, H]."""
    scenario = space.options[point.option].scenario
    return [
        {
            "hour_of_week": hour,
            "block": space.blocks.names[block],
            "pool": pool.name,
            "replicas": point.replicas[p][block],
            "usd": float(usd_per_hour[p][block] * _paid(space, p, point, block)),
        }
        for hour, block in enumerate(space.blocks.block.tolist())
        for p, pool in enumerate(scenario.fleet)
        if any(point.replicas[p])
    ]


def _paid(space: Space, pool: int, point: Point, block: int) -> int:
    row = point.replicas[pool]
    return max(row) if space.choices[pool].kind == "reserved" else row[block]


def pareto_json(trials: Trials) -> list[dict[str, Any]]:
    """Simulated points that no other is at least as good as in cost, accuracy and 99th percentile, by cost."""
    found = [_front_json(trials.space, trial) for trial in trials.known.values() if trial.judged.refused is None]
    losses = [_losses(each) for each in found]
    front = [
        each
        for each, mine in zip(found, losses, strict=True)
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in losses)
    ]
    return sorted(front, key=lambda each: (each["monthly_usd"] or 0.0, -(each["accuracy"] or 0.0)))


def _losses(entry: Mapping[str, Any]) -> tuple[float, ...]:
    accuracy, tail = entry["accuracy"], entry["e2e_p99_s"]
    return entry["monthly_usd"], -(accuracy or 0.0), float("inf") if tail is None else tail


def _front_json(space: Space, trial: Trial) -> dict[str, Any]:
    judged = trial.judged
    return {
        "monthly_usd": known(judged.mean("usd_per_month")),
        "accuracy": known(judged.mean("quality.accuracy")),
        "e2e_p99_s": known(judged.mean("latency.e2e_s.p99")),
        "slo_attainment": known(judged.mean("slo.attainment")),
        "source": "simulated",
        "replications": judged.replications,
        "keeps_promise": trial.keeps,
        "settings": dict(space.options[trial.point.option].settings),
        "pools": short_pools(space, trial.point),
    }


def short_pools(space: Space, point: Point) -> dict[str, Any]:
    """Replicas by pool; by block where they differ."""
    rows = zip(space.choices, point.replicas, strict=True)
    return {
        choice.name: row[0] if len(set(row)) == 1 else dict(zip(space.blocks.names, row, strict=True))
        for choice, row in rows
        if any(row)
    }


def options_json(analysis: Analysis, starts: Mapping[int, Any], trials: Trials | None) -> list[dict[str, Any]]:
    """What each policy option came to."""
    best: dict[int, float] = {}
    for trial in () if trials is None else trials.known.values():
        if trial.keeps:
            usd = trial.judged.mean("usd_per_month")
            best[trial.point.option] = min(usd, best.get(trial.point.option, usd))
    return [
        {
            "settings": dict(option.settings),
            "analytic_usd": known(starts[index].usd_per_month),
            "bound_usd": known(starts[index].bound_usd),
            "is_feasible": starts[index].is_feasible,
            "best_usd": best.get(index),
        }
        for index, option in enumerate(analysis.space.options)
    ]


def runner_up_json(space: Space, other: Confirmed, plan: Confirmed, promise: Promise) -> dict[str, Any]:
    """The second best, and why it lost."""
    apart = difference_json(other.fresh.judged, plan.fresh.judged)
    chances = misses(other.fresh.judged, promise)
    broken = [name for name, chance in chances.items() if chance > promise.risk]
    usd = apart["mean"] or 0.0
    if broken:
        why = f"It misses {' and '.join(broken)} with a chance of {max(chances[n] for n in broken):.0%}"
        why += f", and would cost ${abs(usd):,.0f} {'more' if usd > 0 else 'less'} a month."
    elif usd > 0:
        why = f"It keeps its promise as well, and costs ${usd:,.0f} more a month."
    else:
        why = "It keeps its promise as well, and was dearer or less good on the seed of the search."
    return plan_json(space, other.fresh.point, other.fresh.judged) | {
        "difference_usd": apart,
        "keeps_promise": other.fresh.keeps,
        "verified": {
            "slo_attainment": known(other.fresh.judged.mean("slo.attainment")),
            "accuracy": known(other.fresh.judged.mean("quality.accuracy")),
            "e2e_p99_s": known(other.fresh.judged.mean("latency.e2e_s.p99")),
        },
        "why": why,
    }
