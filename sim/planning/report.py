"""Stand-in: the files of a plan without its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.folders import write_files

__all__ = ["save_plan"]


def save_plan(document: dict[str, Any], folder: Path) -> None:
    """Write the document and the planned scenario."""
    texts = {"plan.json": json.dumps(document, indent=2, allow_nan=False)}
    if document["plan"] is not None:
        texts["plan.yaml"] = document["plan"]["scenario_yaml"]
    write_files(folder, texts)
