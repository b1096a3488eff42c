"""Step times fitted to tables of measured steps: a law is found again, and the public tables are met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame, concat

from sim.calibration.step_tables import fit_step_table
from sim.errors import InputError
from sim.measurements.kinds import StepTable
from sim.validation.steps import kind_of_step, predicted_steps_s
from tests.step_tables import A100, made_up, made_up_law, shared_table, table_of


def of_kind(table: StepTable, *kinds: str) -> StepTable:
    return replace(table, rows=table.rows[np.isin(kind_of_step(table.rows), kinds)])


@pytest.mark.parametrize("name", sorted(A100))
def test_measured_steps_are_met_within_2_percent(shared: Path, name: str) -> None:
    fit = fit_step_table(shared_table(shared, name))
    assert fit.mean_abs_error < 0.006
    assert fit.held_out_error < 0.007
    assert fit.error_of["decode"] < 0.005
    assert max(fit.error_of.values()) < 0.012
    assert max(fit.held_out_error_of.values()) < 0.014
    assert sorted(fit.error_of) == sorted(fit.held_out_error_of) == ["decode", "mixed", "prefill"]


def test_a_law_is_found_again() -> None:
    law, fit = made_up_law(), fit_step_table(made_up())
    assert fit.mean_abs_error < 1e-3
    assert fit.held_out_error < 5e-3
    assert fit.step_time.decode_base_s == pytest.approx(law.decode_base_s, rel=1e-3)
    assert fit.step_time.decode_kv_s == pytest.approx(law.decode_kv_s, rel=1e-3)
    assert fit.step_time.linear(256) == pytest.approx(law.linear(256), rel=0.01)
    assert fit.step_time.attention_s_per_pair == pytest.approx(law.attention_s_per_pair, rel=0.05)


def test_what_a_slice_takes_is_told_by_steps_of_several() -> None:
    law = replace(made_up_law(), slice_s=6e-4)
    alone = made_up(law).rows.assign(slices=lambda rows: (rows.prompt_tokens > 1).astype(int))
    several = [(b, b * 256, 60, n * 60 / n * (60 / n + 1) / 2, n) for b in (4, 16) for n in (2, 3)]
    rows = DataFrame(several, columns=["decode_rows", "kv_tokens", "prompt_tokens", "pairs", "slices"])
    rows["step_s"] = [law.mixed_step_s(*step) for step in several]
    table = made_up(law)

    fit = fit_step_table(replace(table, rows=concat([alone, rows], ignore_index=True)))
    assert fit.step_time.slice_s == pytest.approx(law.slice_s, rel=0.02)
    assert fit.mean_abs_error < 1e-3
    assert fit_step_table(replace(table, rows=alone)).step_time.slice_s == 0.0


def test_a_spoilt_step_hardly_matters() -> None:
    table = made_up()
    spoilt = replace(table, rows=table.rows.assign(step_s=table.rows.step_s * np.where(table.rows.index % 17, 1, 3)))
    law = fit_step_table(spoilt).step_time
    errors = np.abs(predicted_steps_s(law, table.rows) / table.rows.step_s.to_numpy() - 1)
    assert np.median(errors) < 0.01
    assert errors.mean() < 0.02


def test_steps_measured_more_than_once_count_once() -> None:
    table = made_up()
    again = concat([table.rows, table.rows, table.rows.assign(step_s=1.0)])
    assert fit_step_table(replace(table, rows=again)).points == len(table.rows)
    assert fit_step_table(replace(table, rows=again)).mean_abs_error < 1e-3


def test_prompts_alone_tell_what_they_add_to_decode_steps() -> None:
    fit = fit_step_table(of_kind(made_up(), "decode", "prefill"))
    mixed = of_kind(made_up(), "mixed").rows
    assert predicted_steps_s(fit.step_time, mixed) == pytest.approx(mixed.step_s.to_numpy(), rel=0.02)
    assert "mixed" not in fit.error_of


def test_mixed_steps_alone_tell_what_prompts_add() -> None:
    fit = fit_step_table(of_kind(made_up(), "decode", "mixed"))
    assert fit.error_of["mixed"] < 0.005


def test_fresh_prompts_tell_attention_by_how_they_bend() -> None:
    law = made_up_law(pair_s=2e-7)
    table = made_up(law)
    fresh = table.rows.pairs == table.rows.prompt_tokens * (table.rows.prompt_tokens + 1) / 2
    fit = fit_step_table(replace(table, rows=table.rows[fresh]))
    assert fit.step_time.attention_s_per_pair == pytest.approx(2e-7, rel=0.02)
    assert predicted_steps_s(fit.step_time, table.rows) == pytest.approx(table.rows.step_s.to_numpy(), rel=0.02)


def test_a_batch_measured_at_one_kv_size_takes_its_slope_from_its_neighbours() -> None:
    table = made_up()
    once = (table.rows.decode_rows != 8) | (table.rows.prompt_tokens > 0) | (table.rows.kv_tokens == 8 * 256)
    law = fit_step_table(replace(table, rows=table.rows[once])).step_time
    assert law.decode_step_s(8, 8 * 1024) == pytest.approx(made_up_law().decode_step_s(8, 8 * 1024), rel=1e-3)


def test_the_fewest_steps_that_can_be_fitted() -> None:
    steps = [(4, 400, 0, 0.0, 0.010), (4, 4000, 0, 0.0, 0.011), (0, 0, 100, 5050.0, 0.02), (0, 0, 200, 20100.0, 0.03)]
    fit = fit_step_table(table_of(steps))
    assert (fit.points, fit.step_time.max_rows) == (4, 4)
    assert fit.mean_abs_error < 0.01
    assert np.isfinite(fit.held_out_error)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([(0, 0, 8, 36.0, 0.01), (0, 0, 16, 136.0, 0.01)], "has no steps of decode rows alone; add"),
        ([(1, 10, 0, 0.0, 0.01)], "no batch size with decode steps at two KV sizes"),
        ([(1, 10, 0, 0.0, 0.01), (2, 40, 0, 0.0, 0.01)], "no batch size with decode steps at two KV sizes"),
        ([(1, 10, 0, 0.0, 0.01), (1, 40, 0, 0.0, 0.01)], "has no steps with prompt tokens; add prefill steps"),
        (
            [(1, 10, 0, 0.0, 0.01), (1, 40, 0, 0.0, 0.01), (0, 0, 8, 36.0, 0.01), (0, 0, 8, 100.0, 0.01)],
            "of one number of prompt tokens only",
        ),
    ],
)
def test_what_cannot_be_told_is_said(steps: list[tuple[float, ...]], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        fit_step_table(table_of(steps))
    assert error.value.value == "made-up.csv"


def test_counts_may_be_floats() -> None:
    table = made_up()
    assert fit_step_table(replace(table, rows=table.rows.astype("float64"))).error_of == fit_step_table(table).error_of


def test_kinds_of_step() -> None:
    steps = DataFrame({"decode_rows": [1, 0, 2], "prompt_tokens": [0, 5, 5]})
    assert kind_of_step(steps).tolist() == ["decode", "prefill", "mixed"]
