"""Made-up results folders, as `simulate --out` saves them: two GPU pools, and an API that takes the overflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

__all__ = ["Made", "make_folder", "shrink"]

BUCKET_S = 300.0
LINES = ("busy", "lost_work", "timed_out", "idle", "starting", "draining", "down")
METRICS = {"ttft_s": 0.35, "tpot_s": 0.025, "e2e_s": 6.0}


@dataclass(frozen=True)
class Made:
    """What is made: days, replications, and the names that stand in it."""

    days: float = 7.0
    replications: int = 3
    scenario: str = "peak-offpeak"
    pools: tuple[str, str, str] = ("reserved-h100", "spot-l40s", "overflow")
    streams: tuple[str, ...] = ("chat", "summaries")
    start: str = "2026-03-02T00:00:00"
    time_zone: str = "America/New_York"
    energy: bool = True
    slo: bool = True
    usd: float = 1.0
    """Factor on all money."""
    answered: float = 1.0
    """Factor on what is answered; 0 for none."""
    quality: bool = False
    """Whether it is known which answers are right, and contexts are prepared."""
    net_usd: float = 21.5
    """What preparing contexts has saved, net of its cost."""


def make_folder(folder: Path, made: Made = Made()) -> Path:
    """Write all that a report reads; gives back the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    buckets, streams = _buckets(made), _streams(made)
    ledger, latency = _ledger(made, buckets), _latency(made, streams)
    for name, frame in {"buckets": buckets, "streams": streams, "ledger": ledger, "latency": latency}.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    scenario = yaml.safe_dump(_scenario(made), sort_keys=False, allow_unicode=True)
    (folder / "scenario.yaml").write_text(scenario, encoding="utf-8")
    summary = _summary(made, buckets, streams, ledger, latency)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False), encoding="utf-8")
    return folder


def shrink(folder: Path, table: str, *columns: str) -> None:
    """Take columns out of a table, as in a folder of an older version."""
    file = folder / f"{table}.parquet"
    pd.read_parquet(file).drop(columns=list(columns)).to_parquet(file, index=False)


