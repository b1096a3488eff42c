"""The cheapest purchase, or the best one for a budget: what to buy for which hours, and which requests go where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.planning.purchase.instance import Floats, Instance, Integers, Mix
from sim.planning.purchase.mix_columns import NONE, hours_usd, is_one_number
from sim.planning.purchase.mix_model import Model, accuracy_gain, capacity_per_replica, model_of
from sim.planning.purchase.mix_names import NO_NAMES, Names
from sim.planning.purchase.mix_solver import GAP, Answer, minimised, with_row
from sim.planning.purchase.mix_states import by_state, merged

__all__ = ["attempt", "bound", "is_possible", "load", "priced", "relaxed_usd", "solve"]

_S = 3600.0
_ORDER = ("reserved", "on-demand", "spot", "api")
_PREFERENCE = 1e-6
"""Share of its price by which a kind of supply is made dearer for each place in `_ORDER`, so that of two plans at the
same price the one with the surer capacity is taken; what is reported is at the true prices."""


def solve(instance: Instance, *, time_limit_s: float = 1.0, explain: bool = False, names: Names = NO_NAMES) -> Mix:
    """The best mix of an instance, by HiGHS; the same instance always gives the same mix.

    goal       what is best
    cheapest   fewest dollars with all constraints kept
    accuracy   most right answers within the budget, and of those mixes the cheapest
    goodput    most requests served in time within the budget, however many are given up; then the cheapest

    Reserved replicas and APIs have one number for all hours, the others one for each block where `by_block` says so. A
    launch is paid for at the lower price of the two blocks it lies between. Of mixes that cost the same, reserved ones
    come before on-demand, spot and APIs, and the earlier supply comes first. `binding` names what stands in the way of
    an infeasible instance; of a feasible one, where `explain` is set, what keeps it from being cheaper. They cost one
    more solution for each constraint.

    >>> from sim.planning.purchase.instance import Supply
    >>> hours, one = np.array([730.5]), np.ones((1, 1, 1))
    >>> pools = (Supply("h100", "on-demand", np.array([2.0]), most=9),)
    >>> mix = solve(Instance(hours, (), np.array([[3.4]]), one, 0.0 * one, np.array([[0.7]]), one, pools))
    >>> mix.replicas.tolist(), mix.usd_per_month
    ([[4]], 5844.0)
    """
    mix = attempt(instance, time_limit_s=time_limit_s)
    if mix is not None and not explain:
        return mix
    from sim.planning.purchase.mix_words import in_the_way, in_words

    if mix is None:
        return _none(instance, in_the_way(instance, names))
    return replace(mix, binding=tuple(in_words(instance, mix, names)))


def attempt(instance: Instance, *, time_limit_s: float = 1.0) -> Mix | None:
    """The best mix as `solve` finds it, without any reasons; None where there is none."""
    states = by_state(instance)
    model = model_of(states)
    mix = _solved(states, model, _preferred(states, model), time_limit_s)
    return None if mix is None else merged(instance, mix)


def bound(instance: Instance, *, time_limit_s: float = 1.0) -> float:
    """Dollars a month below which no mix keeps the constraints: the solver's dual bound; infinite where none can."""
    return _bound(replace(instance, goal="cheapest") if instance.goal == "accuracy" else instance, time_limit_s)


def relaxed_usd(instance: Instance, *, time_limit_s: float = 1.0) -> float:
    """Dollars a month if parts of replicas could be bought: never more than `bound`; infinite where none will do."""
    return _bound(instance, time_limit_s, is_relaxed=True)


def is_possible(instance: Instance, *, time_limit_s: float = 1.0) -> bool:
    """Whether any mix keeps the constraints; its price is not looked at, which is quicker than `solve`."""
    model = model_of(by_state(instance))
    return minimised(model, np.zeros(model.usd.size), time_limit_s=time_limit_s).values is not None


def load(instance: Instance, mix: Mix) -> Floats:
    """Replicas' worth of work of each supply in each block, in full batches, deferred work too, [P, H]."""
    work = np.where(np.isfinite(instance.work_s), instance.work_s, 0.0)
    busy: Floats = np.einsum("saph,sap->ph", mix.flow_rps, work) + mix.deferred_hours / instance.hours
    return busy


