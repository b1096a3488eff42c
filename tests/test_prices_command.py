"""`nightshift prices` tells what a scenario may name, where it is from, and how to name it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.prices import tier
from sim.prices.shipped import gpu_price, shipped_carbon, shipped_electricity, shipped_gpu, shipped_tokens, spot_runs
from sim.prices.terminal import format_prices
from tests.console import printed

LOOK_UP: dict[str, Any] = {
    "tokens": shipped_tokens,
    "tiers": tier,
    "spot_processes": shipped_gpu,
    "spot_zones": spot_runs,
    "electricity": shipped_electricity,
    "carbon": shipped_carbon,
}


def shown(*words: str) -> str:
    return printed(format_prices(commands.prices(words), brief=not words))


def test_every_price_has_its_source_and_date() -> None:
    families = commands.prices()

    assert set(families) == {*LOOK_UP, "gpus", "commitments"}
    assert [row for rows in families.values() for row in rows if not (row["source"] and row["as_of"])] == []


def test_every_name_in_the_list_can_be_looked_up() -> None:
    families = commands.prices()
    for family, look_up in LOOK_UP.items():
        for row in families[family]:
            look_up(row["name"])
    for row in families["gpus"]:
        known = gpu_price(row["cloud"], row["region"], row["gpu"])
        assert known == (row["on_demand_usd_per_gpu_hour"], row["spot_usd_per_gpu_hour"])


def test_words_narrow_the_list() -> None:
    families = commands.prices(["H100", "aws", "us-east-1"])

    assert set(families) == {"gpus", "spot_processes"}
    assert [(row["cloud"], row["region"], row["gpu"]) for row in families["gpus"]] == [("aws", "us-east-1", "H100-SXM")]
    assert set(commands.prices(["carbon"])) == {"carbon"}


def test_a_tariff_by_the_clock_is_told_from_its_lowest_to_its_highest_price() -> None:
    (row,) = commands.prices(["deepseek-2026-08"])["tokens"]

    assert row["windows"] == ["peak", "off-peak"]
    assert row["output_usd_per_1m"] == pytest.approx([1.98, 3.96])
    assert (row["valid_from"], row["valid_to"]) == ("2026-08-16T16:00:00", None)
    assert "deepseek-2026-08  0.66..1.32  1.98..3.96  2026-08-16..  [1]" in shown("deepseek-2026-08")


@pytest.mark.parametrize("words", [(), ("h100",), ("aws",), ("azure",), ("pge",)])
def test_names_are_whole_and_no_line_is_too_long(words: tuple[str, ...]) -> None:
    text = shown(*words)
    named = [row["name"] for rows in commands.prices(words).values() for row in rows if "name" in row]

    assert max(map(len, text.splitlines())) <= 80
    assert [name for name in named if name not in text] == []


def test_a_long_list_of_gpus_is_told_by_cloud() -> None:
    assert "nightshift prices CLOUD" in shown()
    assert "nightshift prices CLOUD" not in shown("azure")
    assert shown("azure", "gpus").count("H100-NVL") > 20


def test_a_word_that_is_nowhere_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="h100 on-the-moon"):
        commands.prices(["h100", "on-the-moon"])
    assert run(["prices", "on-the-moon"]) == 2
    assert capsys.readouterr().err.startswith("on-the-moon stands in no shipped price; ")


def test_the_command_prints_tables_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prices", "gb-2020"]) == 0
    assert "gb-2020" in capsys.readouterr().out
    assert run(["prices", "h100", "aws", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == commands.prices(["h100", "aws"])
