"""Which contexts a router file would have prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import InputError
from sim.outcomes import Outcomes
from sim.routing.contexts import ForeseenContexts
from sim.routing.corpora import Corpora
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.streams import RandomStreams
from tests.made_router import Made
from tests.routed import STRATEGIES, routed
from tests.small import pool

CONTEXTS = {"queries": 3, "think_time": "1m", "tokens": 500, "lead": "10m"}
IDS = np.arange(2_000)


def asleep(folder: Path, **made: Any) -> Scenario:
    """Questions on contexts, prepared as a made router has it."""
    fields = routed(folder, fleet=[pool()], sleep={"prepare": "learned", "when": ["always"], "tick": "10s"})
    fields["workload"][0]["contexts"] = CONTEXTS
    Made(strategies=STRATEGIES, **made).write(Path(fields["router"]["model"]))
    return Scenario.model_validate(fields)


def foreseen(scenario: Scenario) -> tuple[Corpora, ForeseenContexts]:
    outcomes = Outcomes(scenario)
    corpora = Corpora(outcomes, 2)
    return corpora, ForeseenContexts(outcomes, corpora, RandomStreams(7, 0))


def test_contexts_that_foretell_more_save_more_and_the_mean_stays(tmp_path: Path) -> None:
    """The made file calls easy questions predictable; it does not know prepared answers, nor does the table."""
    scenario = asleep(tmp_path, contexts=True)
    corpora, contexts = foreseen(scenario)
    outcomes = Outcomes(scenario)
    outcomes.saved_tokens = lambda stream, strategy, rank: np.full(rank.size, 40.0)  # type: ignore[method-assign]
    contexts._outcomes = outcomes
    saved, gained, factor = contexts.effects(0, IDS, lambda: 1e-6)
    place = outcomes.table(0).contexts_of(RandomStreams(7, 0).word("chat/questions"), IDS)
    predictable = corpora.scores[0].predictability.reshape(-1, 2).mean(axis=1)[place]

    assert (np.diff(saved[np.argsort(predictable)]) >= 0.0).all()
    assert saved.mean() == pytest.approx(40.0, rel=0.05)
    assert gained.tolist() == [0.0] * IDS.size
    assert factor.mean() == pytest.approx(1.0, rel=0.05)
    assert np.corrcoef(factor, predictable)[0, 1] > 0.9


def test_a_file_that_tells_nothing_of_contexts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tells nothing of contexts"):
        foreseen(asleep(tmp_path))


def test_contexts_are_prepared_where_the_file_expects_a_saving(tmp_path: Path) -> None:
    """This file expects the same of prepared contexts as of others: preparing saves nothing, so nothing is prepared."""
    nothing = simulate(asleep(tmp_path, prepared=True)).summary["sleep"]

    assert nothing["prepared"] == 0
    assert simulate(asleep(tmp_path, contexts=True, prepared=False)).summary["sleep"]["prepared"] == 0


def test_a_trained_file_has_contexts_prepared() -> None:
    """The shipped file and table: half a day of questions on contexts, prepared whenever that is expected to pay."""
    from sim.load import load_scenario

    overrides = ["replications=1", "horizon=3h", "sleep.when=[always]"]
    learned, none = (
        simulate(load_scenario("route-by-price-and-load", [*overrides, *more])).summary
        for more in ([], ["sleep.min_saving=1000"])
    )

    assert learned["sleep"]["hit_rate"] > 0.1
    assert none["sleep"]["hit_rate"] == 0.0
    assert learned["quality"]["accuracy"] > none["quality"]["accuracy"]
