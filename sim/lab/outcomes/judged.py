"""What a table of outcomes shows, in tables with intervals.

By strategy, difficulty, effort and predictability; the verifier; and what preparing a context costs its questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import InputError
from sim.lab.outcomes.amortised import amortised
from sim.lab.outcomes.estimates import gain, mean, share
from sim.lab.outcomes.findings import findings
from sim.lab.outcomes.judgement import Cell, Judged, Section
from sim.lab.outcomes.view import EFFORTS, View, of_kind, step_ranges

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["judged", "outcome_table"]

_NEEDED = ("question", "context", "strategy", "prepared", "effort", "correct", "tokens", "predictable", "steps")
_BINS = 5


def outcome_table(path: Path) -> Judged:
    """What a file of measured outcomes (`nightshift measure`) shows.

    Raises:
        InputError: for a file that cannot be read, or was not made by the lab.
    """
    import pandas as pd

    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise InputError(path, f"cannot be read: {told}", "give a table of outcomes in Parquet") from None
    lacking = [name for name in _NEEDED if name not in rows]
    if lacking:
        raise InputError(path, f"lacks the column {lacking[0]}", "give a table that 'nightshift measure' has made")
    if rows.empty:
        raise InputError(path, "holds no rows", "give a table with rows")
    return judged(rows)


def judged(rows: pd.DataFrame) -> Judged:
    """Of rows as `sim.lab.outcomes.outcomes` writes them."""
    view = View(rows)
    makers = (_by_strategy, _by_steps, _by_effort, _by_predictability, _verifier, amortised)
    sections = [section for make in makers if (section := make(view)).rows]
    return Judged(rows["question"].nunique(), rows["context"].nunique(), sections, list(findings(view)))


def _by_strategy(view: View) -> Section:
    rows = []
    for name in view.strategies:
        found = view.of(name)
        spent = (found["tokens"].mean(), found["path_tokens"].mean(), found["prompt_tokens"].mean())
        rows.append((name, float(found["temperature"].iloc[0]), share(found), *map(float, spent)))
    header = ("strategy", "temperature", "right", "tokens", "tokens in a row", "prompt tokens")
    return Section("By strategy", "On bare contexts.", header, rows)


def _by_steps(view: View) -> Section:
    names = view.known(["direct", "think16", "think32", "think64", "think", "vote4", "vote16", "verify4x4"])
    rows: list[tuple[Cell, ...]] = []
    for low, high in step_ranges(view):
        asked = [view.of(name)[view.of(name)["steps"].between(low, high)] for name in names]
        label = f"{low}" if low == high else f"{low} to {high}"
        length = float(view.of("think")[view.of("think")["steps"].between(low, high)]["tokens"].mean())
        rows.append((label, asked[0]["question"].nunique(), *map(share, asked), length))
    told = "Steps are the operations on which the answer depends; right answers on bare contexts."
    return Section("By difficulty", told, ("steps", "questions", *names, "tokens of think"), rows)


def _by_effort(view: View) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for name in view.known(["direct", "think8", "think16", "think32", "think", "vote4"]):
        for kind, predictable in (("predictable", 1), ("unpredictable", 0)):
            bare = of_kind(view.of(name), predictable)
            prepared = [of_kind(view.of(name, effort), predictable) for effort in EFFORTS]
            if any(len(found) for found in prepared):
                lengths = [float(found["tokens"].mean()) for found in (bare, *prepared)]
                rows.append((name, kind, share(bare), *map(share, prepared), *lengths))
    header = ("strategy", "questions", "bare", *EFFORTS, *(f"tokens, {name}" for name in ("bare", *EFFORTS)))
    return Section("Prepared contexts", "Right answers and tokens by the effort of the notes.", header, rows)


def _by_predictability(view: View) -> Section:
    """Fifths of the questions by log p(question | context), the least foretold first."""
    if "question_logprob" not in view.rows:
        return Section("By predictability", "", (), [])
    efforts = [effort for effort in EFFORTS if len(view.of("direct", effort))]
    rows: list[tuple[Cell, ...]] = []
    for place, asked in enumerate(_fifths(view)):
        direct, thought = (_only(view.of(name), asked) for name in ("direct", "think"))
        gains = [gain(_only(view.of("direct", effort), asked), direct) for effort in efforts]
        scores = (float(direct["question_logprob"].mean()), float(direct["predictable"].mean()))
        rows.append((place + 1, *scores, share(direct), *gains, share(thought)))
    header = ("fifth", "log p", "predictable", "direct", *(f"direct gains, {name}" for name in efforts), "think")
    told = "Fifths of the questions by their log-probability given the bare context, the least foretold first."
    return Section("By predictability", told, header, rows)


def _fifths(view: View) -> list[set[int]]:
    scores = (
        view.of("direct").drop_duplicates("question").set_index("question")["question_logprob"].rank(method="first")
    )
    place = ((scores - 1) * _BINS // len(scores)).astype(int)
    return [set(place.index[place == number]) for number in range(_BINS)]


def _only(rows: pd.DataFrame, questions: set[int]) -> pd.DataFrame:
    return rows[rows["question"].isin(questions)]


def _verifier(view: View) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for name in view.strategies:
        if name.startswith("verify"):
            found = view.of(name)
            vote = view.of(f"vote{name[6:].split('x')[0]}")
            spent = float(found["tokens"].mean())
            rows.append((name, mean(found, "verifier_auc"), share(found), gain(found, vote), spent))
    header = ("strategy", "AUC within a question", "right", "more than a vote of as many", "tokens")
    told = "AUC: chance that a right solution of a question has more good verdicts than a wrong one."
    return Section("The verifier", told, header, rows)
