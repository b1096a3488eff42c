"""What all tests share: the folder of public data beside the checkout, and small scenarios of our own."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL_SCENARIO = """\
name: small
horizon: 10m
workload:
  - name: chat
    arrivals: {kind: poisson, rps: 2.0}
    lengths: {kind: constant, prompt_tokens: 200, output_tokens: 50}
    slo: {ttft: 1s, e2e: 30s}
fleet:
  - name: h100
    gpu: H100-SXM
    model: Llama-3.1-8B
    replicas: 2
    offer: {kind: reserved, usd_per_gpu_hour: 2.10}
"""


@pytest.fixture(scope="session")
def shared() -> Path:
    """Public traces, measurements and prices beside the checkout; tests that want them skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("public data (../shared) is not beside this checkout")
    return folder


@pytest.fixture
def scenario_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a scenario's text to a file and gives back its path."""

    def write(text: str = SMALL_SCENARIO) -> Path:
        path = tmp_path / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def small_scenario() -> str:
    """The text of a small scenario: ten minutes of Poisson arrivals on two replicas."""
    return SMALL_SCENARIO


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C reaches tests also where they run in the background, where shells have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
