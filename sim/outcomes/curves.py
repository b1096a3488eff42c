"""Response curves of classes of questions, shipped as `data/curves/NAME.yaml`."""

from __future__ import annotations

from functools import cache
from math import expm1
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from sim.errors import InputError, did_you_mean
from sim.outcomes.thinking import Prepared, Thinking
from sim.paths import data_path
from sim.scenario.part import Part
from sim.scenario.quantities import Amount, Count, Rate, Share
from sim.strategies import Plurality

__all__ = ["Curves", "class_names", "load_curves", "read_curves"]

Status = Literal["fitted", "assumed"]
_Range = tuple[float, float]
_Effort = Literal["low", "medium", "high"]


class Difficulty(Part):
    """How much the chance of a right answer differs from question to question."""

    concentration: Rate
    """a + b of its Beta law; below 1 most questions are either easy or hopeless."""
    status: Status
    """Whether it was fitted or assumed."""


class ThinkingCurve(Part):
    """Mean accuracy by tokens spent: through points, or a Hill curve; flat where neither is given."""

    ceiling: Share
    """Accuracy that no budget beats."""
    floor: Share = 0.0
    """Accuracy of an answer without a thought."""
    half_tokens: Rate = 1.0
    """Tokens at which half the way is done."""
    steepness: Amount = 0.0
    """Slope of the log odds of the rise by log tokens."""
    peak_tokens: Rate | None = None
    """Tokens beyond which thinking does harm."""
    decline: Amount = 0.0
    """Log odds lost with each doubling beyond the peak; assumed."""
    points: list[tuple[Rate, Share]] = Field(default=[])
    """Tokens and accuracy, ascending, between which it is interpolated; used in place of the others."""
    status: Status
    """Whether it was fitted or assumed."""

    def thinking(self) -> Thinking:
        """The curve."""
        given = self.model_dump(exclude={"status", "points"}, exclude_none=True)
        return Thinking(**given, points=tuple(self.points))


class Votes(Part):
    """How the answers that are not right spread."""

    wrong_answers: Count
    """Different wrong answers."""
    skew: Rate
    """Number of a wrong answer: floor(wrong_answers * v ** skew) for uniform v."""
    blank_share: Share
    """Share of the samples that are not right which give no answer."""
    status: Status
    """Whether it was fitted or assumed."""

    def plurality(self) -> Plurality:
        """What the engine needs to know."""
        return Plurality(self.wrong_answers, self.skew, self.blank_share)


class Verifier(Part):
    """How good verdicts on solutions are: Beta laws of the chance that one solution is found good."""

    right: tuple[Rate, Rate]
    """Of right solutions."""
    wrong: tuple[Rate, Rate]
    """Of wrong solutions."""
    status: Status
    """Whether it was fitted or assumed."""


class Gains(Part):
    """What more work on a context does, as a factor on the log of what it is worth."""

    effort: dict[_Effort, Rate]
    """By effort."""
    drafts: Amount
    """Of drafts side by side: 1 + drafts * (1 - exp((1 - n) / drafts_scale)) for n of them."""
    drafts_scale: Rate
    """Drafts that bring most of it."""
    status: Status
    """Whether it was fitted or assumed."""

    def factor(self, effort: str, drafts: int) -> float:
        """For an effort and a number of drafts; 1 for one draft of medium effort."""
        more = 1.0 + self.drafts * -expm1((1 - drafts) / self.drafts_scale)
        return self.effort[effort] * more  # type: ignore[index]  # the scenario knows no other effort


class SleepCurve(Part):
    """What a prepared context is worth, and what preparing takes."""

    scale: Rate
    """m at the full budget."""
    exponent: Annotated[Amount, Field(lt=1)]
    """How fast m falls with the budget."""
    full_tokens: Rate
    """Largest budget that was published."""
    weights: Annotated[list[Amount], Field(min_length=1)]
    """Exponent of m by predictability of the context, in equal bins of its rank, lowest first."""
    weights_status: Status
    """Whether they were fitted or assumed."""
    tokens: dict[_Effort, Rate]
    """Output tokens of one draft by effort."""
    tokens_status: Status
    """Whether they were fitted or assumed."""
    gains: Gains
    """What more work brings."""
    status: Status
    """Whether m was fitted or assumed."""

    def prepared(self) -> Prepared:
        """The law of equivalent budgets."""
        return Prepared(self.scale, self.exponent, self.full_tokens)


class Correlation(Part):
    """How difficulty goes with predictability."""

    rho: Annotated[float, Field(gt=-1, lt=1)]
    """Correlation of their Gaussian copula; above 0, questions that are foretold are easier."""
    status: Status
    """Whether it was fitted or assumed."""


class Fit(Part):
    """How far a part of the curves is from the points it was fitted to, and from points kept for checking."""

    what: str
    """Points, and what was fitted to which."""
    points: Count
    """Points in the fit."""
    rms_error: Amount
    """Root mean square error of those, in accuracy."""
    worst_error: Amount
    """Largest error of those."""
    checked: Count | None = None
    """Points kept for checking."""
    checked_rms_error: Amount | None = None
    """Root mean square error of these."""
    checked_worst_error: Amount | None = None
    """Largest error of these."""


class Validity(Part):
    """Between what and what the points lie; beyond, a curve is extrapolated."""

    budget_tokens: _Range | None = None
    """Tokens spent on an answer."""
    samples: _Range | None = None
    """Samples of a vote."""
    solutions: _Range | None = None
    """Solutions that are verified."""
    verifications: _Range | None = None
    """Verifications of each."""


class Curves(Part):
    """A class of questions as one model answers them."""

    name: str
    """Name of the class, which is that of the file."""
    about: str
    """Questions and model."""
    source: str
    """Where the points come from."""
    difficulty: Difficulty
    """How questions differ."""
    think: ThinkingCurve
    """Accuracy by tokens."""
    votes: Votes
    """How wrong answers spread."""
    verifier: Verifier
    """How good verdicts are."""
    sleep: SleepCurve
    """Prepared contexts."""
    correlation: Correlation
    """Difficulty and predictability."""
    fits: list[Fit]
    """What was fitted, and how far it is off."""
    valid: Validity
    """Range of the points."""

    @model_validator(mode="after")
    def _rises(self) -> Curves:
        if self.think.floor > self.think.ceiling:
            raise ValueError("floor must not be above ceiling")
        return self


def class_names() -> list[str]:
    """Names of the classes that curves are shipped for."""
    return sorted(path.stem for path in data_path("curves").glob("*.yaml"))


@cache
def load_curves(name: str) -> Curves:
    """The shipped curves of a class.

    Raises:
        InputError: where there are none of the name.
    """
    if name not in class_names():
        raise InputError(name, "is no class of questions with shipped curves", did_you_mean(name, class_names()))
    return read_curves(data_path("curves", f"{name}.yaml"))


def read_curves(file: Path) -> Curves:
    """Curves from a file; one that only says `same_as` holds those of another class under its own name.

    Raises:
        InputError: for a file that cannot be read or holds none.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "same_as" in content:
            return load_curves(content["same_as"]).model_copy(update={"name": file.stem})
        return Curves.model_validate(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        place, told = _first_fault(error)
        raise InputError(
            place or file.name, f"is not as curves have it: {told}", "correct it", where=str(file)
        ) from None


def _first_fault(error: Exception) -> tuple[str, str]:
    if not isinstance(error, ValidationError):
        return "", " ".join(str(error).split())
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"]
