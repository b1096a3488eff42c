"""The load client against servers that are not ours: transformers' own, and two of llama.cpp's.

They are found by environment variables, or where they are installed beside us; what is not there is skipped:

- NIGHTSHIFT_TRANSFORMERS: an interpreter with transformers[serving] and torch;
- NIGHTSHIFT_LLAMA_CPP: an interpreter with llama-cpp-python[server] and gguf;
- NIGHTSHIFT_LLAMA_SERVER: llama.cpp's program llama-server; its model is written by the interpreter above.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

import httpx

from sim.lab.replay import Options, Replayed, Target, replay
from sim.lab.replay.dispatch import Sender
from sim.lab.replay.prompts import WORDS
from sim.load import load_scenario

pytestmark = pytest.mark.long
HERE = Path(__file__).resolve().parent

SCENARIO = """
name: foreign
seed: 3
horizon: {horizon}
workload:
  - name: chat
    arrivals: {{kind: poisson, rps: {rps}}}
    lengths: {{kind: lognormal, prompt_median: 60, prompt_sigma: 0.5, output_median: 20, output_sigma: 0.5,
              prompt_max: 300, output_max: 60}}
  - name: papers
    arrivals: {{kind: poisson, rps: 0.5}}
    contexts: {{queries: 4, think_time: 2s, tokens: 200}}
    lengths: {{kind: constant, prompt_tokens: 30, output_tokens: 16}}
fleet:
  - {{name: h100, gpu: H100-SXM, model: Llama-3.1-8B, replicas: 1, offer: {{kind: reserved, usd_per_gpu_hour: 2.10}}}}
"""


@dataclass
class Foreign:
    """A server in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    model: str | None

    def replay(
        self, folder: Path, rps: float, horizon: str, progress: Callable[[Sender], None] | None = None
    ) -> Replayed:
        file = folder / "foreign.yaml"
        file.write_text(SCENARIO.format(rps=rps, horizon=horizon), encoding="utf-8")
        options = Options(settings={"temperature": 0.0}, timeout_s=120.0)
        return replay(load_scenario(file), Target(self.url, self.model), options, progress=progress)


def interpreter(variable: str, *modules: str) -> str:
    """An interpreter that has these modules."""
    given = os.environ.get(variable)
    if given is None and not all(find_spec(module) for module in modules):
        pytest.skip(f"{' and '.join(modules)} are not installed; set {variable} to an interpreter that has them")
    return given or sys.executable


def write_model(python: str, kind: str, place: Path) -> Path:
    command = [python, str(HERE / "tiny_models.py"), kind, str(place)]
    subprocess.run(command, input=" ".join(WORDS).encode(), check=True, capture_output=True)
    return place


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(folder: Path, command: list[str], model: str | None) -> Iterator[Foreign]:
    """The server of a command whose last word but the port is given, once it answers."""
    port, log = free_port(), folder / "server.log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=output, stderr=output, env=environment)
    foreign = Foreign(f"http://127.0.0.1:{port}", process, log, model)
    try:
        wait_until_up(foreign)
        yield foreign
    finally:
        process.kill()
        process.wait()


def wait_until_up(foreign: Foreign) -> None:
    for _ in range(600):
        assert foreign.process.poll() is None, foreign.log.read_text(errors="replace")[-2000:]
        try:
            if httpx.get(f"{foreign.url}/openapi.json").status_code in (200, 404):
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(foreign.log.read_text(errors="replace")[-2000:])


@contextmanager
def transformers(folder: Path) -> Iterator[Foreign]:
    python = interpreter("NIGHTSHIFT_TRANSFORMERS", "transformers", "torch", "fastapi", "openai")
    model = str(write_model(python, "hf", folder / "model"))
    program = [str(Path(python).with_name("transformers")), "serve", model, "--device", "cpu", "--dtype", "float32"]
    batching = ["--continuous-batching", "--cb-block-size", "16", "--cb-num-blocks", "256"]
    batching += ["--cb-max-batch-tokens", "256"]
    with started(folder, [*program, *batching], model) as foreign:
        yield foreign


@contextmanager
def llama_cpp_python(folder: Path) -> Iterator[Foreign]:
    python = interpreter("NIGHTSHIFT_LLAMA_CPP", "llama_cpp", "gguf", "fastapi")
    model = write_model(python, "gguf", folder / "tiny.gguf")
    settings = {"--model": model, "--n_ctx": 2048, "--n_threads": 1, "--n_threads_batch": 1}
    # Else a request ends the answer to the one before it.
    settings["--interrupt_requests"] = "false"
    command = [python, "-m", "llama_cpp.server", *(str(word) for pair in settings.items() for word in pair)]
    with started(folder, command, None) as foreign:
        yield foreign


@contextmanager
def llama_server(folder: Path) -> Iterator[Foreign]:
    program = os.environ.get("NIGHTSHIFT_LLAMA_SERVER") or shutil.which("llama-server")
    if program is None:
        pytest.skip("llama-server is not installed; set NIGHTSHIFT_LLAMA_SERVER to it")
    python = interpreter("NIGHTSHIFT_LLAMA_CPP", "gguf")
    model = write_model(python, "gguf", folder / "tiny.gguf")
    settings = {"-m": model, "-c": 8192, "-np": 8, "-t": 1, "-tb": 1, "--host": "127.0.0.1"}
    with started(folder, [program, *(str(word) for pair in settings.items() for word in pair)], None) as foreign:
        yield foreign


SERVERS: dict[str, Any] = {
    "transformers": transformers,
    "llama-cpp-python": llama_cpp_python,
    "llama-server": llama_server,
}


@pytest.fixture(params=list(SERVERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_streams_are_parsed_and_tokens_counted(name: str, tmp_path: Path) -> None:
    with SERVERS[name](tmp_path) as foreign:
        found = foreign.replay(tmp_path, rps=1.0, horizon="20s")
        logged = foreign.log.read_text(errors="replace")
    rows, tokens = found.rows, found.summary["client"]["tokens"]
    assert set(rows["status"]) == {"completed"}
    assert len(rows) == len(found.plan) > 10
    assert (rows["pieces"] <= rows["output_tokens"]).all()
    # A model may end its answer by itself, where the server does not keep it from that.
    assert tokens["output_off"]["mean_abs"] < 0.05
    if name == "llama-cpp-python":
        # It counts no tokens of streams, but logs one run of the model fewer than there are; in an order of its own.
        runs = [int(count) for count in re.findall(r"\n.*?   eval time =.*?/\s+(\d+) runs", logged)]
        assert sorted(count + 1 for count in runs[-len(rows) :]) == sorted(rows["output_tokens"].tolist())
    else:
        assert not rows["tokens_are_counted"].any()
        assert tokens["prompt_off"]["mean_abs"] < 0.05


def test_a_killed_server_gives_errors_and_no_hang(name: str, tmp_path: Path) -> None:
    def kill_at_tenth(sender: Sender) -> None:
        if len(sender.sent) == 10:
            foreign.process.kill()

    with SERVERS[name](tmp_path) as foreign:
        found = foreign.replay(tmp_path, rps=10.0, horizon="4s", progress=kill_at_tenth)
    rows = found.rows
    assert len(rows) == len(found.plan) > 20
    assert set(rows["status"]) <= {"completed", "failed"}
    assert set(rows["error"].dropna()) <= {"broken_stream", "refused_connection"}
    assert (rows["status"][:9] == "failed").any()
    # A process that is killed may still take connections while the system clears it away.
    assert rows["error"][10:].notna().all()
    assert rows["error"].iloc[-1] == "refused_connection"
