"""What stands for a run: a digest of all that its figures follow from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.paths import data_path

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["content_key", "file_digest", "named_files", "package_digest", "with_files"]

_LIBRARIES = ("numpy", "scipy", "numba", "simpy")
"""Of others, those whose version may change a figure."""


def content_key(scenario: Scenario) -> str:
    """64 hexadecimal digits that stand for a run of a scenario, seed and replications included.

    They follow from the scenario with every value written out, from the content of the files it names (wherever these
    lie, so that another machine agrees) and from `package_digest`.
    """
    plain = _replaced(scenario.model_dump(mode="json", by_alias=True), _by_content)
    return hashlib.sha256(json.dumps([package_digest(), plain]).encode()).hexdigest()


@cache
def package_digest() -> str:
    """64 hexadecimal digits that stand for this version: our code and data, and the libraries that figures hang on."""
    from importlib.metadata import version

    digest = hashlib.sha256("".join(f"{name} {version(name)}\n" for name in ("nightshift", *_LIBRARIES)).encode())
    for file, name in _own_files():
        digest.update(f"{name} ".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _own_files() -> Iterator[tuple[Path, str]]:
    """Every file of ours that a figure may follow from, with a name that is the same wherever it is installed."""
    import router
    import sim

    for package in (sim, router):
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            yield file, f"{package.__name__}/{file.relative_to(folder).as_posix()}"
    data = data_path()
    for file in sorted(path for path in data.rglob("*") if path.is_file()):
        yield file, f"data/{file.relative_to(data).as_posix()}"


def named_files(scenario: Scenario) -> dict[str, str]:
    """The files that a scenario names, by their whole paths as loading makes them, each with its digest."""
    found = {}

    def note(file: str) -> str:
        found[file] = file_digest(Path(file))
        return file

    _replaced(scenario.model_dump(mode="json", by_alias=True), note)
    return found


def with_files(scenario: Scenario, places: dict[str, str]) -> Scenario:
    """The scenario with its files at other places."""
    plain = _texts(scenario.model_dump(by_alias=True), lambda text: places.get(text, text))
    return type(scenario).model_validate(plain)


def file_digest(file: Path) -> str:
    """The SHA-256 of a file's content; a file that has not changed since is read once."""
    stat = file.stat()
    return _digest(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(file: Path, size: int, changed_ns: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _by_content(file: str) -> str:
    """In place of its path; its name may say how it is to be read."""
    return f"{Path(file).name} {file_digest(Path(file))}"


def _replaced(value: Any, of_file: Any) -> Any:
    """The value with each text that names a file by its whole path replaced."""
    return _texts(value, lambda text: of_file(text) if os.path.isabs(text) and os.path.isfile(text) else text)


def _texts(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(part, change) for part in value]
    return change(value) if isinstance(value, str) else value
