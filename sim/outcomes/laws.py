"""The laws of a scenario's outcomes: which curves or table hold for which stream and strategy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sim.errors import InputError, did_you_mean
from sim.outcomes.curves import Curves, load_curves
from sim.outcomes.difficulty import chances, shifted
from sim.outcomes.law import CurveLaw, Law, PlainLaw, TableLaw
from sim.outcomes.plurality import plurality_chances
from sim.outcomes.tables import OutcomeTable, read_outcomes
from sim.outcomes.verifier import verified_chances
from sim.outcomes.warnings import curve_warnings
from sim.scenario import (
    DirectStrategy,
    HeldOut,
    Scenario,
    Sleep,
    Strategy,
    TableQuestions,
    ThinkStrategy,
    TreeStrategy,
    VerifyStrategy,
    VoteStrategy,
)
from sim.scenario.choices import strategies_at_work
from sim.scenario.reach import own_steps
from sim.scenario.strategies import PlacedStrategy
from sim.strategies import Plurality, output_multiples, strategy_spec
from sim.workload.blocks import Floats
from sim.workload.lengths import mean_tokens

__all__ = ["Outcomes", "SleepWork", "Table"]

Table = tuple[Path, HeldOut | None]
_DIRECT = DirectStrategy(name="direct")
_NO_SLEEP = Sleep()
_SLEEP_TOKENS = {"low": 500.0, "medium": 1000.0, "high": 2000.0}
"""Output tokens of a draft where no class of curves tells: assumed."""
_PREPARED_SHARE = 0.4
"""Share of the thoughts that is left on a prepared context where no class tells: assumed, 2.5 times less."""


class SleepWork(NamedTuple):
    """What preparing a context takes."""

    draft_tokens: int
    """Output tokens of one draft."""
    drafts: int
    notes_tokens: int
    """All drafts: what they add to the prompt of each question."""


@dataclass(frozen=True)
class _Effect:
    """What training does to the answers of a strategy."""

    logit: float = 0.0
    tokens_factor: float = 1.0
    class_name: str | None = None


class Outcomes:
    """What is known of the answers to a scenario's requests, for all replications.

    Raises:
        InputError: for a class without curves, a table that cannot be read or lacks a strategy in use, or streams
            whose classes have one vote count different wrong answers.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.strategies: Sequence[Strategy] = scenario.strategies or [_DIRECT]
        self.steps = [own_steps(strategy, self.strategies) for strategy in self.strategies]
        """The strategies that do the work of each, in turn."""
        self.is_modelled = [stream.questions is not None for stream in scenario.workload]
        """By stream, whether it is known whether an answer is right."""
        self.warnings: tuple[str, ...] = ()
        """What the outcomes rest on beyond what was measured, one sentence each."""
        self.logits: Mapping[str, float] = {}
        """What is added to the log odds of a right answer by the curves of a class."""
        self._laws: dict[tuple[int, str], Law] = {}
        self._tables: dict[Table, OutcomeTable] = {}
        used = [
            (stream, step)
            for stream, each in enumerate(scenario.workload)
            for step in strategies_at_work(scenario, each)
        ]
        for stream, step in used:
            self.law(stream, step)
        self.pluralities: Mapping[str, Plurality] = dict(self._pluralities(used))
        """How wrong answers spread, by name of a vote."""

    @property
    def tables(self) -> Mapping[Table, OutcomeTable]:
        """The tables in use, by file and what of it counts."""
        return self._tables

    @property
    def classes(self) -> list[str]:
        """Names of the classes whose curves are in use."""
        placed = {step.name: step for steps in self.steps for step in steps}
        found = (self._class(stream, placed[name]) for stream, name in self._laws if name in placed)
        return sorted({name for name in found if name is not None})

    def varied(self, scenario: Scenario, tables: Mapping[Table, OutcomeTable], logits: Mapping[str, float]) -> Outcomes:
        """The same with other tables, and with curves shifted in log odds by class; of a scenario that differs in
        nothing that outcomes hang on."""
        other = copy(self)
        other.scenario, other.logits = scenario, logits
        other._tables, other._laws = {**self._tables, **tables}, {}
        return other

    def law(self, stream: int, strategy: PlacedStrategy) -> Law:
        """Of the answers of a strategy, one that does work of its own, to the questions of a stream."""
        place = stream, strategy.name
        if place not in self._laws:
            self._laws[place] = self._made(stream, strategy)
        return self._laws[place]

    def saved_tokens(self, stream: int, strategy: int, predictability: Floats) -> Floats:
        """Output tokens that a question saves in the mean on a prepared context of this rank, [n].

        All branches count, of a cascade those of its first step.
        """
        first = self.steps[strategy][0]
        return self._branches(first) * self.law(stream, first).saved_tokens(predictability)

    def gained(self, stream: int, strategy: int, predictability: Floats) -> Floats:
        """Chance of a right answer that a question gains in the mean on a prepared context of this rank, [n].

        Of a cascade that of its first step.
        """
        return self.law(stream, self.steps[strategy][0]).gained(predictability)

    def sleep_work(self, stream: int) -> SleepWork:
        """What preparing a context of a stream takes."""
        sleep = self.scenario.sleep or _NO_SLEEP
        draft = sleep.tokens or round(self._measured_draft(stream) or self._draft_of_class(stream, sleep))
        return SleepWork(draft, sleep.drafts, draft * sleep.drafts)

    def table(self, stream: int) -> OutcomeTable:
        """The measured outcomes of a stream whose questions are those of a table."""
        questions = self.scenario.workload[stream].questions
        assert isinstance(questions, TableQuestions)
        return self._read(questions)

    def _measured_draft(self, stream: int) -> float | None:
        """Output tokens of a draft, where the stream's table says them."""
        questions = self.scenario.workload[stream].questions
        if not isinstance(questions, TableQuestions):
            return None
        tokens = self._read(questions).notes_tokens
        return None if tokens is None else tokens * questions.tokens_factor

    def _draft_of_class(self, stream: int, sleep: Sleep) -> float:
        name = self._stream_class(stream)
        return (load_curves(name).sleep.tokens if name else _SLEEP_TOKENS)[sleep.effort]

    def _stream_class(self, stream: int) -> str | None:
        questions = self.scenario.workload[stream].questions
        return None if questions is None else questions.class_name

    def _pluralities(self, used: Sequence[tuple[int, PlacedStrategy]]) -> Iterator[tuple[str, Plurality]]:
        for name in dict.fromkeys(step.name for _, step in used if isinstance(step, VoteStrategy)):
            yield from self._plurality(name, [pair for pair in used if pair[1].name == name])

    def _plurality(self, vote: str, used: Sequence[tuple[int, PlacedStrategy]]) -> Iterator[tuple[str, Plurality]]:
        """Of a vote, by the streams it is used for."""
        classes = [name for stream, step in used if (name := self._class(stream, step)) is not None]
        laws = {load_curves(name).votes.plurality(): name for name in classes}
        if len(laws) > 1:
            rule = f"cannot count votes of classes whose wrong answers differ ({', '.join(laws.values())})"
            raise InputError(f"strategy '{vote}'", rule, "simulate these streams apart")
        for law in laws:
            yield vote, law

    def _class(self, stream: int, strategy: PlacedStrategy) -> str | None:
        """The class whose curves hold; None for measured outcomes, and where quality is not modelled."""
        questions = self.scenario.workload[stream].questions
        if questions is None or (isinstance(questions, TableQuestions) and self._measured(questions, strategy)):
            return None
        return self._effect(strategy).class_name or strategy.class_name or questions.class_name

    def _effect(self, strategy: PlacedStrategy) -> _Effect:
        """Of all training of a strategy together."""
        done = [each for each in self.scenario.training if strategy.name in each.strategies]
        classes = [each.class_name for each in done if each.class_name]
        return _Effect(
            logit=math.fsum(each.accuracy_logit for each in done),
            tokens_factor=math.prod(each.tokens_factor for each in done),
            class_name=classes[-1] if classes else None,
        )

    def _made(self, stream: int, strategy: PlacedStrategy) -> Law:
        questions = self.scenario.workload[stream].questions
        if questions is None:
            return self._plain(stream, strategy)
        name = self._class(stream, strategy)
        if name is not None:
            return self._curve(stream, strategy, load_curves(name))
        assert isinstance(questions, TableQuestions)
        return self._table(questions, strategy)

    def _plain(self, stream: int, strategy: PlacedStrategy) -> Law:
        budget = budget_of(strategy)
        sleeps = self.scenario.sleep is not None and self.scenario.workload[stream].has_contexts
        if budget and sleeps:
            told = f"thinks {_PREPARED_SHARE:.0%} as much on a prepared context: assumed, as there are no questions"
            self.warn(f"strategy '{strategy.name}' {told}")
        share = _PREPARED_SHARE if sleeps else 1.0
        return PlainLaw(budget or 0, self._effect(strategy).tokens_factor, share)

    def _table(self, questions: TableQuestions, strategy: PlacedStrategy) -> Law:
        table = self._read(questions)
        if strategy.name not in table.correct:
            rule = f"holds no outcomes of strategy '{strategy.name}'"
            remedy = f"add them, or the `class` whose curves hold for it; {did_you_mean(strategy.name, table.correct)}"
            raise InputError(questions.path.name, rule, remedy)
        if self.scenario.sleep is not None and not table.has_prepared:
            self.warn(f"{questions.path.name} holds no outcomes on prepared contexts: they are as on others")
        effect, is_vote = self._effect(strategy), isinstance(strategy, VoteStrategy)
        if effect.logit or effect.class_name:
            told = f"training makes its answers no better, as {questions.path.name} holds them as measured"
            self.warn(f"strategy '{strategy.name}': {told}")
        if questions.tokens_factor != 1.0:
            self.warn(f"tokens of {questions.path.name} count {questions.tokens_factor:g} times: assumed")
        factor = effect.tokens_factor * questions.tokens_factor
        return TableLaw(table, strategy.name, is_vote, self._branches(strategy), factor)

    def _branches(self, strategy: PlacedStrategy) -> float:
        """What all branches of a strategy write, as a multiple of one."""
        return output_multiples(strategy_spec(strategy, self.strategies))[0]

    def _measured(self, questions: TableQuestions, strategy: PlacedStrategy) -> bool:
        lacks = strategy.name not in self._read(questions).correct
        return not (lacks and (strategy.class_name or questions.class_name))

    def _read(self, questions: TableQuestions) -> OutcomeTable:
        place = questions.path, questions.held_out
        if place not in self._tables:
            effort = (self.scenario.sleep or _NO_SLEEP).effort
            self._tables[place] = read_outcomes(questions.path, effort, questions.held_out)
        return self._tables[place]

    def _curve(self, stream: int, strategy: PlacedStrategy, curves: Curves) -> Law:
        source = _Source(curves, strategy, self._mean_own_tokens(stream), self.scenario.sleep or _NO_SLEEP)
        effect = self._effect(strategy)
        has_prepared = self.scenario.sleep is not None and self.scenario.workload[stream].has_contexts
        for warning in curve_warnings(curves, strategy, source.tokens, prepared=has_prepared):
            self.warn(warning)
        weights = curves.sleep.weights if has_prepared else []
        rows = [(source.tokens, source.tokens), *(source.prepared(weight) for weight in weights)]
        spread = curves.difficulty.concentration
        logit = effect.logit + self.logits.get(curves.name, 0.0)
        p = [shifted(chances(source.accuracy(worth), spread), logit) for _, worth in rows]
        correct = [chance_of(strategy, each, curves) for each in p]
        scale = 1.0 / source.tokens if source.is_own else 1.0
        return CurveLaw(
            p_sample=np.stack(p if isinstance(strategy, VoteStrategy) else correct),
            p_correct=np.stack(correct),
            tokens=np.array([spent for spent, _ in rows]) * scale * effect.tokens_factor,
            is_own=source.is_own,
            mean_own_tokens=self._mean_own_tokens(stream),
            rho=curves.correlation.rho,
        )

    def _mean_own_tokens(self, stream: int) -> float | None:
        """Mean output the requests bring; None where only their file knows."""
        lengths = self.scenario.workload[stream].lengths
        return None if lengths is None else mean_tokens(lengths)[1]

    def warn(self, text: str) -> None:
        """Note what is to be held against the figures, once."""
        if text not in self.warnings:
            self.warnings += (text,)


