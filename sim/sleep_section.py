"""The `sleep` section of a summary."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from sim.engine import state as st
from sim.engine.state import Floats
from sim.ledger import Charges
from sim.replication import Replication
from sim.scenario import ApiPool, Scenario
from sim.sleep import SleepAccount, sleep_usd
from sim.stats import ratio

__all__ = ["sleep_section", "sleep_warnings"]


def sleep_section(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """The `sleep` section of a summary; counts and dollars of a replication on average.

    `saved_usd` values the output tokens that hits saved at what output tokens of their stream have cost in this run:
    the output part of what its answers were charged, over their tokens. Idle time is in neither side of `net_usd`.
    """
    if scenario.sleep is None:
        return {"prepared": 0, "hit_rate": None, "wasted_share": None}
    runs = [(run.charges, run.sleep) for run in replications if run.sleep is not None]
    is_api = [isinstance(pool, ApiPool) for pool in scenario.fleet]
    counts = {name: fmean(_count(account, name) for _, account in runs) for name in _COUNTS}
    cost_usd = fmean(float(sleep_usd(charges.used_usd).sum()) for charges, _ in runs)
    wasted_usd = fmean(_wasted_usd(charges) for charges, _ in runs)
    saved_usd = fmean(
        float(account.saved_output_tokens @ _output_token_usd(charges, is_api)) for charges, account in runs
    )
    return {
        **{name: int(value) if value.is_integer() else value for name, value in counts.items()},
        "hit_rate": ratio(counts["hits"], counts["asked"]),
        "wasted_share": ratio(wasted_usd, cost_usd),
        "cost_usd": cost_usd,
        "wasted_usd": wasted_usd,
        "saved_usd": saved_usd,
        "net_usd": saved_usd - cost_usd,
    }


def sleep_warnings(replications: Sequence[Replication]) -> list[str]:
    """A sentence where there was to be sleep-time work and none was begun."""
    accounts = [run.sleep for run in replications if run.sleep is not None]
    if not accounts or any(account.jobs for account in accounts):
        return []
    return [
        "nothing was prepared: no context was worth `sleep.min_saving` times its cost, or the time of `sleep.when` "
        "never came (a flat price is never off-peak), or `sleep.budget_usd_per_day` is too small for one"
    ]


_COUNTS = (
    "prepared", "jobs", "used", "job_tokens", "asked", "hits", "stale", "expired", "late", "saved_output_tokens"
)  # fmt: skip


def _count(account: SleepAccount, name: str) -> int:
    return int(np.sum(getattr(account, name)))


def _wasted_usd(charges: Charges) -> float:
    assert charges.sleep_used_share is not None
    return float(sleep_usd(charges.used_usd) @ (1.0 - charges.sleep_used_share))


def _output_token_usd(charges: Charges, is_api: Sequence[bool]) -> Floats:
    """What an output token of an answer was charged, by stream without that of sleep-time work, [S]."""
    answers_usd = charges.used_usd[:, :-1, ..., st.USED].sum(axis=(2, 3))
    usd = np.einsum("psw,pw->s", answers_usd, _output_share(charges, is_api))
    tokens = charges.answered_tokens[:, :-1].sum(axis=(0, 2, 3))
    found: Floats = np.where(tokens > 0, usd / np.maximum(tokens, 1), 0.0)
    return found


def _output_share(charges: Charges, is_api: Sequence[bool]) -> Floats:
    """Of what requests were charged the part for output, [P, W]: of an API by its bill, of a GPU by its time."""
    api = np.asarray(is_api, dtype=bool)[:, np.newaxis]
    whole = np.where(api, charges.token_usd.sum(axis=2), charges.work_s)
    output = np.where(api, charges.token_usd[:, :, st.OUTPUT], charges.work_s - charges.prompt_s)
    share: Floats = np.where(whole > 0.0, output / np.where(whole > 0.0, whole, 1.0), 0.0)
    return share
