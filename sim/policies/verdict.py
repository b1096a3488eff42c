"""What a comparison of policies comes to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sim import wording as words

__all__ = ["dollars", "points", "verdict"]


def verdict(found: Mapping[str, Any]) -> list[str]:
    """Whether routing pays, against what, and whether looking at prices and load does."""
    return [*_against_mix(found), *_against_singles(found), *_flags(found), *_share_of_oracle(found)]


def _policies(found: Mapping[str, Any]) -> Mapping[str, Any]:
    policies: Mapping[str, Any] = found["at_equal_spending"]["policies"]
    return policies


def _against_mix(found: Mapping[str, Any]) -> Iterator[str]:
    first, equal = found["first"], found["at_equal_spending"]
    own = _policies(found)[first]
    gain = own["against_mix"]["accuracy"]
    spent = f"At {words.usd_fine(equal['usd_per_1k_requests']['mean'])} for 1,000 questions"
    if gain["mean"] is None:
        yield f"{spent} no mix of strategies by chance spends as much as the policy '{first}'."
        return
    what = f"{spent} the policy '{first}' is right in {words.share(own['accuracy']['mean'])} of cases"
    verb = "Routing pays" if _is_above(gain) else "Routing loses" if _is_below(gain) else "Routing does not surely pay"
    yield f"{verb} here. {what}, {points(gain)} against the best mix of strategies by chance."


def _against_singles(found: Mapping[str, Any]) -> Iterator[str]:
    first = found["first"]
    gains = {name: each[first]["accuracy"] for name, each in found["against_single"].items()}
    known = {name: gain for name, gain in gains.items() if gain["mean"] is not None}
    better = [name for name, gain in known.items() if _is_above(gain)]
    worse = [name for name, gain in known.items() if _is_below(gain)]
    singles = words.things(len(gains), "single strategy", "single strategies")
    yield f"Where it spends what they do, it is better than {len(better)} of {singles}."
    open_ones = [name for name in known if name not in (*better, *worse)]
    for names, what in ((open_ones, "No sure difference"), (worse, "It is worse")):
        if names:
            told = ", ".join(f"{words.printable(name)} ({points(known[name])})" for name in names)
            yield f"{what} against {told}."


def _flags(found: Mapping[str, Any]) -> Iterator[str]:
    """What looking at prices and at load adds, at equal spending."""
    for what, own in found["looking_at"].items():
        accuracy, late, worth = (own[metric] for metric in ("accuracy", "late", "worth_usd"))
        if accuracy["mean"] is None:
            continue
        judged = "gains" if _is_above(worth) else "loses" if _is_below(worth) else "gains nothing sure"
        yield (
            f"Looking at {what} {judged}: right answers {points(accuracy)}, late ones {points(late)}, "
            f"worth {dollars(worth)} for 1,000 questions."
        )


def _share_of_oracle(found: Mapping[str, Any]) -> Iterator[str]:
    policies = _policies(found)
    first = found["first"]
    best = policies.get("oracle", {}).get("against_mix", {}).get("accuracy", {}).get("mean")
    own = policies[first]["against_mix"]["accuracy"]["mean"]
    if first != "oracle" and best and own is not None and best > 0.0:
        yield f"That is {words.share(own / best)} of what an oracle gains at that spending."


def _is_above(estimate: Mapping[str, float | None]) -> bool:
    return (estimate["low"] or 0.0) > 0.0


def _is_below(estimate: Mapping[str, float | None]) -> bool:
    return (estimate["high"] or 0.0) < 0.0


def points(estimate: Mapping[str, float | None]) -> str:
    """A difference of shares in points, with its interval."""
    return _told(estimate, 100.0, "points", 2)


def dollars(estimate: Mapping[str, float | None]) -> str:
    """A difference of dollars a question as dollars for 1,000, with its interval."""
    return _told(estimate, 1e3, "dollars", 4)


def _told(estimate: Mapping[str, float | None], factor: float, unit: str, places: int) -> str:
    """A signed number with its interval."""
    mean, low, high = (None if value is None else factor * value for value in (estimate[k] for k in _ENDS))
    if mean is None:
        return "unknown"
    between = "" if low is None or high is None else f" ({low:+.{places}f} to {high:+.{places}f})"
    return f"{mean:+.{places}f} {unit}{between}"


_ENDS = ("mean", "low", "high")
