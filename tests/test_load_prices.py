"""Prices are looked up when a scenario loads: what is not shipped, not readable or not valid is told by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import ScenarioError
from sim.load import dump_scenario, load_scenario
from sim.paths import data_path
from sim.scenario import ApiPool, GpuPool
from tests.conftest import SMALL_SCENARIO

Write = Callable[[str], Path]


def told(file: Path, *overrides: str) -> list[str]:
    """The faults of a file, without the folder."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, overrides)
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


def with_pool(**changes: Any) -> str:
    """The small scenario with changes to its pool of GPUs, which begins on line 9."""
    plain = yaml.safe_load(SMALL_SCENARIO)
    pool = {**plain["fleet"][0], **changes}
    written = [yaml.safe_dump({key: value}, default_flow_style=True, width=1000)[1:-2] for key, value in pool.items()]
    return "\n".join(
        [*SMALL_SCENARIO.splitlines()[:8], f"  - {written[0]}", *(f"    {line}" for line in written[1:]), ""]
    )


def with_api(tariff: Any) -> str:
    """The small scenario with an API on the last line."""
    api = {"name": "api", "kind": "api", "model": "Llama-3.1-8B", "tariff": tariff}
    return SMALL_SCENARIO + f"  - {yaml.safe_dump(api, default_flow_style=True, width=1000)}"


RATES = {"input_usd_per_1m": 1.0, "output_usd_per_1m": 2.0}
SPOT = {"kind": "spot", "cloud": "aws", "region": "us-east-1"}
RESERVED = {"kind": "reserved", "cloud": "aws", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (with_api("deepseek-2026-09"), "fleet.1.tariff: deepseek-2026-09 is no shipped tariff of tokens, did you mean"),
        (
            with_api({"kind": "named", "name": "deepsek-2026-08"}),
            "fleet.1.tariff.name: deepsek-2026-08 is no shipped tariff of tokens, did you mean 'deepseek-2026-08'?",
        ),
        (
            with_api({"kind": "windows", "base": RATES, "tier": "openai/bach"}),
            "fleet.1.tariff.tier: openai/bach is no known tier, did you mean 'openai/batch'?",
        ),
        (with_api({"base": RATES}), "fleet.1.tariff.kind: is missing; use one of: windows, named"),
        (
            with_pool(offer={"kind": "on-demand", "tariff": "spot-aws-us-east-1-H100"}),
            "fleet.0.offer.tariff: spot-aws-us-east-1-H100 is no shipped tariff of GPUs, "
            "did you mean 'spot-aws-us-east-1-H100-SXM'?",
        ),
        (
            with_pool(offer={**SPOT, "availability": {"zone": "aws-us-east-1a-v100x1"}}),
            "fleet.0.offer.availability.zone: aws-us-east-1a-v100x1 is no shipped zone of spot availability, did you",
        ),
        (
            with_pool(offer={**SPOT, "cloud": "awz"}),
            "fleet.0.offer.cloud: awz has no shipped price of H100-SXM, did you mean 'aws'?",
        ),
        (
            with_pool(offer={**SPOT, "region": "us-east-9"}),
            "fleet.0.offer.region: us-east-9 has no shipped price of H100-SXM at aws, did you mean 'us-east-2'?",
        ),
        (
            with_pool(gpu="MI325X", offer=SPOT),
            "fleet.0.offer: MI325X has no shipped price; give `usd_per_gpu_hour`; prices",
        ),
        (
            with_pool(offer={**SPOT, "region": "ap-northeast-2"}),
            "fleet.0.offer: aws ap-northeast-2 has no spot price of H100-SXM; take another region, or give",
        ),
        (
            with_pool(offer={"kind": "spot", "tariff": "spot-nebius-us-central1-B200-SXM"}),
            "fleet.0.offer.tariff: spot-nebius-us-central1-B200-SXM is a tariff of B200-SXM, not of H100-SXM; take one",
        ),
        (
            with_pool(offer={**RESERVED, "commitment": "h100-1y"}),
            "fleet.0.offer.commitment: h100-1y is no shipped commitment, did you mean 'h100-3y'?",
        ),
        (
            with_pool(offer={**RESERVED, "commitment": "h200-3y"}),
            "fleet.0.offer.commitment: h200-3y is a commitment for H200-SXM at any, not for H100-SXM at aws; give the",
        ),
        (
            with_pool(electricity="pge-b19"),
            "fleet.0.electricity: pge-b19 is no shipped tariff of electricity, did you mean 'pge-b-19'?",
        ),
        (with_pool(carbon="de"), "fleet.0.carbon: de is no shipped tariff of carbon; use one of: de-2020, fr-2020"),
        (
            with_pool(carbon={"kind": "series", "path": "gone.csv"}),
            "fleet.0.carbon.path: gone.csv is not a file (gone.csv); give the path of an existing file",
        ),
    ],
)
def test_a_price_that_is_not_known_is_one_fault_at_its_place(text: str, fault: str, scenario_file: Write) -> None:
    (only,) = told(scenario_file(text))

    assert only.split("  ", 1)[1].startswith(fault)


