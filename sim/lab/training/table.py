"""The table by which the lab's model is known: `python -m sim.lab.training.table data/lab --split test`.

Accuracy and tokens by mode and number of steps, budgets, votes, verifier, efforts, predictability. All of it is
measured on the same questions, which the model has not seen; answers are greedy unless a temperature is named.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from sim.lab.language import (
    ANSWER,
    MAX_TOKENS,
    Effort,
    Language,
    Mode,
    Split,
    context_prompt,
    forced_answer_prompt,
    question_prompt,
    read_answer,
    read_verdict,
    verify_prompt,
)
from sim.lab.training.judge import Asked, Runs, answered, asked, majority, prepared, right_share, within_question_auc
from sim.lab.training.model import Decoder, load_decoder
from sim.lab.training.sampling import generate, log_probabilities

__all__ = ["Table", "main", "model_table"]

_log = logging.getLogger(__name__)

EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")
MODES: tuple[Mode, ...] = ("direct", "think")
BUDGETS = (0, 4, 8, 12, 16, 24, 32, 48, 64)
VOTES = (1, 2, 4, 8, 16)
VERIFIED_QUESTIONS = 120


@dataclass(frozen=True)
class Table:
    """A title, names of columns, and rows of what stands below them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]

    def __str__(self) -> str:
        """The table in Markdown."""
        lines = [self.columns, ["---:"] * len(self.columns), *(map(_cell, row) for row in self.rows)]
        return "\n".join([self.title, "", *("| " + " | ".join(line) + " |" for line in lines)])


def model_table(model: Decoder, items: Sequence[Asked], seed: int = 0) -> list[Table]:
    """All tables of a model, measured on the same questions."""
    direct, think = answered(model, items, "direct"), answered(model, items, "think")
    tables = [_by_steps(items, direct, think), _budgets(model, items, think)]
    sampled = answered(model, items, "think", temperature=1.0, samples=16, seed=seed)
    cooler = answered(model, items, "think", temperature=0.7, samples=8, seed=seed)
    tables.append(_votes(items, {1.0: sampled, 0.7: cooler}))
    tables.append(_verifier(model, items, sampled, seed))
    runs: dict[tuple[str, str], Runs] = {("none", "direct"): direct, ("none", "think"): think}
    sizes = {"none": 0.0}
    for effort in EFFORTS:
        noted = prepared(model, items, effort)
        sizes[effort] = float(np.mean([len(section) for section in noted.values()]))
        runs |= {(effort, mode): answered(model, items, mode, noted) for mode in MODES}
    return [*tables, _efforts(items, runs, sizes), _bins(model, items, runs)]


def _by_steps(items: Sequence[Asked], direct: Runs, think: Runs) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for label, kinds in (("all", (True, False)), ("predictable", (True,)), ("unpredictable", (False,))):
        steps = sorted({item.question.steps for item in items if item.question.predictable in kinds})
        for chosen in (steps, *([step] for step in steps if len(kinds) == 1)):
            places = [p for p, i in enumerate(items) if i.question.predictable in kinds and i.question.steps in chosen]
            some, long = [items[place] for place in places], [think[place] for place in places]
            name = "any" if chosen is steps else str(chosen[0])
            accuracies = right_share(some, [direct[place] for place in places]), right_share(some, long)
            rows.append((label, name, len(some), *accuracies, _tokens(long)))
    columns = ("questions", "steps", "n", "direct", "think", "think tokens")
    return Table("Accuracy by number of dependent steps", columns, tuple(rows))


def _budgets(model: Decoder, items: Sequence[Asked], think: Runs) -> Table:
    rows = []
    for budget in BUDGETS:
        cut = [chains[0][:budget] for chains in think]
        unfinished = [place for place, chain in enumerate(cut) if ANSWER not in chain[:-1]]
        prompts = [
            forced_answer_prompt(question_prompt(items[p].context, items[p].question, "think"), cut[p])
            for p in unfinished
        ]
        texts = list(cut)
        for place, forced in zip(unfinished, generate(model, prompts, 1), strict=True):
            texts[place] = [*cut[place], ANSWER, *forced[0]]
        runs = [[text] for text in texts]
        rows.append((budget, right_share(items, runs), _tokens(runs), len(unfinished) / len(items)))
    columns = ("budget", "accuracy", "tokens", "cut off")
    return Table("Thinking that is cut off and asked for its answer", columns, tuple(rows))


def _votes(items: Sequence[Asked], sampled: Mapping[float, Runs]) -> Table:
    rows = []
    for temperature, runs in sampled.items():
        answers, samples = [[read_answer(row) for row in rows_] for rows_ in runs], len(runs[0])
        for votes in (votes for votes in VOTES if votes <= samples):
            good = [
                majority(row[start : start + votes]) == item.question.answer
                for item, row in zip(items, answers, strict=True)
                for start in range(0, samples, votes)
            ]
            some = [
                item.question.answer in row[start : start + votes]
                for item, row in zip(items, answers, strict=True)
                for start in range(0, samples, votes)
            ]
            rows.append((f"{temperature}", votes, float(np.mean(good)), float(np.mean(some))))
    columns = ("temperature", "votes", "majority right", "any right")
    return Table("Votes of thinking", columns, tuple(rows))


