"""Who may work for whom: which pools answer, or verify, for a stream on a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.scenario.strategies import CascadeStrategy, PlacedStrategy, Strategy, VerifyStrategy

if TYPE_CHECKING:
    from sim.scenario.demand import Stream
    from sim.scenario.supply import Pool

__all__ = ["may_answer", "may_verify", "may_work", "own_steps"]


def may_answer(stream: Stream, strategy: PlacedStrategy, pool: Pool) -> bool:
    """Whether a pool may answer requests of a stream on a strategy."""
    return strategy.may_run(pool.name, pool.model) and stream.may_use(pool.name, pool.model)


def may_verify(stream: Stream, strategy: VerifyStrategy, pool: Pool) -> bool:
    """Whether a pool may verify answers to a stream: where a verifier is named, its model need not be the stream's."""
    if not strategy.names_verifier:
        return may_answer(stream, strategy, pool)
    return strategy.may_verify(pool.name, pool.model) and (stream.pools is None or pool.name in stream.pools)


def may_work(stream: Stream, strategy: PlacedStrategy, pool: Pool) -> bool:
    """Whether a pool may do any work for requests of a stream on a strategy."""
    verifies = isinstance(strategy, VerifyStrategy) and may_verify(stream, strategy, pool)
    return verifies or may_answer(stream, strategy, pool)


def own_steps(strategy: Strategy, strategies: Sequence[Strategy]) -> list[PlacedStrategy]:
    """The strategies that do the work of one: those a cascade names, in order, or itself."""
    if not isinstance(strategy, CascadeStrategy):
        return [strategy]
    placed = {each.name: each for each in strategies if not isinstance(each, CascadeStrategy)}
    return [placed[name] for name in strategy.steps]
