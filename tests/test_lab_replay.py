"""The load client against a server that misbehaves, and its open loop against a clock of our own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from sim.cli import run
from sim.errors import InputError
from sim.hardware import load_catalogue
from sim.lab.client.answer import Answer, Ended
from sim.lab.replay import Options, Served, Target, replay
from sim.lab.replay.beside import scenario_of_replay
from sim.lab.replay.command import replay_command
from sim.lab.replay.cost import cost_of, pool_of
from sim.lab.replay.dispatch import Sender
from sim.lab.replay.plan import Planned, planned
from sim.lab.replay.prompts import Prompts, TokenRate, read_prompts
from sim.lab.replay.rows import replay_schema
from sim.load import load_scenario
from sim.measurements import read_measurements
from sim.rows import request_schema
from sim.scenario import Scenario
from tests.fake_openai import Fake, served

SCENARIO = """
name: trial
start: 2026-03-02T00:00:00
workload:
  - name: chat
    arrivals: {kind: trace, path: trace.csv, format: nightshift}
    slo: {e2e: 50s}
fleet:
  - name: cloud
    kind: api
    model: Llama-3.1-8B
    tariff: {kind: windows, base: {input_usd_per_1m: 1.0, cached_input_usd_per_1m: 0.5, output_usd_per_1m: 4.0}}
"""

HASTY = """\
  - name: hasty
    arrivals: {kind: trace, path: hasty.csv, format: nightshift}
    client: {timeout: 500ms}
