"""Step times through the engine's own step: scheduling, the model and sampling, from one step's end to the next one's.

Steps are measured in traffic: a row goes, another one's prompt is read, decodes follow until the next one would come,
and their mean counts; the next prompt is measured after them, one that is alone after those of the row before and a
while with nothing to do. On a CPU prompts and decodes take the caches from each other: the step after a prompt takes
nearly twice as long, the eighth still a tenth longer. Steps that nothing disturbs are faster than any server's.

Rows are put in place by a model that pretends to have read their prompts, so that a state takes no time to reach; what
is measured is then done by the real one. Points are visited in an order drawn anew in each round, so that a machine
that drifts leans on no axis, and a reference step in between tells whether it did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sim.lab.engine.clocks import Clock, RealClock, undisturbed
from sim.lab.engine.engine import Engine, EngineSettings, Job
from sim.lab.engine.model import Logits, Model, Tokens
from sim.lab.engine.records import StepRecord
from sim.lab.measuring.grid import Point, grid_of, reference_point
from sim.lab.measuring.load import keeps_logprobs, mean_output, temperature_for
from sim.lab.measuring.settings import Limits
from sim.streams import RandomStreams

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Drift", "NewClock", "StepGrid", "Stepper", "fill_cache"]

NewClock: TypeAlias = Callable[[], Clock]

_WARM_STEPS = 8
"""Of rows that decode, before one is measured: on a CPU weights and KV come back into the caches only over several
steps. After a step of many rows one of few took twice as long, and still a third longer four steps later."""
_VISITS_BETWEEN_REFERENCES = 25
_LONGEST = 3.0
"""Medians, as which steps that took longer count: what a machine does now and then belongs into the mean, as it holds
up requests too, but no single mishap may decide on a point."""
_TOKEN = 1


@dataclass(eq=False)
class _Pretender:
    """A model that, while it pretends, gives back logits at once and computes nothing."""

    real: Model
    pretends: bool = False
    _logits: Logits = field(init=False)

    def __post_init__(self) -> None:
        self._logits = np.zeros((self.real.slots, self.config.vocab_size), np.float32)

    @property
    def config(self) -> Any:
        return self.real.config

    @property
    def slots(self) -> int:
        return self.real.slots

    @property
    def capacity(self) -> int:
        return self.real.capacity

    def decode(self, tokens: Tokens, lengths: Tokens) -> Logits:
        return self._logits[: len(tokens)] if self.pretends else self.real.decode(tokens, lengths)

    def decode_best(self, tokens: Tokens, lengths: Tokens) -> Tokens:
        return np.zeros(len(tokens), np.int32) if self.pretends else self.real.decode_best(tokens, lengths)

    def prefill(self, slot: int, tokens: Tokens, start: int) -> Logits:
        return self._logits[0] if self.pretends else self.real.prefill(slot, tokens, start)

    def copy(self, source: int, target: int, tokens: int) -> None:
        if not self.pretends:
            self.real.copy(source, target, tokens)


class Stepper:
    """Brings an engine to a point of the grid and measures its step there."""

    def __init__(self, model: Model, limits: Limits, clock: NewClock = RealClock) -> None:
        self._model, self._limits, self._clock = _Pretender(model), limits, clock
        self._numbers = count()
        self._last = 0

    def visit(self, point: Point) -> StepRecord:
        """The step measured; of decodes alone the middle one from one prompt to the next, with their mean time."""
        engine = self._engine(point)
        between = self._steps_in_traffic(engine, point)
        if not point.rows:
            engine.cancel(self._last)
            _idle(engine.clock, sum(step.seconds for step in engine.steps[-between:]))
        if point.prompt:
            return self._read_prompts(engine, point)
        measured = engine.steps[-between:]
        return measured[between // 2]._replace(seconds=fmean(step.seconds for step in measured))

    def _steps_in_traffic(self, engine: Engine, point: Point) -> int:
        """Decodes until the next prompt would come, of rows of which one has just come for another; how many."""
        rows = max(point.rows, 1)
        between = round(mean_output(self._limits) / rows) | 1
        output = _WARM_STEPS + between + 4
        wanted = point.kv_per_row if point.rows else point.cached or self._limits.output_range[1]
        ahead = 2 + (between if point.prompt else between // 2)
        come = max(min(wanted, self._model.capacity - output) - ahead, 1)
        for _ in range(rows):
            self._submit(engine, max(come - _WARM_STEPS, 1), output)
        first = self._last - rows + 1
        self._pretend_step(engine)
        for _ in range(_WARM_STEPS):
            engine.step()
        engine.cancel(first)
        self._submit(engine, come + 1, output)
        for _ in range(1 + between):
            engine.step()
        return between

    def _engine(self, point: Point) -> Engine:
        """An engine whose steps hold all that is to be placed; where tokens are to be read before, just these."""
        room = self._model.slots * self._model.capacity
        settings = EngineSettings(
            self._limits.max_num_seqs,
            point.cached or room,
            room,
            logprobs=keeps_logprobs(self._model.config.vocab_size),
        )
        return Engine(self._model, settings, self._clock())

    def _read_prompts(self, engine: Engine, point: Point) -> StepRecord:
        """The step that reads the point's prompts, but for what is to be read before."""
        for _ in range(point.slices):
            self._submit(engine, point.cached + point.prompt, 1)
        if point.cached:
            self._pretend_step(engine)
        engine.step()
        return engine.steps[-1]

    def _submit(self, engine: Engine, prompt_tokens: int, output_tokens: int) -> None:
        number = self._last = next(self._numbers)
        prompt, output = (_TOKEN,) * prompt_tokens, max(output_tokens, 1)
        temperature = temperature_for(self._model.config.vocab_size)
        engine.submit(Job(number, prompt, fixed_tokens=output, temperature=temperature, seed=number))

    def _pretend_step(self, engine: Engine) -> None:
        self._model.pretends = True
        try:
            engine.step()
        finally:
            self._model.pretends = False


