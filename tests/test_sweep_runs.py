"""Runs by what they follow from: keys, the store, processes that die, a sweep that is killed, and a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sim.runs.outcome as outcomes
from sim import commands
from sim.cli import run
from sim.errors import EngineError
from sim.load import ScenarioFile, load_scenario
from sim.runs import Outcome, Store, executor_of, run_all, scenarios_side_by_side
from sim.runs.executor import InProcess
from sim.runs.keys import content_key, named_files, with_files
from sim.runs.local import Local
from sim.scenario import Scenario
from sim.sweep.document import document_of
from sim.sweep.sweep import Plan, Sweep, swept
from tests.small import steady_step_times
from tests.sweeping import SCENARIO, deadly

REPLICAS, RPS = "fleet.0.replicas", "workload.0.arrivals.rps"
SMALL = Plan((f"{REPLICAS}=1,2", f"{RPS}=1,2,-1"), overrides=("horizon=2m", "replications=2"))


def key_of(*overrides: str) -> str:
    return content_key(load_scenario(SCENARIO, overrides))


def bits(sweep: Sweep) -> list[Any]:
    """All that came of a sweep, to the last bit."""
    return [
        (each.point, each.key, each.seed, each.names, each.values.tobytes(), each.refused) for each in sweep.answers
    ]


class TestKeys:
    def test_they_say_what_is_run_and_not_how_it_was_asked_for(self) -> None:
        asked = (f"{REPLICAS}=2", f"{RPS}=3", "seed=1")
        assert key_of(*asked) == key_of(*reversed(asked))
        assert key_of("horizon=10m") == key_of("horizon=600") == key_of("fleet.h100.replicas=1") == key_of()

    def test_anything_that_a_run_follows_from_changes_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        changes = ("seed=1", "replications=4", "name=other", f"{REPLICAS}=2", "horizon=600.0000001", "warm_up=1s")
        keys = [key_of(), *(key_of(change) for change in changes)]
        monkeypatch.setattr("sim.runs.keys.package_digest", lambda: "another version")
        assert len({*keys, key_of()}) == len(changes) + 2

    def test_files_count_by_what_is_in_them_and_not_by_where_they_are(self, tmp_path: Path) -> None:
        folders = [tmp_path / name for name in ("here", "there")]
        for folder in folders:
            folder.mkdir()
            steady_step_times(folder, 0.01)
        here, there = (key_of(f"fleet.0.step_time={{path: {folder / 'steady.json'}}}") for folder in folders)
        assert here == there != key_of()
        steady_step_times(folders[1], 0.02)
        assert key_of(f"fleet.0.step_time={{path: {folders[1] / 'steady.json'}}}") != here

    def test_a_scenario_with_its_files_elsewhere_is_the_same_run(self, tmp_path: Path) -> None:
        path = steady_step_times(tmp_path, 0.01)["path"]
        scenario = load_scenario(SCENARIO, [f"fleet.0.step_time={{path: {path}}}"])
        assert list(named_files(scenario)) == [path]
        moved = Path(path).rename(tmp_path / "elsewhere")
        (tmp_path / "far").mkdir()
        far = moved.rename(tmp_path / "far" / "steady.json")
        other = with_files(scenario, {path: str(far)})
        assert content_key(other) != content_key(load_scenario(SCENARIO))
        assert list(named_files(other)) == [str(far)]


class TestStore:
    OUTCOME = Outcome({"a": [0.1, float("nan")], "b": [1e-300]})

    def test_what_is_kept_comes_back_to_the_last_bit(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "new" / "folder")
        store.put("abcd", self.OUTCOME)
        store.put("abce", Outcome({}, "why"))
        found = Store(store.folder).get("abcd")
        assert found is not None
        assert repr(found) == repr(self.OUTCOME)
        assert store.get("abce") == Outcome({}, "why")
        assert (len(store), store.get("abcf")) == (2, None)

    @pytest.mark.parametrize("text", ["", '{"figures": {"a": [0.1', "[]", '{"figures": {"a": ["x"]}, "refused": null}'])
    def test_what_was_cut_off_is_not_there(self, text: str, tmp_path: Path) -> None:
        store = Store(tmp_path)
        store.put("abcd", self.OUTCOME)
        store.file("abcd").write_text(text)
        assert store.get("abcd") is None

    def test_what_failed_by_no_fault_of_its_own_is_tried_again(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        store.put("abcd", Outcome({}, "its process died", is_failed=True))
        assert len(store) == 0


class TestOnePath:
    def test_workers_change_nothing(self) -> None:
        one, two = (swept(SCENARIO, SMALL, executor_of(workers=workers)) for workers in (1, 2))
        assert bits(one) == bits(two)
        assert [each.refused is None for each in one.answers] == [True, True, False] * 2

    def test_a_repeated_point_is_run_once(self, tmp_path: Path) -> None:
        scenario = load_scenario(SCENARIO, ["horizon=1m", "replications=1"])
        runs = list(run_all([scenario] * 3, InProcess(), Store(tmp_path)))
        assert [run.place for run in runs] == [0, 1, 2]
        assert len({repr(run.outcome) for run in runs}) == 1
        assert len(Store(tmp_path)) == 1

    def test_a_fault_of_ours_in_one_point_is_told_and_ends_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = outcomes.run_scenario

        def faulty(scenario: Scenario, threads: int | None = None) -> Outcome:
            if scenario.fleet[0].replicas == 2:  # type: ignore[union-attr]
                raise RuntimeError("a bug")
            return real(scenario, threads)

        monkeypatch.setattr(outcomes, "run_scenario", faulty)
        plan = Plan((f"{REPLICAS}=1,2,3",), overrides=("horizon=1m",))
        found = document_of(swept(SCENARIO, plan, InProcess()))
        assert (found["counts"]["answered"], found["counts"]["failed"]) == (2, 1)
        assert found["points"][1]["refused"] == "RuntimeError: a bug; this is a fault of Nightshift"
        with pytest.raises(EngineError, match="a bug"):
            list(scenarios_side_by_side([load_scenario(SCENARIO, [f"{REPLICAS}=2"])]))


class TestProcessesThatDie:
    """Each scenario is a name that says whether its process dies, and a seed that is its figure."""

    def outcomes(self, names: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
        # Processes take it by name from the module that is imported there.
        monkeypatch.setattr("sim.runs.local.attempt_here", deadly)
        file = ScenarioFile(SCENARIO)
        scenarios = [file.scenario([f"name={name}", f"seed={seed}"]) for seed, name in enumerate(names)]
        executor = Local(2)
        with executor:
            found = {run.place: run.outcome for run in run_all(scenarios, executor)}
        return [found[place] for place in range(len(names))]

    def test_one_that_is_killed_loses_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.outcomes([*"abc", str(tmp_path / "once"), *"defgh"], monkeypatch)
        assert [each.figures["cost.total_usd"] for each in found] == [[float(seed)] for seed in range(9)]

    def test_a_point_that_always_kills_its_process_fails_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.outcomes([*"abc", "always", *"def"], monkeypatch)
        assert [each.is_failed for each in found] == [False] * 3 + [True] + [False] * 3
        assert found[3].refused == "its process died 3 times; it may want more memory"


@pytest.mark.long
def test_processes_end_with_the_one_that_started_them() -> None:
    asked = (
        "import os, time\n"
        "from sim.runs.local import _pool\n"
        "print(_pool(1).submit(os.getpid).result(), flush=True)\n"
        "time.sleep(600)"
    )
    first = subprocess.Popen([sys.executable, "-c", asked], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    process = Path("/proc") / first.stdout.readline().strip()
    assert process.is_dir()
    first.kill()
    first.communicate()
    until_s = time.monotonic() + 30.0
    while process.is_dir() and time.monotonic() < until_s:
        time.sleep(0.1)
    assert not process.is_dir()


def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """No more than the points under way are lost: two processes, each with one that it runs and one that waits."""
    points = 15
    asked = ["sweep", str(SCENARIO), "--vary", f"{RPS}=0.2:3:0.2", "--set", "horizon=20m", "--workers", "2"]
    command = [sys.executable, "-c", "from sim.cli import main; main()", *asked, "--out", str(tmp_path / "cut")]
    killed = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = Store(tmp_path / "cut" / "runs")
    while len(store) < 3 and killed.poll() is None:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = len(store)
    assert 3 <= done < points
    assert run([*asked, "--out", str(tmp_path / "cut")]) == 0
    found = json.loads((tmp_path / "cut" / "sweep.json").read_text())
    assert found["speed"]["from_store"] == done
    assert found["speed"]["run"] == points - done
    assert found["counts"]["answered"] == points


class TestRay:
    def test_without_ray_it_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        assert run(["sweep", str(SCENARIO), "--vary", f"{REPLICAS}=1,2", "--ray", "local"]) == 2
        assert "not installed; add it with: pip install 'nightshift[ray]'" in capsys.readouterr().err

    def test_a_cluster_that_does_not_answer_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("ray")
        assert run(["sweep", str(SCENARIO), "--vary", f"{REPLICAS}=1,2", "--ray", "127.0.0.1:1"]) == 2
        assert "127.0.0.1:1 is no cluster of Ray that answers" in capsys.readouterr().err

    def test_files_travel_where_they_are_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("ray")
        from sim.runs.ray_cluster import at_hand

        monkeypatch.setenv("NIGHTSHIFT_CACHE", str(tmp_path / "cache"))
        path = steady_step_times(tmp_path, 0.01)["path"]
        content = Path(path).read_bytes()
        scenario = load_scenario(SCENARIO, [f"fleet.0.step_time={{path: {path}}}"])
        key, files = content_key(scenario), {path: (digest, content) for path, digest in named_files(scenario).items()}
        assert at_hand(scenario, files, lambda found: found) is scenario
        Path(path).write_text("something else")
        there = at_hand(scenario, files, lambda found: found)
        assert content_key(there) == key
        assert next(iter(named_files(there))).startswith(str(tmp_path / "cache"))

    def test_two_nodes_one_of_which_dies_come_to_the_same_bits(self, tmp_path: Path) -> None:
        pytest.importorskip("ray")
        done = subprocess.run(
            [sys.executable, "-m", "tests.ray_nodes", str(tmp_path)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=180,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads(done.stdout.splitlines()[-1])
        alone = commands.sweep(SCENARIO, Plan(**told["plan"]), workers=1, out=tmp_path / "alone")
        assert told["died_after"] < told["found"]["counts"]["points"]
        assert told["nodes"] == [2, 1]
        assert {key: told["found"][key] for key in alone if key != "speed"} == {
            key: json.loads(json.dumps(alone[key])) for key in alone if key != "speed"
        }
        tables = [(tmp_path / name / "results.parquet").read_bytes() for name in ("alone", "out")]
        assert tables[0] == tables[1]
