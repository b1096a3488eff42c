"""Small purchases to decide on, drawn at random, and the plain way to decide on them: try every fleet."""

from dataclasses import replace
from itertools import product

import numpy as np
from scipy.optimize import linprog

from sim.planning.purchase.instance import Deferrable, Instance, Supply, Transition

WEEK = 730.5


def instance_of(supplies, rps, **others):
    """One stream, one strategy and a second of work each unless told otherwise; `rps` [H]."""
    rps = np.atleast_2d(np.asarray(rps, dtype=float))
    blocks = rps.shape[1]
    values = {
        "hours": np.full(blocks, WEEK / blocks),
        "transitions": tuple(Transition(h, (h + 1) % blocks, 30.0) for h in range(blocks) if blocks > 1),
        "rps": rps,
        "work_s": np.ones((rps.shape[0], 1, len(supplies))),
        "p_correct": np.full((rps.shape[0], 1), np.nan),
        "shares": None,
        "supplies": tuple(supplies),
    } | others
    values.setdefault("usd_per_request", np.zeros_like(values["work_s"]))
    return Instance(**values)


def supply_of(name="h100", kind="on-demand", usd=2.0, most=9, blocks=1, **others):
    return Supply(name, kind, np.broadcast_to(np.asarray(usd, dtype=float), blocks).copy(), most=most, **others)


def drawn_instance(seed):
    """Any instance with at most a few hundred fleets; some have no mix at all."""
    random = np.random.default_rng(seed)
    streams, strategies, blocks = random.integers(1, 3), random.integers(1, 3), random.integers(1, 4)
    supplies = tuple(_drawn_supply(random, p, blocks) for p in range(random.integers(1, 4)))
    shape = (streams, strategies, len(supplies))
    is_api = np.array([supply.kind == "api" for supply in supplies])
    work_s = np.where(is_api, 0.0, random.uniform(0.2, 1.5, shape))
    work_s[random.random(shape) < 0.1] = np.inf
    usd_per_request = np.where(is_api, random.uniform(0.0002, 0.003, shape), 0.0)
    free = random.random() < 0.5
    shares = None if free else np.moveaxis(random.dirichlet(np.ones(strategies), (streams, blocks)), 2, 1)
    return Instance(
        hours=random.dirichlet(np.ones(blocks)) * WEEK,
        transitions=tuple(Transition(h, (h + 1) % blocks, random.uniform(10, 31)) for h in range(blocks) if blocks > 1),
        rps=random.uniform(0.0, 1.2, (streams, blocks)),
        work_s=work_s,
        usd_per_request=usd_per_request,
        p_correct=random.uniform(0.3, 0.95, (streams, strategies)),
        shares=shares,
        supplies=supplies,
        late_share=float(random.choice([0.0, 0.05, 0.2])),
        least_accuracy=float(random.uniform(0.3, 0.8)) if random.random() < 0.4 else None,
        budget_usd=float(random.uniform(1000, 9000)) if random.random() < 0.3 else None,
        deferrable=_drawn_deferrable(random, supplies, blocks) if random.random() < 0.3 else None,
    )


def _drawn_supply(random, p, blocks):
    kind = str(random.choice(["reserved", "on-demand", "spot", "api"]))
    if kind == "api":
        monthly = float(random.choice([0.0, 200.0]))
        return Supply(f"api{p}", kind, np.zeros(blocks), monthly, most=int(random.random() < 0.8))
    by_block = bool(random.random() < 0.6)
    return Supply(
        f"{kind}{p}",
        kind,
        random.uniform(0.5, 4.0, blocks),
        usd_per_month=float(random.choice([0.0, 300.0])),
        least=int(random.random() < 0.2),
        most=int(random.integers(1, 4 if by_block else 7)),
        by_block=by_block,
        most_started=int(random.integers(1, 3)) if random.random() < 0.3 else None,
        start_up_hours=float(random.choice([0.0, 0.2])),
        ceiling=random.uniform(0.5, 1.0, blocks) if random.random() < 0.7 else None,
        available=float(random.uniform(0.6, 1.0)) if kind == "spot" else 1.0,
        together=p < 2 and bool(random.random() < 0.7),
    )


def _drawn_deferrable(random, supplies, blocks):
    work_hours = np.where([supply.kind == "api" for supply in supplies], np.inf, random.uniform(50, 500, len(supplies)))
    return Deferrable(work_hours, random.random(blocks) < 0.7, float(random.choice([0.5, 1.0])))


def cheapest_by_trying(instance):
    """Dollars a month of the cheapest mix, or infinity: every fleet in turn, the flows of each by a plain program."""
    best = np.inf
    states, count = in_each_state(instance)
    fleets = sorted((_fleet_usd(instance, fleet), i, fleet) for i, fleet in enumerate(_fleets(instance)))
    for usd, _, fleet in fleets:
        if usd >= best:
            break
        best = min(best, usd + _flows_usd(states, np.repeat(np.array(fleet), count, axis=1), usd))
    return best


