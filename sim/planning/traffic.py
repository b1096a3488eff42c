"""What a pool would be asked to serve in each block, as the classes that its latency follows from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.planning.batches import Taken
from sim.planning.instance import Floats
from sim.planning.latency import Class, Replica
from sim.planning.work import PREPARED, Option, Work

__all__ = ["class_of", "mixes_of", "replica_of"]

_ROWS = 160


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
    """Some requests of a stream by a strategy, prepared or not as they come."""
    stream, strategy = pair
    return Class(weight, _some(option, stream, strategy, pool), option.fleet.streams[stream], float(clump[stream]))


def _some(option: Option, stream: int, strategy: int, pool: int) -> Taken:
    """What a part of the sample takes; of those on contexts a share comes after preparation."""
    every = option.taken(stream, strategy, pool)
    count = every[0].tokens.size
    kept = np.linspace(0, count - 1, min(count, _ROWS)).astype(np.int64)
    if len(every) == 1:
        return _rows(every[0], kept)
    prepared = (np.arange(kept.size) * 0.618 % 1.0 < PREPARED) & option.samples[stream].has_context[kept]
    plain, other = (_rows(each, kept) for each in every)
    columns = {
        name: np.where(prepared, getattr(other, name), getattr(plain, name))
        for name in ("prompt_s", "tokens", "kv_tokens", "path_tokens", "slices", "first_s")
    }
    return Taken(rows=plain.rows, **columns)


def _rows(taken: Taken, kept: Floats) -> Taken:
    names = ("prompt_s", "tokens", "kv_tokens", "path_tokens", "slices", "first_s")
    return replace(taken, **{name: getattr(taken, name)[kept] for name in names})
