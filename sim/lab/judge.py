"""How good the lab's model is: the table of accuracies and tokens on contexts it has not seen, in torch."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from sim.lab.branches import Solution
from sim.lab.language import (
    ANSWER,
    MAX_TOKENS,
    Context,
    Effort,
    Language,
    Mode,
    Question,
    Split,
    context_prompt,
    forced_answer_prompt,
    make_context,
    make_questions,
    noted_section,
    notes,
    prepare_prompt,
    question_prompt,
    read_answer,
    read_verdict,
    verify_prompt,
)
from sim.lab.model import Decoder, load_decoder
from sim.lab.sampling import generate, log_probabilities

__all__ = ["Asked", "asked", "judged", "own_solutions", "quick_accuracies", "within_question_auc"]

_log = logging.getLogger(__name__)

EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")
BUDGETS = (0, 4, 8, 12, 16, 24, 32, 48, 64)
VOTES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Asked:
    """A question with its context."""

    context: Context
    question: Question

    def right(self, generated: Sequence[int]) -> bool:
        """Whether generated tokens give the right answer."""
        return read_answer(generated) == self.question.answer


def asked(language: Language, split: Split, contexts: int, questions: int, first: int = 0) -> list[Asked]:
    """`questions` questions of each of `contexts` contexts of a split."""
    made = (make_context(language, split, index) for index in range(first, first + contexts))
    return [Asked(context, question) for context in made for question in make_questions(language, context, questions)]


def quick_accuracies(model: Decoder, language: Language, count: int = 256) -> dict[str, float]:
    """Accuracies of dev questions, for a training log: greedy, one sample at temperature 1, and on right notes."""
    items = asked(language, Split.DEV, count, 1)
    section = [notes(item.context, "low") for item in items]
    think = [question_prompt(item.context, item.question, "think") for item in items]
    direct = [question_prompt(item.context, item.question, "direct") for item in items]
    noted = [question_prompt(item.context, item.question, "direct", section[place]) for place, item in enumerate(items)]
    runs = {
        "direct": generate(model, direct, MAX_TOKENS["direct"]),
        "think": generate(model, think, MAX_TOKENS["think"]),
        "think sampled": generate(model, think, MAX_TOKENS["think"], 1.0),
        "direct noted": generate(model, noted, MAX_TOKENS["direct"]),
    }
    return {name: round(_share(items, run), 4) for name, run in runs.items()}


def own_solutions(model: Decoder, language: Language, contexts: Sequence[int]) -> dict[int, list[Solution]]:
    """Chains that the model samples at temperature 1 for the first question of training contexts.

    All the wrong ones, and as many right ones.
    """
    items = [made for index in contexts for made in asked(language, Split.TRAIN, 1, 1, index)]
    prompts = [question_prompt(item.context, item.question, "think") for item in items]
    chains = [rows[0] for rows in generate(model, prompts, MAX_TOKENS["think"], 1.0)]
    right = [item.right(chain) for item, chain in zip(items, chains, strict=True)]
    room = len(right) - sum(right)
    kept: dict[int, list[Solution]] = {}
    for item, chain, good in zip(items, chains, right, strict=True):
        room -= good
        if not good or room >= 0:
            kept[item.context.index] = [Solution(item.context.index, item.question.index, tuple(chain[:-1]))]
    _log.info("own chains: %d right and %d wrong, %d kept", sum(right), len(right) - sum(right), len(kept))
    return kept


def judged(model: Decoder, language: Language, split: Split, contexts: int, questions: int, seed: int = 0) -> str:
    """The whole table as text. Everything is measured on the same questions."""
    items = asked(language, split, contexts, questions)
    by_kind = [item.question.predictable for item in items]
    parts = [f"{len(items)} questions of {contexts} contexts, {split} split, {np.mean(by_kind):.2f} predictable"]
    direct = _run(model, items, "direct", None)
    think = _run(model, items, "think", None)
    parts.append(_by_steps(items, direct, think))
    parts.append(_budgets(model, items, think))
    votes = {}
    for temperature, samples in ((1.0, 16), (0.7, 8)):
        prompts = [question_prompt(item.context, item.question, "think") for item in items]
        votes[temperature] = generate(model, prompts, MAX_TOKENS["think"], temperature, samples, seed)
        parts.append(_votes(items, votes[temperature], temperature))
    parts.append(_verifier(model, items, votes[1.0], seed))
    noted = {effort: _prepared(model, items, effort) for effort in EFFORTS}
    runs = {("none", "direct"): direct, ("none", "think"): think}
    modes: tuple[Mode, ...] = ("direct", "think")
    for effort in EFFORTS:
        for mode in modes:
            runs[effort, mode] = _run(model, items, mode, noted[effort])
    parts.append(_efforts(items, runs, noted))
    parts.append(_bins(model, items, runs))
    return "\n\n".join(parts)


def within_question_auc(scores: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Chance that a right solution scores above a wrong one of the same question, a tie counting half.

    Each item holds the scores of a question's right and wrong solutions; every question weighs alike.
    """
    shares = []
    for right, wrong in scores:
        gap = np.subtract.outer(np.asarray(right), np.asarray(wrong))
        shares.append(float(np.mean((gap > 0) + 0.5 * (gap == 0))))
    return float(np.mean(shares)) if shares else float("nan")


