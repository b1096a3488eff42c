"""Made-up logs of a router: questions of two kinds, a small and a large model, contexts with and without notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["FEATURES", "lab_like", "text_log", "written"]

FEATURES = ("length", "facts")


def text_log(questions: int = 600, seed: int = 0) -> pd.DataFrame:
    """A column a model: `small` fails at sums of many numbers, law is hard for both."""
    draws = np.random.default_rng(seed)
    rows = []
    for number in range(questions):
        is_sum = draws.random() < 0.5
        count = int(draws.integers(2, 9))
        words = (
            [str(draws.integers(1, 99)) for _ in range(count)] if is_sum else ["tort", "plaintiff", "appeal"][:count]
        )
        text = f"What is {' + '.join(words)}?" if is_sum else f"Does a {' '.join(words)} of case {number} stand?"
        small = 1.0 - 0.1 * count if is_sum else 0.6
        large = 0.95 if is_sum else 0.65
        rows.append(
            {
                "prompt": text,
                "subject": f"{'sums' if is_sum else 'law'} {number % 6}",
                "small right": bool(draws.random() < small),
                "large right": bool(draws.random() < large),
                "small:tokens": int(10 + 5 * count),
                "large:tokens": int(20 + 10 * count * draws.random()),
            }
        )
    return pd.DataFrame(rows)


def lab_like(contexts: int = 150, seed: int = 0) -> pd.DataFrame:
    """A row a question and strategy, on contexts of three questions, with and without notes of two efforts."""
    draws = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for question in range(3 * contexts):
        length, facts = float(draws.integers(10, 60)), float(draws.integers(1, 8))
        ease = 1.0 / (1.0 + np.exp(facts - 4.0))
        shared = {
            "question": question,
            "context": question // 3,
            "length": length,
            "facts": facts,
            "question_logprob": -1.0 - 0.2 * facts,
            "answer": int(draws.integers(0, 9)),
        }
        for strategy, lift, cost in (("direct", 0.0, 2.0), ("think", 0.3, 30.0)):
            for prepared, effort, notes in ((0, "", 0.0), (1, "medium", 0.15), (1, "high", 0.2)):
                if strategy == "direct" and effort == "high":
                    continue
                chance = min(ease * 0.65 + lift + notes, 0.97)
                rows.append(
                    {
                        **shared,
                        "strategy": strategy,
                        "prepared": prepared,
                        "effort": effort,
                        "correct": int(draws.random() < chance),
                        "tokens": cost * np.exp(0.1 * facts * (strategy == "think")) * draws.lognormal(0.0, 0.1),
                        "confidence": -float(draws.random()) * facts,
                    }
                )
    return pd.DataFrame(rows)


def written(rows: pd.DataFrame, path: Path) -> Path:
    """The rows in a file of the kind that its name says."""
    if path.name.endswith(".parquet"):
        rows.to_parquet(path)
    elif ".jsonl" in path.name:
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_csv(path, index=False)
    return path
