"""The command `nightshift compare`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["compare"]

_Changes = list[str] | None
_CHANGE = "KEY=VALUE"


def compare(
    a: Annotated[str, typer.Argument(help="A scenario file, a bundled scenario, or a results folder.")],
    b: Annotated[
        str | None, typer.Argument(help="What it is compared with; else A with the changes of --set-b.")
    ] = None,
    changes: Annotated[_Changes, typer.Option("--set", metavar=_CHANGE, help="Change a value of both.")] = None,
    changes_a: Annotated[_Changes, typer.Option("--set-a", metavar=_CHANGE, help="Change a value of A.")] = None,
    changes_b: Annotated[_Changes, typer.Option("--set-b", metavar=_CHANGE, help="Change a value of B.")] = None,
    replications: Annotated[int | None, typer.Option(min=1, help="Pairs of runs; else as A says.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of both; else as A says.")] = None,
    by_change: Annotated[
        bool, typer.Option("--by-change", help="Also run the way from A to B, one section after another.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write page and figures to here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Compare two scenarios on the same streams: what B costs and does other than A, how surely, and why."""
    from sim import commands
    from sim.comparison.sides import Asked
    from sim.terminal import progress_bar

    asked = Asked(a, b, changes or (), changes_a or (), changes_b or (), replications, seed, by_change)
    with progress_bar() as progress:
        found = commands.compare(asked, out=out, progress=progress)
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        from rich.console import Console

        from sim.comparison.terminal import format_comparison

        Console().print(format_comparison(found))
    if out is not None:
        typer.echo(f"The page is {out / 'compare.html'}", err=as_json)
