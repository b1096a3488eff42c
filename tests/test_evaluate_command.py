"""`nightshift evaluate` from files to terminal, JSON and page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router.evaluation import Settings, TokenPrices
from router.evaluation.run import Asked
from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.evaluation.report import evaluation_page
from tests.browser import Browser, chromium

Write = Callable[..., Path]


def rows_of(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Predictions of three strategies on n questions of n / 4 groups."""
    generator = np.random.default_rng(seed)
    easy = generator.random(n)
    pieces = []
    for place, (name, tokens) in enumerate((("direct", 5), ("think", 100), ("vote", 800))):
        chance = np.clip(easy + 0.25 * place, 0.05, 0.95)
        pieces.append(
            pd.DataFrame(
                {
                    "question": [f"q{at}" for at in range(n)],
                    "group": [f"g{at // 4}" for at in range(n)],
                    "strategy": name,
                    "p_correct": chance.round(3),
                    "tokens": tokens,
                    "correct": (generator.random(n) < chance).astype(int),
                }
            )
        )
    return pd.concat(pieces, ignore_index=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(rows: pd.DataFrame, name: str = "predictions.csv") -> Path:
        path = tmp_path / name
        rows.to_csv(path, index=False)
        return path

    return to_file


def evaluate(path: Path, **asked: Any) -> dict[str, Any]:
    return commands.evaluate(Asked(predictions=path, settings=Settings(draws=50), **asked))


def test_json_is_what_the_function_returns(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(rows_of())

    code = run(["evaluate", "--predictions", str(path), "--draws", "50", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == evaluate(path)


def test_the_terminal_begins_with_the_verdict(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(rows_of())

    assert run(["evaluate", "--predictions", str(path), "--draws", "50"]) == 0

    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.strip()]
    assert lines[0].startswith("predictions.csv")
    assert " ".join(shown.split()).count(evaluate(path)["verdict"]["text"]) == 1


def test_outcomes_of_their_own_file_are_joined_by_question(write: Write) -> None:
    rows = rows_of()
    whole = evaluate(write(rows))
    outcomes = write(rows[["question", "strategy", "correct", "tokens"]].sample(frac=1.0, random_state=1), "o.csv")

    apart = evaluate(write(rows.drop(columns="correct"), "p.csv"), outcomes=outcomes)

    assert apart["routing"] == whole["routing"]
    assert apart["strategies"] == whole["strategies"]


def test_columns_of_the_outcomes_may_have_other_names(write: Write, tmp_path: Path) -> None:
    rows = rows_of()
    wide = rows.pivot(index="question", columns="strategy", values="correct").add_prefix("right_").reset_index()
    path = write(rows.drop(columns="correct"), "p.csv")
    names = "direct:correct=right_direct,think:correct=right_think,vote:correct=right_vote"
    prices = ["--cost", "direct=0.1", "--cost", "think=1", "--cost", "vote=5"]

    code = run(["evaluate", "--predictions", str(path), str(write(wide, "wide.csv")), "--map", names, *prices])

    assert code == 0


def test_prices_by_strategy_decide_what_is_cheap(write: Write) -> None:
    path = write(rows_of())

    equal = evaluate(path)["routing"]["singles"]
    dear = evaluate(path, prices=TokenPrices(usd_per_1m={"direct": 1000.0}, usd={"vote": 0.002}))["routing"]["singles"]

    assert equal["direct"]["usd"]["value"] == pytest.approx(5e-6)
    assert dear["direct"]["usd"]["value"] == pytest.approx(5e-3)
    assert dear["vote"]["usd"]["value"] == pytest.approx(0.002)
    assert dear["think"]["usd"]["value"] == pytest.approx(1e-4)


def test_a_strategy_with_a_price_of_its_own_needs_no_tokens(write: Write) -> None:
    rows = rows_of()
    blank = rows.assign(tokens=rows["tokens"].where(rows["strategy"] != "vote"))
    prices = TokenPrices(usd={"vote": 0.002})

    assert evaluate(write(blank), prices=prices)["routing"] == evaluate(write(rows, "o.csv"), prices=prices)["routing"]


def test_two_strategies_without_tokens_cost_calls_of_the_better_one(write: Write) -> None:
    rows = rows_of().query("strategy != 'vote'").drop(columns="tokens")

    routing = evaluate(write(rows))["routing"]

    assert routing["unit"] == "calls of think"
    assert routing["singles"]["direct"]["usd"]["value"] == 0.0
    assert routing["singles"]["think"]["usd"]["value"] == 1.0


def test_questions_that_lack_a_strategy_are_left_out_or_count_as_wrong(write: Write) -> None:
    rows = rows_of()
    path = write(rows.drop(index=[0, 1, 2]))

    left_out, wrong = evaluate(path), evaluate(path, missing="wrong")

    assert left_out["routing"]["questions"] == 117
    assert left_out["strategies"]["think"]["questions"] == 120
    assert any("3 of 120 questions lack a strategy" in note for note in left_out["notes"])
    # Without a prediction there is nothing to judge, so only answers may be missing.
    assert wrong["routing"]["questions"] == 117


def test_a_baseline_equal_to_the_router_gains_nothing(write: Write) -> None:
    rows = rows_of()

    found = evaluate(write(rows), baseline=write(rows, "other.csv"))

    gains = [row["gain_over"]["baseline"] for row in found["routing"]["at_spend"]]
    assert gains == [{"value": 0.0, "low": 0.0, "high": 0.0}] * len(gains)


def test_a_log_without_outcomes_of_all_strategies_gives_an_estimate(write: Write) -> None:
    rows = rows_of(800)
    logged = rows.sample(frac=1.0, random_state=2).drop_duplicates("question")
    logged = logged.assign(propensity=1 / 3)[["question", "strategy", "propensity", "correct", "tokens"]]

    found = evaluate(write(rows.drop(columns="correct"), "p.csv"), log=write(logged, "log.csv"), usd_per_correct=1e-3)

    accuracy = found["off_policy"]["accuracy"]
    assert accuracy["doubly_robust"]["low"] < accuracy["doubly_robust"]["value"] < accuracy["doubly_robust"]["high"]
    assert accuracy["effective_rows"] == pytest.approx(accuracy["effective_share"] * 800)
    assert found["off_policy"]["usd"]["doubly_robust"]["value"] > 0.0
    assert "routing" not in found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.drop(columns="p_correct"), "has no column p_correct"),
        (lambda rows: rows.drop(columns="correct"), "has no column correct"),
        (lambda rows: pd.concat([rows, rows[:1]]), "question q0 with direct stands in two rows"),
        (
            lambda rows: rows.assign(p_correct=rows["p_correct"].where(rows.index != 7, 1.5)),
            ":9  p_correct  1.5 must be",
        ),
        (lambda rows: rows.assign(tokens="many"), ":2  tokens  many must be a number"),
        (lambda rows: rows.drop(columns="tokens"), "has no tokens to price; give its price an answer: --cost"),
    ],
)
def test_bad_predictions_are_told_in_a_line(
    write: Write, capsys: pytest.CaptureFixture[str], change: Callable[[pd.DataFrame], pd.DataFrame], told: str
) -> None:
    code = run(["evaluate", "--predictions", str(write(change(rows_of())))])

    shown = capsys.readouterr().err.strip()
    assert code == 2
    assert told in shown
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing says what to judge"),
        (["a.onnx", "b.onnx"], "b.onnx is one file too many"),
        (["--refit"], "--refit needs outcomes"),
        (["--predictions", "p.csv", "--refit"], "--predictions and --refit exclude each other"),
        (["--predictions", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--refit", "o.csv", "--cost", "think"], "think is no price of a strategy"),
        (["--predictions", "p.csv", "--usd-per-correct", "1"], "--usd-per-correct is for"),
    ],
)
def test_what_cannot_be_asked_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert run(["evaluate", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_names_and_prices_that_do_not_fit_are_refused(write: Write) -> None:
    path = write(rows_of())

    for asked in (
        {"strategies": ("direct", "wait")},
        {"prices": TokenPrices(usd={"wait": 1.0})},
        {"prices": TokenPrices(usd_per_1m={"think": -1.0})},
    ):
        with pytest.raises(InputError):
            evaluate(path, **asked)


def test_the_page_escapes_names_and_is_written_with_its_figures(write: Write, tmp_path: Path) -> None:
    rows = rows_of().replace({"strategy": {"think": "<script>alert(1)</script>"}})
    out = tmp_path / "out"

    found = commands.evaluate(Asked(predictions=write(rows), settings=Settings(draws=20)), out=out)

    assert json.loads((out / "evaluation.json").read_text()) == found
    assert "<script>alert(1)" not in (out / "evaluation.html").read_text()


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_draws_all_its_charts_in_silence(write: Write, tmp_path: Path, width: int) -> None:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium is installed")
    file = tmp_path / "page.html"
    file.write_text(evaluation_page(evaluate(write(rows_of()))), encoding="utf-8")

    with Browser(program) as browser, browser.page(file, width=width) as page:
        page.settle()
        assert page.run("document.querySelectorAll('figure .main-svg').length") >= 5
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.complaints() == []
        assert page.requests() == []
