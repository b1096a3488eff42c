"""A plan in sentences: what to buy and when, what it costs and keeps, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sim import wording as words

__all__ = [
    "about",
    "analytic_sentences",
    "answer_sentences",
    "baseline_sentences",
    "between",
    "chance",
    "dollars",
    "headline",
    "joined",
    "purchase_sentence",
    "shadow_sentences",
    "short_purchase",
    "usd_with_interval",
    "year_sentences",
]

_KINDS = {"reserved": "reserved", "on-demand": "on demand", "spot": "of spot capacity", "api": "API"}


def dollars(value: float | None) -> str:
    """Whole dollars; cents below ten.

    >>> dollars(6847.3), dollars(-4.567), dollars(None)
    ('$6,847', '-$4.57', '-')
    """
    if value is None:
        return "-"
    if value < 0.0:
        return f"-{dollars(-value)}"
    return f"${value:,.0f}" if value >= 10.0 or value == 0.0 else words.usd(value)


def chance(value: float | None) -> str:
    """A chance in whole per cent, never zero or one where it is neither.

    >>> chance(0.011), chance(0.0001), chance(0.9999), chance(1.0), chance(None)
    ('1 %', 'under 1 %', 'over 99 %', '100 %', '-')
    """
    if value is None:
        return "-"
    if 0.0 < value < 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 < value < 1.0 else f"{value:.0%}".replace("%", " %")


def between(interval: Sequence[float | None] | None, form: Any = dollars) -> str:
    """An interval in brackets, with a blank before it; nothing where there is none.

    >>> between([6801.2, 6893.4]), between([None, None]), between([0.9795, 0.9829], words.share)
    (' ($6,801 to $6,893)', '', ' (98.0% to 98.3%)')
    """
    if not interval or any(bound is None for bound in interval):
        return ""
    told = words.range_of([float(bound or 0.0) for bound in interval], form)
    return f" ({told})" if told else ""


def joined(parts: Iterable[str]) -> str:
    """Parts of a sentence, with "and" before the last.

    >>> joined(["a", "b", "c"]), joined(["a"]), joined([])
    ('a, b and c', 'a', '')
    """
    *others, last = list(parts) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def headline(found: Mapping[str, Any]) -> str:
    """The answer in a line: the bill of a month, and what it keeps."""
    plan, verified = found["plan"], found["verified"]
    if plan is None or verified is None:
        analytic = found["analytic"]
        return f"About {dollars(analytic['monthly_usd'])} a month, by formulas; nothing was simulated"
    right = "" if verified["accuracy"] is None else f", {words.share(verified['accuracy'])} of answers right"
    met = verified["slo_attainment"]
    kept = "" if met is None else f": {words.share(met)} of requests in time"
    return f"{dollars(plan['monthly_usd'])} a month{between(plan['interval'])}{kept}{right}"


def answer_sentences(found: Mapping[str, Any]) -> list[str]:
    """What to buy, how to run it, what it costs, and whether the promise is kept, a sentence each."""
    plan, verified = found["plan"], found["verified"]
    if plan is None or verified is None:
        return analytic_sentences(found)
    return [
        purchase_sentence(plan["pools"]),
        policy_sentence(plan),
        f"That costs {usd_with_interval(plan)} a month of {found['hours_per_month']:g} hours{_over(found)}.",
        *_kept(found),
    ]


def analytic_sentences(found: Mapping[str, Any]) -> list[str]:
    """The same by formulas alone."""
    analytic = found["analytic"]
    wall = analytic["wall_s"]
    expected = [
        f"{words.share(analytic['slo_attainment'])} of requests in time" if analytic["slo_attainment"] else "",
        f"{words.share(analytic['accuracy'])} of answers right" if analytic["accuracy"] else "",
        f"a 99th percentile of {words.seconds(analytic['e2e_p99_s'])}" if analytic["e2e_p99_s"] else "",
    ]
    told = joined(part for part in expected if part)
    bound = analytic["bound_usd"]
    least = f"; no plan of these purchases costs less than {dollars(bound)}" if bound else ""
    return [
        purchase_sentence(analytic["pools"]),
        policy_sentence(analytic),
        f"By formulas alone, found in {wall:.1f} s, that costs {dollars(analytic['monthly_usd'])} a month"
        f"{f' and is expected to keep {told}' if told else ''}{least}.",
    ]


def policy_sentence(plan: Mapping[str, Any]) -> str:
    """How the fleet is run."""
    settings = plan.get("settings") or {}
    if not settings:
        return "Run it by the policy that the scenario has."
    told = joined(f"{words.printable(key)} = {words.printable(str(value))}" for key, value in settings.items())
    return f"Run it with {told}."


def usd_with_interval(plan: Mapping[str, Any]) -> str:
    """The bill of a month and its interval.

    >>> usd_with_interval({"monthly_usd": 6847.3, "interval": [6801.2, 6893.4]})
    '$6,847 ($6,801 to $6,893)'
    """
    return f"{dollars(plan['monthly_usd'])}{between(plan['interval'])}"


def purchase_sentence(pools: Sequence[Mapping[str, Any]]) -> str:
    """What is bought, pool by pool, in one sentence."""
    told = [part for pool in pools if (part := _bought(pool))]
    text = "; ".join(told) or "buy nothing"
    return f"{text[0].upper()}{text[1:]}."


def short_purchase(pools: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """A fleet in a few words, pools with their numbers; by block where these differ.

    >>> short_purchase({"own": 2, "rented": {"day": 3, "night": 0}})
    'own 2, rented 3 (day)'
    >>> short_purchase([{"name": "own", "replicas_by_block": {"day": 1, "night": 1}}])
    'own 1'
    """
    rows = pools if isinstance(pools, Mapping) else {pool["name"]: pool["replicas_by_block"] for pool in pools}
    return ", ".join(f"{words.printable(name)} {_short(row)}" for name, row in rows.items()) or "nothing"


def about(pool: Mapping[str, Any]) -> str:
    """What one server of a pool is, and how it is bought.

    >>> about({"kind": "on-demand", "gpu": "H100-SXM", "gpus_peak": 6, "replicas_by_block": {"day": 3}})
    '2 H100-SXM, on demand'
    """
    if pool["kind"] == "api":
        return "API, by the token"
    return f"{_gpus(pool)}, {_KINDS[pool['kind']]}"


def _gpus(pool: Mapping[str, Any]) -> str:
    most = max(pool["replicas_by_block"].values(), default=0)
    each = pool["gpus_peak"] // most if most else 1
    name = words.printable(str(pool["gpu"]))
    return f"{each} {name}" if each > 1 else f"one {name}"


def _short(row: Mapping[str, int] | float) -> str:
    if not isinstance(row, Mapping):
        return words.number(row)
    numbers = set(row.values())
    if len(numbers) == 1:
        return str(numbers.pop())
    return " + ".join(f"{number} ({', '.join(blocks)})" for number, blocks in _by_number(row))


def _bought(pool: Mapping[str, Any]) -> str:
    """A part of the sentence: what is done with one pool."""
    name, row = words.printable(pool["name"]), pool["replicas_by_block"]
    if pool["kind"] == "api":
        share = pool.get("share_of_requests")
        what = "a part" if share is None else words.share(share)
        return f"let {name} (an API) answer {what} of the requests"
    most = max(row.values(), default=0)
    if pool.get("scales_itself"):
        return f"let {name} scale itself up to {most} ({about(pool)})"
    each = _gpus(pool)
    if pool["kind"] == "reserved" and len(set(row.values())) == 1:
        return f"buy {most} reserved {'server' if most == 1 else 'servers'} of {each} ({name})"
    verb, how = _VERBS[pool["kind"]]
    return f"{verb} servers of {each}{how} ({name}): {_when(row)}"


_VERBS = {"reserved": ("buy", ""), "on-demand": ("rent", " on demand"), "spot": ("take spare", " as spot capacity")}


def _when(row: Mapping[str, int]) -> str:
    if len(set(row.values())) == 1:
        return f"{next(iter(row.values()))} around the clock"
    return joined(f"{number} in {joined(f'“{block}”' for block in blocks)}" for number, blocks in _by_number(row))


def _by_number(row: Mapping[str, int]) -> list[tuple[int, list[str]]]:
    """Blocks that have the same number, the highest first; those with none are left out."""
    numbers = sorted({number for number in row.values() if number}, reverse=True)
    return [(n, [words.printable(block) for block, number in row.items() if number == n]) for n in numbers]


def _over(found: Mapping[str, Any]) -> str:
    budget, over = found["targets"]["budget_usd"], found["verified"]["p_over_budget"]
    if budget is None or over is None:
        return ""
    return f"; the chance that a month costs more than {dollars(budget)} is {chance(over)}"


def _kept(found: Mapping[str, Any]) -> Iterator[str]:
    """What of the promise is kept."""
    verified, targets = found["verified"], found["targets"]
    told = [
        _figure(verified, "slo_attainment", "of requests are in time", targets["slo_attainment"], "p_miss_slo"),
        _figure(verified, "accuracy", "of answers are right", targets["accuracy"], "p_miss_accuracy"),
    ]
    parts = "; ".join(part for part in told if part)
    if not parts:
        return
    runs = words.things(verified["replications"], "run")
    promise = "keeps its promise" if verified["keeps_promise"] else "does not keep its promise"
    yield f"Confirmed in {runs} on a seed that the search did not see: {parts}. So the plan {promise}."


def _figure(verified: Mapping[str, Any], key: str, told: str, limit: float | None, miss: str) -> str:
    value = verified[key]
    if value is None:
        return ""
    text = f"{words.share(value)} {told}{between(verified['intervals'].get(key), words.share)}"
    if limit is None:
        return text
    missed = f", with a chance of {chance(verified[miss])} to miss it" if verified.get(miss) is not None else ""
    return f"{text}, where {words.share(limit)} is asked{missed}"


def baseline_sentences(found: Mapping[str, Any]) -> list[str]:
    """What the plan saves against what one would buy without it; nothing where it is for the best of a budget."""
    if found["goal"] != "cheapest":
        return []
    told = []
    for each in found["baselines"]:
        name, saving, share = words.printable(each["name"]), each["saving_usd"], each["saving_share"]
        if saving is None or share is None:
            told.append(f"{_upper(name)}: {words.printable(each['reason'] or 'not known')}.")
            continue
        ends = between([saving["low"], saving["high"]])
        verb = "saves" if saving["mean"] >= 0.0 else "costs"
        more = "" if saving["mean"] >= 0.0 else " more"
        amount = dollars(abs(saving["mean"]))
        ends = ends if saving["mean"] >= 0.0 else ""
        part = words.share(abs(share["mean"]))
        broken = f", which does not keep the promise{_missed(each, found)}" if each["keeps_promise"] is False else ""
        told.append(f"Against “{name}” the plan {verb} {amount}{ends} a month{more}, {part} of that bill{broken}.")
    return told


def _missed(baseline: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """By which shares a baseline falls short of what is asked."""
    names = {"slo_attainment": "in time", "accuracy": "right"}
    shares = [(told, baseline.get(key), found["targets"].get(key)) for key, told in names.items()]
    missed = [
        f"{words.share(share)} {told} where {words.share(asked)} is asked"
        for told, share, asked in shares
        if share is not None and asked is not None and share < asked
    ]
    return f" ({' and '.join(missed)})" if missed else ""


def shadow_sentences(found: Mapping[str, Any]) -> list[str]:
    """What another dollar, or another promise, would do."""
    return [text for key, each in found["shadow_prices"].items() if (text := _shadow(key, each))]


_STEPS = {
    "slo": "more of all requests in time",
    "accuracy": "more of all answers right",
}


def _shadow(key: str, each: Mapping[str, Any]) -> str:
    """Its own text, or one made of its figures."""
    if each.get("text"):
        return str(each["text"])
    if key in _STEPS and each.get("usd") is not None:
        points = words.number(100.0 * each["step"])
        point = "point" if points == "1" else "points"
        return f"{points} {point} {_STEPS[key]} would cost about {dollars(each['usd'])} a month."
    return ""


def year_sentences(found: Mapping[str, Any]) -> list[str]:
    """What the months ahead cost, and when to buy."""
    year = found["year"]
    if not year or not year["months"]:
        return []
    first, last = year["months"][0], year["months"][-1]
    whole = f"By formulas, the next {words.things(len(year['months']), 'month')} cost {dollars(year['total_usd'])}"
    ends = f"{dollars(first['monthly_usd'])} in the first, {dollars(last['monthly_usd'])} in the last"
    load = f"when the load is {last['load_factor']:.2f} times today's"
    told = [f"{whole}{between(year['interval'])}: {ends}, {load}."]
    return [*told, year["next_purchase"]] if year["next_purchase"] else told


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
