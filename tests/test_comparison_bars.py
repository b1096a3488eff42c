"""What differs between two sides, worked out by hand: paired intervals, bills, objectives, accuracy, keys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.comparison.accuracy import accuracy_waterfall, effects
from sim.comparison.bill import Bill, Place, Unit, Use
from sim.comparison.changed import changed_keys
from sim.comparison.cost import cost_split, cost_waterfall, line_changes
from sim.comparison.objectives import CAUSES, attainment_waterfall, missed_shares
from sim.comparison.paired import difference, pairing_gain, verdict_of
from sim.comparison.pairing import common_to
from sim.comparison.stages import stages_between
from sim.comparison.words import bars_of, sentences
from sim.tally import COUNTS
from tests.small import chat, pool, scenario

A, B = [10.0, 20.0, 30.0, 41.0], [11.0, 22.0, 31.0, 43.0]


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    found = difference(A, B)
    wanted = stats.ttest_rel(B, A).confidence_interval(0.95)

    assert found["mean"] == 1.5
    assert [found["low"], found["high"]] == pytest.approx([wanted.low, wanted.high])


def test_pairing_gains_what_a_welch_interval_is_wider() -> None:
    unpaired = stats.ttest_ind(B, A, equal_var=False).confidence_interval(0.95)
    paired = stats.ttest_rel(B, A).confidence_interval(0.95)

    assert pairing_gain(A, B) == pytest.approx((unpaired.high - unpaired.low) / (paired.high - paired.low))
    assert pairing_gain(A, A) is None
    assert pairing_gain([1.0], [2.0]) is None


@pytest.mark.parametrize(
    ("low", "high", "better", "said"),
    [
        (1.0, 3.0, "lower", "worse"),
        (1.0, 3.0, "higher", "better"),
        (1.0, 3.0, "neither", "higher"),
        (-3.0, -1.0, "higher", "worse"),
        (-1.0, 3.0, "higher", "open"),
        (None, None, "higher", "open"),
        (2.0, 2.0, "lower", "worse"),
    ],
)
def test_a_verdict_is_open_where_zero_is_in_the_interval(low: Any, high: Any, better: Any, said: str) -> None:
    mean = 2.0 if low is None else (low + high) / 2.0

    assert verdict_of({"mean": mean, "low": low, "high": high}, 10.0, better) == said


def test_rounding_is_no_difference() -> None:
    assert verdict_of({"mean": 1e-12, "low": 1e-13, "high": 2e-12}, 1.0, "lower") == "same"


def gpu_bill(usd_per_s: float, seconds: float, idle_share: float = 0.25, window: str = "flat") -> Bill:
    """A pool of GPUs whose time is busy or idle."""
    usd = usd_per_s * seconds
    places = {Place("busy", "own", window): usd * (1 - idle_share), Place("idle", "own", window): usd * idle_share}
    return Bill(places, {Unit("time", "own", window): Use(seconds, usd)}, frozenset())


def test_twice_the_price_is_all_price_and_twice_the_time_all_volume() -> None:
    dear, long = (line_changes(gpu_bill(1.0, 100.0), other) for other in (gpu_bill(2.0, 100.0), gpu_bill(1.0, 200.0)))

    assert [tuple(change)[2:] for change in dear.values()] == [(75.0, 0.0, 0.0), (25.0, 0.0, 0.0)]
    assert [tuple(change)[2:] for change in long.values()] == [(0.0, 75.0, 0.0), (0.0, 25.0, 0.0)]


def test_price_is_of_what_b_buys() -> None:
    changes = line_changes(gpu_bill(1.0, 100.0, 0.0), gpu_bill(3.0, 50.0, 0.0))

    assert changes["busy", "own"].price == pytest.approx(2.0 * 50.0)
    assert changes["busy", "own"].volume == pytest.approx(-50.0)


def api_bill(rates: tuple[float, float], tokens: tuple[float, float]) -> Bill:
    """An API with prompt tokens and output tokens."""
    units = {
        Unit(kind, "api", "flat"): Use(volume, rate * volume)
        for kind, rate, volume in zip(("input", "output"), rates, tokens, strict=True)
    }
    return Bill({Place("api", "api", "flat"): sum(use.usd for use in units.values())}, units, frozenset({"api"}))


def test_an_api_s_price_is_that_of_b_s_own_tokens() -> None:
    change = line_changes(api_bill((1.0, 4.0), (10.0, 10.0)), api_bill((1.0, 8.0), (30.0, 5.0)))["api", "api"]

    assert change.price == pytest.approx(4.0 * 5.0)
    assert change.volume == pytest.approx(30.0 + 20.0 - 50.0)


def test_hours_that_move_to_another_window_are_volume_at_a_s_price_there() -> None:
    night, day = Unit("time", "own", "night"), Unit("time", "own", "day")
    bills = [
        Bill(
            {Place("busy", "own", unit.window): use.usd for unit, use in used.items()},
            used,
            frozenset(),
        )
        for used in ({night: Use(10.0, 10.0), day: Use(10.0, 30.0)}, {night: Use(20.0, 20.0)})
    ]
    change = line_changes(*bills)["busy", "own"]

    assert (change.price, change.volume) == (0.0, -20.0)


def test_what_a_does_not_buy_is_volume_and_what_has_no_unit_is_fixed() -> None:
    plain = gpu_bill(1.0, 100.0)
    more = plain._replace(
        usd={**plain.usd, Place("upfront", "own", "flat"): 7.0, **api_bill((1.0, 1.0), (3.0, 3.0)).usd}
    )
    more = more._replace(used=plain.used | api_bill((1.0, 1.0), (3.0, 3.0)).used, apis=frozenset({"api"}))
    changes = [line_changes(plain, more)]

    assert {name: part["mean"] for name, part in cost_split(changes).items()} == {"price": 0, "volume": 6, "fixed": 7}
    bars = {bar["line"]: bar for bar in cost_waterfall(changes, split=False)}
    assert (bars["api"]["difference"]["mean"], bars["api"]["price"]) == (6.0, None)


def counted(**counts: int) -> Any:
    """A tally of one stream with these counts."""
    return SimpleNamespace(streams=np.array([[counts.get(name, 0) for name in COUNTS]]))


def test_every_request_that_misses_its_objectives_has_one_cause() -> None:
    late = {"missed_ttft": 5, "missed_tpot": 2, "missed_e2e": 3}
    ends = {"measured_rejected": 4, "measured_timed_out": 6, "measured_ended": 95, "measured_met": 70}
    shares = missed_shares(counted(measured_offered=100, **ends, **late), {"chat": 0})

    found = [shares["chat", cause] for cause in CAUSES]
    assert found == pytest.approx([0.04, 0.06, 0.05, 0.05, 0.05, 0.02, 0.03])
    assert sum(found) == pytest.approx(1.0 - 0.70)


def test_what_a_cause_takes_less_of_is_a_gain() -> None:
    before, after = ({("chat", "ttft"): late, ("chat", "e2e"): 0.0} for late in (0.3, 0.1))
    (bar,) = attainment_waterfall([before, before], [after, after])

    assert bar["difference"]["mean"] == pytest.approx(0.2)
    assert (bar["a"], bar["b"]) == (0.3, 0.1)


_answers = st.dictionaries(
    st.tuples(st.sampled_from(["chat", "code"]), st.sampled_from(["direct", "think", "vote"])),
    st.integers(0, 50).flatmap(lambda known: st.tuples(st.just(float(known)), st.integers(0, known).map(float))),
    min_size=1,
)


@given(a=_answers, b=_answers)
@settings(max_examples=200, deadline=None)
def test_the_bars_of_accuracy_add_up(a: Any, b: Any) -> None:
    known, right = ([sum(part[n] for part in side.values()) for side in (a, b)] for n in (0, 1))
    bars = effects(a, b)

    if all(known):
        assert sum(bars.values()) == pytest.approx(right[1] / known[1] - right[0] / known[0], abs=1e-12)
    else:
        assert bars == {}


def test_a_router_that_chooses_otherwise_moves_shares_alone() -> None:
    a = {("chat", "direct"): (100.0, 50.0), ("chat", "think"): (100.0, 90.0)}
    b = {("chat", "direct"): (200.0, 100.0), ("chat", "think"): (0.0, 0.0)}
    bars = {(bar["effect"], bar["strategy"]): bar["difference"]["mean"] for bar in accuracy_waterfall([a], [b])}

    assert bars == {("strategies", "direct"): pytest.approx(-0.1), ("strategies", "think"): pytest.approx(-0.1)}


def test_keys_that_differ_are_named_by_the_items_of_lists() -> None:
    one = scenario(fleet=[pool(), pool(name="second")])
    other = scenario(fleet=[pool(name="third"), pool(replicas=3)], horizon="10m", name="other")
    changes = {change["key"]: (change["a"], change["b"]) for change in changed_keys(one, other)}

    assert changes["horizon"] == ("5m", "10m")
    assert changes["fleet.h100.replicas"] == (2, 3)
    assert changes["fleet.second"][1] is None
    assert changes["fleet.third"][0] is None
    assert len(changes) == 4


def test_the_way_from_a_to_b_takes_one_section_after_another() -> None:
    dear = pool(replicas=3, offer={"kind": "reserved", "usd_per_gpu_hour": 4.0})
    stages = stages_between(scenario(), scenario(workload=[chat(priority="batch")], fleet=[dear]))

    assert [stage.sections for stage in stages] == [("workload",), ("fleet",), ("prices",)]
    (middle,) = stages[1].scenario.fleet
    assert (getattr(middle, "replicas", 0), getattr(middle, "offer", None)) == (3, scenario().fleet[0].offer)


def test_sections_that_do_not_go_alone_go_together() -> None:
    strategies = {"strategies": [{"name": "only", "kind": "direct", "pool": "new"}]}
    stages = stages_between(scenario(), scenario(fleet=[pool(name="new")], **strategies))

    assert [stage.sections for stage in stages] in ([("fleet",), ("strategies",)], [("fleet", "strategies")])
    assert stages[-1].scenario.fleet[0].name == "new"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workload": [chat(), chat(name="more")]}, "Only B has more"),
        ({"workload": [chat(name="other")]}, "No stream is common"),
        ({"workload": [chat(arrivals={"kind": "poisson", "rps": 3.0})]}, "sends other requests"),
        ({"horizon": "10m"}, "rates are compared"),
        ({"warm_up": "1m"}, "warm-ups of different lengths"),
        ({"start": "2026-03-02T00:00:00"}, "begin at different times"),
    ],
)
def test_what_does_not_pair_is_said(changes: dict[str, Any], said: str) -> None:
    notes = common_to(scenario(replications=3), scenario(replications=3, **changes)).notes

    assert [note for note in notes if said in note]


def test_what_pairs_needs_no_notes() -> None:
    common = common_to(scenario(replications=2), scenario(replications=2, fleet=[pool(replicas=5)]))

    assert (common.notes, common.same_requests) == ((), True)


def test_small_bars_stand_as_one() -> None:
    bars = [
        {"line": "busy", "pool": f"p{n}", "difference": {"mean": usd}} for n, usd in enumerate([100.0, 0.1, 0.05, 0.0])
    ]
    (label, _), (rest, summed) = bars_of(bars)

    assert (label, rest) == ("busy, p0", "2 others")
    assert summed["mean"] == pytest.approx(0.15)


def test_a_difference_that_chance_may_make_is_told_as_open() -> None:
    moved = {"mean": 10.0, "low": -5.0, "high": 25.0}
    figure = {"a": 100.0, "b": 110.0, "difference": moved, "relative": 0.1, "relative_interval": [-0.05, 0.25]}
    found = {
        "a": {"scenario": "one"},
        "b": {"scenario": "two"},
        "objectives": True,
        "figures": {"cost.usd_per_month": figure | {"verdict": "open"}},
        "waterfall": {"cost": [], "slo": [], "accuracy": []},
        "cost_split": None,
    }
    text = "Whether two costs more or less than one is open: in these runs it costs $10.00 a month more than one"

    assert sentences(found) == [f"{text} (+10.0%, 95 % interval -5.0% to +25.0%)."]
