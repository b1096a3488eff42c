"""What a pool would be asked to serve in each block, as the classes that its latency follows from."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from sim.planning.needs.batches import Taken
from sim.planning.needs.policy import Option
from sim.planning.needs.work import Work
from sim.planning.purchase.instance import Floats, Integers
from sim.planning.service.latency import Class, Replica

__all__ = ["class_of", "mixes_of", "replica_of"]

_ROWS = 144
_TAIL = 0.1
"""Share of requests, those that take most, of which half of the rows are."""
_COLUMNS = [field.name for field in fields(Taken) if field.name != "rows"]


def mixes_of(option: Option, work: Work, rps: Floats, pool: int) -> tuple[list[tuple[int, int]], Floats]:
    """Streams and strategies that a pool may serve, and the rates of their requests, [pairs, H]; `rps` is [S, H]."""
    pairs = [pair for pair, pools in option.can.items() if pool in pools]
    rates = np.array([rps[stream] * work.share[stream, strategy] for stream, strategy in pairs])
    return pairs, rates.reshape(len(pairs), rps.shape[1])


def replica_of(option: Option, pool: int, pairs: list[tuple[int, int]], weights: Floats, clump: Floats) -> Replica:
    """A replica that serves these classes in these proportions, [pairs]."""
    batches = option.batches[pool]
    assert batches is not None
    used = [(pair, float(weight)) for pair, weight in zip(pairs, weights, strict=True) if weight > 0.0]
    return Replica(batches, [class_of(option, pool, pair, weight, clump) for pair, weight in used])


def class_of(option: Option, pool: int, pair: tuple[int, int], weight: float, clump: Floats) -> Class:
    """Requests of a stream by a strategy, prepared or not as they come."""
    stream, strategy = pair
    key = stream, strategy, pool
    if key not in option.thinned:
        option.thinned[key] = _thinned(_all(option, stream, strategy, pool))
    return Class(weight, *option.thinned[key], option.fleet.streams[stream], float(clump[stream]))


def _all(option: Option, stream: int, strategy: int, pool: int) -> Taken:
    """What the sample takes; of those on contexts a share comes after preparation."""
    every = option.taken(stream, strategy, pool)
    if len(every) == 1:
        return every[0]
    plain, other = every
    has = option.samples[stream].has_context
    prepared = (np.arange(has.size) * 0.618 % 1.0 < option.prepared[stream]) & has
    columns = {name: np.where(prepared, getattr(other, name), getattr(plain, name)) for name in _COLUMNS}
    return Taken(rows=plain.rows, **columns)


def _thinned(taken: Taken) -> tuple[Taken, Floats]:
    """A few requests that stand for all, and for how many each does: finer where they take more; of equal means."""
    size = taken.prompt_s / max(taken.prompt_s.mean(), 1e-12) + taken.tokens / max(taken.tokens.mean(), 1e-12)
    order = np.argsort(size, kind="stable")
    edges = _edges(order.size)
    kept = order[(edges[:-1] + edges[1:]) // 2]
    odds = np.diff(edges) / order.size
    columns = {name: getattr(taken, name)[kept] for name in _COLUMNS}
    for name in ("prompt_s", "tokens"):
        mean = float(odds @ columns[name])
        columns[name] = columns[name] * (float(getattr(taken, name).mean()) / mean if mean > 0.0 else 1.0)
    return Taken(rows=taken.rows, **columns), odds


def _edges(count: int) -> Integers:
    """Where the parts begin and end into which a sorted sample is cut."""
    body = np.linspace(0.0, count * (1.0 - _TAIL), _ROWS // 2 + 1)
    tail = np.linspace(count * (1.0 - _TAIL), count, _ROWS // 2 + 1)
    return np.unique(np.concatenate((body, tail)).astype(np.int64))
