"""Queues with known answers: tests hold the engine to them, and a plan begins with them.

Loads are in Erlangs: requests a second times seconds of service. `servers` is how many serve side by side.
"""

from __future__ import annotations

from math import ceil, exp, inf, log1p, sqrt

import numpy as np

from sim.workload.blocks import Floats

__all__ = [
    "erlang_b",
    "erlang_c",
    "gg_c_wait_s",
    "mg1_ps_sojourn_s",
    "mg1_wait_s",
    "mm_c_late",
    "mm_c_wait_s",
    "servers_for",
    "shared_processor",
]


def erlang_b(servers: int, load: float) -> float:
    """Chance of being turned away from M/G/c/c, by its recursion (Erlang 1917).

    >>> round(erlang_b(10, 7.0), 4)
    0.0787
    """
    blocking = 1.0
    for number in range(1, servers + 1):
        blocking = load * blocking / (number + load * blocking)
    return blocking


def erlang_c(servers: int, load: float) -> float:
    """Chance of having to wait in M/M/c (Erlang 1917); 1 where the load is too much.

    From the blocking B of the same servers without a queue: C = c B / (c - a (1 - B)).

    >>> round(erlang_c(1, 0.6), 9)
    0.6
    """
    if load >= servers:
        return 1.0
    blocking = erlang_b(servers, load)
    return servers * blocking / (servers - load * (1.0 - blocking))


def mm_c_wait_s(servers: int, rps: float, service_s: float) -> float:
    """Mean wait in M/M/c: C s / (c - a); infinite where the load is too much.

    >>> mm_c_wait_s(1, 0.5, 1.0)
    1.0
    """
    load = rps * service_s
    return inf if load >= servers else erlang_c(servers, load) * service_s / (servers - load)


def mm_c_late(servers: int, rps: float, service_s: float, within_s: float) -> float:
    """Chance of a wait longer than `within_s` in M/M/c: C exp(-(c - a) t / s).

    >>> round(mm_c_late(1, 0.5, 1.0, 2.0), 4)
    0.1839
    """
    load = rps * service_s
    if load >= servers:
        return 1.0
    return erlang_c(servers, load) * exp(-(servers - load) * within_s / service_s)


def mg1_wait_s(rps: float, service_s: float, squared_cv: float) -> float:
    """Mean wait in M/G/1: a (1 + c^2) / 2 / (1 - a) mean services (Pollaczek 1930, Khinchine 1932).

    >>> mg1_wait_s(0.5, 1.0, 0.0)
    0.5
    """
    load = rps * service_s
    return inf if load >= 1.0 else load * (1.0 + squared_cv) / 2.0 / (1.0 - load) * service_s


def mg1_ps_sojourn_s(rps: float, service_s: float) -> float:
    """Mean time in M/G/1 whose processor is shared by all, s / (1 - a), whatever the law of service (Kleinrock 1967).

    >>> mg1_ps_sojourn_s(0.75, 1.0)
    4.0
    """
    load = rps * service_s
    return inf if load >= 1.0 else service_s / (1.0 - load)


def gg_c_wait_s(servers: int, rps: float, service_s: float, squared_cv_gaps: float, squared_cv_service: float) -> float:
    """Mean wait in GI/G/c: that of M/M/c times the mean of both squared variations (Allen 1978, after Cunneen).

    Exact for M/G/1 and M/M/c; an approximation otherwise, best near saturation.

    >>> gg_c_wait_s(1, 0.5, 1.0, 1.0, 0.0) == mg1_wait_s(0.5, 1.0, 0.0)
    True
    """
    return mm_c_wait_s(servers, rps, service_s) * (squared_cv_gaps + squared_cv_service) / 2.0


def servers_for(load: float, waiting: float) -> int:
    """Fewest servers of M/M/c of whose requests at most the share `waiting` has to wait.

    The search begins at the load plus a safety of its square root, as few as Halfin and Whitt (1981) need by the order
    of magnitude: c = a + b sqrt(a) with constant b keeps the chance to wait.

    >>> servers_for(100.0, 0.2)
    111
    """
    servers = ceil(load + sqrt(load) * max(0.0, log1p((1.0 - waiting) / waiting) / 2.0 - 0.5))
    while servers > load and erlang_c(servers, load) <= waiting:
        servers -= 1
    while servers <= load or erlang_c(servers, load) > waiting:
        servers += 1
    return servers


def shared_processor(rps: Floats, ends_rps: Floats, clump: float = 1.0) -> Floats:
    """Chances of 0 .. n requests at once where `ends_rps[i]`, [n], end a second while there are i + 1, [..., n + 1].

    p[i] = p[i-1] rps / ends_rps[i-1], whatever the law of their work, if they share what is done alike: Cohen, The
    multiple phase service network with generalized processor sharing, Acta Informatica 12 (1979). `rps` is [...] or a
    number. Arrivals that come in clumps are taken as so many times fewer and bigger ones, which raises the ratio to
    the power of 1 / clump (Hayward's approximation; Fredericks, Bell System Technical Journal 59, 1980).

    >>> shared_processor(np.array(0.5), np.ones(60)).round(4)[:3].tolist()
    [0.5, 0.25, 0.125]
    """
    with np.errstate(divide="ignore"):
        ratio = np.log(np.asarray(rps)[..., np.newaxis]) - np.log(ends_rps)
    weights = np.cumsum(ratio / clump, axis=-1)
    weights = np.concatenate((np.zeros_like(weights[..., :1]), weights), axis=-1)
    chances = np.exp(weights - weights.max(axis=-1, keepdims=True))
    found: Floats = chances / chances.sum(axis=-1, keepdims=True)
    return found