"""


@pytest.fixture
def server() -> Iterator[Fake]:
    with served(Fake()) as fake:
        yield fake


def scenario_of(folder: Path, rows: list[str], header: str = "arrival_s,prompt_tokens,output_tokens") -> Path:
    (folder / "trace.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    file = folder / "trial.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    return file


def replayed(scenario: Path, fake: Fake, **options: Any) -> Any:
    return replay(load_scenario(scenario), Target(fake.url), Options(**{"timeout_s": 30.0, **options}))


# --- what comes of a replay ---


def test_a_replay_counts_what_the_server_counts(tmp_path: Path, server: Fake) -> None:
    file = scenario_of(tmp_path, [f"{0.01 * n},{40 + n},{1 + n}" for n in range(12)])
    found = replayed(file, server)
    rows = found.rows
    assert list(rows["status"]) == ["completed"] * 12
    # The fake has one token a word and three more in each prompt: calibration finds both.
    assert list(rows["prompt_tokens"]) == [40 + n for n in range(12)]
    assert list(rows["output_tokens"]) == [1 + n for n in range(12)]
    assert list(rows["pieces"]) == [1 + n for n in range(12)]
    assert list(rows["cached_tokens"]) == [2] * 12
    assert (rows["ttft_s"] <= rows["e2e_s"]).all()
    assert list(rows["tpot_s"].isna()) == [True, *[False] * 11]
    summary = found.summary
    assert summary["requests"]["completed"] == summary["requests"]["offered"] == 12
    assert summary["slo"] == {"attainment": 1.0, "goodput_rps": pytest.approx(12 / summary["horizon_s"]), "set": True}
    assert summary["client"]["tokens"]["prompt_off"] == {"mean": 0.0, "mean_abs": 0.0, "max_abs": 0.0}
    assert (summary["client"]["tokens"]["per_word"], summary["client"]["tokens"]["added_to_prompt"]) == (1.0, 3.0)


def test_every_misbehaviour_has_a_kind_and_a_status_and_none_is_left_out(tmp_path: Path) -> None:
    kinds = {
        21: ("429", "http_429", "rejected_rate_limited"),
        22: ("500", "http_500", "failed"),
        23: ("503", "http_503", "rejected_queue_full"),
        24: ("long", "http_400", "rejected_too_long"),
        25: ("error", "server_error", "failed"),
        26: ("break", "broken_stream", "failed"),
        27: ("silent", "broken_stream", "failed"),
        28: ("hang", "timeout", "timed_out"),
    }
    file = scenario_of(tmp_path, ["0,30,5", *(f"0,30,{tokens}" for tokens in kinds if tokens != 28), "0,30,6"])
    # Only the request that hangs has a client without patience.
    file.write_text(SCENARIO.replace("fleet:", HASTY + "fleet:"), encoding="utf-8")
    (tmp_path / "hasty.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,30,28\n", encoding="utf-8")
    with served(Fake(misbehave={tokens: how for tokens, (how, _, _) in kinds.items()})) as fake:
        found = replayed(file, fake)
    rows = found.rows.set_index("planned_output_tokens")
    for tokens, (_, error, status) in kinds.items():
        assert (rows.loc[tokens, "error"], rows.loc[tokens, "status"]) == (error, status)
        assert np.isnan(rows.loc[tokens, "e2e_s"])
    assert rows.loc[[5, 6], "status"].eq("completed").all()
    summary = found.summary
    requests = summary["requests"]
    assert requests["offered"] == 10
    assert requests["completed"] + requests["rejected"] + requests["timed_out"] + requests["failed"] == 10
    assert summary["slo"]["attainment"] == 0.2
    assert summary["errors"] == {kind: 1 + (kind == "broken_stream") for _, kind, _ in kinds.values()}


def test_a_server_that_is_gone_gives_errors_for_all_that_is_left(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, [f"{0.2 * n},30,200" for n in range(10)])
    with served(Fake(delay_s=0.02)) as fake:
        leave = served_until(fake, 3)
        found = replayed(file, fake)
        leave.join()
    errors = found.rows["error"]
    assert set(errors) <= {"broken_stream", "refused_connection"}
    assert errors.notna().all()
    assert errors.iloc[-1] == "refused_connection"


def served_until(fake: Fake, streams: int) -> threading.Thread:
    """Kills the server once it has so many streams of the replay to answer; its trial requests ask for fewer tokens."""

    def wait() -> None:
        while sum(body["max_tokens"] == 200 for body in fake.asked) < streams:
            pass
        fake.kill()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_the_servers_count_is_missing_and_said_to_be(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, ["0,30,5", "0,30,7"])
    with served(Fake(usage=False)) as fake:
        found = replayed(file, fake)
    assert list(found.rows["output_tokens"]) == [5, 7]
    assert found.rows["tokens_are_counted"].all()
    assert any("are not the server's count" in warning for warning in found.summary["warnings"])
    assert any("one a word is assumed" in warning for warning in found.summary["warnings"])


# --- what a server takes ---


def test_fields_that_a_server_refuses_are_left_out_and_told(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, ["0,30,5"])
    with served(Fake(takes=frozenset({"stream_options"}))) as fake:
        found = replayed(file, fake)
    assert found.summary["client"]["takes"] == ["stream_options"]
    assert "the server refuses a least length (min_tokens)" in found.summary["warnings"]
    assert list(found.rows["status"]) == ["completed"]


def test_chat_is_asked_where_there_are_no_completions(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, ["0,30,5"])
    with served(Fake(paths=("/v1/chat/completions",))) as fake:
        found = replayed(file, fake)
    assert found.summary["client"]["endpoint"] == "/chat/completions"
    assert (found.rows["pieces"].item(), found.rows["prompt_tokens"].item()) == (5, 30)


def test_a_server_that_answers_nothing_is_refused_before_the_replay(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, ["0,30,5"])
    with served(Fake(misbehave={8: "500"})) as fake, pytest.raises(InputError, match="gives no answer: http_500"):
        replayed(file, fake)
    with served(Fake(misbehave={8: "hang"})) as fake, pytest.raises(InputError, match=r"no answer within 0\.5 s"):
        replayed(file, fake, start_timeout_s=0.5)
    with pytest.raises(InputError, match="refused_connection"):
        replay(load_scenario(file), Target("http://127.0.0.1:9", "tiny"))
    with pytest.raises(InputError, match="is not the address of a server"):
        replay(load_scenario(file), Target("127.0.0.1:9", "tiny"))


def test_prompts_as_token_ids(tmp_path: Path, server: Fake) -> None:
    file = scenario_of(tmp_path, ["0,30,5"])
    found = replayed(file, server, prompt_ids=(100, 120))
    (prompt,) = [body["prompt"] for body in server.asked if body["max_tokens"] == 5]
    assert len(prompt) == 30
    assert set(prompt) <= set(range(100, 121))
    assert found.summary["client"]["tokens"]["prompts"] == "ids"


# --- prompts ---


def test_requests_on_a_context_share_as_much_of_their_text_as_the_scenario_says(tmp_path: Path, server: Fake) -> None:
    header = "arrival_s,prompt_tokens,output_tokens,context_id,version,prefix_tokens,keep_tokens"
    rows = ["0,60,5,1,0,0,50", "0,60,6,1,0,50,50", "0,60,7,1,1,0,50", "0,60,8,2,0,0,50"]
    replayed(scenario_of(tmp_path, rows, header), server)
    asked = {body["max_tokens"]: body["prompt"].split() for body in server.asked if body["stream"]}
    first, second, changed, other = (asked[tokens] for tokens in (5, 6, 7, 8))
    shared = round(57 * 50 / 60)
    assert first[:shared] == second[:shared]
    assert first[shared:] != second[shared:]
    assert first[:5] != changed[:5]
    assert first[:5] != other[:5]


def test_a_conversations_turns_begin_with_those_before(tmp_path: Path) -> None:
    header = "arrival_s,prompt_tokens,output_tokens,context_id,prefix_tokens,keep_tokens"
    file = scenario_of(tmp_path, ["0,20,5,1,0,25", "1,40,5,1,25,45"], header)
    first, second = (Prompts(0).of(request) for request in planned(load_scenario(file)))
    assert isinstance(first, str)
    assert isinstance(second, str)
    assert second.startswith(first)


def test_prompts_are_the_same_in_every_replay_and_differ_by_seed(tmp_path: Path) -> None:
    request = next(iter(planned(load_scenario(scenario_of(tmp_path, ["0,30,5"])))))
    assert Prompts(1).of(request) == Prompts(1).of(request) != Prompts(2).of(request)


@pytest.mark.parametrize(("tokens", "words"), [(100, 45), (10, 1), (1, 1)])
def test_words_for_tokens(tokens: int, words: int) -> None:
    rate = TokenRate.between((10, 30), (110, 230))
    assert rate == TokenRate(2.0, 10.0)
    assert rate.words(tokens) == words


def test_prompts_of_the_users_own(tmp_path: Path, server: Fake) -> None:
    header = "arrival_s,prompt_tokens,output_tokens,question_id"
    file = scenario_of(tmp_path, ["0,30,5,77", "0,30,6,78", "0,30,7,79"], header)
    given = tmp_path / "prompts.jsonl"
    lines = [{"question_id": 77, "prompt": "What is 2+2?", "max_tokens": 3}, {"row": 1, "prompt": "Why?"}]
    given.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = replayed(file, server, prompts=given)
    asked = [(body["prompt"], body["max_tokens"]) for body in server.asked if body["stream"]]
    assert ("What is 2+2?", 3) in asked
    assert ("Why?", 6) in asked
    assert any("has none for 1 of 3 requests" in warning for warning in found.summary["warnings"])


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"row": -1, "prompt": "a"}', "in row is not a whole number"),
        ('{"prompt": "a"}', "row is missing"),
        ('{"row": 0}', "prompt is missing"),
        ('{"row": 0, "prompt": ""}', "in prompt is neither a text"),
        ('{"row": 0, "prompt": "a", "max_tokens": 0}', "in max_tokens is not a count"),
    ],
)
def test_a_faulty_line_of_prompts_is_told_with_its_place(tmp_path: Path, line: str, rule: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(f'{{"row": 1, "prompt": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match=rule) as raised:
        read_prompts(file)
    assert str(raised.value).startswith(f"{file}:2")


# --- the open loop ---


class FakeClock:
    """A clock that a sleep moves on, and nothing else."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        self.time_s += seconds
        await asyncio.sleep(0)


