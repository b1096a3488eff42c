"""`validate --papers`: points of published figures, and the runs that are held against them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.measurements import Assumed
from sim.validation.papers import papers_payload, sleep_time, solve_verify, worlds
from sim.validation.papers.points import read_figures
from sim.validation.papers.rows import Row, at_equal_accuracy
from sim.validation.papers.terminal import format_papers
from tests import paper_stand_in

PANEL = {"model test-only": [[26, 0.07], [118, 0.6]], "model sleep": [[27, 0.5]]}
AMORTISED = {"q1": [[82.9, 0.36]], "q10": [[35.2, 0.36]], "test-only": [[25.8, 0.17], [158, 0.59]]}
CLASSES = {"mine": "arithmetic", "shared": "multi-query-gsm-p1"}
FILES = ("sleep-time-figures.json", "sc-vs-genrm-figure.json")


@pytest.fixture
def points(tmp_path: Path) -> Callable[..., Path]:
    def write(**content: Any) -> Path:
        file = tmp_path / "points.json"
        file.write_text(json.dumps({"classes": CLASSES, **content}), encoding="utf-8")
        return file

    return write


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts draws in numpy in the place of simulated runs, and fewer of them."""
    monkeypatch.setattr(sleep_time, "ask", paper_stand_in.ask)
    monkeypatch.setattr(sleep_time, "ask_contexts", paper_stand_in.ask_contexts)
    monkeypatch.setattr(solve_verify, "ask", paper_stand_in.ask)
    monkeypatch.setattr(solve_verify, "_VOTE_BRANCHES", 300_000)
    for runs in (sleep_time._bare, sleep_time._prepared):
        runs.cache_clear()


class TestPoints:
    def test_the_layouts_of_both_papers_are_known(self, shared: Path) -> None:
        sleep, votes = (read_figures(shared / "papers" / name) for name in FILES)
        assert [(panel.figure, panel.series) for panel in sleep.panels][:2] == [
            ("fig3_P1", "gpt-4o-mini"),
            ("fig3_P1", "gpt-4o"),
        ]
        assert sum(len(panel.prepared) for panel in sleep.panels) == 21
        assert [list(each.costs) for each in sleep.amortisations] == [[1, 2, 5, 10], [1, 10]]
        assert [len(each.gains) for each in sleep.gains] == [5, 5]
        (grid,) = votes.grids
        assert len(grid.votes) == 13
        assert len(grid.verified) == 24
        assert grid.verified[256, 32] == 59.15

    def test_a_file_of_one_s_own_names_its_classes(self, points: Callable[..., Path]) -> None:
        found = read_figures(points(mine=PANEL, shared=AMORTISED))
        assert found.panels[0].class_name == "arithmetic"
        assert found.amortisations[0].costs[10] == ((35.2, 0.36),)
        assert not found.grids

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ({"note": "nothing"}, "holds no points of a known layout"),
            ({"strange": PANEL}, 'strange model has no class of curves; add "classes": {"strange": CLASS}'),
            ({"mine": PANEL | {"model sleep": [[27]]}}, "[27] of mine model sleep is no pair of numbers"),
            ({"mine": PANEL | {"model sleep": [[0, 0.5]]}}, "0 of mine model sleep must be above 0"),
            ({"mine": PANEL | {"model sleep": []}}, "mine model sleep holds no points"),
            ({"mine": {"model sleep": [[27, "x"]]}}, "mine model test-only holds no points"),
            ({"SC": [[1, None]]}, "None of SC is no finite number"),
            ({"mine": PANEL, "classes": {"mine": "aritmetic"}}, "did you mean 'arithmetic'"),
            ({"shared": AMORTISED | {"q2": [[1, 0.3], [2, 0.4]]}}, "has more points in some series than in others"),
        ],
    )
    def test_what_is_wrong_is_told(self, points: Callable[..., Path], content: dict[str, Any], told: str) -> None:
        with pytest.raises(InputError) as refused:
            read_figures(points(**content))
        assert told in str(refused.value)

    def test_a_file_that_is_no_json_object_is_refused(self, tmp_path: Path) -> None:
        for text in ("[]", "{"):
            (tmp_path / "points.json").write_text(text, encoding="utf-8")
            with pytest.raises(InputError, match="is no JSON"):
                read_figures(tmp_path / "points.json")
        with pytest.raises(InputError, match="cannot be read"):
            read_figures(tmp_path / "nowhere.json")


