"""The command `nightshift plan`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["plan"]

_INTERRUPTED = 130
"""Exit code of a command that the user stopped."""


class EffortChoice(StrEnum):
    """How long is searched."""

    quick = "quick"
    normal = "normal"
    thorough = "thorough"


class GoalChoice(StrEnum):
    """What a plan is for."""

    cheapest = "cheapest"
    accuracy = "accuracy"
    goodput = "goodput"


def plan(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or a bundled scenario such as quickstart.")],
    budget: Annotated[float | None, typer.Option(metavar="USD", help="Most dollars a month of 730.5 hours.")] = None,
    slo: Annotated[float | None, typer.Option(metavar="SHARE", help="Least share of requests in time.")] = None,
    accuracy: Annotated[float | None, typer.Option(metavar="SHARE", help="Least share of right answers.")] = None,
    risk: Annotated[float | None, typer.Option(metavar="CHANCE", help="Largest chance to miss a target.")] = None,
    goal: Annotated[GoalChoice | None, typer.Option(help="What it is for, if the scenario does not say.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: plan.targets.slo=0.99."),
    ] = None,
    replications: Annotated[int | None, typer.Option(min=2, help="Runs by which a plan is judged.")] = None,
    effort: Annotated[EffortChoice, typer.Option(help="How long is searched.")] = EffortChoice.normal,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core where left out.")] = None,
    analytic_only: Annotated[bool, typer.Option("--analytic-only", help="Do not simulate.")] = False,
    no_year: Annotated[bool, typer.Option("--no-year", help="Plan no further than the scenario's time.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep plan, scenario and page here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness.")] = None,
) -> None:
    """Find what to buy for which hours, and the policy to run it by: cheapest for a promise, or best for a budget."""
    from sim import commands
    from sim.planning.report.terminal import print_analytic, print_plan
    from sim.planning.search.request import PlanRequest, Progress

    request = PlanRequest(
        overrides=tuple(overrides or ()),
        goal=None if goal is None else goal.value,
        budget_usd_per_month=budget,
        slo=slo,
        accuracy=accuracy,
        risk=risk,
        replications=replications,
        effort=effort.value,
        workers=workers,
        analytic_only=analytic_only,
        year=not no_year,
        seed=seed,
    )
    found = commands.plan(scenario, request, out=out, progress=Progress(partial(print_analytic, err=as_json), _told))
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    elif not analytic_only:
        print_plan(found)
    if out is not None:
        typer.echo(f"The plan is in {out}", err=as_json)
    if found["interrupted"]:
        raise typer.Exit(_INTERRUPTED)


def _told(line: str) -> None:
    typer.echo(line, err=True)