def requests(*due_s: float) -> list[Planned]:
    return [Planned(n, at_s, 0, -1, 0, -1, 10, 5, 0) for n, at_s in enumerate(due_s)]


def test_requests_go_out_when_due_though_none_is_ever_answered() -> None:
    async def never(request: Planned, body: bytes, answer: Answer) -> None:
        await asyncio.Event().wait()

    async def story() -> Sender:
        sender = Sender(never, lambda request: b"", timeout_s=lambda request: None, clock=FakeClock())
        task = asyncio.create_task(sender.send(requests(0.0, 1.0, 1.0, 5.0)))
        while len(sender.sent) < 4:
            await asyncio.sleep(0)
        task.cancel()
        await task
        return sender

    sender = asyncio.run(story())
    assert [one.due_s - sender.begin_s for one in sender.sent] == [0.0, 1.0, 1.0, 5.0]
    assert sender.most_outstanding == 4
    assert [one.answer.error for one in sender.sent] == ["cancelled"] * 4
    assert sender.interrupted


def test_time_counts_from_when_a_request_was_due_though_it_went_out_late() -> None:
    clock = FakeClock()

    def slow(request: Planned) -> bytes:
        clock.time_s += 3.0
        return b""

    async def at_once(request: Planned, body: bytes, answer: Answer) -> None:
        answer.pieces_s.append(clock.now_s())
        answer.finish_reason = "stop"

    async def story() -> Sender:
        sender = Sender(at_once, slow, timeout_s=lambda request: None, clock=clock)
        await sender.send(requests(0.0, 1.0))
        return sender

    first, second = asyncio.run(story()).sent
    # Writing takes three seconds each: the second request goes out at 6 s and not at 1 s.
    assert second.due_s - first.due_s == 1.0
    assert second.dispatched_s - second.due_s >= 5.0
    assert second.answer.pieces_s[0] - second.due_s >= 5.0


