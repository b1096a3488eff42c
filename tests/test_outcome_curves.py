"""The shipped response curves: they load, tell their errors, and can be fitted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim.errors import InputError
from sim.outcomes.curves import Curves, class_names, load_curves, read_curves
from sim.outcomes.difficulty import chances
from sim.outcomes.fitting import fit_all
from sim.outcomes.plurality import plurality_chances
from sim.outcomes.verifier import verified_chances
from sim.paths import data_path

MATH = "math-llama-3.1-8b"


def p_of(curves: Curves) -> Any:
    return chances(curves.think.thinking().accuracy(1.0), curves.difficulty.concentration)


@pytest.mark.parametrize("name", class_names())
def test_shipped_curves_say_where_they_are_from_and_how_far_off(name: str) -> None:
    curves = load_curves(name)
    assert curves.name == name
    assert "arXiv" in curves.source
    assert curves.fits
    assert all(fit.worst_error < 0.04 for fit in curves.fits)


def test_an_alias_is_the_class_it_names() -> None:
    own, other = load_curves("arithmetic"), load_curves("stateful-gsm-p1-gpt-4o-mini")
    assert own == other.model_copy(update={"name": "arithmetic"})


def test_votes_are_within_a_point_of_what_was_published(shared: Path) -> None:
    curves = load_curves(MATH)
    points = json.loads((shared / "papers" / "sc-vs-genrm-figure.json").read_text(encoding="utf-8"))["SC"]
    found = [100 * plurality_chances(p_of(curves), k, curves.votes.plurality()).mean() for k, _ in points]
    assert np.abs(np.subtract(found, [rate for _, rate in points])).max() < 1.0


def test_verified_solutions_are_within_a_point_and_a_half_also_where_nothing_was_fitted(shared: Path) -> None:
    curves = load_curves(MATH)
    figure = json.loads((shared / "papers" / "sc-vs-genrm-figure.json").read_text(encoding="utf-8"))
    for verifications in (1, 4, 32):
        for compute, rate in figure["by_compute"][f"V{verifications}"]:
            solutions = 2 ** round(np.log2(compute / (1 + 2 * verifications)))
            shapes = curves.verifier.right, curves.verifier.wrong
            found = 100 * verified_chances(p_of(curves), solutions, verifications, *shapes).mean()
            assert abs(found - rate) < 1.5, (solutions, verifications)


def test_fitting_again_gives_the_shipped_files(shared: Path) -> None:
    for name, content in fit_all(shared / "papers").items():
        shipped = yaml.safe_load(data_path("curves", f"{name}.yaml").read_text(encoding="utf-8"))
        assert list(_apart(shipped, content)) == [], name


def _apart(one: Any, other: Any, path: str = "") -> Any:
    """Where two documents differ by more than machines do."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            yield from _apart(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list):
        for place, items in enumerate(zip(one, other, strict=True)):
            yield from _apart(*items, f"{path}.{place}")
    elif isinstance(one, float) and "error" not in path:
        if other != pytest.approx(one, rel=2e-3, abs=1e-4):
            yield path, one, other
    elif isinstance(one, float):
        if other != pytest.approx(one, abs=1e-3):
            yield path, one, other
    elif one != other:
        yield path, one, other


def test_a_class_that_is_not_shipped_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'arithmetic'"):
        load_curves("aritmetic")


def test_a_file_that_holds_no_curves_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nabout: 7\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.yaml"):
        read_curves(file)


def test_more_work_ahead_is_worth_more_and_drafts_stop_helping() -> None:
    gains = load_curves("arithmetic").sleep.gains
    assert gains.factor("medium", 1) == 1.0
    assert gains.factor("low", 1) < 1.0 < gains.factor("high", 1)
    more = [gains.factor("medium", drafts) for drafts in (1, 2, 5, 10, 64)]
    assert more == sorted(more)
    assert more[4] - more[2] < 0.1 * (more[4] - more[0])
