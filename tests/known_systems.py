"""Small systems of the M/M/c family as scenarios, drawn by a seed, with the figures that queueing theory gives them.

A step takes the same time whatever is in it, so a replica with c places is c servers; one whose step takes as long as
it has rows shares its processor. Answers are thousands of steps long, so lengths may be taken for continuous.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import exp, factorial, log
from pathlib import Path
from typing import Any

import numpy as np

from sim.scenario import Scenario
from tests.small import chat, pool, scenario

__all__ = ["FAMILIES", "MEAN_SERVICE_S", "System", "drawn_system"]

FAMILIES = ("mm1", "mmc", "mg1", "ps", "loss")
STEPS = 2000
STEP_S = 5e-4
MEAN_SERVICE_S = STEPS * STEP_S
SIGMA = 0.8
_KNOTS = 2000
_MOST_ROWS = 256


@dataclass(frozen=True)
class System:
    """A queue with a known answer."""

    family: str
    servers: int
    load: float
    """Share of all servers that is busy, or would be if none were turned away."""
    seed: int

    @property
    def figure(self) -> str:
        """The figure whose true value is known."""
        return "slo.attainment" if self.family == "loss" else "latency.e2e_s.mean"

    @property
    def truth(self) -> float:
        """Share that is let in (Erlang B), or mean time in the system (Erlang C, Pollaczek-Khinchine, sharing)."""
        erlangs, idle = self.servers * self.load, 1.0 - self.load
        if self.family == "loss":
            return 1.0 - erlang_b(self.servers, erlangs)
        if self.family == "ps":
            return MEAN_SERVICE_S / idle
        if self.family == "mg1":
            return MEAN_SERVICE_S * (1.0 + self.load * exp(SIGMA**2) / (2.0 * idle))
        return MEAN_SERVICE_S * (1.0 + erlang_c(self.servers, erlangs) / (self.servers * idle))

    def scenario(self, folder: Path, requests: int, **changes: Any) -> Scenario:
        """So many requests on average to each replication, a tenth of them before the warm-up ends."""
        rps = self.servers * self.load / MEAN_SERVICE_S
        horizon_s = requests / rps
        fleet = pool(
            replicas=1,
            step_time={"path": str(self._step_times(folder))},
            engine={"max_num_seqs": _MOST_ROWS if self.family == "ps" else self.servers},
            admission={"max_outstanding": self.servers} if self.family == "loss" else {},
        )
        stream = chat(arrivals={"kind": "poisson", "rps": rps}, lengths=self._lengths(), slo={})
        fields = {"horizon": horizon_s, "warm_up": 0.1 * horizon_s, "bucket": horizon_s / 10, "seed": self.seed}
        return scenario(workload=[stream], fleet=[fleet], **(fields | changes))

    def _step_times(self, folder: Path) -> Path:
        most_s = STEP_S * (_MOST_ROWS if self.family == "ps" else 1)
        law = {
            "prefill": {"a_s": STEP_S, "b_s_per_token": 0.0, "c_s_per_token_pair": 0.0},
            "decode": {"rows": [1, _MOST_ROWS], "base_s": [STEP_S, most_s], "kv_s": [0.0, 0.0]},
        }
        file = folder / f"{self.family == 'ps'}.json"
        file.write_text(json.dumps(law), encoding="utf-8")
        return file

    def _lengths(self) -> dict[str, Any]:
        if self.family in ("mm1", "mmc"):
            return {"kind": "quantiles", "prompt_tokens": [1, 1], "output_tokens": _exponential()}
        median = STEPS * exp(-(SIGMA**2) / 2)
        return {
            "kind": "lognormal",
            "prompt_median": 1,
            "prompt_sigma": 0,
            "output_median": median,
            "output_sigma": SIGMA,
        }


def _exponential() -> list[float]:
    """Quantiles of exponential lengths, the last chosen so that the mean is right beyond the one before it."""
    inner = -np.log1p(-np.arange(_KNOTS) / _KNOTS)
    found: list[float] = np.maximum(STEPS * np.append(inner, log(_KNOTS) + 2.0), 1.0).tolist()
    return found


def erlang_c(servers: int, erlangs: float) -> float:
    """Chance of waiting in M/M/c (Erlang 1917)."""
    top = erlangs**servers / factorial(servers) * servers / (servers - erlangs)
    return top / (sum(erlangs**k / factorial(k) for k in range(servers)) + top)


def erlang_b(servers: int, erlangs: float) -> float:
    """Chance of being turned away in M/G/c/c, by its recursion (Erlang 1917)."""
    blocking = 1.0
    for number in range(1, servers + 1):
        blocking = erlangs * blocking / (number + erlangs * blocking)
    return blocking


def drawn_system(number: int, seed: int = 0) -> System:
    """System `number` of those of a seed: families in turn, loads and servers by chance."""
    random = np.random.default_rng((seed, number))
    family = FAMILIES[number % len(FAMILIES)]
    servers = 1 if family in ("mm1", "mg1", "ps") else int(random.integers(2, 9))
    load = float(random.uniform(0.5, 1.2) if family == "loss" else random.uniform(0.3, 0.8))
    return System(family, servers, load, seed=int(random.integers(2**31)))