def test_a_failed_request_ends_no_other() -> None:
    async def second_fails(request: Planned, body: bytes, answer: Answer) -> None:
        if request.number == 1:
            raise Ended("http_500", "no")
        answer.finish_reason = "stop"

    async def story() -> Sender:
        sender = Sender(second_fails, lambda request: b"", timeout_s=lambda request: None, clock=FakeClock())
        await sender.send(requests(0.0, 0.0, 0.0))
        return sender

    sender = asyncio.run(story())
    assert [one.answer.error for one in sender.sent] == [None, "http_500", None]
    assert sender.failed == 1


def test_speed_and_limit(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, [f"{n},30,5" for n in range(10)])
    plan = planned(load_scenario(file), speed=4.0, limit=3)
    assert plan.due_s.tolist() == [0.0, 0.25, 0.5]
    assert [request.number for request in plan] == [0, 1, 2]


def test_a_shipped_scenario_is_sent_as_it_is_simulated() -> None:
    scenario = load_scenario("quickstart")
    plan = planned(scenario, limit=200)
    assert len(plan) == 200
    assert (np.diff(plan.due_s) >= 0).all()
    assert {scenario.workload[request.stream].name for request in plan} == {"chat", "summaries"}


def test_closed_streams_are_left_out_and_told(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, ["0,30,5"])
    closed = {"name": "loop", "arrivals": {"kind": "closed", "concurrency": 2, "requests": 3}}
    closed["lengths"] = {"kind": "constant", "prompt_tokens": 10, "output_tokens": 5}
    scenario = load_scenario(file)
    document = scenario.model_dump(mode="json")
    both = Scenario.model_validate({**document, "workload": [*document["workload"], closed]})
    plan = planned(both)
    assert len(plan) == 1
    assert plan.warnings == ("stream loop is left out: its arrivals follow from the answers",)
    with pytest.raises(InputError, match="has no request of an open stream"):
        planned(Scenario.model_validate({**document, "workload": [closed]}))


# --- what is kept ---


def test_results_have_the_layout_of_a_simulations(tmp_path: Path, server: Fake) -> None:
    file = scenario_of(tmp_path, [f"{0.01 * n},30,5" for n in range(6)])
    options = Options(served=Served("H100-SXM", "Llama-3.1-8B", 64, 2048, 100_000))
    summary = replay_command(file, Target(server.url), options, out=tmp_path / "out")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"summary.json", "scenario.yaml", "requests.parquet", "measured"}
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == summary
    rows = pd.read_parquet(out / "requests.parquet")
    assert list(rows.columns) == replay_schema().names
    assert set(request_schema().names) <= set(rows.columns)
    # An API's tariff prices the tokens: 28 fresh and 2 cached of a prompt, and 5 of the answer.
    assert rows["cost_usd"].tolist() == pytest.approx([(28 * 1.0 + 2 * 0.5 + 5 * 4.0) / 1e6] * 6)
    assert summary["cost"]["total_usd"] == pytest.approx(6 * 49e-6)


def test_a_folder_of_measurements_is_read_as_one(tmp_path: Path, server: Fake) -> None:
    file = scenario_of(tmp_path, [f"{0.01 * n},30,{n + 1}" for n in range(6)])
    options = Options(served=Served("H100-SXM", "Llama-3.1-8B", 64, 2048, 100_000, "vllm", "0.9.0"))
    replay_command(file, Target(server.url), options, out=tmp_path / "out")
    (loop,) = read_measurements([tmp_path / "out" / "measured"], load_catalogue()).open_loop
    rows = pd.read_parquet(tmp_path / "out" / "requests.parquet")
    assert (loop.max_num_seqs, loop.max_num_batched_tokens, loop.kv_capacity_tokens) == (64, 2048, 100_000)
    assert loop.requests["output_tokens"].tolist() == [1, 2, 3, 4, 5, 6]
    assert loop.requests["ttft_s"].tolist() == pytest.approx(rows["ttft_s"].tolist())
    assert loop.requests["tpot_s"].iloc[1:].tolist() == pytest.approx(rows["tpot_s"].iloc[1:].tolist())


def test_gpus_are_paid_for_as_long_as_the_replay_takes() -> None:
    scenario = load_scenario("quickstart")
    rows = pd.DataFrame({"status": ["completed"]})
    cost = cost_of(scenario, pool_of(scenario, None), rows, 1800.0, 1.0)
    # Two GPUs at $2.10 for half an hour; no request has a price of its own.
    assert cost.total_usd == pytest.approx(2.10)
    assert np.isnan(cost.request_usd).all()


