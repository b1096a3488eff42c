"""The endpoint in front of the lab's engine: what it answers, whole and in streams, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import InputError
from sim.hardware import load_catalogue
from sim.lab.client.answer import Answer
from sim.lab.client.client import Client, Target
from sim.lab.client.dialect import learn_dialect, sole_model
from sim.lab.decoder.weights import DecoderConfig, weight_shapes, write_weights
from sim.lab.engine.engine import Engine, EngineSettings, Job
from sim.lab.engine.loops import run_all
from sim.lab.engine.records import StepRecord
from sim.lab.serving import LanguageTexts, Runner, WordTexts, build_app, texts_for
from sim.lab.serving.log import steps_text, write_log
from sim.lab.serving.serve import ServeOptions, _listening, serve
from sim.measurements import declared_models, read_measurements
from tests.fake_decoder import FakeDecoder

httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

QUESTION = "5 6 7 8"
PATIENCE_S = 20.0
DECLARED = {"name": "nightshift-lab", "layers": 1, "hidden": 32, "heads": 2, "kv_heads": 1, "head_dim": 16}
DECLARED |= {"ffn_intermediate": 48, "vocab": 60, "tied_embeddings": True, "max_position": 512}
SETUP = {"model": "nightshift-lab", "gpu": "CPU", "precision": "fp32", "backend": "nightshift"}


class SlowDecoder(FakeDecoder):
    """Takes its time, so that somebody can go away meanwhile."""

    def decode(self, tokens: Any, lengths: Any) -> Any:
        time.sleep(0.005)
        return super().decode(tokens, lengths)


class BrokenDecoder(FakeDecoder):
    def decode(self, tokens: Any, lengths: Any) -> Any:
        raise RuntimeError("out of order")


class EndingTexts(WordTexts):
    """Words of which every fourth ends an answer."""

    def __init__(self) -> None:
        super().__init__(50)
        self.ends = frozenset(range(0, 50, 4))


def an_engine(decoder: FakeDecoder | None = None) -> Engine:
    settings = EngineSettings(max_num_seqs=4, max_num_batched_tokens=64, kv_capacity_tokens=4096)
    return Engine(decoder or FakeDecoder(5), settings)


@contextmanager
def running(engine: Engine | None = None) -> Iterator[Runner]:
    runner = Runner(engine or an_engine(), keep=True)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


def asked(runner: Runner, path: str, body: Any = None, texts: WordTexts | None = None) -> Any:
    """The server's answer: to a POST of the body, or to a GET where there is none."""

    async def ask() -> Any:
        app = build_app(runner, "made-up", texts or WordTexts(50))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            if body is None:
                return await client.get(path)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await client.post(path, content=content)

    return asyncio.run(ask())


def completion(body: dict[str, Any], texts: WordTexts | None = None) -> Any:
    with running() as runner:
        answer = asked(runner, "/v1/completions", {"prompt": QUESTION, "temperature": 0, **body}, texts)
    assert answer.status_code == 200, answer.text
    return answer.json()


def chunks(body: dict[str, Any], path: str = "/v1/completions", texts: WordTexts | None = None) -> list[dict[str, Any]]:
    """Those of a stream, which ends as it should."""
    with running() as runner:
        answer = asked(runner, path, {"temperature": 0, "stream": True, **body}, texts)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, last = answer.text.split("\n\n")[:-1]
    assert last == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


def spoken(tokens: int = 16) -> list[str]:
    """What the fake says to the question, word by word."""
    (record,) = run_all(an_engine(), [Job(0, (5, 6, 7, 8), max_tokens=tokens)])
    return [str(token) for token in record.tokens]


def test_a_completion_is_what_the_model_says() -> None:
    answer = completion({"max_tokens": 6})
    (choice,) = answer["choices"]
    assert choice == {"index": 0, "text": " ".join(spoken(6)), "logprobs": None, "finish_reason": "length"}
    assert answer["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 6,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert (answer["object"], answer["model"]) == ("text_completion", "made-up")


def test_a_stream_brings_a_chunk_for_every_token() -> None:
    *pieces, usage = chunks({"prompt": [5, 6, 7, 8], "max_tokens": 6, "stream_options": {"include_usage": True}})
    texts = [piece["choices"][0]["text"] for piece in pieces]
    first, *others = spoken(6)
    assert texts == [first, *(f" {word}" for word in others)]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * 5 + ["length"]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 6)
    assert len({piece["id"] for piece in [*pieces, usage]}) == 1