def _run(
    model: Decoder, items: Sequence[Asked], mode: Mode, noted: Mapping[int, Sequence[int]] | None
) -> list[list[list[int]]]:
    prompts = [
        question_prompt(item.context, item.question, mode, None if noted is None else noted[item.context.index])
        for item in items
    ]
    return generate(model, prompts, MAX_TOKENS[mode])


def _prepared(model: Decoder, items: Sequence[Asked], effort: Effort) -> dict[int, list[int]]:
    contexts = {item.context.index: item.context for item in items}
    prompts = [prepare_prompt(context, effort) for context in contexts.values()]
    written = generate(model, prompts, MAX_TOKENS["prepare"])
    return {index: noted_section(effort, rows[0]) for index, rows in zip(contexts, written, strict=True)}


def _share(items: Sequence[Asked], runs: Sequence[Sequence[Sequence[int]]]) -> float:
    return float(np.mean([item.right(row) for item, rows in zip(items, runs, strict=True) for row in rows]))


def _tokens(runs: Sequence[Sequence[Sequence[int]]]) -> float:
    return float(np.mean([len(row) for rows in runs for row in rows]))


def _by_steps(items: Sequence[Asked], direct: list[list[list[int]]], think: list[list[list[int]]]) -> str:
    lines = ["steps      n  direct   think  tokens"]

    def add(label: str, chosen: Callable[[Question], bool]) -> None:
        places = [place for place, item in enumerate(items) if chosen(item.question)]
        if not places:
            return
        some = [items[place] for place in places]
        short, long = [direct[place] for place in places], [think[place] for place in places]
        lines.append(
            f"{label:6} {len(some):5} {_share(some, short):7.3f} {_share(some, long):7.3f} {_tokens(long):7.1f}"
        )

    add("all", lambda question: True)
    add("pred.", lambda question: question.predictable)
    add("unpr.", lambda question: not question.predictable)
    for steps in range(1, 12):
        add(f"p {steps}", lambda question, steps=steps: question.predictable and question.steps == steps)
        add(f"u {steps}", lambda question, steps=steps: not question.predictable and question.steps == steps)
    return "\n".join(lines)


def _budgets(model: Decoder, items: Sequence[Asked], think: list[list[list[int]]]) -> str:
    lines = ["budget  accuracy  tokens"]
    for budget in BUDGETS:
        cut = [rows[0][:budget] for rows in think]
        done = [ANSWER in chain[:-1] for chain in cut]
        prompts = [
            forced_answer_prompt(question_prompt(item.context, item.question, "think"), chain)
            for item, chain, whole in zip(items, cut, done, strict=True)
            if not whole
        ]
        forced = iter(generate(model, prompts, 1)) if prompts else iter([])
        rows = [[chain if whole else next(forced)[0]] for chain, whole in zip(cut, done, strict=True)]
        tokens = np.mean([len(chain) + (0 if whole else 2) for chain, whole in zip(cut, done, strict=True)])
        lines.append(f"{budget:6} {_share(items, rows):9.3f} {tokens:7.1f}")
    return "\n".join(lines)


def _votes(items: Sequence[Asked], runs: list[list[list[int]]], temperature: float) -> str:
    answers = [[read_answer(row) for row in rows] for rows in runs]
    cells = []
    samples = len(runs[0])
    for votes in VOTES:
        if votes > samples:
            break
        good = [
            np.mean(
                [_majority(row[start : start + votes]) == item.question.answer for start in range(0, samples, votes)]
            )
            for item, row in zip(items, answers, strict=True)
        ]
        cells.append(f"k={votes} {np.mean(good):.3f}")
    cover = np.mean([item.question.answer in row for item, row in zip(items, answers, strict=True)])
    return f"votes at temperature {temperature}: " + "  ".join(cells) + f"  any of {samples} {cover:.3f}"


def _majority(answers: Sequence[int | None]) -> int | None:
    """The commonest number; of equals, the one that came first."""
    counts = Counter(answer for answer in answers if answer is not None)
    return counts.most_common(1)[0][0] if counts else None


