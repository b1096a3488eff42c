"""The router for real: a router file asked about each request as it arrives, with the prices and the load of then."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from router.choose import Estimates, Stakes, Switch, choose
from router.splits import is_held_out
from router.types import Rule
from sim.errors import InputError
from sim.lab.end_to_end.live_load import LiveLoad, Seen
from sim.lab.language.contexts import Context, Question
from sim.lab.outcomes.features import FEATURES, text_features
from sim.lab.outcomes.outcomes import Exam
from sim.prices import PriceClock
from sim.scenario import FileRouter, GpuPool, Scenario

if TYPE_CHECKING:
    import pandas as pd

    from router.learned import LearnedRouter

__all__ = ["Decision", "LiveRouter", "decisions_frame", "held_out_contexts"]

_WEEK_S = 7.0 * 86_400.0


class Decision(NamedTuple):
    """What a request got, what was known then, and what was expected of it."""

    request_id: int
    strategy: int
    seconds: float
    """That it took, by the engine's clock."""
    prepared: bool
    prompt_tokens: int
    usd_per_s: float
    """What a second of the engine cost."""
    ahead: int
    row_kv: float | None
    pace: float
    p_correct: float
    output_tokens: float
    cost_usd: float
    e2e_s: float
    p_late: float
    utility_usd: float


def opened_router(scenario: Scenario) -> LearnedRouter:
    """The router file of a scenario, which must be one that the lab can ask.

    Raises:
        InputError: for a router without a file or with a budget, and for one that looks at what the lab does not tell.
    """
    from sim.routing.opened import open_router

    router = scenario.router
    if not isinstance(router, FileRouter):
        name = "none" if router is None else router.policy
        raise InputError(f"router '{name}'", "decides by what the lab does not know", "give it a router file")
    if getattr(router, "budget", None) is not None:
        raise InputError("router.budget", "is not paced for real", "leave it out")
    if scenario.training:
        raise InputError("training", "changes answers in a simulation only", "leave it out")
    opened = open_router(router)
    spec = opened.features.spec
    unknown = sorted(set(spec.numbers) - set(FEATURES))
    if spec.text or unknown:
        rule = f"looks at {unknown[0] if unknown else 'a text'}, which the lab does not tell of a question"
        raise InputError(router.model.name, rule, "give a router that was trained on the lab's outcomes")
    return opened


def held_out_contexts(scenario: Scenario, exam: Exam) -> list[int]:
    """Contexts of an exam that the scenario's router was not trained on, by what its file says.

    Raises:
        InputError: where it says that all were used.
    """
    opened = opened_router(scenario)
    rule = opened.manifest.labels.get("held_out")
    if not isinstance(rule, dict):
        assert isinstance(scenario.router, FileRouter)
        told = "was trained on all contexts, so that none is left to try it on"
        remedy = "train one on a part of them with `nightshift train --hold-out 0.3`"
        raise InputError(scenario.router.model.name, told, remedy)
    out = is_held_out([str(number) for number in exam.contexts], float(rule["share"]), int(rule["seed"]))
    return [number for number, is_out in zip(exam.contexts, out.tolist(), strict=True) if is_out]


class LiveRouter:
    """Chooses among the strategies of a scenario with one stream and one pool, by its router file."""

    def __init__(self, scenario: Scenario, price: PriceClock) -> None:
        """`price` is that of the pool.

        Raises:
            InputError: for a router that cannot be asked for real.
        """
        from sim.outcomes import Outcomes
        from sim.routing.estimates import Multiples
        from sim.routing.opened import columns_of
        from sim.routing.routes import routes_of
        from sim.scoring import variants_of

        self._opened = opened_router(scenario)
        outcomes = Outcomes(scenario)
        self._columns = columns_of(outcomes, self._opened, 0)
        self._share = Multiples.of(outcomes).path_share()
        self._variants = variants_of(scenario)
        (self._route,) = routes_of(scenario)
        (stream,), (pool,) = scenario.workload, scenario.fleet
        assert isinstance(pool, GpuPool)
        self._gpus = pool.gpus_per_replica
        self._price = price
        self._mean_usd_per_h = _mean_usd_per_h(scenario, price)
        route, value_usd = self._route, self._route.value_usd
        lateness_usd = value_usd if route.lateness_usd is None else route.lateness_usd
        slo_s = inf if stream.slo.e2e is None else stream.slo.e2e
        self._stakes = Stakes(value_usd, lateness_usd, slo_s)
        self._switch = Switch(route.cheap, route.strong, route.threshold)
        self._available = np.zeros(self._share.size, bool)
        self._available[list(self._columns)] = True

    def usd_per_s(self, at_s: float) -> float:
        """What a second of the pool costs: at a time, or on average for a router that does not look at prices."""
        usd_per_h = self._price.at(at_s).rates[0] if self._route.price else self._mean_usd_per_h
        return usd_per_h * self._gpus / 3600.0

    def expected(self, context: Context, question: Question, *, prepared: bool) -> Estimates:
        """What the router file says of a question with each strategy, [1, A]."""
        from sim.routing.estimates import expected

        told = text_features(context, question)
        features = self._opened.features
        scores = self._opened.score(features.of(None, {name: [told[name]] for name in features.spec.numbers}))
        ways = self._share.size
        found = expected(scores, self._columns, ways, self._variants, np.ones(ways), self._share)
        variant = min(int(prepared), self._variants - 1)
        return Estimates(*(column[:, variant] for column in found))

    def choose(
        self,
        number: int,
        asked: tuple[Context, Question],
        prompt_tokens: int,
        at_s: float,
        load: LiveLoad,
        seen: Seen,
        *,
        prepared: bool,
    ) -> Decision:
        """The strategy of a request that arrives now, and why."""
        route, usd_per_s = self._route, self.usd_per_s(at_s)
        estimates = self.expected(*asked, prepared=prepared)
        choices = choose(
            Rule(route.rule),
            estimates,
            [prompt_tokens],
            load.prices(prompt_tokens, usd_per_s, seen),
            load.load(prompt_tokens, self._share, seen) if route.load else None,
            self._stakes,
            available=self._available,
            switch=self._switch,
        )
        chosen = int(choices.strategy[0])
        at, terms = (0, chosen), choices.terms
        return Decision(
            number,
            chosen,
            0.0,
            prepared,
            prompt_tokens,
            usd_per_s,
            *seen,
            p_correct=float(estimates.p[at]),
            output_tokens=float(estimates.tokens[at]),
            cost_usd=float(terms.cost_usd[at]),
            e2e_s=float(terms.e2e_s[at]),
            p_late=float(terms.p_late[at]),
            utility_usd=float(choices.utility_usd[at]),
        )


def _mean_usd_per_h(scenario: Scenario, price: PriceClock) -> float:
    """Over the run, or its first week where nobody says how long it is, as the simulation has it."""
    from sim.control.sleep_prices import MeanPrice

    return float(MeanPrice(price, scenario.horizon).over(0.0, scenario.horizon or _WEEK_S)[0])


def decisions_frame(decisions: Sequence[Decision], names: Sequence[str]) -> pd.DataFrame:
    """One row per decision, strategies by name."""
    import pandas as pd

    frame = pd.DataFrame(decisions, columns=list(Decision._fields))
    return frame.assign(strategy=[names[index] for index in frame["strategy"]])
