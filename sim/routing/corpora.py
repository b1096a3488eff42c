"""What requests may become: a corpus of questions, scored before a run or, where luck decides, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from router.types import Scores
from sim.engine.specs import Corpus, Options
from sim.outcomes import Outcomes
from sim.outcomes.asked import Asked
from sim.outcomes.law import TableLaw
from sim.outcomes.luck import ANSWER, uniforms
from sim.routing.estimates import Estimates, Multiples, expected, foreseen, on_average
from sim.routing.opened import Shifts, columns_of, drawn_scores, open_router, scores_of
from sim.routing.rows import (
    Reals,
    TableRows,
    asked_reals,
    is_tabled,
    table_reals,
    table_rows,
)
from sim.scenario import BanditRouter, FileRouter
from sim.scenario.choices import is_routed
from sim.workload.blocks import NOTHING, Floats, Integers

if TYPE_CHECKING:
    from router.learned import LearnedRouter

__all__ = ["Corpora", "Routed"]


class Routed(NamedTuple):
    """Requests of one stream within a block."""

    stream: int
    rows: Integers | slice
    """Where they stand in the block."""
    asked: Asked


@dataclass(frozen=True)
class _Part:
    """The corpus of one stream."""

    rows: TableRows
    corpus: Corpus


class Corpora:
    """The corpora of a scenario whose router looks at requests; the same for all its replications.

    Raises:
        InputError: for a router file that cannot be used, or that does not know what the scenario needs.
    """

    def __init__(self, outcomes: Outcomes, variants: int, like: Corpora | None = None, shifts: Shifts = ()) -> None:
        """With 2 `variants` answers may come from prepared contexts.

        With those of `like` a router file is not asked again: what it says of the questions of a table is theirs, its
        log odds of a right answer raised by `shifts`, one for each of its strategies.
        """
        self._outcomes, self._variants = outcomes, variants
        scenario = outcomes.scenario
        router = scenario.router
        self.opened: LearnedRouter | None = None
        """The router file; None for routers without one."""
        if isinstance(router, FileRouter):
            self.opened = open_router(router) if like is None else like.opened
        self._multiples = Multiples.of(outcomes)
        # Sleep-time work has a strategy of its own in the engine.
        self._hidden = int(scenario.sleep is not None)
        self.streams = [place for place, stream in enumerate(scenario.workload) if is_routed(scenario, stream)]
        """Those whose requests are looked at."""
        self.scores: dict[int, Scores] = {}
        """What the router file says of the questions of each stream's table."""
        if self.opened is not None:
            self.scores = {stream: self._scores(stream, self.opened, like, shifts) for stream in self.streams}
        self.expected = {stream: self._of_file(stream) for stream in self.scores}
        """The same as estimates of the scenario's strategies."""
        self._parts: dict[int, _Part] = {}
        self._first_row: dict[int, int] = {}
        self._corpus: Corpus | None = None
        if all(is_tabled(outcomes, stream) for stream in self.streams):
            self._parts = {stream: self._part(stream) for stream in self.streams}
            sizes = [part.corpus.p.shape[0] for part in self._parts.values()]
            self._first_row = dict(zip(self.streams, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
            self._corpus = _joined([part.corpus for part in self._parts.values()])

    def columns(self, stream: int) -> list[int]:
        """The router file's strategies that may be chosen for a stream, by their place in it; none without a file."""
        return [] if self.opened is None else list(columns_of(self._outcomes, self.opened, stream).values())

    def options(self, requests: int, routed: Sequence[Routed]) -> Options | None:
        """What the requests of a block may become; None where none of them is looked at.

        Requests of other streams have no row.
        """
        if not routed:
            return None
        row = np.full(requests, NOTHING, np.int64)
        if self._corpus is not None:
            for stream, rows, asked in routed:
                row[rows] = self._first_row[stream] + self._parts[stream].rows.rows_of(asked)
            return Options(self._corpus, row)
        parts: list[Corpus] = []
        for stream, rows, asked in routed:
            first = sum(part.p.shape[0] for part in parts)
            row[rows] = np.arange(first, first + asked.key.size)
            parts.append(self._of_asked(stream, asked))
        return Options(_joined(parts), row)

    def _scores(self, stream: int, opened: LearnedRouter, like: Corpora | None, shifts: Shifts) -> Scores:
        if like is None:
            return scores_of(self._outcomes, opened, stream)
        return drawn_scores(like.scores[stream], self._outcomes.table(stream).drawn_from, shifts)

    def _of_file(self, stream: int) -> Estimates:
        """What the router file expects of the questions of a stream's table."""
        assert self.opened is not None
        columns = columns_of(self._outcomes, self.opened, stream)
        factor = np.ones(len(self._outcomes.steps))
        for strategy in columns:
            law = self._outcomes.law(stream, self._outcomes.steps[strategy][0])
            factor[strategy] = law.tokens_factor if isinstance(law, TableLaw) else 1.0
        share = self._multiples.path_share()
        return expected(self.scores[stream], columns, len(factor), self._variants, factor, share)

    def _part(self, stream: int) -> _Part:
        rows = table_rows(self._outcomes, stream)
        reals = table_reals(self._outcomes, stream, rows, self._variants)
        if stream in self.expected:
            estimates = Estimates(*(column[rows.question] for column in self.expected[stream]))
        else:
            estimates = self._known(stream, None, rows.least, reals)
        return _Part(rows, _corpus(estimates, reals, self._hidden))

    def _of_asked(self, stream: int, asked: Asked) -> Corpus:
        reals = asked_reals(self._outcomes, stream, asked, self._variants)
        if stream in self.expected:
            question = self._outcomes.table(stream).questions_of(asked)
            return _corpus(Estimates(*(column[question] for column in self.expected[stream])), reals, self._hidden)
        return _corpus(self._known(stream, asked.key, uniforms(asked.key, ANSWER), reals), reals, self._hidden)

    def _known(self, stream: int, key: Integers | None, least: Floats, reals: Reals) -> Estimates:
        """What an oracle knows; of it a bandit knows how long answers are on average, and learns the rest."""
        known = foreseen(self._outcomes, stream, key, least, reals, self._multiples)
        return on_average(known) if isinstance(self._outcomes.scenario.router, BanditRouter) else known


def _corpus(estimates: Estimates, reals: Reals, hidden: int) -> Corpus:
    """With columns for strategies that no request may choose, behind the others."""
    if hidden:
        estimates = Estimates(*(np.pad(column, ((0, 0), (0, 0), (0, hidden))) for column in estimates))
        wide = ((0, 0), (0, hidden), (0, 0), (0, 0))
        output_tokens, escalates = (np.pad(column, wide) for column in (reals.output_tokens, reals.escalates))
        p_sample, p_correct = (np.pad(column, wide) for column in (reals.p_sample, reals.p_correct))
        reals = Reals(output_tokens, p_sample, p_correct, escalates)
    return Corpus(*estimates, *reals)


def _joined(parts: Sequence[Corpus]) -> Corpus:
    return parts[0] if len(parts) == 1 else Corpus(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
