"""The command `nightshift evaluate`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["evaluate"]


class Missing(StrEnum):
    """What an answer that is not there counts as."""

    leave_out = "leave-out"
    wrong = "wrong"


_Pairs = list[str] | None


def evaluate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[ROUTER.onnx] [OUTCOMES]", help="A router, and what came of questions."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge these: question, strategy, p_correct, tokens, correct, group."),
    ] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Train anew on the outcomes, judging folds left out.")] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Predictions of another router to be held against.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answers chosen by chance: question, strategy, propensity, correct."),
    ] = None,
    names: Annotated[
        str | None, typer.Option("--map", metavar="OURS=THEIRS,...", help="Columns of the outcomes by our names.")
    ] = None,
    texts: Annotated[Path | None, typer.Option(metavar="FILE", help="A file of texts by question.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="What is left out and drawn together.")] = None,
    features: Annotated[str, typer.Option(metavar="A,B", help="Numeric columns to train anew on, or auto.")] = "auto",
    signals: Annotated[str | None, typer.Option(metavar="A,B", help="Signals, such as confidence:direct.")] = None,
    strategies: Annotated[str | None, typer.Option(metavar="A,B", help="Only some of the strategies.")] = None,
    prepared: Annotated[bool, typer.Option("--prepared", help="Judge answers on prepared contexts.")] = False,
    effort: Annotated[str, typer.Option(help="Of prepared contexts: low, medium or high.")] = "medium",
    missing: Annotated[Missing, typer.Option(help="What an answer that is not there counts as.")] = Missing.leave_out,
    usd_per_1m: Annotated[
        _Pairs, typer.Option("--usd-per-1m", metavar="STRATEGY=USD", help="Price of output tokens; else 1 for all.")
    ] = None,
    prompt_usd_per_1m: Annotated[
        _Pairs, typer.Option("--prompt-usd-per-1m", metavar="STRATEGY=USD", help="Price of prompt tokens; else none.")
    ] = None,
    cost: Annotated[
        _Pairs, typer.Option(metavar="STRATEGY=USD", help="Price of an answer, whatever its tokens.")
    ] = None,
    budget: Annotated[
        list[float] | None, typer.Option(metavar="USD", help="Compare at this spend a question as well.")
    ] = None,
    cheap: Annotated[
        str | None, typer.Option(metavar="STRATEGY", help="Of the pair for APGR; else the cheapest.")
    ] = None,
    strong: Annotated[
        str | None, typer.Option(metavar="STRATEGY", help="Of the pair; else that most often right.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="STRATEGY", help="Compare with it at its spend; else the one most often right."),
    ] = None,
    usd_per_correct: Annotated[
        float | None, typer.Option(metavar="USD", help="What a right answer is worth to the policy asked of a log.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of --refit.")] = 5,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the bootstrap.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of draws and folds.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write page and figures to here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Tell how good a router is, and whether routing pays: accuracy at equal spend, with intervals and a verdict."""
    from router.evaluation import Settings, TokenPrices
    from router.evaluation.run import Asked
    from sim import commands
    from sim.evaluation.arguments import listed, prices_of, router_and_outcomes

    router, outcomes = router_and_outcomes(files or ())
    asked = Asked(
        router=router,
        outcomes=outcomes,
        predictions=predictions,
        refit=refit,
        baseline=baseline,
        log=log,
        texts=texts,
        group=group,
        features=listed(features) or (),
        signals=listed(signals) or (),
        strategies=listed(strategies),
        prepared=prepared,
        effort=effort,
        missing=missing.value,
        prices=TokenPrices(
            prices_of("--usd-per-1m", usd_per_1m),
            prices_of("--prompt-usd-per-1m", prompt_usd_per_1m),
            prices_of("--cost", cost),
        ),
        usd_per_correct=usd_per_correct,
        folds=folds,
        settings=Settings(draws, seed, cheap, strong, against, tuple(budget or ())),
    )
    found = commands.evaluate(asked, names=names, out=out, progress=_told)
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        from rich.console import Console

        from sim.evaluation.terminal import format_evaluation

        Console().print(format_evaluation(found))
    if out is not None:
        typer.echo(f"The page is {out / 'evaluation.html'}", err=as_json)


def _told(line: str) -> None:
    typer.echo(line, err=True)
