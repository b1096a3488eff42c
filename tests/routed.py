"""Small scenarios whose router looks at requests: a made-up table of questions, and a router file that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tests.made_router import Made
from tests.small import chat, pool

__all__ = ["API", "STRATEGIES", "chances", "made_table", "routed", "written"]

STRATEGIES = ("direct", "short", "long")
"""Of rising cost: 20, 90 and 400 tokens, or half as much again for long questions."""

API = {
    "name": "api",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "tariff": {"kind": "windows", "base": {"input_usd_per_1m": 0.1, "output_usd_per_1m": 1.0}},
}
"""Every token has a price, so that what is spent is what is chosen."""


def chances(hard: np.ndarray) -> np.ndarray:
    """Chances of right answers, those that the made router says, [n, 3]."""
    return 1.0 / (1.0 + np.exp(-(3.0 + np.linspace(-6.0, -2.0, 3) * hard[:, None])))


def made_table(folder: Path, *, questions: int = 400, knows: bool = True, trials: int = 1) -> Path:
    """A table of outcomes as the made router expects them; without `knows` its features say nothing of them."""
    draw = np.random.default_rng(3)
    hard, long = draw.random(questions), draw.poisson(4.0, questions).astype(float)
    right = draw.random((trials, questions, 3)) < chances(hard)
    tokens = np.exp(np.linspace(3.0, 6.0, 3) + 0.4 * (long > 4.0)[:, None])
    shown = hard if knows else draw.permutation(hard)
    rows = [
        {"question": q, "context": q // 2, "strategy": name, "correct": int(right[trial, q, a]),
         "tokens": round(float(tokens[q, a])), "hard": shown[q], "long": long[q]}
        for trial in range(trials) for q in range(questions) for a, name in enumerate(STRATEGIES)
    ]  # fmt: skip
    path = folder / f"outcomes-{questions}-{knows}-{trials}.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def routed(folder: Path, **changes: Any) -> dict[str, Any]:
    """Twenty minutes of questions of the made table on an API, routed by the made router; not checked yet."""
    table, model = made_table(folder), folder / "router.onnx"
    Made(strategies=STRATEGIES).write(model)
    stream = chat(
        arrivals={"kind": "poisson", "rps": 2.0},
        questions={"kind": "table", "path": str(table)},
        usd_per_correct=0.0004,
        slo={"e2e": "30s"},
    )
    fields = {
        "name": "routed",
        "horizon": "20m",
        "workload": [stream],
        "fleet": [API],
        "strategies": [{"name": name} for name in STRATEGIES],
        "router": {"policy": "learned", "model": str(model)},
    }
    return {**fields, **changes}


def written(folder: Path, fields: dict[str, Any], name: str = "routed.yaml") -> Path:
    """The same as a file."""
    path = folder / name
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def on_gpus(replicas: int, step_time: dict[str, str], **changes: Any) -> Sequence[dict[str, Any]]:
    """A pool of GPUs of known step times."""
    return [pool(replicas=replicas, step_time=step_time, **changes)]
