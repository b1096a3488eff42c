"""Stand-in: a plan in a few lines."""

from __future__ import annotations

from typing import Any

import typer

__all__ = ["print_analytic", "print_plan"]


def print_analytic(document: dict[str, Any]) -> None:
    """The analytic answer."""
    typer.echo(f"analytic: ${document['analytic']['monthly_usd']:,.0f} a month", err=True)


def print_plan(document: dict[str, Any]) -> None:
    """The confirmed one."""
    typer.echo(f"plan: ${document['plan']['monthly_usd']:,.0f} a month")
