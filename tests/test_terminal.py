"""What is printed: the answer first, in 80 columns, without colours where nobody looks."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim.ledger import LINES
from sim.simulation import Progress, simulate
from sim.terminal import _Bar, format_summary
from tests.console import printed
from tests.small import chat, pool, scenario

ROOT = Path(__file__).resolve().parents[1]
TWO_STREAMS = {"workload": [chat(), chat(name="summaries", priority="batch")]}


def shown(summary: dict[str, Any], width: int = 80) -> str:
    return printed(format_summary(summary), width)


def text_of(**changes: Any) -> str:
    return shown(simulate(scenario(**changes)).summary)


def test_the_answer_comes_first() -> None:
    summary = simulate(scenario(horizon="1h")).summary
    answers = summary["requests"]["completed"]

    assert shown(summary).splitlines()[0] == f"small: $4.00 for {answers:,} answers in 1 h"


def test_answer_then_latency_then_cost() -> None:
    text = text_of(**TWO_STREAMS)
    places = [text.index(word) for word in ("objectives met", "Latency", "Streams", "Cost", "requests offered")]

    assert places == sorted(places)


@pytest.mark.parametrize("replications", [1, 3])
def test_no_line_wraps(replications: int) -> None:
    heavy = chat(name="a stream of ordinary name", arrivals={"kind": "poisson", "rps": 60.0})
    tight = pool(engine={"kv_capacity_tokens": 3000})
    summary = simulate(scenario(workload=[heavy, chat()], fleet=[tight], replications=replications)).summary

    assert shown(summary) == shown(summary, 81)
    assert max(map(len, shown(summary).splitlines())) <= 80


def test_an_interval_without_width_is_not_shown() -> None:
    cost = next(line for line in text_of(replications=3).splitlines() if line.startswith("cost"))

    assert cost.split() == ["cost", "$0.3333"]


def test_streams_are_told_apart_where_there_are_several() -> None:
    assert ("Streams" in text_of(), "Streams" in text_of(**TWO_STREAMS)) == (False, True)


def test_pools_are_told_apart_where_there_are_several() -> None:
    text = text_of(fleet=[pool(), pool(name="other"), pool(name="spare", tier=1)])
    table = text.split("Pools\n")[1].split("\n\n")[0].splitlines()

    assert "Pools" not in text_of()
    assert [line.split()[0] for line in table[1:]] == ["h100", "other", "spare"]
    assert max(len(line) for line in table) <= 80


def test_counts_are_whole_though_they_may_be_means() -> None:
    summary = simulate(scenario()).summary
    summary["requests"] |= {"offered": 600.2, "completed": 592.6, "unfinished": 7.6}

    assert "600 requests offered: 593 completed, 8 unfinished" in shown(summary)
    summary["requests"] |= {"unfinished": 0.2}
    assert "593 completed, under 1 unfinished" in shown(summary)


REFUSED = {"too_long": 0, "no_replica": 0, "queue_full": 0, "rate_limited": 0}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"preemptions": 12}, "12 preemptions for want of KV cache"),
        ({"skipped_rows": 3}, "3 bad rows of traces skipped"),
        ({"offered": 100, "unfinished": 6}, "the fleet cannot keep up"),
        ({"rejected_by": REFUSED | {"too_long": 4}}, "4 too long for any KV cache or model"),
        ({"rejected_by": REFUSED | {"no_replica": 5}}, "5 came while nothing was open"),
        ({"rejected_by": REFUSED | {"queue_full": 6}}, "6 found all queues full"),
        ({"rejected_by": REFUSED | {"rate_limited": 7}}, "7 were over the rate limit of an API"),
        ({"timed_out": 8}, ", 8 timed out"),
        ({"failed": 9}, ", 9 failed"),
        ({"offered": 90, "attempts": 100, "retries": 10}, "10 attempts beyond the first: 10 retries of clients"),
        ({"offered": 90, "attempts": 93, "retries": 0}, "3 attempts beyond the first: 3 sent again after a loss"),
        ({"offered": 9, "attempts": 12, "retries": 1}, "first: 1 retry of a client, 2 sent again after a loss"),
    ],
)
def test_what_went_wrong_is_told_if_it_did(changes: dict[str, Any], line: str) -> None:
    summary = simulate(scenario()).summary

    assert line not in shown(summary)
    summary["requests"] |= changes
    assert line in shown(summary)


def test_rounding_of_means_is_no_loss() -> None:
    summary = simulate(scenario()).summary
    summary["requests"] |= {"offered": 1301050.0, "attempts": 1301954.6666666667, "retries": 904.6666666666666}

    assert "905 attempts beyond the first: 905 retries of clients\n" in shown(summary)


def test_what_happened_to_servers_is_told_if_it_did() -> None:
    summary = simulate(scenario()).summary

    assert "launches" not in shown(summary)
    summary["fleet"] |= {"starts": 95, "reclaims": 17, "failures": 0}
    assert "95 launches, 17 reclaims\n" in shown(summary)


def squeezed(summary: dict[str, Any]) -> list[str]:
    """Lines of the text with one blank between words."""
    return [" ".join(line.split()) for line in shown(summary).splitlines()]


def test_every_line_of_the_bill_that_is_not_nothing_is_told_in_words() -> None:
    summary = simulate(scenario()).summary
    summary["cost"] |= {"total_usd": 20.0, "by_line": {line: 2.0 for line in LINES} | {"idle": 0.0}}
    told = squeezed(summary)

    assert [line for line in LINES if f"{line.replace('_', ' ')} $2.00 10.0%" not in told] == ["idle"]
    assert not [line for line in told if line.startswith("idle")]


def test_money_earned_by_drawing_power_is_told_with_its_sign() -> None:
    summary = simulate(scenario()).summary
    summary["cost"]["by_line"]["electricity"] = -2.0

    assert any(line.startswith("electricity -$2.00") for line in squeezed(summary))


def test_tariff_windows_are_told_apart_where_several_cost_something() -> None:
    summary = simulate(scenario()).summary
    summary["cost"] |= {"by_window": {"base": 0.3333, "in the GPU price": 0.0}}
    assert "window" not in shown(summary)

    summary["cost"] |= {"total_usd": 4.0, "by_window": {"peak": 3.0, "off-peak": 1.0, "in the GPU price": 0.0}}
    assert {"window peak $3.00 75.0%", "window off-peak $1.00 25.0%"} <= set(squeezed(summary))
    assert "in the GPU price" not in shown(summary)


@pytest.mark.parametrize(
    ("line", "carbon_kg", "told"),
    [
        ({}, None, None),
        ({"electricity": 0.1}, None, "12.5 kWh, 2.5 Wh per 1,000 output tokens"),
        ({"customer_charge": 0.1}, None, "12.5 kWh, 2.5 Wh per 1,000 output tokens"),
        ({}, 3.25, "12.5 kWh, 2.5 Wh per 1,000 output tokens, 3.2 kg of CO2"),
    ],
)
def test_energy_and_carbon_are_told_where_they_matter(
    line: dict[str, float], carbon_kg: float | None, told: str | None
) -> None:
    summary = simulate(scenario()).summary
    summary["cost"]["by_line"] |= line
    summary["energy"] |= {"kwh": 12.5, "wh_per_1k_output_tokens": 2.5, "carbon_kg": carbon_kg}

    assert [each for each in squeezed(summary) if "kWh" in each] == ([told] if told else [])


def test_a_fleet_of_apis_alone_has_no_gpu_hours() -> None:
    rates = {"input_usd_per_1m": 1.0, "output_usd_per_1m": 2.0}
    tariff = {"kind": "windows", "base": rates, "tier": "openai/flex"}
    summary = simulate(scenario(fleet=[{"name": "a", "kind": "api", "model": "m", "tariff": tariff}])).summary

    assert not [line for line in squeezed(summary) if "GPU-hours" in line]
    assert any(line.startswith("api $") for line in squeezed(summary))


def test_a_mixed_fleet_in_trouble_still_fits_eighty_columns() -> None:
    """Peaks, spills, time-outs, reclaims, failures and metered electricity at once."""
    mixed = [
        pool(
            name="spot",
            replicas=1,
            offer={
                "kind": "spot",
                "usd_per_gpu_hour": 1.0,
                "notice": "10s",
                "availability": {"up": RUN, "down": RUN},
            },
            start_up="10s",
            failures={"mtbf": "3m", "repair": "20s"},
            electricity="pge-b-19",
            carbon="de-2020",
            admission={"max_outstanding": 8},
        ),
        {
            "name": "overflow",
            "kind": "api",
            "model": "Llama-3.1-8B",
            "tariff": "deepseek-2026-08",
            "rate_limit": {"requests_per_minute": 20},
        },
    ]
    busy = chat(arrivals={"kind": "poisson", "rps": 8.0}, client={"timeout": "3s", "retries": 1})
    text = shown(simulate(scenario(start="2026-09-07T00:58", fleet=mixed, workload=[busy])).summary)

    assert max(map(len, text.splitlines())) <= 80
    for word in ("timed out", "over the rate limit", "retries of clients", "window peak", "kg of CO2", "failures of"):
        assert word in text, text


RUN = {"median": "40s", "mean": "60s"}


@pytest.mark.parametrize(("share", "text"), [(1.0, "100.0%"), (0.99996, "99.996%"), (0.9999999, "99.999%")])
def test_almost_all_does_not_read_as_all(share: float, text: str) -> None:
    summary = simulate(scenario()).summary
    summary["slo"]["attainment"] = share

    assert f"objectives met  {text}" in re.sub(" {2,}", "  ", shown(summary))


def test_a_run_without_requests_is_shown_with_dashes() -> None:
    assert "TTFT" in text_of(workload=[chat(arrivals={"kind": "poisson", "rps": 1e-9})])


def test_names_are_shown_as_they_are_and_steer_nothing() -> None:
    text = text_of(name="[bold]x[/] \x1b[31m", fleet=[pool(name="[/a]"), pool(name="b\x1b[2J")])

    assert "[bold]x[/] ?[31m: " in text
    assert "\n[/a]  " in text
    assert "\x1b" not in text


def nightshift(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sim.cli", *arguments]


def test_a_pipe_gets_no_colours_and_no_progress(tmp_path: Path, small_scenario: str) -> None:
    (tmp_path / "a.yaml").write_text(small_scenario, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = nightshift("simulate", "a.yaml")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_sees_progress_of_a_long_run(tmp_path: Path, small_scenario: str) -> None:
    (tmp_path / "a.yaml").write_text(small_scenario, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    master, slave = pty.openpty()
    command = nightshift("simulate", "a.yaml", "--set", "horizon=20d", "--replications", "2")
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=slave) as run:
        os.close(slave)
        seen = b""
        while chunk := _read(master):
            seen += chunk
    os.close(master)

    assert run.returncode == 0
    assert re.search(rb"simulating .* simulated, [\d,]+ requests/s", seen)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""


def test_progress_adds_up_over_replications(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.progress import Progress as Bar

    monkeypatch.setattr("sim.terminal._SHOW_AFTER_S", -1.0)
    ticks = iter(range(100))
    monkeypatch.setattr("sim.terminal.time.perf_counter", lambda: float(next(ticks)))
    bar = Bar(console=Console(file=io.StringIO()), auto_refresh=False)
    progress = _Bar(bar)
    for replication, simulated_s in [(0, 100.0), (1, 50.0), (0, 200.0)]:
        progress.show(Progress(replication, 2, simulated_s, 1000.0, int(simulated_s)))

    assert (bar.tasks[0].completed, bar.tasks[0].total) == (250.0, 2000.0)


CONTEXTS = {"asked": 100, "hits": 60, "stale": 10, "expired": 0, "late": 5, "saved_output_tokens": 9_000}
SLEEP = {"jobs": 30, "prepared": 28, "cost_usd": 2.0, "wasted_usd": 0.5, "saved_usd": 1.5, "net_usd": -0.5}


def judged() -> dict[str, Any]:
    """A summary that knows which answers are right, and of two strategies."""
    summary = simulate(scenario()).summary
    way = {"share": 0.7, "accuracy": 0.62, "expected_accuracy": 0.61, "mean_output_tokens": 50.0}
    way |= {"usd_per_1k_requests": 0.5, "usd_per_correct": 0.0008}
    summary["strategies"] = {"direct": way, "think": way | {"share": 0.3, "accuracy": 0.91}}
    summary["quality"] = {"accuracy": 0.707, "expected_accuracy": 0.7, "known": 600}
    summary["cost"]["usd_per_correct"] = 0.0012
    summary["intervals"] |= {"quality.accuracy": [0.69, 0.72], "strategies.think.accuracy": [0.88, 0.94]}
    return summary


def test_answers_that_may_be_right_or_wrong_are_told_first() -> None:
    told = squeezed(judged())

    assert told[0].endswith(" in 5 min, 70.7% of them right")
    assert "right answers 70.7% 69.0% to 72.0%" in told
    assert "per 1,000 right answers $1.20" in told


def test_strategies_are_held_against_each_other() -> None:
    told = squeezed(judged())

    assert told[told.index("Answers") + 1] == "share right 95 % interval tokens USD per 1,000 per 1,000 right"
    assert "think 30.0% 91.0% 88.0% to 94.0% 50 $0.5000 $0.8000" in told
    assert max(map(len, shown(judged()).splitlines())) <= 80


def test_nothing_is_said_of_quality_where_it_is_not_modelled() -> None:
    assert [word for word in ("right", "Answers") if word in text_of()] == []


def test_what_contexts_had_prepared_and_what_came_of_it() -> None:
    summary = judged()
    assert "Prepared contexts" not in shown(summary)
    summary["streams"]["chat"]["contexts"] = CONTEXTS
    summary["sleep"] |= SLEEP
    told = squeezed(summary)

    assert told[told.index("Prepared contexts") + 2 :][:8] == [
        "context was prepared 60 60.0%",
        "prepared, but changed since 10 10.0%",
        "still being prepared 5 5.0%",
        "not prepared 25 25.0%",
        "spent on preparing $2.00",
        "of it for nothing $0.5000",
        "saved on answers $1.50",
        "net, better answers aside -$0.5000",
    ]


def test_warnings_stand_below_the_answer() -> None:
    summary = judged() | {"warnings": ["think is used beyond what its curve was fitted to"]}

    assert squeezed(summary)[1] == "beware: think is used beyond what its curve was fitted to"