def _idle(clock: Clock, seconds: float) -> None:
    """A prompt that is alone mostly finds a server that had nothing to do, and caches that others have filled."""
    clock.wait_until(clock.now_s() + seconds)


def fill_cache(model: Model, tokens_at_once: int) -> None:
    """Puts keys and values of real tokens into every slot, so that no step reads memory that was never written."""
    tokens = np.full(min(tokens_at_once, model.capacity), _TOKEN, np.int32)
    for start in range(0, model.capacity, len(tokens)):
        model.prefill(0, tokens[: model.capacity - start], start)
    for slot in range(1, model.slots):
        model.copy(0, slot, model.capacity)


@dataclass(eq=False)
class Drift:
    """Times of the reference step, in order, and when they were taken."""

    at_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Their number, median, spread (of the middle 80 %, as a share of the median) and how the last third stands to
        the first."""
        times = np.array(self.step_s)
        third = max(len(times) // 3, 1)
        low, middle, high = np.quantile(times, [0.1, 0.5, 0.9])
        return {
            "steps": len(times),
            "median_s": float(f"{middle:.6g}"),
            "spread": round(float((high - low) / middle), 4),
            "last_to_first": round(float(np.median(times[-third:]) / np.median(times[:third])), 4),
        }


class StepGrid:
    """Step times over the grid, round by round; rounds may be added between other measurements."""

    def __init__(
        self,
        model: Model,
        limits: Limits,
        *,
        clock: NewClock = RealClock,
        quick: bool = False,
        seed: int = 0,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._stepper, self._reference = Stepper(model, limits, clock), reference_point(limits)
        self._points, self._progress = grid_of(limits, quick=quick), progress
        self._draws = RandomStreams(seed, 0).generator("lab/measure/steps")
        self._found: dict[Point, list[StepRecord]] = {}
        self._drift, self._rounds, self._began_s = Drift(), 0, time.perf_counter()
        with undisturbed():
            for point in (self._reference, *self._points):
                self._stepper.visit(point)

    def measure(self, seconds: float, fewest_rounds: int, most_rounds: int) -> None:
        """As many rounds as fit into that time, within bounds; each visits every point, in an order of its own."""
        began_s = time.perf_counter()
        with undisturbed():
            for rounds in range(1, most_rounds + 1):
                self._round()
                spent_s = time.perf_counter() - began_s
                if rounds >= fewest_rounds and spent_s + spent_s / rounds > seconds:
                    break
            self._refer()
        self._progress(f"steps: {self._rounds} rounds of {len(self._points)} points")

    def _round(self) -> None:
        for number, place in enumerate(self._draws.permutation(len(self._points))):
            if number % _VISITS_BETWEEN_REFERENCES == 0:
                self._refer()
            point = self._points[place]
            self._found.setdefault(point, []).append(self._stepper.visit(point))
        self._rounds += 1

    def _refer(self) -> None:
        self._drift.at_s.append(time.perf_counter() - self._began_s)
        self._drift.step_s.append(self._stepper.visit(self._reference).seconds)

    def table(self) -> DataFrame:
        """Mean step times of every point so far.

        Columns: `decode_rows`, `kv_tokens`, `prompt_tokens`, `cached_tokens`, `prompt_slices`, `step_s`, `visits`,
        `spread` (of the middle half of the visits, as a share of the median).
        """
        from pandas import DataFrame

        return DataFrame([_row(point, steps) for point, steps in sorted(self._found.items())])

    def figures(self) -> dict[str, Any]:
        """How many visits the table comes from, and how far the machine drifted."""
        return {"points": len(self._points), "rounds": self._rounds, "reference": self._drift.figures()}


def _row(point: Point, steps: Sequence[StepRecord]) -> dict[str, float]:
    seconds = np.array([step.seconds for step in steps])
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return {
        "decode_rows": steps[0].decode_rows,
        "kv_tokens": steps[0].kv_tokens,
        "prompt_tokens": steps[0].prompt_tokens,
        "cached_tokens": point.cached,
        "prompt_slices": point.slices if point.prompt else 0,
        "step_s": float(f"{np.minimum(seconds, _LONGEST * middle).mean():.6g}"),
        "visits": len(steps),
        "spread": round(float((high - low) / middle), 4),
    }
