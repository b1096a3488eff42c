"""Closed loops of a made-up world: servers of known efficiencies, run by the engine and written as a file of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from sim.calibration.fit import START
from sim.hardware import Catalogue
from sim.hardware.setup import Setup
from sim.measurements import Measurements, StepTable, read_measurements
from sim.steptime.calibration import Calibration
from sim.steptime.effects import Effects
from sim.validation.loops import loop_of, serve_loop

__all__ = ["GPUS", "LAYOUTS", "TRUTH", "csv_of", "measured", "runs", "setup_of_run", "steps_csv"]

GPUS = ("H100-SXM", "B200-SXM")
LAYOUTS = {
    "Llama-3.1-8B": ((1, 1), (2, 1)),
    "Qwen3-32B": ((2, 1), (4, 1)),
    "Qwen3-30B-A3B": ((1, 1), (1, 2)),
}
"""Tensor-parallel and data-parallel ranks of each model."""

TRUTH = Calibration(
    name="the truth",
    effects=Effects(
        START,
        {
            "all": {"all": {"memory": -0.1, "prefill_compute": 0.1}},
            "generation": {"Hopper": {"memory": 0.05}, "Blackwell": {"memory": -0.1, "layer_overhead_us": 0.2}},
            "backend": {"vllm": {"time": 0.1, "front_end_ms": 0.4}},
            "kind": {"experts": {"expert_layer_overhead_us": 0.3}},
        },
    ),
)

HEADER = (
    "model,gpu,backend,backend_version,tp_size,attention_dp_size,moe_tp_size,moe_ep_size,"
    "isl,osl,concurrency,ttft_ms,tpot_ms"
)

Run = tuple[Setup, int, int, int]
"""A setup, its prompt and output tokens, and how many requests are in flight."""


def setup_of_run(gpu: str, model: str, layout: tuple[int, int] = (1, 1), backend_version: str = "1") -> Setup:
    """A server of the world."""
    tensor, data = layout
    spread = {"tensor_parallel": tensor, "data_parallel": data, "expert_parallel": data}
    return Setup(model=model, gpu=gpu, backend="vllm", backend_version=backend_version, **spread)


def runs(
    gpus: Sequence[str] = GPUS,
    models: Sequence[str] = tuple(LAYOUTS),
    lengths: Sequence[tuple[int, int]] = ((1000, 100), (3000, 300)),
    batches: Sequence[int] = (1, 4, 16),
) -> Iterator[Run]:
    """Runs of all of these, 72 of them unless told otherwise; `batches` is a rank's."""
    for gpu, model in product(gpus, models):
        for layout, (prompt, output), batch in product(LAYOUTS[model], lengths, batches):
            yield setup_of_run(gpu, model, layout), prompt, output, batch * layout[1]


def csv_of(some: Iterable[Run], catalogue: Catalogue, truth: Calibration = TRUTH) -> list[str]:
    """Lines of a file of these runs, header first, timed by the engine."""
    return [HEADER, *(_line(run, catalogue, truth) for run in some)]


def measured(lines: Sequence[str], folder: Path, catalogue: Catalogue) -> Measurements:
    """What is read from a file of these lines."""
    file = folder / "runs.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_measurements([file], catalogue)


def steps_csv(table: StepTable) -> list[str]:
    """Lines of a file of these steps, header first, without what served them."""
    prompt = table.rows["prompt_tokens"]
    cached = (table.rows["pairs"] / prompt.clip(lower=1) - (prompt + 1) / 2).clip(lower=0).round().astype(int)
    named = table.rows[["decode_rows", "kv_tokens", "prompt_tokens"]].assign(cached_tokens=cached)
    return named.assign(step_s=table.rows["step_s"]).to_csv(index=False).split()


def _line(run: Run, catalogue: Catalogue, truth: Calibration) -> str:
    setup, prompt, output, concurrency = run
    row = {"prompt_tokens": prompt, "output_tokens": output, "concurrency": concurrency, "pattern": "clients"}
    loop = loop_of(setup, row)
    served_by = replace(setup, backend_version="")
    law = truth.step_time(served_by, catalogue, loop.concurrency, loop.max_step_tokens)
    times = serve_loop(loop, law)
    layout = [setup.tensor_parallel, setup.data_parallel, 1, setup.expert_parallel]
    named = [setup.model, setup.gpu, setup.backend, setup.backend_version]
    figures = [f"{seconds * 1e3:.6f}" for seconds in (times.ttft_s, times.tpot_s)]
    return ",".join(map(str, [*named, *layout, prompt, output, concurrency, *figures]))
