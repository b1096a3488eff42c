"""`nightshift lab replay` as a function: it gives back what its `--json` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.folders import check_results_folder, replace_folder
from sim.lab.client.client import Target
from sim.lab.replay.beside import beside
from sim.lab.replay.dispatch import Sender
from sim.lab.replay.ready import Options
from sim.lab.replay.run import OWN_FILES, Replayed, replay
from sim.load import load_scenario

__all__ = ["replay_command"]


def replay_command(
    scenario: Path | str,
    target: Target,
    options: Options,
    *,
    overrides: Sequence[str] = (),
    compare: bool = False,
    out: Path | None = None,
    progress: Callable[[Sender], None] | None = None,
) -> dict[str, Any]:
    """The summary of a replay of the scenario; with `out` its results are kept in that folder.

    Earlier results there are replaced. With `compare` the same requests are simulated, and the latencies of both stand
    under `beside`.

    Raises:
        InputError: for a faulty scenario, an unreadable trace, a server that does not answer, and an `out` that holds
            something else or cannot be written; earlier results stay as they were.
    """
    if options.served is not None and out is None:
        raise InputError("the settings of the server", "are for a folder of measurements", "add --out DIR")
    if out is not None:
        check_results_folder(out, OWN_FILES)
    replayed = replay(load_scenario(scenario, overrides), target, options, progress=progress)
    if compare and not replayed.interrupted:
        replayed.summary["beside"] = beside(replayed.scenario, replayed.plan, replayed.rows)
    if out is not None:
        _keep(replayed, out)
    return replayed.summary


def _keep(replayed: Replayed, out: Path) -> None:
    try:
        replace_folder(out, replayed.save)
    except OSError as error:
        rule = f"cannot be written: {error.strerror or error}"
        raise InputError(out, rule, "make room, or give another folder") from None
