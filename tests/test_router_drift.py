"""Drift is told when questions or answers change, is not when they do not, and says what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router.drift.bins import Bins, Reference, reference
from router.drift.calibration import calibration_error
from router.drift.drift import drift, drift_of
from router.drift.judgement import Judged, Rules, advise
from router.drift.logs import Log, read_log
from router.drift.population import Shift, psi_by_chance, shift_of, stability
from router.errors import RouterError
from router.features import FeatureSpec
from router.learned import LearnedRouter
from router.rows import read_labels
from router.splits import is_held_out
from sim.cli import run
from tests.made_router import NAMES, Made, chances, questions

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> LearnedRouter:
    return LearnedRouter.load(Made().write(tmp_path_factory.mktemp("router") / "router.onnx"), provider="cpu")


def log_of(features: np.ndarray, seed: int, *, days: float = 1.0, shift: float = 0.0, per_context: int = 1) -> Log:
    """A log of requests on contexts of some alike questions each, whose answers are right as often as the made router
    says, less `shift`."""
    generator = np.random.default_rng(seed)
    features = np.repeat(features, per_context, axis=0)
    n = len(features)
    strategy = generator.integers(0, 2, n)
    p = chances(features)[np.arange(n), strategy] - shift
    return Log(
        features,
        strategy,
        (generator.random(n) < p).astype(float),
        np.zeros(n, bool),
        np.repeat(np.arange(n // per_context), per_context),
        np.sort(generator.random(n)) * days * DAY_S,
        None,
    )


def harder(n: int, seed: int) -> np.ndarray:
    """Questions of which the hard ones have become three times as many."""
    features = questions(n, seed)
    features[:, 0] = features[:, 0] ** (1 / 3)
    return features


@pytest.mark.parametrize(("n", "per_context"), [(120, 1), (120, 5), (2_000, 1)])
def test_it_does_not_cry_while_nothing_changes(n: int, per_context: int, router: LearnedRouter) -> None:
    """Of windows of the training distribution hardly any is an alarm, small ones and those of long contexts neither,
    where the index by itself is beyond its usual thresholds now and then."""
    windows = 400
    judged = [
        drift_of(router, log_of(questions(n, seed), seed, per_context=per_context)).windows[0]
        for seed in range(windows)
    ]
    alarms = [sum(window.moved for window in judged), sum(bool(window.off) for window in judged)]
    beyond = sum(window.shifts[0].psi > 0.1 for window in judged)

    assert max(alarms) <= 2
    assert n > 1_000 or beyond > 0.2 * windows


def test_the_index_of_what_has_not_moved_follows_its_law() -> None:
    """Its 95 % and 99 % points, on samples of both sides as they come."""
    generator, index = np.random.default_rng(5), []
    for _ in range(2_000):
        bins = Bins.of(generator.normal(size=800))
        index.append(stability(bins, generator.normal(size=400), 800))

    for probability in (0.05, 0.01):
        share = np.mean(np.array(index) > psi_by_chance(10, 400, 800, probability))
        assert share == pytest.approx(probability, rel=0.35)


def test_questions_that_change_are_noticed_and_named(router: LearnedRouter) -> None:
    (window,) = drift_of(router, log_of(harder(2_000, 1), 1)).windows

    assert window.moved
    assert {shift.column for shift in window.shifts if shift.level == "major"} == {"hard", "p(direct)", "p(think)"}
    assert window.off == ()


def test_answers_that_get_worse_are_noticed_though_questions_stay(router: LearnedRouter) -> None:
    (window,) = drift_of(router, log_of(questions(3_000, 2), 2, shift=0.12)).windows

    assert not window.moved
    assert window.off == ("direct", "think")
    for found in window.calibrations:
        low, high = found.interval()
        assert low < -0.12 + 0.03
        assert high < 0.0
        assert found.observed == pytest.approx(found.expected - 0.12, abs=0.04)


def test_answers_of_the_same_number_right_but_the_wrong_ones_are_noticed(router: LearnedRouter) -> None:
    """The mean is kept, so only the error of calibration tells."""
    log = log_of(questions(6_000, 3), 3)
    p = chances(log.features)[np.arange(len(log)), log.strategy]
    generator = np.random.default_rng(3)
    for strategy in (0, 1):
        own = log.strategy == strategy
        log.correct[own] = generator.random(own.sum()) < p[own].mean()
    (window,) = drift_of(router, log).windows

    assert all(abs(found.difference) < 0.03 for found in window.calibrations)
    assert "direct" in window.off


def test_questions_of_one_context_count_once() -> None:
    """An outcome that is noticed among so many independent ones may be chance among those of a few contexts."""
    bins = Bins.of(questions(2_000)[:, 0])
    values = questions(60, 9)[:, 0] ** 0.6
    alone = shift_of("hard", bins, np.repeat(values, 50), 2_000, 3_000, 0.001)
    together = shift_of("hard", bins, np.repeat(values, 50), 2_000, 60, 0.001)

    assert alone.psi == together.psi
    assert (alone.level, together.level) == ("major", "steady")


@pytest.mark.parametrize("values", [[3.0] * 50, [0.0] * 40 + [0.33333334] * 10, list(range(50)), [1e-9, 1e9] * 25])
def test_bins_survive_a_file_of_seven_digits(values: list[float]) -> None:
    """Each value stays in its bin, whatever a file rounds; what is beyond all values seen has a bin."""
    column = np.array(values, np.float32)
    bins = Bins.of(column)
    written = {name: [float(f"{number:.7g}") for number in numbers] for name, numbers in bins.document().items()}
    read = Bins.read(json.loads(json.dumps(written)), "column")

    assert read.counts(column).tolist() == bins.counts(column).tolist()
    assert stability(read, column, 50) == pytest.approx(0.0, abs=1e-9)
    assert stability(read, column + 2 * np.float32(np.ptp(column)) + 1, 50) > 1.0


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ({"edges": [1.0, 0.0], "shares": [0.5, 0.5, 0.0]}, "features.hard holds no bins"),
        ({"edges": [0.0], "shares": [0.5, 0.6]}, "features.hard holds no bins"),
        ({"edges": [0.0], "shares": [1.0]}, "features.hard holds no bins"),
        ("many", "features.hard holds no bins"),
    ],
)
def test_bins_that_cannot_be_are_refused(spoiled: Any, told: str) -> None:
    whole = reference(questions(100), NAMES, chances(questions(100)), ("direct", "think"))
    whole["features"]["hard"] = spoiled
    with pytest.raises(RouterError, match=told):
        Reference.read(whole, ("direct", "think"))


def test_calibration_error_is_that_of_its_definition() -> None:
    p = np.repeat([0.2, 0.6], 500)
    correct = np.concatenate([np.repeat([1.0, 0.0], [150, 350]), np.repeat([1.0, 0.0], [250, 250])])
    generator = np.random.default_rng(1)
    shuffled = generator.permutation(1000)

    # Within a tenth the order of equal chances is that of the rows, so shares are even only after mixing.
    assert calibration_error(p[shuffled], correct[shuffled]) == pytest.approx(0.1, abs=0.02)


def window(
    name: str, *, moved: bool = False, off: tuple[str, ...] = (), outcomes: int = 400, seen: bool = True
) -> Judged:
    psi = 0.4 if moved else 0.01
    shifts = (Shift("hard", psi, 0.05),) if seen else ()
    some = drift_calibrations() if outcomes else ()
    return Judged(name, 1000, 800, outcomes, shifts, some if seen else (), off)


def drift_calibrations() -> tuple[Any, ...]:
    from router.drift.calibration import calibration_of

    p = np.full(400, 0.5)
    return (calibration_of("direct", p, np.tile([0.0, 1.0], 200), np.arange(400), 0.01),)


ADVICE: dict[str, tuple[Sequence[Judged], str, str, str | None]] = {
    "nothing": ([window("a"), window("b")], "keep", "as in training", None),
    "gone": ([window("a", off=("direct",)), window("b")], "watch", "the alarm of a has gone again", None),
    "once": ([window("a"), window("b", moved=True)], "watch", "has moved in one window", "b"),
    "harmless": ([window("a", moved=True), window("b", moved=True)], "watch", "right as often as expected", "a"),
    "in the dark": (
        [window(name, moved=True, outcomes=0) for name in "abc"],
        "collect",
        "0 of the 500 outcomes needed are known since a",
        "a",
    ),
    "off": ([window("a"), window("b", off=("direct",), outcomes=600)], "retrain", "of direct are not right", "b"),
    "too early": ([window("a"), window("b", off=("direct",))], "collect", "400 of the 500 outcomes", "b"),
    "since": (
        [window("a"), window("b", moved=True), window("c", moved=True, off=("direct",))],
        "retrain",
        "of direct are not right",
        "b",
    ),
    "a small window between": (
        [window("a", off=("direct",)), window("b", seen=False, outcomes=9), window("c", off=("direct",))],
        "retrain",
        "of direct",
        "a",
    ),
    "too few": ([window("a", seen=False)], "watch", "too few to tell", None),
}


@pytest.mark.parametrize(("windows", "verdict", "reason", "since"), ADVICE.values(), ids=ADVICE)
def test_the_retrain_rule(windows: Sequence[Judged], verdict: str, reason: str, since: str | None) -> None:
    advice = advise(windows, Rules())

    assert (advice.verdict, advice.since) == (verdict, since)
    assert reason in advice.reason


def table(n: int, seed: int, **columns: Any) -> pd.DataFrame:
    log = log_of(questions(n, seed), seed)
    names = np.array(["direct", "think"])
    return pd.DataFrame(
        {
            "arrival_s": log.time_s,
            "hard": log.features[:, 0],
            "long": log.features[:, 1],
            "strategy": names[log.strategy],
            "correct": log.correct,
        }
        | columns
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "csv.gz"])
def test_a_log_is_read_in_each_format(suffix: str, tmp_path: Path, router: LearnedRouter) -> None:
    rows, path = table(200, 4).iloc[::-1], tmp_path / f"log.{suffix}"
    if suffix == "parquet":
        rows.to_parquet(path)
    elif suffix == "jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_csv(path, index=False)
    log = read_log(path, router.features, router.strategies)
    expected = log_of(questions(200, 4), 4)

    assert log.time_s == pytest.approx(expected.time_s)
    assert log.features == pytest.approx(expected.features, rel=1e-6)
    assert log.strategy.tolist() == expected.strategy.tolist()
    assert log.correct.tolist() == expected.correct.tolist()


def test_what_a_log_does_not_say_is_left_open(tmp_path: Path, router: LearnedRouter) -> None:
    path = tmp_path / "log.csv"
    rows = ["2026-03-02T23:30:00-01:00,0.5,3,,other", "2026-03-02T08:00:00Z,0.5,3,1,think"]
    path.write_text("\n".join(["time,hard,long,correct,strategy", *rows, ""]))
    log = read_log(path, router.features, router.strategies)

    assert (log.begins, log.time_s.tolist() if log.time_s is not None else None) == ("2026-03-02", [28_800.0, 88_200.0])
    assert log.strategy.tolist() == [1, -1]
    assert [str(value) for value in log.correct] == ["1.0", "nan"]
    assert log.belongs_to[0] == log.belongs_to[1]


BAD_LOGS = {
    "a feature lacking": ("hard\n0.5\n", "long is read by the router and no column of the log"),
    "no number": ("hard,long\n0.5,1\n0.5,x\n", "log.csv:3  long: x must be a finite number"),
    "no outcome": ("hard,long,correct\n0.5,1,2\n", "correct: 2 must be 0, 1, a share between or empty"),
    "no time": ("hard,long,time\n0.5,1,noon\n", "time: noon must be a time such as"),
    "other strategies": ("hard,long,strategy\n0.5,1,vote\n", "vote is no strategy of this router"),
    "nothing": ("hard,long\n", "holds no rows"),
}


@pytest.mark.parametrize(("content", "told"), BAD_LOGS.values(), ids=BAD_LOGS)
def test_a_log_that_cannot_be_is_refused(content: str, told: str, tmp_path: Path, router: LearnedRouter) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(RouterError, match=re.escape(told)):
        read_log(path, router.features, router.strategies)


def test_a_router_of_texts_reads_them(tmp_path: Path) -> None:
    spec = FeatureSpec((), text=True, hashed=32)
    texts = [f"What is {n} + {n % 7}?" for n in range(300)]
    path = Made(features=spec.document()).write(tmp_path / "router.onnx")
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "log.csv", index=False)
    found = drift(path, tmp_path / "log.csv")

    assert [found.windows[0].name, found.windows[0].questions] == ["all", 300]


def test_the_command_tells_when_and_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A month of two hundred questions a day, harder from day 15 on, and answered worse than expected."""
    router = Made().write(tmp_path / "router.onnx")
    days = []
    for day in range(30):
        log = log_of((harder if day >= 15 else questions)(200, day), day, shift=0.15 if day >= 15 else 0.0)
        names = np.array(["direct", "think"])
        days.append(
            pd.DataFrame(
                {
                    "when": log.time_s + DAY_S * day,
                    "hard": log.features[:, 0],
                    "long": log.features[:, 1],
                    "strategy": names[log.strategy],
                    "correct": log.correct,
                }
            )
        )
    pd.concat(days).to_csv(tmp_path / "log.csv", index=False)
    arguments = ["drift", str(router), str(tmp_path / "log.csv"), "--map", "arrival_s=when"]
    assert run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert [window["window"] for window in found["windows"]][14:16] == ["day 14, 00:00", "day 15, 00:00"]
    assert found["alarms"] == [f"day {day}, 00:00" for day in range(15, 30)]
    assert found["advice"]["verdict"] == "retrain"
    assert found["advice"]["since"] == "day 15, 00:00"
    assert run(arguments) == 0
    told = capsys.readouterr().out
    assert told.startswith("Train again: answers of direct")
    assert "(since day 15,\n00:00)" in told
    assert run(["drift", str(router), str(tmp_path / "none.csv")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_shipped_router_finds_no_drift_in_questions_that_it_was_not_trained_on() -> None:
    root = Path(__file__).resolve().parents[1] / "data"
    router = LearnedRouter.load(root / "router" / "default.onnx", provider="cpu")
    labels = read_labels(root / "measurements" / "cpu-epyc-2-core" / "outcomes.parquet", strategies=router.strategies)
    held_out = router.manifest.labels["held_out"]
    rows = np.flatnonzero(is_held_out(labels.context_names, held_out["share"], held_out["seed"]))
    features = router.features.of(None, {name: values[rows] for name, values in labels.numbers.items()})
    place = list(router.strategies).index("think")
    n = len(rows)
    log = Log(
        features,
        np.full(n, place),
        labels.bare.correct[rows, place],
        np.zeros(n, bool),
        labels.context[rows],
        None,
        None,
    )
    (found,) = drift_of(router, log).windows

    assert found.questions > 300
    assert not found.alarm
    assert {shift.level for shift in found.shifts} == {"steady"}
