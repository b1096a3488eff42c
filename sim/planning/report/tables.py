"""The tables of a plan, alike on the page and the terminal: heads of columns, then rows of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sim import wording as words
from sim.planning.report.words import about, between, chance, dollars, short_purchase

__all__ = [
    "Table",
    "baselines_table",
    "blocks_table",
    "front_table",
    "options_table",
    "policy_told",
    "pools_table",
    "promise_table",
    "sides_table",
    "streams_table",
    "year_table",
]


class Table(NamedTuple):
    """Heads of the columns, and rows of as many texts."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def promise_table(found: Mapping[str, Any]) -> Table:
    """What is asked, what is kept on the fresh seed, with which interval, and the chance to miss it."""
    columns = ("", "asked", "kept", "95 % interval", "chance to miss")
    return Table(columns, list(_promises(found)))


def _promises(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    targets, verified = found["targets"], found["verified"]
    for key, label, miss, asked, form in (
        ("slo_attainment", "objectives met", "p_miss_slo", "slo_attainment", words.share),
        ("accuracy", "right answers", "p_miss_accuracy", "accuracy", words.share),
        ("monthly_usd", "dollars a month", "p_over_budget", "budget_usd", dollars),
        ("goodput_rps", "in time, a second", "", "", words.number),
        ("e2e_p99_s", "E2E p99", "", "", words.seconds),
        ("ttft_p99_s", "TTFT p99", "", "", words.seconds),
    ):
        if verified.get(key) is None:
            continue
        limit, interval = targets.get(asked), between(verified["intervals"].get(key), form).strip(" ()")
        yield label, "" if limit is None else form(limit), form(verified[key]), interval, _missed(verified.get(miss))


def _missed(value: float | None) -> str:
    return "" if value is None else chance(value)


def streams_table(found: Mapping[str, Any]) -> Table:
    """The same of each stream."""
    asked = found["targets"]["by_stream"]
    rows = [
        (
            words.printable(name),
            words.share(each["slo_attainment"]),
            _limit(asked.get(name, {}), "slo_attainment", each.get("p_miss_slo")),
            words.share(each["accuracy"]),
            _limit(asked.get(name, {}), "accuracy", each.get("p_miss_accuracy")),
            words.seconds(each["ttft_p99_s"]),
            words.seconds(each["e2e_p99_s"]),
        )
        for name, each in found["verified"]["by_stream"].items()
    ]
    return Table(("stream", "objectives met", "asked", "right", "asked", "TTFT p99", "E2E p99"), rows)


def _limit(asked: Mapping[str, float], key: str, missed: float | None) -> str:
    if key not in asked:
        return ""
    told = f", missed with {chance(missed)}" if missed is not None else ""
    return f"{words.share(asked[key])}{told}"


def pools_table(plan: Mapping[str, Any]) -> Table:
    """What is bought, and what that costs."""
    rows = [
        (
            words.printable(pool["name"]),
            about(pool),
            str(pool["gpus_peak"] or "-"),
            dollars(pool["usd_per_month"]),
            words.share(pool["share_of_requests"]),
            words.share(pool["busy_share"]),
        )
        for pool in plan["pools"]
    ]
    return Table(("pool", "a server", "GPUs at most", "USD a month", "answers", "busy"), rows)


def blocks_table(found: Mapping[str, Any]) -> Table:
    """Servers of each pool that are up in each block of hours."""
    pools = (found["plan"] or found["analytic"])["pools"]
    rows = [
        (
            words.printable(block["name"]),
            "; ".join(f"{_days(window['days'])} {window['hours']}" for window in block["windows"]),
            "-" if block["mean_rps"] is None else f"{block['mean_rps']:.2f}",
            *(_number(pool, block["name"]) for pool in pools),
        )
        for block in found["blocks"]
    ]
    named = (words.printable(pool["name"]) for pool in pools)
    return Table(("block", "hours of the local week", "requests a second", *named), rows)


def _number(pool: Mapping[str, Any], block: str) -> str:
    if pool["kind"] == "api":
        return "as needed"
    number = pool["replicas_by_block"][block]
    return f"up to {number}" if pool.get("scales_itself") else str(number)


_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _days(days: Sequence[str]) -> str:
    """Weekdays in short, runs of three or more as from and to.

    >>> _days(["mon", "tue", "wed", "thu", "fri"]), _days(["sat", "sun"]), _days(["mon", "wed", "thu", "fri"])
    ('Mon-Fri', 'Sat, Sun', 'Mon, Wed-Fri')
    """
    if len(days) == len(_WEEK):
        return "every day"
    places = sorted(_WEEK.index(day) for day in days)
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    named = [_WEEK[place].capitalize() for place in range(7)]
    told = [[f"{named[run[0]]}-{named[run[-1]]}"] if len(run) > 2 else [named[place] for place in run] for run in runs]
    return ", ".join(part for parts in told for part in parts)


def sides_table(found: Mapping[str, Any]) -> Table:
    """The analytic answer beside the confirmed one, and the runner-up."""
    analytic, plan, verified, other = (found[key] for key in ("analytic", "plan", "verified", "runner_up"))
    sides: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [("by formulas", analytic, analytic)]
    if plan is not None and verified is not None:
        sides.append(("confirmed by simulation", plan, verified))
    if other is not None:
        sides.append(("runner-up", other, other.get("verified") or {}))
    rows: tuple[tuple[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]], ...] = (
        ("USD a month", lambda side, _: dollars(side["monthly_usd"])),
        ("fleet", lambda side, _: short_purchase(side["pools"])),
        ("policy", lambda side, _: policy_told(side.get("settings") or {})),
        ("objectives met", lambda _, kept: words.share(kept.get("slo_attainment"))),
        ("right answers", lambda _, kept: words.share(kept.get("accuracy"))),
        ("E2E p99", lambda _, kept: words.seconds(kept.get("e2e_p99_s"))),
    )
    table = [(label, *(form(side, kept) for _, side, kept in sides)) for label, form in rows]
    return Table(("", *(name for name, _, _ in sides)), [row for row in table if set(row[1:]) != {"-"}])


