"""The law against the table it was fitted to: Poisson arrivals served from both have the same latencies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame

from sim.calibration.step_tables import fit_step_table
from sim.errors import InputError
from sim.validation.replay import replay_open_loop
from sim.validation.table_replay import poisson_check, replay_on_table
from tests.step_tables import A100, made_up, made_up_law, shared_table, table_of

REACH = {"max_num_seqs": 32, "max_num_batched_tokens": 256}


def some_requests(count: int = 300) -> DataFrame:
    """Far more at once than the table's server can take."""
    rng = np.random.default_rng(4)
    lengths = {"prompt_tokens": rng.integers(1, 600, count), "output_tokens": rng.integers(1, 60, count)}
    return DataFrame({"arrival_s": rng.uniform(0.0, 4.0, count), **lengths})


def worst_error(check: DataFrame, quantity: str, statistic: str) -> float:
    return float(check[(check.quantity == quantity) & (check.statistic == statistic)].error.abs().max())


@pytest.mark.parametrize("limits", [REACH, {"max_num_seqs": 5, "max_num_batched_tokens": 40}])
def test_steps_are_formed_as_the_engine_forms_them(limits: dict[str, int]) -> None:
    law = made_up_law(pair_s=0.0)
    requests = some_requests()
    looked_up = replay_on_table(made_up(law), requests, **limits)
    served = replay_open_loop(requests, law, replicas=1, kv_capacity_tokens=10**9, **limits)
    assert looked_up.to_numpy() == pytest.approx(served.to_numpy(), rel=1e-9, nan_ok=True)


def test_a_request_by_hand() -> None:
    requests = DataFrame({"arrival_s": [1.0], "prompt_tokens": [300], "output_tokens": [3]})
    law = made_up_law()
    read_s = law.mixed_step_s(0, 0, 256, 256 * 257 / 2) + law.mixed_step_s(0, 0, 44, 44 * (256 + 45 / 2))
    decode_s = law.decode_step_s(1, 301) + law.decode_step_s(1, 302)
    answer = replay_on_table(made_up(law), requests).iloc[0]
    assert answer.ttft_s == pytest.approx(read_s, rel=1e-9)
    assert answer.tpot_s == pytest.approx(decode_s / 2, rel=1e-9)
    assert answer.e2e_s == pytest.approx(read_s + decode_s, rel=1e-9)


def test_the_law_serves_a_made_up_table_as_the_table_does() -> None:
    check = poisson_check(made_up(), fit_step_table(made_up()).step_time, count=400)
    assert check.load.unique().tolist() == [0.5, 0.8]
    assert len(check) == 2 * 3 * 4
    assert worst_error(check, "ttft_s", "mean") < 0.02
    assert worst_error(check, "e2e_s", "mean") < 0.02
    assert worst_error(check, "e2e_s", "p99") < 0.05


@pytest.mark.parametrize("name", sorted(A100))
def test_the_law_serves_a_measured_table_as_the_table_does(shared: Path, name: str) -> None:
    table = shared_table(shared, name)
    check = poisson_check(table, fit_step_table(table).step_time)
    for quantity in ("ttft_s", "tpot_s", "e2e_s"):
        assert worst_error(check, quantity, "mean") < 0.015
        assert worst_error(check, quantity, "p99") < 0.03


def test_a_law_that_is_wrong_shows() -> None:
    check = poisson_check(made_up(), made_up_law(token_s=1e-4), loads=[0.5], count=400)
    assert worst_error(check, "ttft_s", "mean") > 0.1


@pytest.mark.parametrize("kind", ["decode", "prefill", "mixed"])
def test_a_table_without_a_kind_of_step_cannot_be_replayed(kind: str) -> None:
    table = made_up()
    with_rows, with_prompts = table.rows.decode_rows > 0, table.rows.prompt_tokens > 0
    is_kind = {"decode": ~with_prompts, "prefill": ~with_rows, "mixed": with_rows & with_prompts}[kind]
    with pytest.raises(InputError, match=f"has no {kind} steps, so no server can be replayed on it; add steps of"):
        replay_on_table(replace(table, rows=table.rows[~is_kind]), some_requests())


@pytest.mark.parametrize(
    ("limit", "value"), [("max_num_seqs", 33), ("max_num_batched_tokens", 257), ("max_num_seqs", 0)]
)
def test_limits_beyond_the_table_are_refused(limit: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{value} is beyond the .* of made-up.csv; give 1 to"):
        replay_on_table(made_up(), some_requests(), **{limit: value})


def test_one_measured_step_of_each_kind_holds_everywhere() -> None:
    table = table_of([(1, 100, 0, 0.0, 1.0), (0, 0, 10, 55.0, 2.0), (1, 100, 9, 45.0, 3.0)])
    requests = DataFrame({"arrival_s": [0.0, 0.5], "prompt_tokens": [5, 7], "output_tokens": [1, 1]})
    assert replay_on_table(table, requests).e2e_s.tolist() == [2.0, 3.5]