def _clock(made: Made) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Begin of each bucket in seconds, and the local hour of the week there."""
    begin_s = np.arange(max(int(made.days * 86_400.0 / BUCKET_S), 1)) * BUCKET_S
    return begin_s, begin_s / 3600.0


def _load(made: Made, replication: int) -> np.ndarray[Any, Any]:
    """Requests a second by bucket: a daily swing, quiet weekends, bursts."""
    random = np.random.default_rng(replication)
    _, hour = _clock(made)
    swing = 1.0 + 0.75 * np.cos((hour - 14.0) / 24.0 * 2.0 * np.pi)
    weekend = np.where((hour // 24) % 7 >= 5, 0.55, 1.0)
    return np.asarray(9.0 * swing * weekend * random.gamma(40.0, 1.0 / 40.0, hour.size))


def _buckets(made: Made) -> pd.DataFrame:
    frames = [_pool(made, replication, place) for replication in range(made.replications) for place in range(3)]
    return pd.concat(frames, ignore_index=True)


def _pool(made: Made, replication: int, place: int) -> pd.DataFrame:
    begin_s, hour = _clock(made)
    rps = _load(made, replication)
    random = np.random.default_rng((replication, place))
    gpu = np.minimum(rps, 9.0)
    part = (0.72 * gpu, 0.28 * gpu, np.maximum(rps - 9.0, 0.0))[place]
    arrived = random.poisson(part * BUCKET_S)
    peak = ((hour % 24) >= 9) & ((hour % 24) < 17) & ((hour // 24) % 7 < 5)
    wanted = np.clip(np.ceil(part / 1.6), 1, 6) if place == 1 else np.full(hour.size, 4.0)
    open_now = (
        np.where(random.random(hour.size) < 0.01, np.maximum(wanted - 1, 0), wanted) if place < 2 else wanted * 0 + 1
    )
    starting = np.clip(np.diff(open_now, append=open_now[-1]), 0, None)
    paid_s = open_now * BUCKET_S
    busy_s = np.minimum(part / 1.9 * BUCKET_S, paid_s) if place < 2 else np.zeros(hour.size)
    price = (2.10, 0.55 + 0.1 * np.round(3 * np.sin(hour / 17.0)), np.nan)[place] * made.usd + np.zeros(hour.size)
    tokens = arrived * 220
    api = place == 2
    output = np.where(peak, 0.84, 0.42) * made.usd
    return pd.DataFrame(
        {
            "replication": replication,
            "pool": made.pools[place],
            "begin_s": begin_s,
            "end_s": begin_s + BUCKET_S,
            "arrived": arrived,
            "completed": (arrived * (0.985 if place == 1 else 0.999) * made.answered).astype(int),
            "prompt_tokens": arrived * 900,
            "output_tokens": (tokens * made.answered).astype(int),
            "cached_tokens": (arrived * (520 if place == 0 else 310) * made.quality * (place < 2)).astype(int),
            "preemptions": 0,
            "recomputed_tokens": 0,
            "busy_s": busy_s,
            "idle_s": 0.0 if api else paid_s - busy_s,
            "starting_s": 0.0 if api else starting * 180.0,
            "draining_s": 0.0,
            "down_s": 0.0,
            "off_s": 0.0,
            "busy_usd": 0.0 if api else busy_s * price / 3600.0,
            "unused_usd": 0.0 if api else (paid_s - busy_s + starting * 180.0) * price / 3600.0,
            "api_usd": (arrived * 900 * 0.14 * made.usd + tokens * output) / 1e6 if api else 0.0,
            "other_usd": 0.0 if api or not made.energy else busy_s * 0.7 / 3600.0 * 0.12 * made.usd,
            "running": (part * 6).round(),
            "waiting": np.maximum(part - 6.0, 0.0).round() if place == 0 else 0.0,
            "kv_used_share": np.nan if api else np.clip(part / 12.0, 0.0, 1.0),
            "accepting_replicas": open_now,
            "starting_replicas": 0.0 if api else starting,
            "window": np.where(peak, "peak", "off-peak") if api else "flat",
            "usd_per_gpu_hour": price,
            "input_usd_per_1m": np.where(peak, 0.28, 0.14) * made.usd if api else np.nan,
            "output_usd_per_1m": output if api else np.nan,
            "kwh": 0.0 if api or not made.energy else busy_s * 0.7 / 3600.0,
            "carbon_kg": 0.0 if api or not made.energy else busy_s * 0.7 / 3600.0 * (0.30 + 0.1 * np.cos(hour / 3.8)),
        }
    )


def _streams(made: Made) -> pd.DataFrame:
    frames = []
    for replication in range(made.replications):
        begin_s, _ = _clock(made)
        rps = _load(made, replication)
        for place, name in enumerate(made.streams):
            random = np.random.default_rng((replication, 7, place))
            offered = random.poisson(rps * BUCKET_S * (0.85, 0.15)[place % 2])
            crowded = np.clip((rps - 12.0) / 40.0, 0.0, 1.0)
            rejected = random.binomial(offered, 0.3 * crowded)
            timed_out = random.binomial(offered - rejected, 0.1 * crowded)
            failed = random.binomial(offered - rejected - timed_out, 0.0005)
            left = offered - rejected - timed_out - failed
            completed = (left * made.answered).astype(int)
            met = random.binomial(completed, 0.985 - 0.3 * crowded)
            asked = offered * (place == 0) * made.quality
            night = np.clip(0.72 - 0.35 * np.cos((_clock(made)[1] - 4.0) / 24.0 * 2.0 * np.pi), 0.0, 1.0)
            hits = random.binomial(asked, 1.0 - 0.5 * night)
            stale, late, expired = (random.binomial(asked - hits, share) for share in (0.25, 0.1, 0.05))
            frames.append(
                pd.DataFrame(
                    {
                        "replication": replication,
                        "stream": name,
                        "begin_s": begin_s,
                        "end_s": begin_s + BUCKET_S,
                        "offered": offered,
                        "completed": completed,
                        "rejected": rejected,
                        "timed_out": timed_out,
                        "failed": failed,
                        "measured_offered": np.where(begin_s < 1800.0, 0, offered),
                        "measured_ended": np.where(begin_s < 1800.0, 0, offered),
                        "measured_met": np.where(begin_s < 1800.0, 0, met),
                        "known": completed * made.quality,
                        "correct": random.binomial(completed * made.quality, 0.68 + 0.1 * crowded),
                        "asked": asked,
                        "hits": hits,
                        "stale": stale,
                        "late": late,
                        "expired": expired,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _ledger(made: Made, buckets: pd.DataFrame) -> pd.DataFrame:
    """The dollars of the buckets, split over lines, streams and windows."""
    rows = []
    keys = ["replication", "pool", "window"]
    sums = buckets.groupby(keys)[["busy_usd", "unused_usd", "api_usd", "other_usd", "kwh", "carbon_kg"]].sum()
    for (replication, pool, window), usd in sums.iterrows():
        base = {"replication": replication, "pool": pool, "window": window, "strategy": "direct"}
        for stream, part in zip(made.streams, _parts(made), strict=True):
            split = base | {"stream": stream, "priority": "interactive", "kwh": 0.0, "carbon_kg": 0.0}
            if pool == made.pools[2]:
                rows.append(split | {"line": "api", "usd": usd["api_usd"] * part, "tokens": 1e6 * part})
                continue
            for line, share in (("busy", 0.97), ("lost_work", 0.01), ("timed_out", 0.02)):
                energy = {"kwh": usd["kwh"] * part * share, "carbon_kg": usd["carbon_kg"] * part * share}
                rows.append(split | energy | {"line": line, "usd": usd["busy_usd"] * part * share, "hours": 1.0})
        if pool == made.pools[2]:
            continue
        for line, share in (("idle", 0.93), ("starting", 0.05), ("down", 0.02)):
            rows.append(base | {"strategy": None, "line": line, "usd": usd["unused_usd"] * share, "hours": 1.0})
        if usd["other_usd"]:
            rows.append(base | {"strategy": None, "line": "electricity", "usd": usd["other_usd"]})
    columns = ["replication", "line", "pool", "stream", "strategy", "priority", "window", "usd", "hours", "tokens"]
    frame = pd.DataFrame(rows, columns=[*columns, "kwh", "carbon_kg"])
    return frame.astype({name: "string" for name in ("line", "pool", "stream", "strategy", "priority", "window")})


def _parts(made: Made) -> tuple[float, ...]:
    return (0.7, 0.3) if len(made.streams) == 2 else (1.0 / len(made.streams),) * len(made.streams)


def _latency(made: Made, streams: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(3)
    frames = []
    for place, name in enumerate(made.streams):
        answers = int(streams.loc[streams["stream"] == name, "completed"].sum())
        for metric, median in METRICS.items():
            values = median * (1.0 + 2.0 * place) * np.exp(0.7 * random.standard_normal(min(answers, 200_000)))
            bins, counts = np.unique(np.floor(16.0 * np.log2(values)).astype(int), return_counts=True)
            frame = {"begin_s": 2.0 ** (bins / 16.0), "end_s": 2.0 ** ((bins + 1) / 16.0), "requests": counts}
            frames.append(pd.DataFrame({"stream": name, "metric": metric} | frame))
    return pd.concat(frames, ignore_index=True)


def _scenario(made: Made) -> dict[str, Any]:
    slo = {"ttft": "1s", "e2e": "30s"} if made.slo else {}
    lengths = {"kind": "lognormal", "prompt_median": 900.0, "prompt_sigma": 1.0, "output_median": 150.0}
    workload = [{"name": name, "arrivals": {"kind": "daily"}, "lengths": lengths, "slo": slo} for name in made.streams]
    return {
        "name": made.scenario,
        "start": made.start,
        "time_zone": made.time_zone,
        "horizon": f"{made.days:g}d",
        "warm_up": "30m",
        "seed": 7,
        "replications": made.replications,
        "workload": workload,
        "fleet": [
            {"name": made.pools[0], "kind": "gpu", "gpu": "H100-SXM", "model": "Llama-3.1-8B", "replicas": 4},
            {"name": made.pools[1], "kind": "gpu", "gpu": "L40S", "model": "Llama-3.1-8B", "replicas": 1},
            {"name": made.pools[2], "kind": "api", "model": "Llama-3.1-8B", "tariff": "deepseek-2026-08"},
        ],
        "bucket": "5m",
    }


def _summary(
    made: Made, buckets: pd.DataFrame, streams: pd.DataFrame, ledger: pd.DataFrame, latency: pd.DataFrame
) -> dict[str, Any]:
    runs = made.replications
    count = {name: float(streams[name].sum()) / runs for name in streams.columns[4:]}
    ended = count["completed"] + count["rejected"] + count["timed_out"] + count["failed"]
    output_tokens, seconds = float(buckets["output_tokens"].sum()) / runs, made.days * 86_400.0
    total = float(ledger["usd"].sum()) / runs
    met = count["measured_met"] / count["measured_offered"] if count["measured_offered"] else None
    by_stream = {name: float(ledger.loc[ledger["stream"] == name, "usd"].sum()) / runs for name in made.streams}
    used = sum(by_stream.values())
    kwh, carbon_kg = float(ledger["kwh"].sum()) / runs, float(ledger["carbon_kg"].sum()) / runs
    gpu = buckets[buckets["usd_per_gpu_hour"].notna()]
    paid_s = float(gpu[["busy_s", "idle_s", "starting_s"]].sum().sum())
    cost = {
        "total_usd": total,
        "usd_per_hour": total / seconds * 3600.0,
        "usd_per_1k_requests": _ratio(total * 1e3, count["completed"]),
        "usd_per_1m_output_tokens": _ratio(total * 1e6, output_tokens),
        "usd_per_1m_input_tokens": 0.11 * made.usd if output_tokens else None,
        "usd_per_1m_cached_tokens": None,
        "usd_per_1m_generated_tokens": 0.93 * made.usd if output_tokens else None,
        "output_tokens_per_usd": _ratio(output_tokens, total),
        "usd_per_correct": _ratio(total, count["correct"]),
        "by_line": _sums(ledger, "line", runs),
        "by_pool": _sums(ledger, "pool", runs),
        "by_stream": by_stream,
        "by_strategy": {"direct": used},
        "by_class": {"interactive": used},
        "by_window": _sums(ledger, "window", runs),
        "allocated": {"by_stream": {name: usd * total / used if used else 0.0 for name, usd in by_stream.items()}},
    }
    trust = {"standing": "calibrated", "basis": "412 runs of 6 setups", "tpot_error": 0.041, "ttft_error": 0.12}
    unknown: dict[str, Any] = {
        "standing": "assumed",
        "basis": "no server with L40S was measured",
        "tpot_error": None,
        "ttft_error": None,
    }
    figures = _latencies(made, latency)
    summary: dict[str, Any] = {
        "scenario": made.scenario,
        "seed": 7,
        "replications": runs,
        "horizon_s": seconds,
        "warm_up_s": 1800.0,
        "requests": {
            "offered": count["offered"],
            **{name: count[name] for name in ("completed", "rejected", "timed_out", "failed")},
            "unfinished": count["offered"] - ended,
            "rejected_by": {
                "too_long": count["rejected"] * 0.05,
                "no_replica": 0,
                "queue_full": count["rejected"] * 0.6,
                "rate_limited": count["rejected"] * 0.35,
            },
            "attempts": count["offered"] * 1.02,
            "retries": count["offered"] * 0.02,
            "skipped_rows": 0,
            "prompt_tokens": float(buckets["prompt_tokens"].sum()) / runs,
            "output_tokens": output_tokens,
            "preemptions": 0,
        },
        "latency": figures["all"],
        "slo": {"attainment": met, "goodput_rps": count["measured_met"] / seconds},
        "quality": {
            "accuracy": _ratio(count["correct"], count["known"]),
            "expected_accuracy": _ratio(count["correct"], count["known"]),
            "known": count["known"],
        },
        "cost": cost,
        "energy": {
            "kwh": kwh,
            "carbon_kg": carbon_kg,
            "by_pool": {name: {"kwh": kwh / 2, "carbon_kg": carbon_kg / 2} for name in made.pools[:2]},
            "wh_per_1k_output_tokens": _ratio(kwh * 1e6, output_tokens),
        },
        "strategies": _strategies(made),
        "warnings": ["vote of 64 is beyond the 32 samples that its curve was fitted to"] if made.quality else [],
        "streams": {name: _stream(streams, name, runs, figures[name]) for name in made.streams},
        "sleep": _sleep(made),
        "fleet": {
            "prefix_hit_share": _ratio(float(buckets["cached_tokens"].sum()), float(buckets["prompt_tokens"].sum())),
            "gpu_hours": paid_s / 3600.0 / runs,
            "busy_share": float(gpu["busy_s"].sum()) / paid_s,
            "work_share": 0.5 * float(gpu["busy_s"].sum()) / paid_s,
            "peak_replicas": 7,
            "step_times": {made.pools[0]: trust, made.pools[1]: unknown},
            "starts": 61,
            "reclaims": 4,
            "failures": 1,
        },
        "speed": {"requests_per_s": 412_345.6, "wall_s": 38.2},
    }
    return summary | {"intervals": _intervals(summary, runs)}


def _strategies(made: Made) -> dict[str, Any]:
    """One of which nothing is known, or four that are held against each other."""
    if not made.quality:
        return {"direct": _way(1.0, None, 220.0)}
    return {
        "direct": _way(0.62, 0.55, 90.0),
        "think briefly": _way(0.2, 0.74, 700.0),
        "think": _way(0.1, 0.86, 4_200.0),
        "vote of 8": _way(0.08, 0.79, 5_600.0),
    }


def _way(share: float, accuracy: float | None, tokens: float) -> dict[str, Any]:
    usd = tokens * 0.0012
    return {
        "share": share,
        "accuracy": accuracy,
        "expected_accuracy": accuracy and accuracy - 0.004,
        "mean_output_tokens": tokens,
        "usd_per_1k_requests": usd,
        "usd_per_correct": None if accuracy is None else usd / 1e3 / accuracy,
    }


def _sleep(made: Made) -> dict[str, Any]:
    if not made.quality:
        return {"prepared": 0, "hit_rate": None, "wasted_share": None}
    money = {"cost_usd": 48.0, "wasted_usd": 13.0, "saved_usd": 48.0 + made.net_usd, "net_usd": made.net_usd}
    counts = {"prepared": 4_100, "jobs": 4_300, "stale": 900, "late": 350, "expired": 120}
    return {"hit_rate": 0.64, "wasted_share": 0.27, "saved_output_tokens": 9e7} | counts | money


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def _sums(ledger: pd.DataFrame, key: str, runs: int) -> dict[str, float]:
    return {str(name): float(usd) / runs for name, usd in ledger.groupby(key)["usd"].sum().items()}


def _latencies(made: Made, latency: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean and quantiles by stream, and of all."""
    streams = {name: latency[latency["stream"] == name] for name in made.streams}
    return {
        name: {metric: _quantiles(rows[rows["metric"] == metric]) for metric in METRICS}
        for name, rows in [("all", latency), *streams.items()]
    }


