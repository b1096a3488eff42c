"""Logged requests served by the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame

from sim.errors import InputError
from sim.hardware import Precision, load_catalogue
from sim.steptime import StepTime, roofline
from sim.steptime.ideal import Layout
from sim.validation.replay import replay_open_loop
from tests.step_tables import shared_log

LOGS = {
    "RTXPRO6000-Llama-3.1-8B": ("Llama-3.1-8B", 1),
    "RTXPRO6000-Qwen3-30B-A3B-Instruct-2507": ("Qwen3-30B-A3B", 2),
}


def requests(*rows: tuple[float, int, int]) -> DataFrame:
    return DataFrame(rows, columns=["arrival_s", "prompt_tokens", "output_tokens"])


def served(log: DataFrame, replicas: int = 1, kv_capacity_tokens: int = 1600, scheduler: str = "chunked") -> DataFrame:
    """By replicas whose steps take 1 s, and half a second more with both decode rows and prompts."""
    rows_s, tokens_s = np.array([[0.0, 1.0]]), np.array([0.0, 0.5, 1.0, 1.0])
    law = StepTime(rows_s, np.zeros((1, 2)), np.array([np.inf]), tokens_s, 0.0)
    limits = {"kv_capacity_tokens": kv_capacity_tokens, "max_num_seqs": 4}
    return replay_open_loop(log, law, replicas=replicas, max_num_batched_tokens=64, scheduler=scheduler, **limits)


def test_a_request_by_hand() -> None:
    assert served(requests((2.0, 10, 5))).to_dict("records") == [
        {"arrival_s": 2.0, "prompt_tokens": 10, "output_tokens": 5, "ttft_s": 1.0, "tpot_s": 1.0, "e2e_s": 5.0}
    ]


def test_requests_come_back_in_their_order_with_their_index() -> None:
    log = requests((9.0, 10, 5), (0.0, 20, 2), (0.0, 30, 1)).set_axis([7, 7, 3])
    answers = served(log)
    assert answers.index.tolist() == [7, 7, 3]
    assert answers.prompt_tokens.tolist() == [10, 20, 30]
    assert answers.e2e_s.tolist() == [5.0, 2.0, 1.0]
    assert answers.tpot_s.isna().tolist() == [False, False, True]


def test_replicas_share_the_requests() -> None:
    log = requests(*[(0.0, 50, 1)] * 4)
    assert served(log, replicas=1).ttft_s.max() > served(log, replicas=4).ttft_s.max() == 1.0


def test_prompts_first_or_in_chunks() -> None:
    log = requests((0.0, 10, 4), (1.5, 10, 1))
    assert served(log).e2e_s.tolist() == [4.5, 2.0]
    assert served(log, scheduler="prefill-first").e2e_s.tolist() == [5.0, 1.5]


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(InputError, match="a request of 1700 tokens is longer than a replica's KV cache of 1600"):
        served(requests((0.0, 1600, 100)))
    with pytest.raises(InputError, match="the log holds no requests"):
        served(requests())


@pytest.mark.parametrize("name", sorted(LOGS))
def test_logs_of_vllm_are_served(shared: Path, name: str) -> None:
    catalogue, log = load_catalogue(), shared_log(shared, name)
    model, replicas = LOGS[name]
    gpu = catalogue.gpu("RTX-PRO-6000-Server")
    law = roofline(gpu, catalogue.model(model), Layout(), Precision(), 128, 2048, catalogue.efficiency(gpu))
    limits = {"kv_capacity_tokens": 400_000, "max_num_seqs": 128, "max_num_batched_tokens": 2048}
    answers = replay_open_loop(log, law, replicas=replicas, **limits)
    assert answers.index.equals(log.index)
    assert (answers.e2e_s >= answers.ttft_s).all()
    assert answers.e2e_s.mean() == pytest.approx(log.e2e_s.mean(), rel=0.5)
