"""Where a measurement comes from: what is told, and where it stands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from sim.errors import InputError
from sim.lab import provenance as told
from sim.lab.provenance import machine, parquet_provenance, provenance, sidecar_of, spoken_command, write_parquet

SMI = "NVIDIA H100 80GB HBM3, 580.159.04, 81559, 1980, 2619, 700.00\n"


def test_it_tells_machine_versions_code_command_and_date() -> None:
    found = provenance("nightshift measure --out here", now=datetime(2026, 11, 21, 9, 30, tzinfo=UTC))

    assert (found["date"], found["command"]) == ("2026-11-21T09:30:00Z", "nightshift measure --out here")
    assert list(found) == ["date", "command", "commit", "changed", "source", "versions", "hardware"]
    assert {"python", "nightshift", "numpy", "pandas", "pyarrow"} <= found["versions"].keys()
    assert any(name.startswith("onnxruntime") for name in found["versions"])
    assert found["hardware"]["cores"] >= 1
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_digest_of_the_code_is_known_without_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "_said", lambda command: None)
    found = provenance("x")

    assert (found["commit"], found["changed"]) == (None, None)
    assert len(found["source"]) == 16


def test_a_gpu_is_told_as_its_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "_said", lambda command: SMI.strip() if command[0] == "nvidia-smi" else None)

    assert machine("cuda")["gpu"] == {
        "name": "NVIDIA H100 80GB HBM3",
        "driver": "580.159.04",
        "memory_mib": 81559.0,
        "sm_clock_mhz": 1980.0,
        "memory_clock_mhz": 2619.0,
        "power_limit_w": 700.0,
    }
    assert machine("cpu")["gpu"] is None


def test_what_the_driver_does_not_tell_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "_said", lambda command: "NVIDIA H20, 580.1, [N/A], [Not Supported], 1593, 500.00")
    gpu = machine("cuda")["gpu"]
    assert (gpu["memory_mib"], gpu["sm_clock_mhz"], gpu["power_limit_w"]) == (None, None, 500.0)

    monkeypatch.setattr(told, "_said", lambda command: None)
    assert machine("cuda")["gpu"] is None


def test_a_command_names_no_folders() -> None:
    words = ["/opt/x/sim/cli.py", "measure", "--out", "/home/me/h100", "--model=/data/w", "https://a/b", "--quick"]

    assert spoken_command(words) == "nightshift measure --out h100 --model=w https://a/b --quick"


def test_a_sidecar_stands_beside_its_file(tmp_path: Path) -> None:
    place = told.write_sidecar(tmp_path / "steps.csv", {"date": "now"})

    assert place == sidecar_of(tmp_path / "steps.csv") == tmp_path / "steps.csv.provenance.json"
    assert json.loads(place.read_text(encoding="utf-8")) == {"date": "now"}


def test_parquet_holds_it_beside_its_rows(tmp_path: Path) -> None:
    rows, file = pd.DataFrame({"a": [1, 2]}), tmp_path / "t.parquet"
    write_parquet(rows, file, {"commit": None})

    assert parquet_provenance(file) == {"commit": None}
    pd.testing.assert_frame_equal(pd.read_parquet(file), rows)
    rows.to_parquet(tmp_path / "bare.parquet")
    assert parquet_provenance(tmp_path / "bare.parquet") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.parquet", "t.parquet"]


def test_parquet_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "nowhere" / "t.parquet", {})