def policy_told(settings: Mapping[str, Any]) -> str:
    """Settings in a line.

    >>> policy_told({"router.value_usd": "0.004"}), policy_told({})
    ('router.value_usd=0.004', 'as it is')
    """
    told = [f"{words.printable(key)}={words.printable(str(value))}" for key, value in settings.items()]
    return ", ".join(told) or "as it is"


def baselines_table(found: Mapping[str, Any]) -> Table:
    """What one would buy without a plan, and what the plan saves against each."""
    rows = [
        (
            words.printable(each["name"]),
            f"{dollars(each['monthly_usd'])}{between(each['interval'])}",
            *_saving(each),
            words.printable(each["reason"] or _kept(each["keeps_promise"])),
        )
        for each in found["baselines"]
    ]
    return Table(("instead of the plan", "USD a month", "the plan saves", "of it", ""), rows)


def _saving(each: Mapping[str, Any]) -> tuple[str, str]:
    usd, share = each["saving_usd"], each["saving_share"]
    if usd is None or share is None:
        return "-", "-"
    ends = between([usd["low"], usd["high"]])
    return f"{dollars(usd['mean'])}{ends}", words.share(share["mean"])


def _kept(keeps: bool | None) -> str:
    return {True: "keeps the promise", False: "does not keep the promise", None: ""}[keeps]


def options_table(found: Mapping[str, Any]) -> Table:
    """The policies that were looked at."""
    rows = [
        (
            policy_told(option["settings"]),
            dollars(option["bound_usd"]),
            dollars(option["analytic_usd"]) if option["is_feasible"] else "not possible",
            dollars(option["best_usd"]),
        )
        for option in found["options"]
    ]
    return Table(("policy", "costs at least", "by formulas", "best simulated"), rows)


def front_table(found: Mapping[str, Any]) -> Table:
    """Plans that no other beats in cost, accuracy and 99th percentile."""
    rows = [
        (
            dollars(point["monthly_usd"]),
            words.share(point["accuracy"]),
            words.share(point["slo_attainment"]),
            words.seconds(point["e2e_p99_s"]),
            short_purchase(point["pools"]),
            policy_told(point["settings"]),
            "by formulas" if point["source"] == "analytic" else _kept(point.get("keeps_promise")),
        )
        for point in found["pareto"]
    ]
    return Table(("USD a month", "right", "objectives met", "E2E p99", "fleet", "policy", ""), rows)


def year_table(found: Mapping[str, Any]) -> Table:
    """The months ahead."""
    rows = [
        (
            str(month["month"]),
            f"{month['load_factor']:.2f}",
            f"{dollars(month['monthly_usd'])}{between(month['interval'])}",
            chance(month["p_over_budget"]),
            short_purchase(month["pools"]),
        )
        for month in (found["year"] or {"months": ()})["months"]
    ]
    return Table(("month", "load", "USD a month", "over budget", "fleet"), rows)