def test_a_chat_answers_to_all_that_was_said() -> None:
    said = [
        {"role": "system", "content": "5 6"},
        {"role": "user", "content": [{"type": "text", "text": "7"}, {"type": "text", "text": "8"}]},
    ]
    opening, *pieces = chunks({"messages": said, "max_tokens": 5}, "/v1/chat/completions")
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == " ".join(spoken(5))
    with running() as runner:
        whole = asked(runner, "/v1/chat/completions", {"messages": said, "max_completion_tokens": 5, "temperature": 0})
    assert whole.json()["choices"][0]["message"] == {"role": "assistant", "content": " ".join(spoken(5))}


def test_a_chat_may_go_on_to_the_end_of_its_row() -> None:
    with running(an_engine(FakeDecoder(5, capacity=20))) as runner:
        answer = asked(runner, "/v1/chat/completions", {"messages": [{"role": "user", "content": QUESTION}]})
    assert answer.json()["usage"]["total_tokens"] == 21


def test_an_answer_ends_at_a_token_that_ends_it_and_does_not_say_it() -> None:
    texts = EndingTexts()
    end = next(i for i, word in enumerate(spoken(40)) if int(word) in texts.ends)
    answer = completion({"max_tokens": 40}, texts)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (" ".join(spoken(40)[:end]), "stop")
    assert answer["usage"]["completion_tokens"] == end + 1
    whole = completion({"max_tokens": 40, "ignore_eos": True}, texts)
    assert whole["choices"][0]["text"] == " ".join(spoken(40))


def test_no_answer_ends_before_its_least_length() -> None:
    texts = EndingTexts()
    answer = completion({"max_tokens": 40, "min_tokens": 30}, texts)
    assert answer["usage"]["completion_tokens"] > 30


@pytest.mark.parametrize("included", [False, True])
def test_a_text_to_stop_at_ends_the_answer_and_nothing_of_it_is_sent(included: bool) -> None:
    words = spoken(16)
    stop = f"{words[5]} {words[6]}"
    told = " ".join(words).partition(stop)[0] + stop * included
    body = {"prompt": QUESTION, "max_tokens": 16, "stop": ["never", stop], "include_stop_str_in_output": included}
    pieces = chunks(body)
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == told
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"
    assert completion(body)["choices"][0]["text"] == told


def test_stop_token_ids_stop_too() -> None:
    answer = completion({"max_tokens": 16, "stop_token_ids": [int(spoken(16)[3])]})
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == spoken(16).index(spoken(16)[3]) + 1


def test_samples_share_their_prompt_and_differ() -> None:
    body = {"prompt": list(range(40)), "max_tokens": 8, "n": 3, "temperature": 1.0, "seed": 7}
    answer = completion(body)
    texts = [choice["text"] for choice in answer["choices"]]
    assert len(set(texts)) == 3
    assert answer["usage"]["prompt_tokens"] == 40
    assert [choice["text"] for choice in completion(body)["choices"]] == texts
    with running() as runner:
        asked(runner, "/v1/completions", body)
        assert sorted(record.cached_tokens for record in runner.engine.finished) == [0, 32, 32]


def test_several_prompts_are_answered_in_their_order() -> None:
    answer = completion({"prompt": [QUESTION, "1 2 3"], "max_tokens": 4})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["choices"][0]["text"] == " ".join(spoken(4))
    assert answer["choices"][1]["text"] == completion({"prompt": "1 2 3", "max_tokens": 4})["choices"][0]["text"]