def _quantiles(rows: pd.DataFrame) -> dict[str, float | None]:
    names = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    if rows.empty:
        return dict.fromkeys(("mean", *names))
    rows = rows.sort_values("begin_s")
    reached = rows["requests"].cumsum() / rows["requests"].sum()
    ends = {name: float(rows["end_s"].to_numpy()[np.searchsorted(reached, p)]) for name, p in names.items()}
    return {"mean": float((rows["end_s"] * rows["requests"]).sum() / rows["requests"].sum())} | ends


def _stream(streams: pd.DataFrame, name: str, runs: int, latency: dict[str, Any]) -> dict[str, Any]:
    sums = streams[streams["stream"] == name].iloc[:, 4:].sum()
    met = _ratio(float(sums["measured_met"]), float(sums["measured_offered"]))
    counts = {key: float(sums[key]) / runs for key in ("offered", "completed", "rejected", "timed_out", "failed")}
    contexts = {key: float(sums[key]) / runs for key in ("asked", "hits", "stale", "late", "expired")}
    return counts | {"latency": latency, "slo": {"attainment": met, "goodput_rps": None}, "contexts": contexts}


def _intervals(summary: dict[str, Any], runs: int) -> dict[str, list[float] | None]:
    headlines = [f"cost.{key}" for key in ("total_usd", "usd_per_1k_requests", "usd_per_1m_output_tokens")]
    headlines += ["slo.attainment", "fleet.busy_share", "energy.kwh", "requests.completed", "quality.accuracy"]
    found: dict[str, list[float] | None] = {}
    for name in headlines:
        section, key = name.split(".")
        value = summary[section][key]
        found[name] = None if runs < 2 or value is None else [value * 0.994, value * 1.006]
    for metric in METRICS:
        value = summary["latency"][metric]["p99"]
        found[f"latency.{metric}.p99"] = None if runs < 2 or value is None else [value * 0.96, value * 1.04]
    for name, way in summary["strategies"].items():
        right = way["accuracy"]
        known = runs > 1 and right is not None
        found[f"strategies.{name}.accuracy"] = [right - 0.02, min(right + 0.02, 1.0)] if known else None
    return found