def test_names_are_told_together_with_all_other_faults(scenario_file: Write) -> None:
    offer = {**SPOT, "cloud": "awz", "notise": "2m", "availability": {"zone": "mars"}}
    text = with_pool(offer=offer, electricity="pge", replicas=-1).replace("horizon: 10m", "horizon: 10 apples")

    assert [fault.split(": ")[0] for fault in told(scenario_file(text))] == [
        "scenario.yaml:2  horizon",
        "scenario.yaml:12  fleet.0.replicas",
        "scenario.yaml:13  fleet.0.offer.notise",
        "scenario.yaml:13  fleet.0.offer.availability.zone",
        "scenario.yaml:13  fleet.0.offer.cloud",
        "scenario.yaml:14  fleet.0.electricity",
    ]


def test_an_unknown_gpu_is_told_once(scenario_file: Write) -> None:
    (only,) = told(scenario_file(with_pool(gpu="H100-SMX", offer=SPOT)))

    assert "H100-SMX is not a GPU of the catalogue" in only


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        ("2026-01-05", "2026-01-05T00:00:00 for 600 s is a run outside the tariff, which is valid from 2026-08-16T16"),
        ("2026-08-16T15:59", "2026-08-16T15:59:00 for 600 s is a run outside the tariff, which is valid from 2026"),
        ("2026-08-16T16:00", None),
    ],
)
def test_a_run_outside_a_tariff_is_told(start: str, fault: str | None, scenario_file: Write) -> None:
    file = scenario_file(f"start: {start}\n" + with_api("deepseek-2026-08"))

    if fault is None:
        assert isinstance(load_scenario(file).fleet[1], ApiPool)
    else:
        (only,) = told(file)
        assert only.startswith(f"scenario.yaml:15  fleet.1.tariff: {fault}")


def test_validity_counts_on_the_clock_of_the_tariff(scenario_file: Write) -> None:
    tariff = {"kind": "windows", "base": RATES, "valid_to": "2026-01-05T12:00:00", "time_zone": "Asia/Tokyo"}
    file = scenario_file(with_api(tariff))

    assert load_scenario(file, ["horizon=3h"]).horizon == 3 * 3600
    (only,) = told(file, "horizon=181m")
    assert "2026-01-05T09:00:00 for 10860 s is a run outside the tariff, which is valid to" in only


def test_a_run_of_unknown_length_must_begin_within_the_tariff(scenario_file: Write) -> None:
    finite = with_api("deepseek-2026-08").replace(
        "{kind: poisson, rps: 2.0}", "{kind: closed, concurrency: 1, requests: 3}"
    )
    file = scenario_file(finite.replace("horizon: 10m\n", ""))

    assert "2026-01-05T00:00:00 is a run outside the tariff" in told(file)[0]
    assert load_scenario(file, ["start=2026-10-01"]).horizon is None


def test_a_list_of_prices_must_cover_the_run(scenario_file: Write) -> None:
    short = {"kind": "series", "usd_per_gpu_hour": [1.0, 2.0], "step": "4m"}
    file = scenario_file(with_pool(offer={"kind": "on-demand", "tariff": short}))
    (only,) = told(file)

    assert "fleet.0.offer.tariff: the list of 2 prices holds from" in only
    assert "does not cover the run" in only
    assert load_scenario(file, ["fleet.0.offer.tariff.repeat=true"])


