"""A scenario with the fleet that the analytic estimate gives it: quick, and not held against the simulator."""

from __future__ import annotations

import numpy as np

from sim.errors import InputError
from sim.planning.search.analysis import analysed
from sim.planning.search.options import Option
from sim.planning.search.realise import Refused, realised
from sim.scenario import Scenario

__all__ = ["sized"]


def sized(scenario: Scenario, *, headroom: float = 1.0) -> Scenario:
    """The scenario with the cheapest fleet that keeps its objectives by the careful estimate, without its plan.

    What may be bought is what its section `plan` says, or any number of its own pools. `headroom` 1.2 buys as if every
    replica could carry a sixth less.

    Raises:
        InputError: where no fleet of its pools is foreseen to do, or the one found cannot be run.
    """
    if not headroom > 0.0:
        raise InputError(headroom, "is no headroom", "give a factor above 0, such as 1.2")
    analysis = analysed([Option({}, scenario)])
    shape = len(analysis.space.choices), analysis.space.blocks.count
    mix = analysis.nearly(0, np.full(shape, 1.0 / headroom))
    if not mix.is_feasible:
        rule = f"has no fleet that is foreseen to keep its objectives ({'; '.join(mix.binding)})"
        raise InputError(scenario.name, rule, "let more be bought, or ask for less")
    made = realised(analysis.space, analysis.point_of(0, mix))
    if isinstance(made, Refused):
        raise InputError(scenario.name, f"cannot be run with the fleet foreseen: {made.why}", "let more be bought")
    return made
