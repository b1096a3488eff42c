"""The guide from a bill to a plan, command by command; `python -m tests.plan_guide` brings its outputs up to date."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["GUIDE", "Block", "blocks_of", "missing_lines", "printed_by", "scenario_of"]

GUIDE = Path(__file__).parents[1] / "docs" / "from-a-bill-to-a-plan.md"
_SKIPPED = "..."


class Block(NamedTuple):
    """A command, and the lines that the guide shows of what it prints."""

    command: str
    lines: tuple[str, ...]


def scenario_of(text: str) -> str:
    """The guide's own scenario."""
    return re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]


def blocks_of(text: str) -> list[Block]:
    """All commands of the guide, in order."""
    found = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [Block(command, tuple(lines.splitlines())) for command, lines in found]


def printed_by(command: str) -> str:
    """What a command prints on a terminal of 80 columns, as a process of its own in the current folder.

    Raises:
        CalledProcessError: where it fails.
    """
    root = Path(__file__).parents[1]
    surroundings = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(root)}
    line = [sys.executable, "-m", "sim.cli", *shlex.split(command)[1:]]
    return subprocess.run(line, env=surroundings, check=True, stdout=subprocess.PIPE, text=True).stdout


def missing_lines(block: Block, printed: str) -> list[str]:
    """Lines of the guide that the command does not print, in that order."""
    left = iter(line.rstrip() for line in printed.splitlines())
    shown = [line.rstrip() for line in block.lines if line.strip() != _SKIPPED]
    return [line for line in shown if line not in left]


def _refreshed(block: Block, printed: str) -> Iterator[str]:
    """The lines of a block with the figures of today; one that is found no more stays as it is."""
    left = [line.rstrip() for line in printed.splitlines()]
    for line in block.lines:
        place = next((n for n, new in enumerate(left) if _shape(new) == _shape(line)), None)
        yield line if place is None or line.strip() == _SKIPPED else left[place]
        left = left if place is None else left[place + 1 :]


def _shape(line: str) -> str:
    """A line without its figures and blanks."""
    return re.sub(r"[\d.,\s]+", "#", line.strip())


def main() -> None:
    """Run all commands of the guide, and write what they print into it."""
    text = GUIDE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "desk.yaml").write_text(scenario_of(text), encoding="utf-8")
        os.chdir(folder)
        for block in blocks_of(text):
            fresh = _refreshed(block, printed_by(block.command))
            old = "\n".join((f"$ {block.command}", *block.lines))
            text = text.replace(old, "\n".join((f"$ {block.command}", *fresh)))
    GUIDE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