def test_log_probabilities_come_with_the_tokens() -> None:
    (choice,) = completion({"max_tokens": 3, "logprobs": 1})["choices"]
    (record,) = run_all(an_engine(), [Job(0, (5, 6, 7, 8), max_tokens=3)])
    assert choice["logprobs"]["tokens"] == spoken(3)
    assert choice["logprobs"]["token_logprobs"] == pytest.approx(record.logprobs)


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        ("completions", {"prompt": []}, "prompt", "is empty"),
        ("completions", {}, "prompt", "is no prompt"),
        ("completions", {"prompt": [[1], 2]}, "prompt", "is no prompt"),
        ("completions", {"prompt": [1, 2.5]}, "prompt", "is no list of tokens"),
        ("completions", {"prompt": [1, 99]}, None, "99 is no token of a vocabulary of 50"),
        ("completions", {"prompt": [1], "max_tokens": 1000}, None, "do not fit into a row of 512"),
        ("completions", {"prompt": [1], "max_tokens": 0}, "max_tokens", "0 is no whole number of 1"),
        ("completions", {"prompt": [1], "max_tokens": "4"}, "max_tokens", "is no whole number"),
        ("completions", {"prompt": [1], "max_tokens": 4, "min_tokens": 5}, "min_tokens", "of 0 to 4"),
        ("completions", {"prompt": [1], "temperature": -0.1}, "temperature", "is no number of 0 to 100"),
        ("completions", {"prompt": [1], "top_p": 0.9}, "top_p", "0.9 is not supported; leave it out, or give 1"),
        ("completions", {"prompt": [1], "stop": [""]}, "stop", "is no text to stop at"),
        ("completions", {"prompt": [1], "stream": 1}, "stream", "is neither true nor false"),
        ("completions", {"prompt": [1], "stream_options": []}, "stream_options", "is no object"),
        ("completions", {"prompt": [1], "seed": 0.5}, "seed", "is no whole number"),
        ("completions", {"prompt": [1], "model": 4}, "model", "is no text"),
        ("completions", {"prompt": [[1]] * 65, "n": 2}, "n", "130 answers are too many"),
        ("chat/completions", {"messages": [{"role": "user", "content": " "}]}, "messages", "is empty"),
        ("chat/completions", {"messages": "hello"}, "messages", "is no list of messages"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages",
            "is no text",
        ),
        ("completions", b"{", None, "the body is no JSON"),
        ("completions", b"[1]", None, "the body is no JSON object"),
        ("completions", b"[" * 100_000, None, "the body is no JSON"),
    ],
)
def test_what_cannot_be_done_is_refused_by_value_rule_and_remedy(
    path: str, body: Any, param: str | None, message: str
) -> None:
    with running() as runner:
        answer = asked(runner, f"/v1/{path}", body)
        assert runner.engine.idle
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        param,
        400,
    )
    assert message in error["message"]
    assert ";" in error["message"]


def test_other_models_and_paths_are_not_found() -> None:
    with running() as runner:
        missing = asked(runner, "/v1/completions", {"prompt": [1], "model": "gpt-4"})
        nowhere = asked(runner, "/v1/embeddings", {"input": "a"})
        wrong = asked(runner, "/v1/completions")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    assert "gpt-4 is not served here" in missing.json()["error"]["message"]
    assert (nowhere.status_code, wrong.status_code) == (404, 405)
    assert nowhere.json()["error"]["code"] == 404


def test_the_server_tells_what_it_serves_and_how_it_fares() -> None:
    with running() as runner:
        (model,) = asked(runner, "/v1/models").json()["data"]
        assert (model["id"], model["max_model_len"]) == ("made-up", 513)
        assert asked(runner, "/health").status_code == 200
        asked(runner, "/v1/completions", {"prompt": QUESTION, "max_tokens": 5})
        told = asked(runner, "/metrics").text
    assert 'vllm:num_requests_running{model_name="made-up"} 0' in told
    assert 'vllm:num_requests_waiting{model_name="made-up"} 0' in told
    assert 'vllm:prompt_tokens_total{model_name="made-up"} 4' in told
    assert 'vllm:generation_tokens_total{model_name="made-up"} 5' in told
    assert 'vllm:request_success_total{model_name="made-up"} 1' in told


def test_a_model_that_fails_is_told_to_all_who_wait() -> None:
    with running(an_engine(BrokenDecoder(5))) as runner:
        whole = asked(runner, "/v1/completions", {"prompt": QUESTION})
        assert whole.status_code == 500
        assert "the engine has failed: out of order" in whole.json()["error"]["message"]
        assert asked(runner, "/health").status_code == 503
        assert asked(runner, "/v1/completions", {"prompt": QUESTION}).status_code == 503
    with running(an_engine(BrokenDecoder(5))) as runner:
        streamed = asked(runner, "/v1/completions", {"prompt": QUESTION, "stream": True})
    assert "the engine has failed" in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")