def _verifier(model: Decoder, items: Sequence[Asked], runs: list[list[list[int]]], seed: int, most: int = 120) -> str:
    """Up to four right and four wrong samples of each question that has both, each checked 8 times."""
    chosen: list[tuple[Asked, list[list[int]], list[list[int]]]] = []
    for item, rows in zip(items, runs, strict=True):
        right, wrong = [row for row in rows if item.right(row)][:4], [row for row in rows if not item.right(row)][:4]
        if right and wrong and len(chosen) < most:
            chosen.append((item, right, wrong))
    prompts = [verify_prompt(i.context, i.question, row) for i, right, wrong in chosen for row in (*right, *wrong)]
    lines = [f"verifier on {len(chosen)} questions with right and wrong samples"]
    for temperature, samples in ((0.0, 1), (1.0, 8)):
        checks = generate(model, prompts, MAX_TOKENS["verify"], temperature, samples, seed)
        votes = np.array([[read_verdict(row) is True for row in rows] for rows in checks], dtype=float)
        cells = []
        for count in (1, 2, 4, 8):
            if count > samples:
                break
            scores, at = [], 0
            for _, right, wrong in chosen:
                means = votes[at : at + len(right) + len(wrong), :count].mean(1)
                scores.append((list(means[: len(right)]), list(means[len(right) :])))
                at += len(means)
            accepted = [np.mean([np.mean(side[place]) for side in scores]) for place in (0, 1)]
            cells.append(
                f"V={count} auc {within_question_auc(scores):.3f} (yes to right {accepted[0]:.2f}, "
                f"to wrong {accepted[1]:.2f})"
            )
        lines.append(f"temperature {temperature}: " + "  ".join(cells) + f"  tokens {_tokens(checks):.1f}")
    return "\n".join(lines)


def _efforts(
    items: Sequence[Asked],
    runs: Mapping[tuple[str, str], list[list[list[int]]]],
    noted: Mapping[Effort, Mapping[int, Sequence[int]]],
) -> str:
    lines = ["effort  notes   direct: pred.  unpr.   think: pred.  unpr.  tokens: pred.  unpr."]
    kinds = [[place for place, item in enumerate(items) if item.question.predictable is kind] for kind in (True, False)]
    for effort in ("none", *EFFORTS):
        size = 0.0 if effort == "none" else float(np.mean([len(rows) for rows in noted[effort].values()]))  # type: ignore[index]
        cells = {}
        for mode in ("direct", "think"):
            run = runs[effort, mode]
            cells[mode] = [_share([items[p] for p in places], [run[p] for p in places]) for places in kinds]
        tokens = [_tokens([runs[effort, "think"][p] for p in places]) for places in kinds]
        lines.append(
            f"{effort:7} {size:5.1f} {cells['direct'][0]:14.3f} {cells['direct'][1]:6.3f} "
            f"{cells['think'][0]:13.3f} {cells['think'][1]:6.3f} {tokens[0]:14.1f} {tokens[1]:6.1f}"
        )
    return "\n".join(lines)


def _bins(model: Decoder, items: Sequence[Asked], runs: Mapping[tuple[str, str], list[list[list[int]]]]) -> str:
    heads = [context_prompt(item.context) for item in items]
    tails = [question_prompt(i.context, i.question, "think")[len(head) :] for i, head in zip(items, heads, strict=True)]
    scores = np.array(
        log_probabilities(model, [[*h, t[0]] for h, t in zip(heads, tails, strict=True)], [t[1:] for t in tails])
    )
    order = np.argsort(scores, kind="stable")
    columns = [("none", "direct"), ("low", "direct"), ("high", "direct"), ("none", "think"), ("low", "think")]
    lines = ["bin  log p   pred.  steps  " + "  ".join(f"{effort} {mode}" for effort, mode in columns)]
    for number, places in enumerate(np.array_split(order, 5)):
        some = [items[place] for place in places]
        cells = [_share(some, [runs[column][place] for place in places]) for column in columns]
        told = np.mean([item.question.predictable for item in some])
        steps = np.mean([item.question.steps for item in some])
        lines.append(
            f"{number + 1:3} {scores[places].mean():6.2f} {told:6.2f} {steps:6.2f}  "
            + "  ".join(f"{cell:11.3f}" for cell in cells)
        )
    return "\n".join(lines)


def main() -> None:
    """`python -m sim.lab.judge data/lab` prints the table of the weights in a folder."""
    import torch

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", type=Split, default=Split.DEV)
    parser.add_argument("--contexts", type=int, default=400)
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--exponent", type=float, default=Language.held_out().constant_exponent)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(2)
    from dataclasses import replace

    language = replace(Language.held_out(), constant_exponent=given.exponent)
    started = perf_counter()
    table = judged(load_decoder(given.folder), language, given.split, given.contexts, given.questions, given.seed)
    _log.info("%s\n\n%.0f s", table, perf_counter() - started)


if __name__ == "__main__":
    main()