@dataclass(frozen=True)
class _Source:
    """Tokens of a branch and what they are worth, for a strategy and a class."""

    curves: Curves
    strategy: PlacedStrategy
    mean_own_tokens: float | None
    sleep: Sleep

    @property
    def is_own(self) -> bool:
        """Whether branches are as long as the outputs that requests bring."""
        return budget_of(self.strategy) is None

    @cached_property
    def tokens(self) -> float:
        """Mean tokens of a branch: the budget, the requests' own, or the fewest that were published."""
        return float(budget_of(self.strategy) or self.mean_own_tokens or self._least)

    @property
    def _least(self) -> float:
        valid = self.curves.valid.budget_tokens
        return valid[0] if valid else 1.0

    def accuracy(self, tokens: float) -> float:
        """Mean chance that one answer of so many tokens is right."""
        return self.curves.think.thinking().accuracy(tokens)

    def prepared(self, weight: float) -> tuple[float, float]:
        """Tokens spent on a prepared context, and what they are worth without preparation."""
        law = self.curves.sleep.prepared()
        weight *= self.curves.sleep.gains.factor(self.sleep.effort, self.sleep.drafts)
        spent = self.tokens
        if self.curves.think.thinking().is_flat:
            return spent, spent
        if not self.is_own:
            own_budget = getattr(self.strategy, "prepared_budget_tokens", None)
            spent = float(own_budget or law.enough(self.tokens, weight, self._least))
        return spent, law.equivalent(spent, weight)


def budget_of(strategy: PlacedStrategy) -> int | None:
    """Tokens it spends on an answer in the mean; None where that is left to the requests."""
    return None if isinstance(strategy, DirectStrategy) else strategy.budget_tokens


def chance_of(strategy: PlacedStrategy, p: Floats, curves: Curves) -> Floats:
    """Chance that a strategy's answer is right where that of one answer is `p`, [n].

    A tree is taken for as many solutions as it has paths at a level, verified once a level.
    """
    if isinstance(strategy, VoteStrategy):
        counted = (strategy.stop and strategy.stop.shortest) or strategy.samples
        return plurality_chances(p, counted, curves.votes.plurality())
    if isinstance(strategy, VerifyStrategy):
        verifier = curves.verifier
        return verified_chances(p, strategy.solutions, strategy.verifications, verifier.right, verifier.wrong)
    if isinstance(strategy, TreeStrategy):
        verifier = curves.verifier
        return verified_chances(p, strategy.width * strategy.branch, strategy.depth, verifier.right, verifier.wrong)
    assert isinstance(strategy, DirectStrategy | ThinkStrategy)
    return p