class TestRows:
    def test_errors_are_differences_of_accuracies_and_shares_of_tokens(self) -> None:
        assert Row("f", "s", 1, 0.5, 0.45, "accuracy", "").error == pytest.approx(-0.05)
        assert Row("f", "s", 1, 50, 45, "tokens", "").error == pytest.approx(-0.1)
        assert Row("f", "s", 1, 50, None, "tokens", "").error is None

    def test_equal_accuracy_is_read_between_points_and_nowhere_else(self) -> None:
        curve = ((10.0, 0.2), (40.0, 0.4), (90.0, 0.3))
        assert at_equal_accuracy(curve, 0.3) == pytest.approx(25.0)
        assert at_equal_accuracy(curve, 0.3, in_logs=True) == pytest.approx(20.0)
        assert at_equal_accuracy(curve, 0.1) is None
        assert at_equal_accuracy(curve, 0.41) is None


@pytest.mark.usefixtures("without_engine")
class TestPayload:
    def test_the_published_figures_come_out(self, shared: Path) -> None:
        payload = papers_payload([shared / "papers" / name for name in FILES])
        targets = {target["kind"]: target for target in payload["targets"]}
        # Without an engine there are too few draws for the votes.
        assert targets.pop("votes")["reached"] < 2.5
        assert [target["name"] for target in targets.values() if not target["met"]] == []
        assert len(targets) == 9
        assert [note.split()[3] for note in payload["notes"]] == ["8,192", "16,384"]
        ratios = [row for row in payload["rows"] if row["series"].endswith("equal accuracy")]
        assert len(ratios) == 25

    def test_rows_have_the_contract_s_columns(self, points: Callable[..., Path]) -> None:
        payload = papers_payload([points(mine=PANEL)])
        assert {"figure", "series", "x", "published", "simulated"} <= payload["rows"][0].keys()
        assert [row["series"] for row in payload["rows"]] == [
            "model test-only",
            "model test-only",
            "model sleep",
            "model equal accuracy",
        ]

    def test_the_terminal_shows_targets_and_points_in_80_columns(self, points: Callable[..., Path]) -> None:
        console = Console(width=80, record=True)
        console.print(format_papers(papers_payload([points(mine=PANEL, shared=AMORTISED)])))
        text = console.export_text()
        assert "targets met" in text
        assert "break-even" in text
        assert max(map(len, text.splitlines())) <= 80


class TestCommand:
    def test_json_stands_alone(self, points: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
        """With the engine."""
        file = points(SC=[[1, 33.5], [2, 36.0]])
        assert run(["validate", "--papers", str(file), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found == commands.validate([file], papers=True)
        assert [row["x"] for row in found["rows"]] == [1, 2]
        assert all(abs(row["error"]) < 1.0 for row in found["rows"])

    def test_without_json_it_prints_tables(
        self, points: Callable[..., Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["validate", "--papers", str(points(SC=[[1, 33.5]]))]) == 0
        assert "votes and verifications" in capsys.readouterr().out

    def test_what_is_said_of_measurements_does_not_go_with_it(self, points: Callable[..., Path]) -> None:
        file = points(SC=[[1, 33.5]])
        for given in ({"calibration": Path("a.json")}, {"out": Path("x")}, {"assume": Assumed(model="m")}):
            with pytest.raises(InputError, match="goes with no measurements"):
                commands.validate([file], papers=True, **given)  # type: ignore[arg-type]


class TestEngine:
    """The engine against draws in numpy: two roads to one number."""

    @pytest.mark.parametrize(
        "strategy",
        [
            {"kind": "think", "budget_tokens": 118},
            {"kind": "vote", "samples": 5},
            {"kind": "vote", "samples": 16},
            {"kind": "verify", "solutions": 4, "verifications": 3, "length_ratio": 2.0},
        ],
    )
    def test_requests_are_right_one_by_one_as_drawn(self, strategy: dict[str, Any]) -> None:
        engine, drawn = (road.ask("arithmetic", strategy, 1597) for road in (worlds, paper_stand_in))
        assert engine.accuracy == pytest.approx(drawn.accuracy, abs=1e-12)
        assert engine.expected_accuracy == pytest.approx(drawn.expected_accuracy, abs=1e-12)
        assert engine.tokens == pytest.approx(drawn.tokens, rel=0.02)

    def test_prepared_contexts_cost_what_they_take(self) -> None:
        strategy = {"kind": "think", "budget_tokens": 1000, "prepared_budget_tokens": 30}
        given = {"questions": 4, "effort": "low"}
        engine = worlds.ask_contexts("multi-query-gsm-p1", strategy, **given)  # type: ignore[arg-type]
        drawn = paper_stand_in.ask_contexts("multi-query-gsm-p1", strategy, **given)  # type: ignore[arg-type]
        assert engine.hit_rate == 1.0
        assert engine.cost_tokens == pytest.approx(drawn.cost_tokens, rel=0.02)
        assert engine.expected_accuracy == pytest.approx(drawn.expected_accuracy, abs=0.01)


@pytest.mark.long
def test_simulated_runs_meet_every_target(shared: Path) -> None:
    payload = papers_payload([shared / "papers" / name for name in FILES])
    assert [target for target in payload["targets"] if not target["met"]] == []
