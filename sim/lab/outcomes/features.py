"""What a router can see of a question before it is answered: what stands in its text, with nothing worked out."""

from __future__ import annotations

from collections.abc import Mapping

from sim.lab.language import context_prompt, question_tokens
from sim.lab.language.contexts import Context, Question
from sim.lab.language.words import OPERATIONS, TOPICS

__all__ = ["FEATURES", "text_features"]

FEATURES = (
    "context_tokens",
    "question_tokens",
    "facts",
    "roots",
    "plus_minus",
    "times",
    "largest_constant",
    "mean_constant",
    "topic",
    "asked_names",
    "last_place",
    "mean_place",
    "asked_constant",
    "asked_times",
    "asked_roots",
)
"""Names of the features, in the order of their columns."""


def text_features(context: Context, question: Question) -> Mapping[str, float]:
    """By name: lengths, counts of facts and operations, constants, the topic's number, and where the asked names stand.

    `last_place` and `mean_place` are those of the asked names' own facts, from 0 for the first to 1 for the last;
    `asked_constant` is the largest constant of these facts, `asked_times` and `asked_roots` how many of them multiply
    or state a number. How many steps an answer takes is not among them.
    """
    operations = [OPERATIONS[fact.operation] for fact in context.facts if fact.operation is not None]
    constants = [constant for _, constant in operations]
    by_name = {fact.name: place for place, fact in enumerate(context.facts)}
    places = [by_name[name] for name in question.tokens[::2]]
    asked = [context.facts[place].operation for place in places]
    of_asked = [OPERATIONS[operation] for operation in asked if operation is not None]
    last = max(len(context.facts) - 1, 1)
    values = (
        len(context_prompt(context)),
        len(question_tokens(question)),
        len(context.facts),
        len(context.facts) - len(operations),
        sum(sign != "*" for sign, _ in operations),
        sum(sign == "*" for sign, _ in operations),
        max(constants, default=0),
        sum(constants) / max(len(constants), 1),
        TOPICS.index(context.topic),
        len(places),
        max(places) / last,
        sum(places) / len(places) / last,
        max((constant for _, constant in of_asked), default=0),
        sum(sign == "*" for sign, _ in of_asked),
        sum(operation is None for operation in asked),
    )
    return dict(zip(FEATURES, map(float, values), strict=True))
