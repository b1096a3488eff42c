"""A stream of questions of a table of outcomes, as a trace: to be simulated, and to be served for real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim.folders import write_file
from sim.lab.language import question_prompt
from sim.lab.outcomes.outcomes import Exam
from sim.streams import RandomStreams

__all__ = ["DAY", "write_stream"]

DAY = (0.3, 0.2, 0.7, 1.5, 1.2, 1.6, 1.4, 1.1)
"""Load in equal parts of a day over its mean: quiet at night, two busy times by day."""
_THINK_S = 6.0
"""Mean time from one question on a context to the next."""
_OUTPUT_TOKENS = 2
"""What a direct answer takes; the table tells the others."""


def write_stream(
    file: Path,
    exam: Exam,
    *,
    requests_per_s: float,
    seconds: float,
    seed: int = 0,
    day: Sequence[float] = DAY,
    contexts: Sequence[int] | None = None,
) -> int:
    """Write a trace in the format `nightshift`; gives back its requests.

    Contexts appear at random at a rate that follows `day`, each gets all of its questions, a random time apart.
    The contexts are those of the exam in turn, or `contexts` of them, from the first again when all have been asked
    about.
    """
    random = RandomStreams(seed, 0).generator("lab/stream")
    first_s = _appearances(requests_per_s / exam.per_context, seconds, day, random)
    gaps_s = random.exponential(_THINK_S, (first_s.size, exam.per_context))
    gaps_s[:, 0] = 0.0
    times_s = first_s[:, None] + gaps_s.cumsum(axis=1)
    rows = [
        (time_s, number, place)
        for number, mine in enumerate(times_s.tolist())
        for place, time_s in enumerate(mine)
        if time_s < seconds
    ]
    asked = exam.contexts if contexts is None else contexts
    lines = [_line(exam, asked[number % len(asked)], *row) for row in sorted(rows) for number in row[1:2]]
    write_file(file, "arrival_s,prompt_tokens,output_tokens,context_id,question_id\n" + "".join(lines))
    return len(lines)


def _line(exam: Exam, asked: int, time_s: float, number: int, place: int) -> str:
    context, questions = exam.context(asked)
    prompt_tokens = len(question_prompt(context, questions[place], "direct"))
    question = asked * exam.per_context + place
    return f"{time_s:.3f},{prompt_tokens},{_OUTPUT_TOKENS},{number},{question}\n"


def _appearances(
    contexts_per_s: float, seconds: float, day: Sequence[float], random: np.random.Generator
) -> np.ndarray:
    """Times of a Poisson process whose rate follows the day, ascending."""
    share = np.array(day) / np.mean(day)
    part_s = seconds / share.size
    counts = random.poisson(contexts_per_s * part_s * share)
    times = [(place + random.random(count)) * part_s for place, count in enumerate(counts.tolist())]
    return np.sort(np.concatenate(times))
