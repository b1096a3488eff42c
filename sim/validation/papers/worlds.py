"""Small scenarios that ask a class of questions by one strategy, and what came of them.

Answers come from APIs, one for questions and one for work ahead, whose prices make a dollar worth a number of test-time
tokens. Difficulties come in even steps, so that few requests will do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sim.errors import EngineError
from sim.scenario import Scenario
from sim.simulation import simulate

__all__ = ["Found", "ask", "ask_contexts", "scenario_of", "world_of_contexts", "world_of_questions"]

_USD_PER_1M = 10.0
"""Price of a million test-time tokens."""
_SLEEP_WEIGHT = 0.1
"""Test-time tokens that a sleep token weighs as much as, as in the published figure."""
_SEED = 7
_OUTPUT_TOKENS = 100
_CONTEXT_RPS = 0.1
_HORIZON = "10h"
_MODEL = "any"
_ALL = 0.98

World = tuple[dict[str, Any], dict[str, Any]]
"""What a stream and a scenario have beside the usual."""


class Found(NamedTuple):
    """What a run came to."""

    accuracy: float
    """Share of the answers that were right."""
    expected_accuracy: float
    """Their mean chance to be right: the same without the luck of the draw."""
    tokens: float
    """Mean output tokens of a request, all branches together."""
    cost_tokens: float
    """Cost of a request in test-time tokens, with its share of the work ahead."""
    hit_rate: float
    """Share of the requests that found their context prepared."""


def ask(class_name: str, strategy: dict[str, Any], requests: int) -> Found:
    """So many questions, each on its own."""
    return _run(scenario_of(class_name, strategy, *world_of_questions(requests)))


def ask_contexts(
    class_name: str,
    strategy: dict[str, Any],
    *,
    questions: int = 1,
    predictability: float | None = None,
    effort: str = "medium",
) -> Found:
    """Questions on contexts that were all prepared ahead, whatever that costs."""
    world = world_of_contexts(questions=questions, predictability=predictability, effort=effort)
    found = _run(scenario_of(class_name, strategy, *world))
    if found.hit_rate < _ALL:
        raise EngineError(f"only {found.hit_rate:.1%} of the requests found their context prepared")
    return found


def world_of_questions(requests: int) -> World:
    """So many questions, one after the other."""
    arrivals = {"kind": "closed", "concurrency": min(requests, 256), "requests": requests}
    return {"arrivals": arrivals}, {}


def world_of_contexts(*, questions: int, predictability: float | None = None, effort: str = "medium") -> World:
    """Contexts that are there for three minutes before they are asked about, and work ahead that counts no cost."""
    contexts = {"queries": questions, "think_time": "1s", "tokens": 200, "lead": "3m"}
    given = {} if predictability is None else {"predictability": predictability}
    arrivals = {"kind": "poisson", "rps": _CONTEXT_RPS}
    work = {"when": ["always"], "pools": ["ahead"], "min_saving": 0.0, "max_jobs": 100_000, "effort": effort}
    return {"arrivals": arrivals, "contexts": contexts | given}, {"horizon": _HORIZON, "sleep": work}


def scenario_of(class_name: str, strategy: dict[str, Any], stream: dict[str, Any], rest: dict[str, Any]) -> Scenario:
    """A class asked by a strategy."""
    lengths = {"kind": "constant", "prompt_tokens": 100, "output_tokens": _OUTPUT_TOKENS}
    questions = {"kind": "curves", "class": class_name, "stratified": True}
    fields = {
        "name": "published",
        "seed": _SEED,
        "workload": [{"name": "questions", "lengths": lengths, "questions": questions, **stream}],
        "fleet": [_api("live", 0, _USD_PER_1M), _api("ahead", 1, _SLEEP_WEIGHT * _USD_PER_1M)],
        "strategies": [{"name": "strategy", "pool": "live", **strategy}],
    }
    return Scenario.model_validate(fields | rest)


def _run(scenario: Scenario) -> Found:
    summary = simulate(scenario).summary
    answered, asked = summary["requests"]["completed"], summary["streams"]["questions"]["contexts"]
    return Found(
        accuracy=summary["quality"]["accuracy"],
        expected_accuracy=summary["quality"]["expected_accuracy"],
        tokens=summary["strategies"]["strategy"]["mean_output_tokens"],
        cost_tokens=summary["cost"]["total_usd"] / answered / (_USD_PER_1M / 1e6),
        hit_rate=asked["hits"] / asked["asked"] if asked["asked"] else 0.0,
    )


def _api(name: str, tier: int, usd_per_1m: float) -> dict[str, Any]:
    rates = {"input_usd_per_1m": 0.0, "output_usd_per_1m": usd_per_1m}
    return {
        "name": name,
        "kind": "api",
        "model": _MODEL,
        "tariff": {"kind": "windows", "time_zone": "UTC", "base": rates},
        "tier": tier,
        "latency": {"ttft_median": "100ms", "ttft_sigma": 0, "tokens_per_s_median": 10_000, "tokens_per_s_sigma": 0},
    }