def priced(instance: Instance, replicas: Integers, flow_rps: Floats) -> Floats:
    """Dollars a month of each supply, [P]: hours, payments in advance, launches and tokens.

    Shapes: `replicas` [P, H], `flow_rps` [S, A, P, H].
    """
    requests = flow_rps * instance.hours * _S
    usd_per_request = np.where(np.isfinite(instance.usd_per_request), instance.usd_per_request, 0.0)
    tokens: Floats = np.einsum("saph,sap->p", requests, usd_per_request)
    return tokens + [_replicas_usd(instance, p, replicas[p]) for p in range(len(instance.supplies))]


def _replicas_usd(instance: Instance, p: int, replicas: Integers) -> float:
    supply = instance.supplies[p]
    usd = float(hours_usd(instance, supply) @ replicas) + supply.usd_per_month * int(replicas.max(initial=0))
    for change in () if is_one_number(supply) else instance.transitions:
        started = max(int(replicas[change.after] - replicas[change.before]), 0)
        price = min(supply.usd_per_hour[change.before], supply.usd_per_hour[change.after])
        usd += started * change.times_per_month * supply.start_up_hours * float(price)
    return usd


def _preferred(instance: Instance, model: Model) -> Floats:
    """Dollars with the preference between kinds, [V]."""
    dearer = np.ones(model.usd.size)
    for p, supply in enumerate(instance.supplies):
        factor = 1.0 + _PREFERENCE * (_ORDER.index(supply.kind) + p / (10.0 * len(instance.supplies)))
        for columns in (model.columns.replicas[p], model.columns.peak[p : p + 1], model.columns.flow[:, :, p]):
            dearer[columns[columns != NONE]] = factor
    return model.usd * dearer


def _bound(instance: Instance, time_limit_s: float, *, is_relaxed: bool = False) -> float:
    states = by_state(instance)
    model = model_of(states)
    goal = _preferred(states, model)
    return _true_bound(minimised(model, goal, time_limit_s=time_limit_s, is_relaxed=is_relaxed))


def _true_bound(answer: Answer) -> float:
    """Preferences make nothing dearer by more than their largest, so a bound on the preferred price is this much."""
    return max(answer.bound / (1.0 + _PREFERENCE * len(_ORDER)), 0.0)


def _solved(instance: Instance, model: Model, usd: Floats, time_limit_s: float) -> Mix | None:
    if instance.goal == "cheapest":
        answer = minimised(model, usd, time_limit_s=time_limit_s)
        return _finished(instance, model, usd, answer, _true_bound(answer), time_limit_s)
    wanted = model.right if instance.goal == "accuracy" else model.served
    best = minimised(model, -wanted, time_limit_s=time_limit_s)
    if best.values is None:
        return None
    kept = with_row(model, wanted, float(wanted @ best.values) - 2.0 * GAP, float("inf"))
    answer = minimised(kept, usd, time_limit_s=time_limit_s)
    return _finished(instance, kept, usd, answer, bound(instance, time_limit_s=time_limit_s), time_limit_s)


def _finished(
    instance: Instance, model: Model, usd: Floats, answer: Answer, bound_usd: float, time_limit_s: float
) -> Mix | None:
    """A mix in whole replicas, its flows the best for those."""
    values = answer.values
    if values is None and not answer.is_impossible:
        values = _rounded_up(model, usd, time_limit_s)
    if values is None:
        return None
    fixed = _with_whole(model, values)
    polished = minimised(fixed, usd, time_limit_s=time_limit_s, is_relaxed=True)
    return _mix(instance, model, values if polished.values is None else polished.values, bound_usd)


def _rounded_up(model: Model, usd: Floats, time_limit_s: float) -> Floats | None:
    """Where the search ended before it found anything: replicas of the program with parts of them, rounded up."""
    parts = minimised(model, usd, time_limit_s=time_limit_s, is_relaxed=True)
    if parts.values is None:
        return None
    up = np.minimum(np.ceil(parts.values - GAP), model.upper)
    return minimised(_with_whole(model, up), usd, time_limit_s=time_limit_s, is_relaxed=True).values


