"""What a search came to, kept in a folder: JSON, and a scenario for each point."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.folders import check_place, write_file
from sim.tune.fleets import fleet_of
from sim.tune.space import as_override

__all__ = ["RUNS", "check_folder", "save_tuning"]

RUNS = "runs"
"""A folder of outcomes as they come, by which a search that was stopped goes on."""
_OWN = re.compile(r"tuning\.json|runs|trials\.jsonl|chosen\.yaml|point-\d+\.yaml|\..*")


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than an earlier search, or cannot be written; else make it.

    Raises:
        InputError: for it.
    """
    remedy = "give a new folder, or that of an earlier search"
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", remedy)
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if not _OWN.fullmatch(path.name))
        if others:
            raise InputError(folder, f"holds something other than a search ({others[0]})", remedy)
    check_place(folder / "tuning.json")
    folder.mkdir(parents=True, exist_ok=True)


def save_tuning(found: dict[str, Any], source: Path | str, folder: Path) -> None:
    """Write `tuning.json`, a resolved scenario `point-N.yaml` for each confirmed point, and the chosen one's again.

    `chosen.yaml` is there where a point was chosen. Scenarios of an earlier search are taken away.
    """
    for old in [*folder.glob("point-*.yaml"), *folder.glob("chosen.yaml")]:
        old.unlink()
    for point in found["points"][1:]:
        text = _resolved(source, found["overrides"], point["settings"])
        write_file(folder / f"point-{point['point']}.yaml", text)
        if point["point"] == found["chosen"]:
            write_file(folder / "chosen.yaml", text)
    write_file(folder / "tuning.json", json.dumps(found, indent=2, allow_nan=False) + "\n")


def _resolved(source: Path | str, overrides: Sequence[str], settings: dict[str, Any]) -> str:
    from sim.load import dump_scenario

    changes = [as_override(key, value) for key, value in settings.items()]
    return dump_scenario(fleet_of(source, [*overrides, *changes]))
