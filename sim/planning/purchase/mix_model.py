"""A purchase as a mixed integer linear program: bounds, prices and rows over the columns of `mix_columns`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.planning.purchase.instance import Floats, Instance, Integers, Supply
from sim.planning.purchase.mix_columns import NONE, Columns, columns_of, hours_usd

__all__ = ["Model", "accuracy_gain", "capacity_per_replica", "model_of", "request_weights"]

_S = 3600.0
_INFINITE = float("inf")


class Model(NamedTuple):
    """What a solver is given; V columns, R rows."""

    columns: Columns
    usd: Floats
    """Dollars a month of one unit of each column, [V]."""
    right: Floats
    """Share of right answers that one unit adds, [V]."""
    served: Floats
    """Share of all requests that one unit serves in time, [V]."""
    lower: Floats
    upper: Floats
    whole: NDArray[np.bool_]
    """Columns that are whole numbers, [V]."""
    matrix: Any
    """Sparse, [R, V]."""
    low: Floats
    high: Floats


class _Row(NamedTuple):
    """low <= values . columns <= high."""

    columns: Integers
    values: Floats
    low: float
    high: float


def model_of(instance: Instance) -> Model:
    """The program of an instance, without its goal: prices, right answers and served requests wait to be weighed."""
    columns = columns_of(instance)
    matrix, low, high = _stacked(list(_rows(instance, columns)), columns.size)
    lower, upper, whole = _bounds(instance, columns)
    usd, right, served = _usd(instance, columns), _right(instance, columns), _served(instance, columns)
    return Model(columns, usd, right, served, lower, upper, whole, matrix, low, high)


def request_weights(instance: Instance) -> Floats:
    """Share of all requests of the month that each stream has in each block, [S, H]; zeros where there are none."""
    requests = instance.rps * instance.hours * _S
    total = requests.sum()
    return requests / total if total > 0.0 else requests


def capacity_per_replica(instance: Instance, supply: Supply) -> Floats:
    """Seconds of work in full batches that one replica does in a second, [H]; infinite of an API without a limit."""
    if supply.kind == "api" and supply.ceiling is None:
        return np.full(instance.hours.size, _INFINITE)
    ceiling = np.ones(instance.hours.size) if supply.ceiling is None else supply.ceiling
    return supply.available * ceiling


def accuracy_gain(instance: Instance, least: float) -> tuple[Floats, Floats]:
    """How far right answers are above a least accuracy, by strategy [S, A], of requests in time and of given-up ones.

    A given-up request may still be answered, late, by its strategy (or by the best one where they are free), or not at
    all: it counts where that helps, so that the constraint never refuses what a simulation may come to.
    """
    known = ~np.isnan(instance.p_correct)
    in_time = np.where(known, instance.p_correct - least, 0.0)
    if instance.shares is None:
        best = np.where(known, instance.p_correct - least, 0.0).max(axis=1, keepdims=True)
        return in_time, np.repeat(np.maximum(best, 0.0), in_time.shape[1], axis=1)
    return in_time, np.maximum(in_time, 0.0)


def _bounds(instance: Instance, columns: Columns) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    lower, upper = np.zeros(columns.size), np.ones(columns.size)
    whole = np.zeros(columns.size, dtype=bool)
    for p, supply in enumerate(instance.supplies):
        at = columns.replicas[p]
        most = min(supply.most, 1) if supply.kind == "api" else supply.most
        lower[at], upper[at], whole[at] = min(supply.least, most), most, True
        if columns.peak[p] != NONE:
            upper[columns.peak[p]] = supply.most
        started = columns.started[p][columns.started[p] != NONE]
        upper[started] = _INFINITE if supply.most_started is None else supply.most_started
    return lower, upper, whole


def _usd(instance: Instance, columns: Columns) -> Floats:
    usd = np.zeros(columns.size)
    for p, supply in enumerate(instance.supplies):
        np.add.at(usd, columns.replicas[p], hours_usd(instance, supply))
        usd[columns.peak[p] if columns.peak[p] != NONE else columns.replicas[p, 0]] += supply.usd_per_month
        _price_launches(instance, columns, usd, p)
    requests = instance.rps * instance.hours * _S
    _put(usd, columns.flow, instance.usd_per_request[..., None] * requests[:, None, None, :])
    return usd


def _price_launches(instance: Instance, columns: Columns, usd: Floats, p: int) -> None:
    """A launch is paid for before it serves, at the lower price of the two blocks it lies between."""
    supply = instance.supplies[p]
    for t, change in enumerate(instance.transitions):
        if columns.started[p, t] != NONE:
            price = min(supply.usd_per_hour[change.before], supply.usd_per_hour[change.after])
            usd[columns.started[p, t]] = change.times_per_month * supply.start_up_hours * price


def _right(instance: Instance, columns: Columns) -> Floats:
    """Right answers as a share of all requests whose quality is known."""
    right = np.zeros(columns.size)
    in_time, late = accuracy_gain(instance, 0.0)
    known = np.asarray((~np.isnan(instance.p_correct)).any(axis=1))
    weights = request_weights(instance) * known[:, None]
    weights = weights / (weights.sum() or 1.0)
    _put(right, columns.flow, in_time[:, :, None, None] * weights[:, None, None, :])
    _put(right, columns.late, late[:, :, None] * weights[:, None, :])
    return right


def _served(instance: Instance, columns: Columns) -> Floats:
    served = np.zeros(columns.size)
    _put(served, columns.flow, np.broadcast_to(request_weights(instance)[:, None, None, :], columns.flow.shape))
    return served


def _put(target: Floats, at: Integers, values: Floats) -> None:
    there = at != NONE
    target[at[there]] = np.broadcast_to(values, at.shape)[there]


def _rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    yield from _demand_rows(instance, columns)
    yield from _capacity_rows(instance, columns)
    yield from _api_rows(instance, columns)
    yield from _launch_rows(instance, columns)
    yield from _deferred_rows(instance, columns)
    yield from _promise_rows(instance, columns)


def _demand_rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    """Every request goes somewhere, or is given up."""
    streams, strategies, _, blocks = columns.flow.shape
    for s, h in np.ndindex(streams, blocks):
        if instance.shares is None:
            if columns.late[s, 0, h] != NONE:
                yield _ones(np.append(_there(columns.flow[s, :, :, h]), columns.late[s, 0, h]), 1.0)
            continue
        for a in range(strategies):
            if columns.late[s, a, h] != NONE:
                share = float(instance.shares[s, a, h])
                yield _ones(np.append(_there(columns.flow[s, a, :, h]), columns.late[s, a, h]), share)


def _capacity_rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    """Work and deferred work fit into the replicas' time, as far as it may be filled."""
    for p, supply in enumerate(instance.supplies):
        if supply.kind == "api" and supply.ceiling is None:
            continue
        capacity = capacity_per_replica(instance, supply)
        for h in range(instance.hours.size):
            flow = columns.flow[:, :, p, h]
            there = flow != NONE
            work = (instance.work_s[:, :, p] * instance.rps[:, h, None])[there]
            at, values = [flow[there]], [work]
            if columns.deferred[p, h] != NONE and instance.deferrable is not None:
                at.append(columns.deferred[p, h, None])
                values.append(instance.deferrable.work_hours[p, None] / instance.hours[h])
            yield _row([*at, columns.replicas[p, h, None]], [*values, np.array([-capacity[h]])], -_INFINITE, 0.0)


