"""The commands `nightshift lab ...`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["lab_app"]

_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

lab_app = typer.Typer(name="lab", help="Run a real model: serve it, and load any server with a stream.", **_SETTINGS)


@lab_app.callback()
def _lab() -> None:
    """Commands are added below by what they do."""


@lab_app.command()
def table(
    outcomes: Annotated[Path, typer.Argument(help="A table of outcomes that `nightshift measure` has written.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")] = False,
) -> None:
    """Accuracy and tokens by strategy, difficulty, effort and predictability, as Markdown."""
    import json

    from sim.lab.judged import outcome_table
    from sim.lab.judgement import as_markdown

    found = outcome_table(outcomes)
    typer.echo(json.dumps(found.document(), indent=2, allow_nan=False) if as_json else as_markdown(found), nl=as_json)
