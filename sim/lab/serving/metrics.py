"""What the server is at, in Prometheus' text form, under the names that vLLM gives."""

from __future__ import annotations

from collections.abc import Iterator

from sim.lab.serving.runner import Runner

__all__ = ["metrics_text"]


def metrics_text(runner: Runner, model: str) -> str:
    """Lines of a scrape."""
    return "".join(_lines(runner, model.replace("\\", "\\\\").replace('"', '\\"')))


def _lines(runner: Runner, model: str) -> Iterator[str]:
    engine, totals = runner.engine, runner.totals
    gauges = {
        "num_requests_running": engine.running,
        "num_requests_waiting": engine.waiting,
        "kv_cache_usage_perc": engine.kv_usage,
    }
    counters = {
        "num_preemptions_total": engine.preemptions,
        "prompt_tokens_total": totals["prompt_tokens"],
        "generation_tokens_total": totals["generation_tokens"],
    }
    for kind, values in (("gauge", gauges), ("counter", counters)):
        for name, value in values.items():
            yield f'# TYPE vllm:{name} {kind}\nvllm:{name}{{model_name="{model}"}} {value:g}\n'
    yield "# TYPE vllm:request_success_total counter\n"
    yield f'vllm:request_success_total{{model_name="{model}"}} {totals["completed"]}\n'
