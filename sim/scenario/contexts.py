"""What requests ask about, and how it is known whether an answer is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sim.scenario.distributions import ConstantTime, Queries, Times, Tokens
from sim.scenario.part import Part
from sim.scenario.quantities import LengthOfTime, Rate, Share, Whole

__all__ = ["Contexts", "CurveQuestions", "HeldOut", "Questions", "TableQuestions"]


class Contexts(Part):
    """Lasting things that several requests ask about: documents, codebases, conversations.

    Each appears, gets its questions one after the other, may change, and ends. Rates of arrivals still count requests:
    contexts appear at the rate divided by the mean of `queries`. A trace with contexts holds their questions, gaps and
    tokens itself.
    """

    queries: Queries | None = None
    """Questions of a context, a number or a distribution; only for a trace left out."""
    think_time: Times | None = None
    """Time from one question to the next one on the same context; only for a trace left out."""
    tokens: Tokens | None = None
    """Tokens of a context, which begin the prompt of each of its questions; only for a trace left out."""
    lead: Times = ConstantTime(value=0.0)
    """Time from the appearance of a context to its first question: what is left to prepare it."""
    changes_every: LengthOfTime | None = None
    """Mean time between changes of a context, exponentially distributed; what was prepared or cached of it is lost with
    each. It never changes where left out."""
    conversation: bool = False
    """Whether each question's prompt also holds the questions and answers before it."""
    predictability: Share | None = None
    """How far a context foretells its questions, as its rank among all contexts, 0 to 1; drawn evenly from 0 to 1
    for each context where left out."""


class CurveQuestions(Part):
    """Questions whose answers are right with the chance that a response curve gives."""

    kind: Literal["curves"] = "curves"
    """Response curves."""
    class_name: str = Field(min_length=1, validation_alias="class", serialization_alias="class")
    """Name of a class of questions that curves are shipped for, such as arithmetic."""
    stratified: bool = False
    """Whether difficulties come in even steps from request to request in place of by chance: for short runs that are
    held against published figures."""


class HeldOut(Part):
    """Questions that `nightshift train --hold-out` leaves out: those whose context, or own name without one, falls into
    a share by its hash."""

    share: Annotated[Rate, Field(le=1)]
    """Share of the contexts."""
    seed: Whole = 0
    """Seed of the training."""


class TableQuestions(Part):
    """Questions whose answers were measured, strategy by strategy."""

    kind: Literal["table"] = "table"
    """A table of measured outcomes."""
    path: Path
    """Table of question, context, strategy, correct and tokens; CSV, JSON lines or Parquet, relative to the
    scenario."""
    class_name: str | None = Field(default=None, min_length=1, validation_alias="class", serialization_alias="class")
    """Class of response curves for strategies that the table does not hold; they are refused where left out."""
    held_out: HeldOut | None = None
    """Only the questions that a router's training left out; all of them where left out."""
    tokens_factor: Rate = 1.0
    """How many times the tokens of the table count, for a model of more words than the one that was measured."""


Questions = Annotated[CurveQuestions | TableQuestions, Field(discriminator="kind")]