def test_a_series_that_ends_beyond_all_dates_is_told_too(scenario_file: Write) -> None:
    far = {"kind": "series", "usd_per_gpu_hour": [1.0] * 200, "step": "36525d", "begin": "2100-01-01"}
    (only,) = told(scenario_file(with_pool(offer={"kind": "on-demand", "tariff": far})))

    assert "to 9999-12-31" in only


PLACES = {
    "offer": "fleet.0.offer.tariff",
    "electricity": "fleet.0.electricity",
    "carbon": "fleet.0.carbon",
}
COLUMNS = {"offer": "usd_per_gpu_hour", "electricity": "usd_per_kwh", "carbon": "g_co2_per_kwh"}


def with_series(key: str) -> str:
    series = {"kind": "series", "path": "prices.csv"}
    return with_pool(**{key: {"kind": "on-demand", "tariff": series} if key == "offer" else series})


@pytest.mark.parametrize("key", PLACES)
def test_files_of_prices_lie_beside_the_scenario_but_those_of_overrides_where_we_stand(
    key: str, scenario_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for file in (tmp_path / "prices.csv", here / "prices.csv"):
        file.write_text(f"time,{COLUMNS[key]}\n2026-01-05T00:00Z,0.5\n", encoding="utf-8")
    file = scenario_file(with_series(key))

    def path(*overrides: str) -> Path | None:
        pool = load_scenario(file, overrides).fleet[0]
        assert isinstance(pool, GpuPool)
        tariff: Any = pool.offer.tariff if key == "offer" else getattr(pool, key)
        found: Path | None = tariff.path
        return found

    assert path() == tmp_path / "prices.csv"
    assert path(f"{PLACES[key]}.path=prices.csv") == here / "prices.csv"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\n", "time in prices.csv:1 is no column of the file"),
        ("time,price\n2026-01-05T00:00Z,0.5\n", "usd_per_kwh in prices.csv:1 is no column of the file"),
        ("time,usd_per_kwh\n", "prices.csv holds no prices"),
        ("time,usd_per_kwh\n2026-01-05T00:00Z,cheap\n", "cheap in prices.csv:2 is not a price"),
        ("time,usd_per_kwh\nMonday,0.5\n", "Monday in prices.csv:2 is not a time"),
        ("time,usd_per_kwh\n2026-02-05T00:00Z,0.5\n", "prices.csv holds from 2026-02-05"),
    ],
)
def test_what_is_wrong_in_a_file_of_prices_is_told_at_load(
    text: str, fault: str, scenario_file: Write, tmp_path: Path
) -> None:
    (tmp_path / "prices.csv").write_text(text, encoding="utf-8")
    (only,) = told(scenario_file(with_series("electricity")))

    assert only.startswith(f"scenario.yaml:14  fleet.0.electricity.path: {fault}")


STARTS = {
    "pge-e-19-2018-summer": "2018-07-02",
    "deepseek-flash-2026-10": "2026-10-26",
    "deepseek-chat-2025-02": "2025-03-03",
    "deepseek-reasoner-2025-02": "2025-03-03",
}


@pytest.mark.parametrize("family", ["tokens", "electricity", "carbon"])
def test_every_shipped_tariff_loads_by_name_and_survives_a_round_trip(family: str, scenario_file: Write) -> None:
    for name in (path.stem for path in data_path("tariffs", family).glob("*.yaml")):
        text = with_api(name) if family == "tokens" else with_pool(**{family: name})
        scenario = load_scenario(scenario_file(text), [f"start={STARTS.get(name, '2026-09-14')}"])

        assert load_scenario(scenario_file(dump_scenario(scenario))) == scenario


NUMBERS = st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats()
KEYS = st.sampled_from(["kind", "tariff", "path", "name", "tier", "cloud", "region", "windows", "availability", "zone"])
JUNK = st.recursive(
    NUMBERS
    | st.sampled_from(["", "x", "aws", "h100-3y", "series", "named", "spot", "reserved", "windows", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=JUNK, key=st.sampled_from(["offer", "electricity", "carbon", "tariff", "kind", "gpu"]))
def test_junk_in_prices_ends_in_faults_and_never_in_a_traceback(junk: object, key: str, scenario_file: Write) -> None:
    plain = yaml.safe_load(SMALL_SCENARIO)
    plain["fleet"][0][key] = junk

    assert told(scenario_file(yaml.safe_dump({**plain, "seed": -1})))
