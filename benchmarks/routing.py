"""How fast requests are routed: from ready features, from texts, and one at a time as in a gateway."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

import numpy as np

from benchmarks.clocks import Timing, one_core, timed
from router.choose import Stakes, choose, estimates_of
from router.gateway import Request, Router, StrategyLoad, StrategyPrice
from router.types import Rule

__all__ = ["made_texts", "routing_figures", "text_router"]

DEFAULT = Path(__file__).parents[1] / "data" / "router" / "default.onnx"
_BLOCK = 8_192
_WORDS = ["how", "many", "of", "the", "red", "blue", "old", "new", "boxes", "trains", "apples", "does", "Anna", "buy"]
_WORDS += ["sell", "3", "17", "250", "times", "plus", "half", "than", "if"]


def routing_figures(requests: int, runs: int, singles: int, file: Path = DEFAULT) -> dict[str, Any]:
    """Requests a second of one core and times of single decisions, in wall and in CPU time.

    A router of texts, as large as `nightshift train` makes them, is trained here where that can be.
    """
    ready = Router.load(file)
    with one_core():
        figures = {
            "from features": _rates(_from_features(ready, requests), requests, runs),
            "one request, features": _singles(ready, _asked(ready, 256), singles),
        }
        if find_spec("sklearn") is not None and find_spec("onnx") is not None:
            with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
                reader = Router.load(text_router(Path(folder) / "texts.onnx"))
            some = max(requests // 10, 1)
            figures["from texts"] = _rates(_from_texts(reader, some), some, runs)
            figures["one request, text"] = _singles(reader, _asked(reader, 256), singles)
    return {"strategies": len(ready.strategies), "features": ready.learned.features.spec.width, "figures": figures}


def made_texts(n: int, seed: int = 0) -> list[str]:
    """Questions of 10 to 40 words."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(10, 41, n)
    words = np.array(_WORDS)[generator.integers(0, len(_WORDS), int(sizes.sum()))].tolist()
    ends = np.cumsum(sizes).tolist()
    return [" ".join(words[end - size : end]) + "?" for size, end in zip(sizes.tolist(), ends, strict=True)]


def text_router(path: Path, questions: int = 1_500) -> Path:
    """A router trained on made-up texts of which the long ones are hard for the cheap strategy."""
    import pandas as pd

    from sim.commands import train

    texts, generator = made_texts(questions), np.random.default_rng(1)
    rows = []
    for place, text in enumerate(texts):
        for strategy, slope, tokens in (("direct", 0.025, 20), ("think", 0.01, 200)):
            right = generator.random() < 1.0 - slope * len(text.split())
            rows.append((str(place), text, strategy, int(right), tokens + len(text)))
    outcomes = path.with_suffix(".csv")
    pd.DataFrame(rows, columns=["question", "text", "strategy", "correct", "tokens"]).to_csv(outcomes, index=False)
    train(outcomes, path)
    return path


def _market(router: Router) -> dict[str, Any]:
    prices = {name: StrategyPrice(1e-7, 4e-7) for name in router.strategies}
    loads = {name: StrategyLoad(tpot_s=0.01, wait_s=0.1) for name in router.strategies}
    return {"prices": router.prices(prices), "load": router.load_now(loads)}


def _from_features(router: Router, requests: int) -> Callable[[], None]:
    spec = router.learned.features.spec
    reference = router.learned.manifest.reference.features
    generator = np.random.default_rng(0)
    columns = [generator.choice(reference[name].edges, requests) for name in spec.names]
    features = np.zeros((requests, spec.width), np.float32)
    features[:, : len(columns)] = np.stack(columns, axis=1)
    return lambda: _route(router, features)


def _route(router: Router, features: Any) -> None:
    """Score and choose, in blocks as the simulator does."""
    market, stakes = _market(router), Stakes(0.001, 0.001, 10.0)
    prompt_tokens = np.full(_BLOCK, 100.0)
    for begin in range(0, len(features), _BLOCK):
        block = features[begin : begin + _BLOCK]
        estimates = estimates_of(router.learned.score(block), market["load"].path_share)
        choose(Rule.UTILITY, estimates, prompt_tokens[: len(block)], market["prices"], market["load"], stakes)


def _from_texts(router: Router, requests: int) -> Callable[[], None]:
    texts = made_texts(requests, seed=2)

    def work() -> None:
        for begin in range(0, requests, 8_192):
            _route(router, router.learned.features.of(texts[begin : begin + 8_192]))

    return work


def _rates(work: Callable[[], None], requests: int, runs: int) -> dict[str, float]:
    work()
    timing: Timing = timed(work, runs)
    return {"requests_per_s": requests / timing.best_s, "requests_per_cpu_s": requests / min(timing.cpu_s)}


def _asked(router: Router, n: int) -> list[Request]:
    spec, reference = router.learned.features.spec, router.learned.manifest.reference.features
    texts: Sequence[str | None] = made_texts(n, seed=3) if spec.text else [None] * n
    generator = np.random.default_rng(4)
    numbers = [{name: float(generator.choice(reference[name].edges)) for name in spec.numbers} for _ in range(n)]
    return [Request(100, 0.001, text, own, 10.0) for text, own in zip(texts, numbers, strict=True)]


def _singles(router: Router, asked: list[Request], singles: int) -> dict[str, float]:
    """Percentiles of the time that a decision of one request takes, its explanation included."""
    market = _market(router)
    wall_ns, cpu_ns = np.empty(singles), np.empty(singles)
    for place in range(-min(singles, 100), singles):
        request = asked[place % len(asked)]
        wall, cpu = perf_counter_ns(), thread_time_ns()
        _ = router.choose([request], market["prices"], market["load"])[0]
        wall_ns[place], cpu_ns[place] = perf_counter_ns() - wall, thread_time_ns() - cpu
    found = {}
    for name, taken_ns in (("", wall_ns), ("cpu_", cpu_ns)):
        found |= {f"{name}p{percent}_ms": float(np.percentile(taken_ns, percent)) / 1e6 for percent in (50, 99)}
    return found
