"""The command `nightshift sweep`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["sweep"]

_INTERRUPTED = 130
_NOTHING_ANSWERED = 2


class Layout(StrEnum):
    """Which points there are."""

    grid = "grid"
    one_at_a_time = "one-at-a-time"


def sweep(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or a bundled scenario such as quickstart.")],
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="KEY=A,B,C or KEY=LOW:HIGH:STEP, such as fleet.0.replicas=1:8:1."),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A list of settings: YAML, JSON, or CSV with a column for each key."),
    ] = None,
    design: Annotated[
        Layout, typer.Option(help="Every combination, or each key alone beside the scenario as it is.")
    ] = Layout.grid,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value at all points: fleet.0.replicas=4."),
    ] = None,
    replications: Annotated[int | None, typer.Option(min=1, help="Runs of each point.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness.")] = None,
    figures: Annotated[
        str | None, typer.Option(metavar="A,B", help="Figures to tell of, such as cost.total_usd,latency.ttft_s.p99.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core where left out.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a cluster of Ray: auto, HOST:PORT, ray://HOST:PORT or local."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write page, table and JSON to here, and keep all runs.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Keep runs here, for other sweeps too; else DIR/runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Run a scenario at many points and tell which assumption moves the answer most.

    A sweep that was stopped goes on where it was: the same command with the same --out runs only what is missing.
    """
    from sim import commands
    from sim.sweep.sweep import Plan
    from sim.sweep.terminal import format_sweep, sweep_bar

    set_last = {"seed": seed, "replications": replications}
    plan = Plan(
        vary=tuple(vary or ()),
        points=points,
        design=design.value,
        overrides=(*(overrides or ()), *(f"{key}={value}" for key, value in set_last.items() if value is not None)),
        figures=() if figures is None else tuple(name.strip() for name in figures.split(",")),
    )
    with sweep_bar() as progress:
        found = commands.sweep(scenario, plan, out=out, store=store, workers=workers, ray=ray, progress=progress)
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        from rich.console import Console

        Console().print(format_sweep(found))
    if out is not None:
        typer.echo(f"The page is {out / 'sweep.html'}", err=as_json)
    _leave(found, kept=out or store)


def _leave(found: dict[str, Any], kept: Path | None) -> None:
    """With another exit code where the sweep was interrupted, or no point could be run."""
    if found["interrupted"]:
        how = "the same command goes on from here" if kept else "add --out DIR to go on from where it was another time"
        typer.echo(f"Interrupted; {how}.", err=True)
        raise typer.Exit(_INTERRUPTED)
    counts = found["counts"]
    if not counts["answered"]:
        raise typer.Exit(1 if counts["failed"] else _NOTHING_ANSWERED)