def test_the_price_of_one_of_several_pools_is_known_where_it_is_named() -> None:
    scenario = load_scenario("spot-mix")
    assert len(scenario.fleet) > 1
    assert pool_of(scenario, None) is None
    assert pool_of(scenario, scenario.fleet[1].name) is scenario.fleet[1]
    with pytest.raises(InputError, match="is no pool of the scenario"):
        pool_of(scenario, "nowhere")


def test_a_warm_up_beyond_the_last_request_is_told(tmp_path: Path, server: Fake) -> None:
    file = scenario_of(tmp_path, ["0,30,5"])
    file.write_text(file.read_text(encoding="utf-8") + "warm_up: 1h\n", encoding="utf-8")
    found = replayed(file, server)
    assert found.summary["latency"]["e2e_s"]["mean"] is None
    assert found.summary["requests"]["completed"] == 1
    assert any("after the warm-up of 3600 s" in warning for warning in found.summary["warnings"])


def test_settings_of_the_server_come_all_or_not_at_all() -> None:
    assert Served.of({"gpu": None, "model": None}) is None
    with pytest.raises(InputError, match="add --served-model, --max-num-seqs, --max-num-batched-tokens"):
        Served.of({"gpu": "H100-SXM"})


def test_the_command_prints_what_it_returns_and_refuses_what_is_no_server(
    tmp_path: Path, server: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    file = scenario_of(tmp_path, ["0,30,5", "0,30,6"])
    assert run(["lab", "replay", str(file), "--url", server.url, "--timeout", "30s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"]["completed"] == 2
    assert run(["lab", "replay", str(file), "--url", server.url, "--temperature", "0"]) == 0
    assert "2 of 2 requests answered" in capsys.readouterr().out
    assert run(["lab", "replay", str(file), "--url", "ftp://nowhere"]) == 2
    assert "is not the address of a server" in capsys.readouterr().err
    assert run(["lab", "replay", str(file), "--url", server.url, "--api-key-env", "NO_SUCH_KEY"]) == 2
    assert "NO_SUCH_KEY is not set" in capsys.readouterr().err


def test_an_interrupt_writes_what_there_is(tmp_path: Path) -> None:
    file = scenario_of(tmp_path, ["0,30,5", "0,30,28", "3600,30,5"])
    with served(Fake(misbehave={28: "hang"})) as fake:
        seen: list[int] = []

        def interrupt(sender: Sender) -> None:
            seen.append(len(sender.sent))
            if len(seen) == 2:
                threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()

        found = replay(load_scenario(file), Target(fake.url), Options(timeout_s=None), progress=interrupt)
    assert list(found.rows["status"]) == ["completed", "unfinished"]
    assert list(found.rows["error"].fillna("")) == ["", "cancelled"]
    assert "interrupted: 2 of 3 requests were sent" in found.summary["warnings"]


# --- beside a simulation ---


def test_the_simulated_requests_are_those_that_were_sent(tmp_path: Path, server: Fake) -> None:
    header = "arrival_s,prompt_tokens,output_tokens,context_id,version,prefix_tokens,keep_tokens"
    rows = ["0,60,5,1,0,0,50", "0.1,60,6,1,0,50,50", "0.2,40,7,,0,0,0", "0.4,60,8,1,1,0,50"]
    found = replayed(scenario_of(tmp_path, rows, header), server, limit=3, speed=2.0)
    again = planned(scenario_of_replay(found.scenario, found.plan, found.rows, tmp_path))
    for name in ("context_id", "prompt_tokens", "output_tokens", "version", "prefix_tokens", "keep_tokens"):
        assert getattr(again.block, name).tolist() == getattr(found.plan.block, name).tolist()
    assert again.due_s.tolist() == [0.0, 0.05, 0.1]


def test_measured_stands_beside_simulated(tmp_path: Path, server: Fake) -> None:
    file = scenario_of(tmp_path, [f"{0.01 * n},30,5" for n in range(20)])
    beside = replay_command(file, Target(server.url), Options(), compare=True)["beside"]
    assert set(beside) == {"ttft_s", "tpot_s", "e2e_s"}
    for figures in beside.values():
        for pair in figures.values():
            assert pair["off"] == pytest.approx(pair["simulated"] / pair["measured"] - 1.0)
    # Twenty answers of the scenario's API, each of five tokens: later ones follow from the first.
    e2e_s, ttft_s, tpot_s = (beside[name]["mean"]["simulated"] for name in ("e2e_s", "ttft_s", "tpot_s"))
    assert e2e_s == pytest.approx(ttft_s + 4 * tpot_s)
