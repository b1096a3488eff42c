"""Small scenarios to run from end to end, and short ways to look at what came of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from sim.results import Results
from sim.scenario import Scenario

__all__ = ["chat", "pool", "rows", "scenario", "steady_step_times"]


def chat(**changes: Any) -> dict[str, Any]:
    """A stream of Poisson arrivals, two a second."""
    stream = {
        "name": "chat",
        "arrivals": {"kind": "poisson", "rps": 2.0},
        "lengths": {
            "kind": "lognormal",
            "prompt_median": 200,
            "prompt_sigma": 0.5,
            "output_median": 50,
            "output_sigma": 0.5,
        },
        "slo": {"ttft": "1s", "e2e": "30s"},
    }
    return stream | changes


def pool(**changes: Any) -> dict[str, Any]:
    """Two reserved H100s at two dollars an hour."""
    offer = {"kind": "reserved", "usd_per_gpu_hour": 2.0}
    return {
        "name": "h100",
        "gpu": "H100-SXM",
        "model": "Llama-3.1-8B",
        "replicas": 2,
        "offer": offer,
        **changes,
    }


def scenario(**changes: Any) -> Scenario:
    """Five minutes of chat on two replicas, with changes."""
    fields = {"name": "small", "horizon": "5m", "workload": [chat()], "fleet": [pool()], **changes}
    return Scenario.model_validate(fields)


def rows(results: Results) -> pd.DataFrame:
    """All rows of requests, in order of arrival."""
    frame = pd.concat(results.requests())
    return frame.sort_values(["replication", "request_id"]).reset_index(drop=True)


def steady_step_times(folder: Path, step_s: float) -> dict[str, str]:
    """A step-time file by which every step takes `step_s`, whatever is in it (but for a nanosecond a token)."""
    file = folder / "steady.json"
    law = {
        "prefill": {"a_s": step_s, "b_s_per_token": 0.0, "c_s_per_token_pair": 0.0},
        "decode": {"rows": [1, 256], "base_s": [step_s, step_s], "kv_s": [0.0, 0.0]},
    }
    file.write_text(json.dumps(law), encoding="utf-8")
    return {"path": str(file)}
