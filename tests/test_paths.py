"""Nightshift finds its own files in a checkout and in a wheel, and keeps what it fetches in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim import paths


def test_data_and_scenarios_are_there() -> None:
    assert paths.data_path("starter.yaml").is_file()
    assert paths.scenario_path("quickstart") == paths.scenario_path("quickstart.yaml")
    assert paths.scenario_path("quickstart").is_file()


def test_an_installed_package_carries_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("_data", "_scenarios"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "paths.py"))

    assert paths.data_path("gpus.csv") == tmp_path / "_data" / "gpus.csv"
    assert paths.scenario_path("peak") == tmp_path / "_scenarios" / "peak.yaml"


@pytest.mark.parametrize(
    ("own", "common", "cache"),
    [("/own", "/common", "/own"), ("", "/common", "/common/nightshift"), ("", "", "/home/me/.cache/nightshift")],
)
def test_the_cache_may_be_moved(own: str, common: str, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSHIFT_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", common)
    monkeypatch.setenv("HOME", "/home/me")

    assert paths.cache_home() == Path(cache)
