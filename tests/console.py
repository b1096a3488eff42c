"""What rich prints, as text."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

__all__ = ["printed"]


def printed(found: RenderableType, width: int = 80) -> str:
    """As on a terminal of so many columns that has no colours."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(found)
    return capture.get()
