"""Where Nightshift's own files lie: beside the code in a checkout, inside the package in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_home", "data_path", "scenario_path"]


def data_path(*parts: str) -> Path:
    """Path of a file or folder of the data that travels with Nightshift."""
    return _bundled("data").joinpath(*parts)


def scenario_path(name: str) -> Path:
    """Path of a bundled scenario, named with or without `.yaml`; it need not exist."""
    return _bundled("scenarios") / (name if name.endswith(".yaml") else f"{name}.yaml")


def cache_home() -> Path:
    """Cache folder: $NIGHTSHIFT_CACHE, else $XDG_CACHE_HOME/nightshift, else ~/.cache/nightshift."""
    own = os.environ.get("NIGHTSHIFT_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "nightshift"


def _bundled(folder: str) -> Path:
    package = Path(__file__).resolve().parent
    installed = package / f"_{folder}"
    return installed if installed.is_dir() else package.parent / folder