@contextmanager
def listening(runner: Runner) -> Iterator[str]:
    """A real server on a port of its own; gives its address."""
    listener = _listening("127.0.0.1", 0)
    config = uvicorn.Config(build_app(runner, "made-up", WordTexts(50)), log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def wait_for(what: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not what() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert what()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_has_its_job_dropped(stream: bool) -> None:
    body = {"prompt": QUESTION, "max_tokens": 500, "stream": stream}
    with running(an_engine(SlowDecoder(5))) as runner, listening(runner) as url:
        with (
            suppress(httpx.ReadTimeout),
            httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=0.5) as answer,
        ):
            next(answer.iter_bytes())
        wait_for(lambda: bool(runner.engine.finished))
        (record,) = runner.engine.finished
        assert record.status == "cancelled"
        assert 0 < record.output_tokens < 500


def test_our_own_client_understands_the_server() -> None:
    async def talk(url: str) -> Answer:
        async with Client.open(Target(url), time.monotonic) as client:
            model = await sole_model(client)
            dialect = await learn_dialect(client, model, QUESTION)
            assert not dialect.warnings
            answer = Answer()
            await client.stream(dialect.path, json.dumps(dialect.body(QUESTION, 12)).encode(), answer)
            return answer

    with running() as runner, listening(runner) as url:
        answer = asyncio.run(talk(url))
    assert (answer.prompt_tokens, answer.output_tokens, answer.pieces, answer.complete) == (4, 12, 12, True)


def test_what_was_served_can_be_read_as_measurements(tmp_path: Path) -> None:
    with running() as runner:
        for size in (3, 40, 8):
            asked(runner, "/v1/completions", {"prompt": list(range(size)), "max_tokens": 6})
    write_log(tmp_path, runner.engine, SETUP, DECLARED, {"date": "2026-11-21T00:00:00Z"})
    found = read_measurements([tmp_path], declared_models([tmp_path], load_catalogue()))
    (steps,), (loop,) = found.step_tables, found.open_loop
    assert steps.rows["pairs"].tolist() == pytest.approx([step.pairs for step in runner.engine.steps], rel=1e-4)
    assert loop.requests["prompt_tokens"].tolist() == [3, 40, 8]
    assert loop.requests["e2e_s"].tolist() == pytest.approx(
        [record.e2e_s for record in runner.engine.finished], abs=1e-6
    )
    assert (loop.max_num_seqs, loop.kv_capacity_tokens) == (4, 4096)


def test_slices_of_a_step_are_told_by_their_pairs() -> None:
    """Two slices of 10 and 2 tokens, before which 6 and none were read."""
    pairs = 10 * 6 + 55 + 3
    (line,) = steps_text([StepRecord(0.0, 0.5, 0, 0, 12, pairs, 2)], {}).splitlines()[1:]
    *_, prompt, cached, slices = map(float, line.split(","))
    assert prompt * (cached + (prompt / slices + 1) / 2) == pytest.approx(pairs)


def tiny_model(folder: Path) -> Path:
    config = DecoderConfig(60, 32, 1, 2, 1, 16, 48, max_positions=64)
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in weight_shapes(config).items()}
    write_weights(folder, config, arrays)
    return folder


def test_the_command_serves_until_it_is_told_to_stop_and_keeps_its_log(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model, log = tiny_model(tmp_path / "tiny"), tmp_path / "log"
    code = "from sim.cli import main; main()"
    options = ["lab", "serve", str(model), "--port", "0", "--gpu", "H100-SXM", "--max-num-seqs", "2", "--log", str(log)]
    command = [sys.executable, "-c", code, *options]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        assert line.startswith("serving tiny on ")
        url = line.split()[-1]
        body = {"prompt": "1 2 3", "max_tokens": 4, "temperature": 0}
        answers = [httpx.post(f"{url}/completions", json=body, timeout=PATIENCE_S).json() for _ in range(2)]
        server.send_signal(signal.SIGINT)
        rest = server.stderr.read()
    assert answers[0]["choices"] == answers[1]["choices"]
    assert answers[0]["usage"]["completion_tokens"] == 4
    assert f"the log is in {log}" in rest
    assert "Traceback" not in rest
    found = read_measurements([log], declared_models([log], load_catalogue()))
    assert len(found.open_loop[0].requests) == 2
    assert len(found.step_tables[0].rows) == 2 * 4


def test_a_port_that_is_taken_is_told() -> None:
    with _listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"127.0.0.1:{port} cannot be listened at .*give another --port"):
            serve(ServeOptions(port=port))


def test_a_model_with_the_language_is_spoken_to_in_it() -> None:
    from sim.lab.language import VOCABULARY_SIZE, decode, encode

    texts = texts_for(VOCABULARY_SIZE)
    assert isinstance(texts, LanguageTexts)
    tokens = encode("b = a *7 ; <question> b <direct>")
    assert texts.encode(decode(tokens)) == tokens
    assert " ".join(map(texts.word, tokens)) == decode(tokens)


def test_numbers_read_back_as_the_same_tokens() -> None:
    texts = WordTexts(50)
    assert texts.encode(" ".join(map(texts.word, range(50)))) == list(range(50))
