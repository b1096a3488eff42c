"""The month of `drifting-questions`: its trace, and the routers before and after its questions change.

`python -m sim.lab.drifting` writes data/lab/drifting.csv.gz, data/router/before-drift.onnx and after-drift.onnx. The
contexts of the lab's outcomes fall into three parts. One trains the first router, on questions about one name only. The
second is asked about until day 20, the third after it; from day 15 on six of ten questions are about several names.
What came of the second part trains the router again, so that the third part is new to both.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.splits import is_held_out

if TYPE_CHECKING:
    import pandas as pd

    from router.rows import Labels

__all__ = [
    "OUTCOMES",
    "ROUTERS",
    "SHIFT_DAY",
    "STRATEGIES",
    "TRAINED_DAY",
    "log_of",
    "month",
    "parts_of",
    "train_on",
    "write",
]

DATA = Path(__file__).parents[2] / "data"
OUTCOMES = DATA / "measurements" / "cpu-epyc-2-core" / "outcomes.parquet"
TRACE = DATA / "lab" / "drifting.csv.gz"
ROUTERS = {"before": DATA / "router" / "before-drift.onnx", "after": DATA / "router" / "after-drift.onnx"}

STRATEGIES = ("direct", "think16", "think32", "think", "vote4")
DAYS, SHIFT_DAY, TRAINED_DAY = 30, 15, 20
A_DAY = 400
"""Questions a day."""
NEW_SHARE = 0.6
"""Share of the questions about several names after the shift."""
_DAY_S = 86_400.0
_SEED = 11


def parts_of(labels: Labels) -> tuple[Any, Any, Any]:
    """Which questions train the first router, are asked until day 20, and after it, [Q] each."""
    later = is_held_out(labels.context_names, 0.6, _SEED)
    last = is_held_out(labels.context_names, 0.5, _SEED + 1)
    return ~later, later & ~last, later & last


def month(labels: Labels) -> pd.DataFrame:
    """Arrivals, prompts and questions of the month; the same each time."""
    import pandas as pd

    generator = np.random.default_rng(_SEED)
    arrival_s = np.sort(generator.random(DAYS * A_DAY)) * DAYS * _DAY_S
    several = np.asarray(labels.numbers["asked_names"]) > 1
    _, middle, last = parts_of(labels)
    day = arrival_s / _DAY_S
    is_new = (day >= SHIFT_DAY) & (generator.random(day.size) < NEW_SHARE)
    asked = np.zeros(day.size, np.int64)
    for part, when in ((middle, day < TRAINED_DAY), (last, day >= TRAINED_DAY)):
        for kind, which in ((~several, ~is_new), (several, is_new)):
            rows = np.flatnonzero(when & which)
            asked[rows] = generator.choice(np.flatnonzero(part & kind), rows.size)
    prompt = np.asarray(labels.numbers["context_tokens"]) + np.asarray(labels.numbers["question_tokens"])
    names = np.array([int(name) for name in labels.questions])
    return pd.DataFrame(
        {
            "arrival_s": np.round(arrival_s, 1),
            "prompt_tokens": prompt[asked].astype(np.int64),
            "output_tokens": 1,
            "question_id": names[asked],
        }
    )


def train_on(labels: Labels, which: Any, path: Path) -> None:
    """A router trained on some of the questions."""
    from router.export import export
    from router.train import train

    rows = np.flatnonzero(which)
    source = dict(labels.source) | {"questions_of": len(labels)}
    trained = train(labels.only(rows, source), seed=0, folds=5, hashed=0, progress=lambda line: None)
    export(trained, path, date="2026-06-30")


def write() -> None:
    """Write the trace and both routers."""
    from router.rows import read_labels

    labels = read_labels(OUTCOMES, strategies=STRATEGIES)
    text = io.StringIO()
    month(labels).to_csv(text, index=False)
    TRACE.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    first, middle, _ = parts_of(labels)
    known = first & (np.asarray(labels.numbers["asked_names"]) == 1)
    train_on(labels, known, ROUTERS["before"])
    train_on(labels, known | middle, ROUTERS["after"])


def log_of(requests: pd.DataFrame, labels: Labels, trace: Path = TRACE) -> pd.DataFrame:
    """The log that a gateway would have kept of one replication's requests: what `nightshift drift` reads.

    `requests` are rows of `Results.requests`; their numbers are the rows of the trace.
    """
    import pandas as pd

    asked = pd.read_csv(trace)["question_id"].to_numpy()[requests["request_id"].to_numpy()]
    place = {int(name): place for place, name in enumerate(labels.questions)}
    rows = np.array([place[number] for number in asked])
    log = requests[["arrival_s", "strategy", "correct", "p_correct", "output_tokens", "cost_usd"]].reset_index(
        drop=True
    )
    numbers = {name: np.asarray(values)[rows] for name, values in labels.numbers.items()}
    context = np.array(labels.context_names)[rows]
    return log.assign(context=context, question=asked, **numbers)


if __name__ == "__main__":
    write()