def _verifier(model: Decoder, items: Sequence[Asked], runs: Runs, seed: int) -> Table:
    """Up to four right and four wrong samples of each question that has both, each checked 1 and 8 times."""
    chosen: list[tuple[Asked, Runs]] = []
    for item, rows in zip(items, runs, strict=True):
        sides = [[row for row in rows if item.right(row) is good][:4] for good in (True, False)]
        if all(sides) and len(chosen) < VERIFIED_QUESTIONS:
            chosen.append((item, sides))
    prompts = [verify_prompt(i.context, i.question, row) for i, sides in chosen for side in sides for row in side]
    lines: list[tuple[str | float, ...]] = []
    for temperature, samples in ((0.0, 1), (1.0, 8)) if chosen else ():
        checks = generate(model, prompts, MAX_TOKENS["verify"], temperature, samples, seed)
        verdicts = np.array([[read_verdict(row) is True for row in rows] for rows in checks], dtype=float)
        for count in (count for count in VOTES if count <= samples):
            scores = _by_side([sides for _, sides in chosen], verdicts[:, :count].mean(1))
            said_yes = [float(np.mean([np.mean(pair[side]) for pair in scores])) for side in (0, 1)]
            lines.append((f"{temperature}", count, within_question_auc(scores), *said_yes, count * _tokens(checks)))
    columns = ("temperature", "checks", "AUC within a question", "yes to right", "yes to wrong", "tokens")
    return Table(f"Verifier, on {len(chosen)} questions with right and wrong samples", columns, tuple(lines))


def _by_side(sides: Sequence[Runs], means: Sequence[float]) -> list[tuple[list[float], list[float]]]:
    """The scores of each question's right and wrong solutions."""
    rest, found = list(means), []
    for right, wrong in sides:
        found.append((rest[: len(right)], rest[len(right) : len(right) + len(wrong)]))
        rest = rest[len(right) + len(wrong) :]
    return found


def _efforts(items: Sequence[Asked], runs: Mapping[tuple[str, str], Runs], sizes: Mapping[str, float]) -> Table:
    rows = []
    for effort in ("none", *EFFORTS):
        for predictable in (True, False):
            places = [place for place, item in enumerate(items) if item.question.predictable is predictable]
            some = [items[place] for place in places]
            parts = [[runs[effort, mode][place] for place in places] for mode in MODES]
            accuracies = [right_share(some, part) for part in parts]
            rows.append((effort, sizes[effort], "yes" if predictable else "no", *accuracies, _tokens(parts[1])))
    columns = ("effort", "tokens of notes", "predictable", "direct", "think", "think tokens")
    return Table("Answers on the model's own notes", columns, tuple(rows))


def _bins(model: Decoder, items: Sequence[Asked], runs: Mapping[tuple[str, str], Runs]) -> Table:
    """Fifths of the questions by log p(question | context), the mark that ends the question included."""
    heads, ends = [], []
    for item in items:
        prompt, size = question_prompt(item.context, item.question, "think"), len(context_prompt(item.context)) + 1
        heads.append(prompt[:size])
        ends.append(prompt[size:])
    scores = np.array(log_probabilities(model, heads, ends))
    rows = []
    for number, places in enumerate(np.array_split(np.argsort(scores, kind="stable"), 5)):
        some = [items[place] for place in places]
        cells = [
            right_share(some, [runs[effort, mode][place] for place in places])
            for mode in MODES
            for effort in ("none", *EFFORTS)
        ]
        told = float(np.mean([item.question.predictable for item in some]))
        steps = float(np.mean([item.question.steps for item in some]))
        rows.append((number + 1, float(scores[places].mean()), told, steps, *cells))
    columns = tuple(f"{mode}, {effort}" for mode in MODES for effort in ("none", *EFFORTS))
    title = "Accuracy by predictability and notes, in fifths of the questions by log p(question | context)"
    return Table(title, ("fifth", "log p", "predictable", "steps", *columns), tuple(rows))


def _tokens(runs: Runs) -> float:
    return float(np.mean([len(row) for rows in runs for row in rows]))


def _cell(value: str | float | int) -> str:
    return f"{value:.3f}" if isinstance(value, float) and abs(value) <= 1 else _large(value)


def _large(value: str | float | int) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def main() -> None:
    """The command line."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", type=Split, default=Split.DEV)
    parser.add_argument("--contexts", type=int, default=350)
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    started = perf_counter()
    items = asked(Language.held_out(), given.split, given.contexts, given.questions)
    tables = model_table(load_decoder(given.folder), items, given.seed)
    _log.info("%d questions of %d contexts, split %s\n", len(items), given.contexts, given.split)
    _log.info("%s\n\n%.0f s", "\n\n".join(map(str, tables)), perf_counter() - started)


if __name__ == "__main__":
    main()
