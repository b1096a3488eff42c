"""What a router's file says of itself: its metadata, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from router.drift.bins import Reference
from router.errors import RouterError

__all__ = ["FORMAT", "Manifest"]

FORMAT = "nightshift-router-1"

_AGAIN = "export the router again with `nightshift train`"
_JSON: dict[str, type] = {
    "features": dict,
    "strategies": list,
    "has_prepared": bool,
    "labels": dict,
    "metrics": dict,
    "calibration": dict,
    "reference": dict,
}


@dataclass(frozen=True)
class Manifest:
    """A router's metadata."""

    feature_spec: Mapping[str, Any]
    """All that is needed to compute its features; see `router.features`."""
    strategies: tuple[str, ...]
    """In the order of its outputs."""
    has_prepared: bool
    """Whether it tells answers on prepared contexts apart."""
    labels: Mapping[str, Any]
    """What it was trained on."""
    trained_on: date
    metrics: Mapping[str, Any]
    """Of held-out questions, by strategy."""
    calibration: Mapping[str, Any]
    reference: Reference
    """What its training questions looked like."""
    package: str
    """Version of Nightshift that made it."""

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> Manifest:
        """The metadata of an ONNX file, by key.

        Raises:
            RouterError: for a file of another format, for a key that is missing or holds something else.
        """
        found = metadata.get("format")
        if found != FORMAT:
            rule = "is no format of a router" if found else "stands nowhere in the file's metadata"
            raise RouterError(found or "format", rule, f"this version reads {FORMAT}; {_AGAIN}")
        parsed = {key: _parsed(metadata, key, kind) for key, kind in _JSON.items()}
        strategies = _strategies(parsed["strategies"])
        return cls(
            parsed["features"],
            strategies,
            parsed["has_prepared"],
            parsed["labels"],
            _date(_text(metadata, "date")),
            parsed["metrics"],
            parsed["calibration"],
            Reference.read({"questions": parsed["labels"].get("questions")} | parsed["reference"], strategies),
            _text(metadata, "package"),
        )


def _text(metadata: Mapping[str, str], key: str) -> str:
    if not metadata.get(key):
        raise RouterError(key, "is missing from the file's metadata", _AGAIN)
    return metadata[key]


def _parsed(metadata: Mapping[str, str], key: str, kind: type) -> Any:
    text = _text(metadata, key)
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        words = {dict: "a JSON object", list: "a JSON list", bool: "true or false"}
        raise RouterError(f"{key}={text[:40]}", f"is not {words[kind]}", _AGAIN)
    return value


def _strategies(names: list[Any]) -> tuple[str, ...]:
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise RouterError(f"strategies={names}", "is no list of different names", _AGAIN)
    return tuple(names)


def _date(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise RouterError(f"date={text}", "is no date", _AGAIN) from None
