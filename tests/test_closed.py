"""Closed-loop clients: so many in flight and no more, a pause between answer and question, and an end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.scenario import Scenario
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario

ARRIVALS = {"kind": "closed", "concurrency": 4}


def closed(**changes: Any) -> dict[str, Any]:
    return chat(name="clients", arrivals=ARRIVALS | changes)


def served(of: Scenario) -> pd.DataFrame:
    """Rows with the times at which requests were over: now or later, where they are not yet."""
    frame = rows(simulate(of, keep_requests=True))
    return frame.assign(end_s=(frame["arrival_s"] + frame["e2e_s"]).fillna(np.inf))


def most_in_flight(frame: pd.DataFrame) -> int:
    """Most requests at once; one that ends where another begins makes room for it."""
    begins = [(second, 1) for second in frame["arrival_s"]]
    ends = [(second - 1e-9, -1) for second in frame["end_s"] if np.isfinite(second)]
    return int(np.cumsum([change for _, change in sorted(begins + ends)]).max())


def pauses(frame: pd.DataFrame) -> list[float]:
    """Of a single client: from each answer to the next question."""
    return (frame["arrival_s"].to_numpy()[1:] - frame["end_s"].to_numpy()[:-1]).tolist()


@settings(max_examples=15, deadline=None)
@given(
    concurrency=st.integers(1, 12),
    requests=st.integers(1, 60),
    think_time=st.sampled_from([0.0, 0.7, 30.0]),
)
def test_all_requests_come_and_never_too_many_at_once(concurrency: int, requests: int, think_time: float) -> None:
    stream = closed(concurrency=concurrency, requests=requests, think_time=think_time)
    frame = served(scenario(horizon=None, workload=[stream]))

    assert (frame["status"] == "completed").all()
    assert (len(frame), most_in_flight(frame)) == (requests, min(concurrency, requests))


def test_a_client_thinks_between_an_answer_and_its_next_question() -> None:
    frame = served(scenario(workload=[closed(concurrency=1, think_time="5s", requests=30)], horizon=None))

    assert pauses(frame) == pytest.approx([5.0] * 29)


def test_clients_without_thought_ask_at_once() -> None:
    frame = served(scenario(workload=[closed(concurrency=1, requests=30)], horizon=None))

    assert pauses(frame) == pytest.approx([0.0] * 29, abs=1e-9)


def test_clients_without_an_end_go_on_to_the_horizon() -> None:
    results = simulate(scenario(horizon="2m", workload=[closed()]), keep_requests=True)

    assert rows(results)["arrival_s"].max() > 115
    assert results.summary["requests"]["unfinished"] == 4


def test_the_run_ends_with_the_last_answer() -> None:
    of = scenario(horizon=None, workload=[closed(requests=10, think_time="1h")])

    assert simulate(of).summary["horizon_s"] == pytest.approx(served(of)["end_s"].max(), rel=1e-12)


def test_closed_and_open_streams_share_a_fleet() -> None:
    results = simulate(scenario(workload=[chat(), closed(requests=50)], fleet=[pool(replicas=1)]), keep_requests=True)
    frame = rows(results)
    clients = frame[frame["stream"] == "clients"]

    assert most_in_flight(clients.assign(end_s=clients["arrival_s"] + clients["e2e_s"])) == 4
    assert results.summary["streams"]["clients"]["offered"] == len(clients) == 50
    assert results.summary["streams"]["chat"]["offered"] == (frame["stream"] == "chat").sum() > 400
    assert frame["arrival_s"].is_monotonic_increasing


def test_clients_change_nothing_in_the_arrivals_of_others() -> None:
    alone = served(scenario())
    beside = served(scenario(workload=[closed(), chat()]))
    chats = beside[beside["stream"] == "chat"]
    columns = ["arrival_s", "prompt_tokens", "output_tokens"]

    assert chats[columns].to_numpy().tolist() == alone[columns].to_numpy().tolist()


def test_a_client_that_is_refused_waits_before_it_asks_again() -> None:
    never = pool(schedule=[{"hours": "00:00-24:00", "replicas": 0}])
    frame = served(scenario(horizon="1m", fleet=[never], workload=[closed(concurrency=1)]))

    assert set(frame["status"]) == {"rejected_no_replica"}
    assert np.diff(frame["arrival_s"]).tolist() == pytest.approx([1.0] * 59)


def test_refused_clients_come_to_an_end_too() -> None:
    long = closed(concurrency=2, requests=5) | {
        "lengths": {"kind": "constant", "prompt_tokens": 10**9, "output_tokens": 1}
    }
    summary = simulate(scenario(horizon=None, workload=[long])).summary

    assert summary["requests"]["rejected_by"]["too_long"] == summary["requests"]["rejected"] == 5
