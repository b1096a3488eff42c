"""The baseline policies, one contract over all, and routers from end to end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies import Always, Policy, RandomMix, RoundRobin
from sim.errors import InputError
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario

STRATEGIES = ["one", "two", "three"]
POLICIES: dict[str, Callable[[], Policy]] = {
    "always": lambda: Always(1),
    "round robin": lambda: RoundRobin(3),
    "random mix": lambda: RandomMix(STRATEGIES, {"one": 1, "three": 3}, np.random.default_rng(5)),
}


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_a_policy_chooses_a_strategy_for_each_request(make: Callable[[], Policy], sizes: list[int]) -> None:
    policy = make()
    chosen = [policy.choose(size) for size in sizes]

    assert [(part.dtype, part.size) for part in chosen] == [(np.dtype(np.int64), size) for size in sizes]
    assert all(((part >= 0) & (part < 3)).all() for part in chosen)


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_the_size_of_blocks_does_not_change_the_choice(make: Callable[[], Policy], sizes: list[int]) -> None:
    in_parts, at_once = make(), make()
    parts = np.concatenate([in_parts.choose(size) for size in sizes])

    assert parts.tolist() == at_once.choose(sum(sizes)).tolist()


def test_round_robin_takes_turns() -> None:
    assert RoundRobin(3).choose(7).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_mix_keeps_to_its_weights() -> None:
    mix = RandomMix(STRATEGIES, {"one": 1.0, "three": 3.0}, np.random.default_rng(5))
    shares = np.bincount(mix.choose(100_000), minlength=3) / 100_000

    assert shares.tolist() == pytest.approx([0.25, 0.0, 0.75], abs=0.01)


class Extremes:
    """Draws the smallest and the largest number below one."""

    def random(self, requests: int) -> np.ndarray:
        return np.array([0.0, np.nextafter(1.0, 0.0)])[:requests]


@pytest.mark.parametrize(
    "weights", [{"two": 0.3}, {"one": 0.0, "two": 1e-9, "three": 0.0}, {"two": 1e15, "three": 0.0}]
)
def test_a_strategy_without_weight_is_never_drawn(weights: dict[str, float]) -> None:
    mix = RandomMix(STRATEGIES, weights, Extremes())  # type: ignore[arg-type]

    assert mix.choose(2).tolist() == [1, 1]


def test_the_router_imports_nothing_of_the_simulator() -> None:
    program = "import sys; import router.policies; print([name for name in sys.modules if name.split('.')[0] == 'sim'])"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


TWO_POOLS = {
    "fleet": [pool(name="left"), pool(name="right")],
    "strategies": [{"name": "go-left", "pool": "left"}, {"name": "go-right", "pool": "right"}],
}


@pytest.mark.parametrize(
    ("router", "share"),
    [
        (None, 1.0),
        ({"policy": "always", "strategy": "go-right"}, 0.0),
        ({"policy": "round-robin"}, 0.5),
        ({"policy": "random", "weights": {"go-left": 1, "go-right": 3}}, 0.25),
    ],
)
def test_requests_go_where_the_router_sends_them(router: dict[str, Any] | None, share: float) -> None:
    results = simulate(scenario(**TWO_POOLS, router=router), keep_requests=True)
    frame = rows(results)

    assert (frame["strategy"] == "go-" + frame["pool"]).all()
    assert (frame["pool"] == "left").mean() == pytest.approx(share, abs=0.05)
    assert results.summary["strategies"]["go-left"]["share"] == pytest.approx(share, abs=0.05)


def test_a_strategy_that_cannot_answer_a_stream_is_refused() -> None:
    small = pool(name="right", model="Llama-3.2-1B")
    given = TWO_POOLS | {"fleet": [pool(name="left"), small], "workload": [chat(model="Llama-3.2-1B")]}

    with pytest.raises(InputError, match="stream 'chat' cannot be answered by strategy 'go-left'"):
        simulate(scenario(**given))