def _with_whole(model: Model, values: Floats) -> Model:
    whole = np.round(values)
    lower, upper = np.where(model.whole, whole, model.lower), np.where(model.whole, whole, model.upper)
    return model._replace(lower=lower, upper=upper)


def _mix(instance: Instance, model: Model, values: Floats, bound_usd: float) -> Mix:
    shares = np.append(np.clip(values, 0.0, None), 0.0)
    columns = model.columns
    flow = shares[columns.flow] * instance.rps[:, None, None, :]
    late = _late(instance, shares[columns.late])
    replicas = np.round(shares[columns.replicas]).astype(np.int64)
    hours = np.zeros(len(instance.supplies)) if instance.deferrable is None else instance.deferrable.work_hours
    deferred = shares[columns.deferred] * np.where(np.isfinite(hours), hours, 0.0)[:, None]
    mix = Mix(True, replicas, flow, late * instance.rps, deferred, 0.0, np.zeros(0), 0.0, bound_usd)
    replicas = _trimmed(instance, mix)
    by_supply = priced(instance, replicas, flow)
    usd, right = float(by_supply.sum()), _accuracy(instance, flow, shares[columns.late])
    return replace(
        mix,
        replicas=replicas,
        usd_per_month=usd,
        usd_by_supply=by_supply,
        accuracy=right,
        bound_usd=min(bound_usd, usd),
    )


def _late(instance: Instance, shares: Floats) -> Floats:
    late: Floats = shares[:, 0] if instance.shares is None else shares.sum(axis=1)
    return late


def _trimmed(instance: Instance, mix: Mix) -> Integers:
    """Replicas without those that cost and do nothing; an API is used where a request goes to it."""
    replicas, busy = mix.replicas.copy(), load(instance, mix)
    for p, supply in enumerate(instance.supplies):
        if supply.kind == "api":
            used = (mix.flow_rps[:, :, p] > 0.0).any(axis=(0, 1))
            replicas[p] = np.maximum(used, min(supply.least, 1))
            if supply.usd_per_month > 0.0 or supply.usd_per_hour.any():
                replicas[p] = replicas[p].max()
        elif supply.usd_per_month == 0.0 and not supply.usd_per_hour.any() and supply.most_started is None:
            capacity = capacity_per_replica(instance, supply)
            needed = np.ceil(np.divide(busy[p], capacity, out=np.zeros_like(capacity), where=capacity > 0.0) - GAP)
            needed = np.full(needed.size, needed.max()) if is_one_number(supply) else needed
            replicas[p] = np.minimum(replicas[p], np.maximum(needed, supply.least))
    return replicas


def _accuracy(instance: Instance, flow_rps: Floats, late_shares: Floats) -> float:
    """Share of right answers among requests of known quality; given-up ones as the constraint counts them."""
    least = instance.least_accuracy or 0.0
    known = ~np.isnan(instance.p_correct)
    month = instance.hours * _S
    in_time = np.einsum("saph,h->sa", flow_rps, month) * known
    rps = instance.rps[:, None, :] * (late_shares if instance.shares is not None else late_shares / known.shape[1])
    gain = accuracy_gain(instance, least)[1]
    counted = np.einsum("sah,h->sa", rps, month) * (gain > 0.0)
    requests = in_time.sum() + counted.sum()
    if requests <= 0.0:
        return float("nan")
    above = (in_time * np.where(known, instance.p_correct - least, 0.0)).sum() + (counted * gain).sum()
    return float(least + above / requests)


def _none(instance: Instance, binding: Sequence[str]) -> Mix:
    """No mix at all."""
    nowhere = np.zeros((len(instance.supplies), instance.hours.size))
    flow = np.zeros((*instance.work_s.shape, instance.hours.size))
    late, usd = np.zeros_like(instance.rps), np.zeros(len(instance.supplies))
    nan, infinite = float("nan"), float("inf")
    return Mix(False, nowhere.astype(np.int64), flow, late, nowhere, infinite, usd, nan, infinite, tuple(binding))
