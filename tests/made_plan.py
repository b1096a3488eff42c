"""A made-up document of `nightshift plan`, as the page and the terminal read it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

__all__ = ["made_plan"]

BLOCKS = ("office hours", "morning and evening", "rest")
DAYS = ["mon", "tue", "wed", "thu", "fri"]


def made_plan(**changes: Any) -> dict[str, Any]:
    """The document with parts of it replaced; each call gives a fresh one."""
    return deepcopy(_DOCUMENT) | changes


def _of(name: str, kind: str, row: tuple[int, int, int], usd: float, share: float) -> dict[str, Any]:
    gpu = None if kind == "api" else "H100-SXM"
    return {
        "name": name,
        "kind": kind,
        "gpu": gpu,
        "model": "Llama-3.3-70B",
        "offer": None if gpu is None else {"kind": kind},
        "scales_itself": False,
        "replicas_by_block": dict(zip(BLOCKS, row, strict=True)),
        "gpus_peak": 0 if gpu is None else 2 * max(row),
        "usd_per_month": usd,
        "share_of_requests": share,
        "busy_share": None if gpu is None else 0.9,
    }


_POOLS = [
    _of("own", "reserved", (1, 1, 1), 2651.7, 0.5),
    _of("rented", "on-demand", (3, 1, 0), 4103.2, 0.49),
    _of("api", "api", (1, 1, 1), 92.4, 0.01),
]
_USD_PER_HOUR = {"own": 3.63, "rented": 6.5, "api": 0.0}


def _block_of(hour: int) -> str:
    day, clock = divmod(hour, 24)
    if day < 5 and 9 <= clock < 18:
        return BLOCKS[0]
    return BLOCKS[1] if day < 5 and 6 <= clock < 22 else BLOCKS[2]


def _by_hour() -> list[dict[str, Any]]:
    return [
        {
            "hour_of_week": hour,
            "block": _block_of(hour),
            "pool": pool["name"],
            "replicas": (number := pool["replicas_by_block"][_block_of(hour)]),
            "usd": number * _USD_PER_HOUR[pool["name"]],
        }
        for hour in range(168)
        for pool in _POOLS
    ]


def _front(usd: float, accuracy: float, tail: float, **more: Any) -> dict[str, Any]:
    return {
        "monthly_usd": usd,
        "accuracy": accuracy,
        "e2e_p99_s": tail,
        "slo_attainment": 0.97,
        "source": "simulated",
        "replications": 3,
        "keeps_promise": True,
        "settings": {"router.value_usd": "0.004"},
        "pools": {"own": 1, "rented": dict(zip(BLOCKS, (3, 1, 0), strict=True))},
        **more,
    }


def _baseline(name: str, usd: float, low: float, high: float, reason: str | None = None) -> dict[str, Any]:
    if reason is not None:
        nothing = {"monthly_usd": None, "interval": [None, None], "keeps_promise": None}
        return {"name": name, **nothing, "saving_usd": None, "saving_share": None, "reason": reason}
    saving = usd - 6847.3
    return {
        "name": name,
        "monthly_usd": usd,
        "interval": [usd - 40.0, usd + 40.0],
        "keeps_promise": True,
        "saving_usd": {"mean": saving, "low": low, "high": high},
        "saving_share": {"mean": saving / usd, "low": low / usd, "high": high / usd},
        "reason": None,
    }


def _month(number: int) -> dict[str, Any]:
    usd = 6847.3 * 1.04**number
    return {
        "month": number + 1,
        "load_factor": 1.04 ** (number + 1),
        "monthly_usd": usd,
        "interval": [usd * (1 - 0.03 * number**0.5), usd * (1 + 0.03 * number**0.5)],
        "p_over_budget": min(0.02 + 0.05 * number, 1.0),
        "pools": {"own": 1 if number < 4 else 2, "rented": 3},
    }


_DOCUMENT: dict[str, Any] = {
    "scenario": "made-up-desk",
    "seed": 31,
    "goal": "cheapest",
    "hours_per_month": 730.5,
    "risk": 0.05,
    "targets": {"slo_attainment": 0.97, "accuracy": 0.7, "budget_usd": 7000.0, "by_stream": {}},
    "blocks": [
        {
            "name": BLOCKS[0],
            "hours_per_month": 195.7,
            "windows": [{"days": DAYS, "hours": "09:00-18:00"}],
            "mean_rps": 3.1,
        },
        {
            "name": BLOCKS[1],
            "hours_per_month": 152.2,
            "windows": [{"days": DAYS, "hours": "06:00-09:00"}, {"days": DAYS, "hours": "18:00-22:00"}],
            "mean_rps": 1.9,
        },
        {
            "name": BLOCKS[2],
            "hours_per_month": 382.6,
            "windows": [{"days": ["sat", "sun"], "hours": "00:00-24:00"}, {"days": DAYS, "hours": "22:00-06:00"}],
            "mean_rps": 0.7,
        },
    ],
    "options": [
        {
            "settings": {"router.value_usd": "0.002"},
            "analytic_usd": 6100.0,
            "bound_usd": 5200.0,
            "is_feasible": True,
            "best_usd": 6990.0,
        },
        {
            "settings": {"router.value_usd": "0.004"},
            "analytic_usd": 6300.0,
            "bound_usd": 5400.0,
            "is_feasible": True,
            "best_usd": 6847.3,
        },
        {
            "settings": {"router.value_usd": "0.008"},
            "analytic_usd": None,
            "bound_usd": None,
            "is_feasible": False,
            "best_usd": None,
        },
    ],
    "analytic": {
        "monthly_usd": 6301.5,
        "bound_usd": 5204.1,
        "pools": [_of("own", "reserved", (1, 1, 1), 2651.7, 0.5), _of("rented", "on-demand", (2, 1, 0), 3600.0, 0.5)],
        "policy": {"label": "router.value_usd=0.004"},
        "settings": {"router.value_usd": "0.004"},
        "slo_attainment": 0.981,
        "accuracy": 0.704,
        "e2e_p99_s": 84.0,
        "wall_s": 1.3,
        "binding": ["the promise of 97 % in time in office hours"],
    },
    "plan": {
        "monthly_usd": 6847.3,
        "interval": [6801.2, 6893.4],
        "pools": _POOLS,
        "policy": {"label": "router.value_usd=0.004", "router": {"policy": "learned", "value_usd": 0.004}},
        "settings": {"router.value_usd": "0.004"},
        "scenario_yaml": "name: made-up-desk\n",
    },
    "verified": {
        "slo_attainment": 0.9812,
        "accuracy": 0.7081,
        "monthly_usd": 6847.3,
        "e2e_p99_s": 86.2,
        "ttft_p99_s": 0.82,
        "goodput_rps": 1.6,
        "p_over_budget": 0.02,
        "p_miss_slo": 0.011,
        "p_miss_accuracy": 0.003,
        "p_miss": {"slo": 0.011, "accuracy": 0.003, "budget": 0.02},
        "intervals": {
            "slo_attainment": [0.9795, 0.9829],
            "accuracy": [0.7066, 0.7096],
            "monthly_usd": [6801.2, 6893.4],
            "e2e_p99_s": [85.0, 87.4],
            "ttft_p99_s": [0.80, 0.84],
            "goodput_rps": [1.59, 1.61],
        },
        "replications": 8,
        "seed": 918273,
        "by_stream": {
            "chat": {
                "slo_attainment": 0.978,
                "accuracy": 0.7081,
                "e2e_p99_s": 87.0,
                "ttft_p99_s": 0.8,
                "p_miss_slo": None,
                "p_miss_accuracy": None,
            },
            "triage": {
                "slo_attainment": 1.0,
                "accuracy": None,
                "e2e_p99_s": 19.0,
                "ttft_p99_s": 1.2,
                "p_miss_slo": None,
                "p_miss_accuracy": None,
            },
        },
        "keeps_promise": True,
    },
    "by_hour": _by_hour(),
    "shadow_prices": {
        "budget_usd_per_month": {
            "step": 1000.0,
            "buys": {"accuracy": 0.012},
            "text": "Another $1,000 a month would buy 1.2 points of accuracy.",
        },
        "slo": {"step": 0.01, "usd": 310.0, "text": "One more point of requests in time costs about $310 a month."},
        "accuracy": {"step": 0.01, "usd": 640.0},
    },
    "binding": [
        "the promise of 97 % in time in office hours (without it $900 a month less)",
        "the share of right answers",
    ],
    "runner_up": {
        "monthly_usd": 7010.4,
        "interval": [6960.0, 7060.8],
        "pools": [_of("own", "reserved", (2, 2, 2), 5303.4, 0.8), _of("rented", "on-demand", (1, 0, 0), 1707.0, 0.2)],
        "policy": {"label": "router.value_usd=0.004"},
        "settings": {"router.value_usd": "0.004"},
        "keeps_promise": True,
        "difference_usd": {"mean": 163.1, "low": 150.2, "high": 176.0},
        "why": "It keeps its promise as well, and costs $163 more a month.",
    },
    "pareto": [
        _front(5900.0, 0.66, 71.0, slo_attainment=0.96, keeps_promise=False),
        _front(6847.3, 0.708, 86.2),
        _front(8100.0, 0.731, 80.0),
        _front(9900.0, 0.76, 92.0, source="analytic", replications=None),
    ],
    "baselines": [
        _baseline("all on demand, sized for the peak", 14230.0, 7330.0, 7440.0),
        _baseline("all reserved, sized for the peak", 10607.0, 3700.0, 3810.0),
        _baseline("autoscaled on demand", 8420.0, 1490.0, 1660.0),
        _baseline(
            "the same fleet with one way for all", 0.0, 0.0, 0.0, "no single way of answering keeps the promise on it"
        ),
    ],
    "year": {
        "months": [_month(number) for number in range(12)],
        "purchases": [{"month": 5, "pool": "own", "gpus": 2, "why": "from then on two are busy around the clock"}],
        "next_purchase": "Buy 2 more reserved GPUs of own in month 5; decide a month before.",
        "total_usd": 102_900.0,
        "interval": [95_000.0, 112_000.0],
    },
    "proof": {
        "points": 2401,
        "tried": 63,
        "excluded_by_bound": 2338,
        "is_proven": True,
        "text": "No cheaper plan of this space keeps the promise: 63 of 2,401 were tried.",
    },
    "notes": ["1 cheaper plan kept the promise in the search and broke it on the fresh seed."],
    "interrupted": False,
    "speed": {"wall_s": 212.0, "simulations": 301, "analytic_s": 1.3},
}