def _api_rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    """An API that is paid for by the month serves only where it is used."""
    for p, supply in enumerate(instance.supplies):
        if supply.kind != "api" or supply.usd_per_month + hours_usd(instance, supply).sum() <= 0.0:
            continue
        for h in range(instance.hours.size):
            flow = _there(columns.flow[:, :, p, h])
            at = columns.replicas[p, h, None]
            yield _row([flow, at], [np.ones(flow.size), np.array([-float(flow.size)])], -_INFINITE, 0.0)


def _launch_rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    """Launches are at least the rise from block to block, and the most is at least what each block has."""
    for p in range(len(instance.supplies)):
        for t, change in enumerate(instance.transitions):
            if columns.started[p, t] != NONE:
                at = [columns.replicas[p, change.after], columns.replicas[p, change.before], columns.started[p, t]]
                yield _Row(np.array(at), np.array([1.0, -1.0, -1.0]), -_INFINITE, 0.0)
        for h in range(instance.hours.size):
            if columns.peak[p] != NONE:
                at = [columns.replicas[p, h], columns.peak[p]]
                yield _Row(np.array(at), np.array([1.0, -1.0]), -_INFINITE, 0.0)


def _deferred_rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    """What waits is done, as far as it must be."""
    if instance.deferrable is not None:
        yield _ones(_there(columns.deferred), instance.deferrable.least_share, 1.0)


def _promise_rows(instance: Instance, columns: Columns) -> Iterator[_Row]:
    """Late requests, accuracy and budget."""
    if instance.goal != "goodput":
        away = np.zeros(instance.hours.size, dtype=bool) if instance.is_away is None else instance.is_away
        extra = instance.away_late_share if away.any() else 0.0
        yield _late_row(instance, columns, np.ones(away.size), instance.late_share + extra)
        if extra > 0.0:
            yield _late_row(instance, columns, np.where(away, 0.0, 1.0), instance.late_share)
    if instance.least_accuracy is not None:
        in_time, late = accuracy_gain(instance, instance.least_accuracy)
        gains, weights = np.zeros(columns.size), request_weights(instance)
        _put(gains, columns.flow, in_time[:, :, None, None] * weights[:, None, None, :])
        _put(gains, columns.late, late[:, :, None] * weights[:, None, :])
        yield _dense(gains, 0.0, _INFINITE)
    if instance.budget_usd is not None:
        usd = _usd(instance, columns)
        scale = float(usd.max(initial=0.0)) or 1.0
        yield _dense(usd / scale, -_INFINITE, instance.budget_usd / scale)


def _late_row(instance: Instance, columns: Columns, counted: Floats, share: float) -> _Row:
    """No more than a share of all requests is given up in the blocks that are counted, [H]."""
    weights = np.zeros(columns.size)
    _put(weights, columns.late, (request_weights(instance) * counted)[:, None, :])
    return _dense(weights, -_INFINITE, share)


def _there(columns: Integers) -> Integers:
    there: Integers = columns[columns != NONE]
    return there


def _ones(columns: Integers, low: float, high: float | None = None) -> _Row:
    return _Row(columns, np.ones(columns.size), low, low if high is None else high)


def _row(columns: list[Integers], values: list[Floats], low: float, high: float) -> _Row:
    return _Row(np.concatenate(columns), np.concatenate(values), low, high)


def _dense(values: Floats, low: float, high: float) -> _Row:
    at = np.flatnonzero(values)
    return _Row(at, values[at], low, high)


def _stacked(rows: list[_Row], columns: int) -> tuple[Any, Floats, Floats]:
    from scipy.sparse import csr_array

    starts = np.cumsum([0, *(row.columns.size for row in rows)])
    at = np.concatenate([row.columns for row in rows]) if rows else np.zeros(0, dtype=np.int64)
    values = np.concatenate([row.values for row in rows]) if rows else np.zeros(0)
    matrix = csr_array((values, at, starts), shape=(len(rows), columns))
    return matrix, np.array([row.low for row in rows]), np.array([row.high for row in rows])