def in_each_state(instance):
    """Every block once for each combination of spot pools that are there; how many there are."""
    unsure = [p for p, s in enumerate(instance.supplies) if s.together and s.available < 1.0]
    cases = list(product([1.0, 0.0], repeat=len(unsure)))
    chances = [instance.supplies[p].available for p in unsure]
    weights = [np.prod([c if up else 1.0 - c for c, up in zip(chances, case, strict=True)]) for case in cases]
    supplies = list(instance.supplies)
    for p, supply in enumerate(supplies):
        full = np.ones(instance.hours.size) if supply.ceiling is None else supply.ceiling
        up = np.array([case[unsure.index(p)] if p in unsure else 1.0 for case in cases])
        ceiling, share = np.outer(full, up).ravel(), 1.0 if p in unsure else supply.available
        supplies[p] = replace(supply, ceiling=ceiling, available=share)
    count, waiting = len(cases), instance.deferrable
    states = replace(
        instance,
        hours=np.outer(instance.hours, weights).ravel(),
        rps=np.repeat(instance.rps, count, axis=1),
        shares=None if instance.shares is None else np.repeat(instance.shares, count, axis=2),
        supplies=tuple(supplies),
        deferrable=None if waiting is None else replace(waiting, allowed=np.repeat(waiting.allowed, count)),
    )
    return states, count


def _fleets(instance):
    blocks = instance.hours.size
    choices = []
    for supply in instance.supplies:
        numbers = range(supply.least, supply.most + 1)
        by_block = supply.by_block and supply.kind not in ("reserved", "api")
        each = product(numbers, repeat=blocks) if by_block else ((n,) * blocks for n in numbers)
        choices.append([n for n in each if not by_block or _may_start(instance, supply, n)])
    return product(*choices)


def _may_start(instance, supply, numbers):
    limit = np.inf if supply.most_started is None else supply.most_started
    return all(numbers[t.after] - numbers[t.before] <= limit for t in instance.transitions)


def _fleet_usd(instance, fleet):
    return sum(_supply_usd(instance, supply, n) for supply, n in zip(instance.supplies, fleet, strict=True))


def _supply_usd(instance, supply, numbers):
    usd = max(numbers) * supply.usd_per_month
    paid = supply.available if supply.kind != "reserved" else 1.0
    for h, n in enumerate(numbers):
        usd += n * instance.hours[h] * supply.usd_per_hour[h] * paid
    for t in instance.transitions:
        rise = max(numbers[t.after] - numbers[t.before], 0)
        usd += rise * t.times_per_month * supply.start_up_hours * min(supply.usd_per_hour[[t.before, t.after]])
    return usd


def _flows_usd(instance, fleet, fleet_usd):
    """Dollars for tokens, in requests a month; infinite where the fleet cannot do it."""
    cells = [(s, a, p, h) for s, a, p, h in np.ndindex(*instance.work_s.shape, instance.hours.size) if fleet[p][h] > 0]
    cells = [c for c in cells if np.isfinite(instance.work_s[c[:3]])]
    streams, strategies, blocks = *instance.p_correct.shape, instance.hours.size
    late = list(np.ndindex(streams, strategies, blocks))
    waiting = instance.deferrable
    homes = (
        []
        if waiting is None
        else [
            (p, h)
            for p, h in np.ndindex(len(instance.supplies), blocks)
            if fleet[p][h] > 0 and waiting.allowed[h] and np.isfinite(waiting.work_hours[p])
        ]
    )
    month = instance.rps * instance.hours * 3600.0
    width = len(cells) + len(late) + len(homes)
    cost = np.zeros(width)
    cost[: len(cells)] = [instance.usd_per_request[c[:3]] for c in cells]
    equal, equal_to, under, under_to = [], [], [], []
    for s, a, h in late:
        if instance.shares is None and a > 0:
            continue
        row = np.zeros(width)
        for i, c in enumerate(cells):
            row[i] = c[0] == s and c[3] == h and (instance.shares is None or c[1] == a)
        for i, c in enumerate(late):
            row[len(cells) + i] = c[0] == s and c[2] == h and (instance.shares is None or c[1] == a)
        equal.append(row)
        equal_to.append(month[s, h] * (1.0 if instance.shares is None else instance.shares[s, a, h]))
    for p, supply in enumerate(instance.supplies):
        for h in range(blocks) if supply.kind != "api" else ():
            row = np.zeros(width)
            for i, c in enumerate(cells):
                row[i] = instance.work_s[c[:3]] / 3600.0 if (c[2], c[3]) == (p, h) else 0.0
            for i, c in enumerate(homes):
                row[len(cells) + len(late) + i] = c == (p, h)
            full = 1.0 if supply.ceiling is None else supply.ceiling[h]
            under.append(row)
            under_to.append(fleet[p][h] * instance.hours[h] * supply.available * full)
    if waiting is not None:
        row = np.zeros(width)
        row[len(cells) + len(late) :] = [-1.0 / waiting.work_hours[p] for p, _ in homes]
        under.append(row)
        under_to.append(-waiting.least_share)
    row = np.zeros(width)
    row[len(cells) : len(cells) + len(late)] = 1.0
    under.append(row)
    under_to.append(instance.late_share * month.sum())
    if instance.least_accuracy is not None:
        gain = instance.p_correct - instance.least_accuracy
        best = gain if instance.shares is not None else np.repeat(gain.max(axis=1)[:, None], strategies, axis=1)
        row = np.zeros(width)
        row[: len(cells)] = [-gain[c[:2]] for c in cells]
        row[len(cells) : len(cells) + len(late)] = [-max(best[c[:2]], 0.0) for c in late]
        under.append(row)
        under_to.append(0.0)
    if instance.budget_usd is not None:
        under.append(cost)
        under_to.append(instance.budget_usd - fleet_usd)
    found = linprog(cost, np.array(under), np.array(under_to), np.array(equal), np.array(equal_to))
    return found.fun if found.status == 0 else np.inf
