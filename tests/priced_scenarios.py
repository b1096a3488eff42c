"""Random small fleets with everything that costs: offers, tariffs by the clock, electricity, APIs, sleep, training."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["doubled", "priced_scenarios", "steady_scenarios"]

Fields = dict[str, Any]

STARTS = [
    ("Europe/Berlin", "2026-03-28T23:45"),
    ("Europe/Berlin", "2026-10-24T23:30"),
    ("America/New_York", "2026-03-08T00:15"),
    ("America/New_York", "2026-10-31T23:00"),
    ("Australia/Lord_Howe", "2026-04-05T00:30"),
    ("Pacific/Chatham", "2026-09-27T01:15"),
    ("Asia/Kolkata", "2026-01-31T22:15"),
    ("Atlantic/Azores", "2026-10-24T22:30"),
    ("UTC", "2026-02-28T22:00"),
    ("UTC", "2026-12-31T21:30"),
]
"""Near leaps of a clock, and near ends of a month and a year."""
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]
HOLIDAYS = ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-03-01", "2027-01-01"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_one_of = st.sampled_from
_usd = st.floats(0.01, 20.0)


def _optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Fields]:
    return st.fixed_dictionaries({}, optional=keys)


@st.composite
def _hours(draw: st.DrawFn, grid: int) -> str:
    """A window of the clock by night, its ends on a grid of minutes; now and then a long one."""
    begin = draw(st.integers(20 * 60 // grid, 30 * 60 // grid)) % (1440 // grid)
    length = draw(st.integers(1, 240 // grid) | st.integers(1, 1440 // grid - 1))
    end = (begin + length) % (1440 // grid)
    return "-".join(f"{each * grid // 60:02}:{each * grid % 60:02}" for each in (begin, end))


def _when(grid: int) -> st.SearchStrategy[Fields]:
    hours = st.fixed_dictionaries({"hours": st.lists(_hours(grid), min_size=1, max_size=2)})
    calendar = {
        "days": st.lists(_one_of(DAYS), min_size=2, unique=True),
        "months": st.lists(_one_of([1, 2, 3, 9, 10, 11, 12]), min_size=3, unique=True),
        "dates": st.lists(_one_of([*HOLIDAYS, "2026-02-28"]), min_size=2, unique=True),
        "holidays": _one_of(["skip", "only"]),
        "valid_from": _one_of(["2026-03-01T00:30", "2026-03-29T01:45", "2026-10-25T00:15"]),
        "valid_to": _one_of(["2026-03-01T00:30", "2026-10-25T02:15", "2026-11-01T01:30"]),
    }
    days = st.one_of([st.fixed_dictionaries({key: value}) for key, value in calendar.items()])
    return hours | days | st.builds(lambda one, other: one | other, hours, days)


@st.composite
def _windowed(draw: st.DrawFn, values: st.SearchStrategy[Fields], grid: int) -> Fields:
    windows = draw(st.lists(st.tuples(_when(grid), values), min_size=draw(_one_of([0, 1, 1, 2])), max_size=3))
    own = draw(_optional(time_zone=_one_of(ZONES)))
    made = [when | value | {"name": f"w{n}"} for n, (when, value) in enumerate(windows)]
    return {"kind": "windows", "windows": made, "holidays": HOLIDAYS, **own}


def _by_windows(key: str, price: st.SearchStrategy[float], grid: int) -> st.SearchStrategy[Fields]:
    values = st.builds(lambda value: {key: value}, price)
    return st.builds(lambda tariff, base: tariff | base, _windowed(values, grid), values)


def _by_series(key: str, price: st.SearchStrategy[float], grid: int) -> st.SearchStrategy[Fields]:
    steps = st.integers(1, 6).map(lambda n: f"{n * grid}m")
    values = st.lists(price, min_size=1, max_size=5)
    return st.builds(lambda prices, step: {"kind": "series", key: prices, "step": step, "repeat": True}, values, steps)


_process = st.builds(
    lambda mean, volatility: {
        "kind": "spot-process",
        "mean_usd_per_gpu_hour": mean,
        "volatility": volatility,
        "half_life": "1h",
        "step": "15m",
        "cap_usd_per_gpu_hour": 2 * mean,
    },
    _usd,
    st.floats(0.0, 1.0),
)


def _price(*, steady: bool) -> st.SearchStrategy[Fields]:
    key = "usd_per_gpu_hour"
    tariffs = [_by_windows(key, _usd, 1), _by_series(key, _usd, 7)] + ([] if steady else [_process])
    return st.builds(lambda usd: {key: usd}, _usd) | st.builds(lambda tariff: {"tariff": tariff}, st.one_of(tariffs))


_billing = _optional(unit=_one_of(["1s", "1m", "1h"]), minimum=_one_of(["1m", "10m", "90m"]))
_runs = st.fixed_dictionaries(
    {
        "up": st.just({"median": "10m", "mean": "20m"}),
        "down": st.just({"median": "1m", "mean": "6m"}),
        "together": st.booleans(),
    }
)


@st.composite
def _offer(draw: st.DrawFn, *, steady: bool) -> Fields:
    kind = draw(_one_of(["reserved", "on-demand"] if steady else ["reserved", "on-demand", "spot", "spot"]))
    offer = {"kind": kind} | draw(_price(steady=steady))
    if kind == "reserved":
        return offer | draw(st.just({}) | st.fixed_dictionaries({"term": st.just("1y"), "upfront_usd_per_gpu": _usd}))
    offer["billing"] = draw(_billing)
    if kind == "spot":
        offer |= {"availability": draw(_runs), "notice": draw(_one_of(["0s", "30s", "5m"]))}
    return offer


_rules = [
    st.just({"kind": "busy", "target_busy": 0.5}),
    st.just({"kind": "queue", "target_outstanding": 3}),
    st.builds(lambda hours: {"kind": "schedule", "windows": [{"hours": hours, "replicas": 3}]}, _hours(1)),
    st.just({"kind": "predictive", "rps_per_replica": 0.3}),
]


@st.composite
def _numbers(draw: st.DrawFn, *, foreseen: bool) -> Fields:
    """How many servers there are, and when."""
    way = draw(_one_of(["fixed", "schedule", "autoscale"]))
    replicas = draw(st.integers(1, 3))
    if way == "fixed":
        return {"replicas": replicas}
    if way == "schedule":
        windows = st.builds(lambda hours, n: {"hours": hours, "replicas": n}, _hours(1), st.integers(0, replicas))
        return {"replicas": replicas, "schedule": draw(st.lists(windows, min_size=1, max_size=2))}
    times = st.fixed_dictionaries(
        {
            "tick": _one_of(["20s", "47s"]),
            "start_up": _one_of(["0s", "1m", "4m"]),
            "cool_down": _one_of(["0s", "2m"]),
            "min": st.integers(0, 1),
        }
    )
    rules = _rules if foreseen else _rules[:-1]
    return {"autoscale": {"max": 3} | draw(times) | draw(st.one_of(rules))}


@st.composite
def _electricity(draw: st.DrawFn) -> Fields:
    price = st.floats(-0.1, 0.5)
    tariff = draw(_by_windows("usd_per_kwh", price, 15) | _by_series("usd_per_kwh", price, 15))
    whens = draw(st.lists(_when(15), max_size=2))
    if tariff["kind"] == "series":
        whens = [{key: when[key] for key in when if key != "holidays"} for when in whens]
    charges = [when | {"name": f"d{n}", "usd_per_kw_month": draw(_usd)} for n, when in enumerate(whens)]
    return tariff | {"demand": charges} | draw(_optional(usd_per_day=_usd))


_power = _optional(busy_w=st.floats(300, 1000), idle_w=st.floats(10, 300), pue=st.floats(1, 2))
_carbon = _by_windows("g_co2_per_kwh", st.floats(0, 900), 15) | _by_series("g_co2_per_kwh", st.floats(0, 900), 15)
_admission = _one_of([{}, {"max_outstanding": 2}, {"spill_at": 1, "max_outstanding": 6}])
_engine = _one_of([{}, {"max_num_seqs": 2}, {"kv_capacity_tokens": 4096, "max_num_seqs": 8}])


@st.composite
def _gpu_pool(draw: st.DrawFn, name: str, model: str, *, steady: bool, foreseen: bool) -> Fields:
    made = {"name": name, "gpu": "H100-SXM", "model": model, "offer": draw(_offer(steady=steady))}
    made |= draw(_numbers(foreseen=foreseen))
    made |= {"power": draw(_power), "admission": draw(_admission), "engine": draw(_engine)}
    made["tier"] = draw(st.integers(0, 1))
    made["tensor_parallel"] = draw(st.integers(1, 2))
    if model.startswith("Qwen3"):
        made["data_parallel"] = draw(st.integers(1, 2))
    optional = {"electricity": _electricity(), "carbon": _carbon}
    if not steady:
        optional["failures"] = st.just({"mtbf": "30m", "repair": "5m"})
    return made | draw(_optional(**optional))


_limit = st.fixed_dictionaries(
    {"requests_per_minute": _one_of([2, 20]), "when_full": _one_of(["refuse", "wait"])},
    optional={"tokens_per_minute": st.just(20_000)},
)
_batch = st.just({"median": "10m", "p90": "40m", "window": "1h"})


@st.composite
def _api_pool(draw: st.DrawFn, name: str, model: str) -> Fields:
    names = ("input_usd_per_1m", "cached_input_usd_per_1m", "output_usd_per_1m")
    base = draw(st.fixed_dictionaries({names[0]: _usd, names[2]: _usd}, optional={names[1]: _usd}))
    tariff = draw(_windowed(_optional(**dict.fromkeys(names, _usd)), 1)) | {"base": base}
    tariff |= draw(_optional(bill_by=_one_of(["arrival", "start", "completion"]), multiplier=st.floats(0.1, 2)))
    optional = _optional(
        batch=_batch,
        rate_limit=_limit,
        cached_share=_one_of([0.25, 0.4, 1.0]),
        max_usd_per_1m_output=st.floats(1, 20),
        tier=st.integers(0, 1),
    )
    return {"name": name, "kind": "api", "model": model, "tariff": tariff} | draw(optional)


_client = _one_of(
    [
        {},
        {"on_loss": "fail"},
        {"timeout": "3s", "retries": 2, "backoff": "0s"},
        {"timeout": "20s", "on_loss": "fail"},
        {"timeout": "20s", "retries": 1, "backoff": "5s"},
    ]
)
_arrivals = _one_of(
    [
        {"kind": "poisson", "rps": 0.02},
        {"kind": "gamma", "rps": 0.2, "cv": 4.0},
        {"kind": "closed", "concurrency": 3, "think_time": "20s"},
    ]
)


_contexts = st.fixed_dictionaries(
    {
        "queries": _one_of([2, {"kind": "geometric", "mean": 3}]),
        "think_time": _one_of(["20s", "3m"]),
        "tokens": st.just(500),
    },
    optional={"lead": st.just("3m"), "changes_every": st.just("10m")},
)
_sleep = st.fixed_dictionaries(
    {
        "when": _one_of([["always"], ["idle"], ["off-peak"], ["off-peak", "idle"]]),
        "min_saving": _one_of([0.0, 0.1, 1.0]),
    },
    optional={
        "tokens": _one_of([50, 400]),
        "drafts": _one_of([1, 3]),
        "expires": _one_of(["5m", "1h"]),
        "cost": _one_of(["full", "marginal"]),
        "max_jobs": _one_of([1, 8]),
        "budget_usd_per_day": st.floats(0.001, 1.0),
    },
)


@st.composite
def _asleep(draw: st.DrawFn, streams: list[Fields], pools: list[str], gpus: int) -> Fields:
    """Contexts for the streams that can have them, and what prepares these: all GPUs, or some of the pools."""
    able = [stream for stream in streams if stream["arrivals"]["kind"] != "closed"]
    for stream in able:
        stream["contexts"] = draw(_contexts)
    if not able:
        return {}
    sleep = draw(_sleep)
    if not gpus or draw(st.booleans()):
        sleep["pools"] = draw(st.lists(_one_of(pools), min_size=1, unique=True))
    return {"sleep": sleep}


_training = st.lists(
    st.fixed_dictionaries({"usd": _usd}) | st.fixed_dictionaries({"usd": _usd, "over_requests": st.just(500)}),
    max_size=2,
)


@st.composite
def _stream(draw: st.DrawFn, name: str) -> Fields:
    output = draw(_one_of([50, 1000]))
    lengths = {
        "kind": "lognormal",
        "prompt_median": 300,
        "prompt_sigma": 0.8,
        "output_median": output,
        "output_sigma": 0.7,
    }
    made = {"name": name, "arrivals": draw(_arrivals), "lengths": lengths, "client": draw(_client)}
    return made | draw(_optional(priority=_one_of(["interactive", "batch"])))


@st.composite
def _scenario(draw: st.DrawFn, *, steady: bool) -> Fields:
    zone, start = draw(_one_of(STARTS))
    model = draw(_one_of(["Llama-3.1-8B", "Qwen3-30B-A3B"]))
    streams = [draw(_stream(f"s{n}")) for n in range(draw(st.integers(1, 2)))]
    foreseen = all(stream["arrivals"]["kind"] != "closed" for stream in streams)
    gpus, apis = draw(_one_of([(1, 0), (1, 1), (2, 0), (0, 1), (2, 1), (3, 0)]))
    fleet = [draw(_gpu_pool(f"p{n}", model, steady=steady, foreseen=foreseen)) for n in range(gpus)]
    fleet += [draw(_api_pool("calls", model)) for _ in range(apis)]
    ways: Fields = {}
    if draw(st.booleans()):
        ways["strategies"] = [{"name": "a"}, {"name": "b", "pool": fleet[0]["name"]}]
        ways["router"] = {"policy": "round-robin"}
        trained = [{"over": "24h", "strategies": ["b"]} | each for each in draw(_training)]
        ways["training"] = [each | {"name": f"t{n}"} for n, each in enumerate(map(_one_way, trained))]
        if draw(st.booleans()):
            ways["strategies"][0] |= {"kind": "think", "budget_tokens": 300}
            ways |= draw(_asleep(streams, [pool["name"] for pool in fleet], gpus))
    minutes = draw(st.integers(3, 20)) * 15 + draw(_one_of([0, 0, 7]))
    return {
        "name": "priced",
        "start": start,
        "time_zone": zone,
        "horizon": f"{minutes}m",
        "bucket": "15m",
        "seed": draw(st.integers(0, 2**31 - 1)),
        "workload": streams,
        "fleet": fleet,
        **ways,
    }


def _one_way(training: Fields) -> Fields:
    """Spread over requests, or over time where none are given."""
    return {key: value for key, value in training.items() if key != "over" or "over_requests" not in training}


def priced_scenarios() -> st.SearchStrategy[Fields]:
    """Fields of scenarios with up to three pools; energy's edges lie on quarters of an hour, as do buckets."""
    return _scenario(steady=False)


def steady_scenarios() -> st.SearchStrategy[Fields]:
    """The same without what is drawn by the name of a pool: spot capacity and prices, and failures."""
    return _scenario(steady=True)


_PRICES = frozenset(
    {
        "usd_per_gpu_hour",
        "mean_usd_per_gpu_hour",
        "cap_usd_per_gpu_hour",
        "upfront_usd_per_gpu",
        "input_usd_per_1m",
        "cached_input_usd_per_1m",
        "output_usd_per_1m",
        "max_usd_per_1m_output",
        "usd_per_kwh",
        "usd_per_kw_month",
        "usd_per_day",
        "budget_usd_per_day",
        "usd",
    }
)


def doubled(fields: Any, key: str = "") -> Any:
    """The same with every price twice as high."""
    if isinstance(fields, dict):
        return {name: doubled(value, name) for name, value in fields.items()}
    if isinstance(fields, list):
        return [doubled(value, key) for value in fields]
    return 2 * fields if key in _PRICES else fields
