"""The commands `nightshift lab ...`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from typing import Any

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
