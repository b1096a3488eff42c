"""The commands `nightshift lab ...`: read arguments, call one function, print what it gives back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["lab_app"]

_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

lab_app = typer.Typer(name="lab", help="Run a real model: serve it, and load any server with a stream.", **_SETTINGS)


@lab_app.callback()
def _lab() -> None:
    """Commands are added below by what they do."""


class Endpoint(StrEnum):
    """The part of a server's interface that is asked."""

    auto = "auto"
    completions = "completions"
    chat = "chat"


@lab_app.command()
def replay(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or a bundled scenario such as quickstart.")],
    url: Annotated[str, typer.Option(help="Address of the server: http://127.0.0.1:8000/v1.", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: workload.0.arrivals.rps=4."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask; may be left out where there is one.")] = None,
    key_variable: Annotated[
        str | None, typer.Option("--api-key-env", metavar="NAME", help="Environment variable with the server's key.")
    ] = None,
    speed: Annotated[float, typer.Option(min=1e-6, help="How many times faster than in the scenario.")] = 1.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Requests at most.")] = None,
    timeout: Annotated[str, typer.Option(help="Longest wait for a whole answer, or none.")] = "60s",
    endpoint: Annotated[Endpoint, typer.Option(help="What is asked; auto: completions, else chat.")] = Endpoint.auto,
    exact: Annotated[
        bool, typer.Option("--exact/--own-length", help="Answers as long as planned, or as the model ends them.")
    ] = True,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Temperature; the server's own if left out.")
    ] = None,
    prompt_ids: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Send prompts as token ids between these.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Prompts of your own, by question_id or row.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Pool of the scenario that the server stands for, for its price.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="For DIR/measured: GPU, by catalogue name.")] = None,
    served_model: Annotated[str | None, typer.Option(help="For DIR/measured: model, by catalogue name.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(min=1, help="For DIR/measured: requests in a batch.")] = None,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(min=1, help="For DIR/measured: tokens in a step.")
    ] = None,
    kv_capacity_tokens: Annotated[
        int | None, typer.Option(min=1, help="For DIR/measured: KV cache of a replica.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="For DIR/measured: format of the weights.")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(min=1, help="For DIR/measured: GPUs of a replica.")] = None,
    backend: Annotated[str | None, typer.Option(help="For DIR/measured: serving engine, such as vllm.")] = None,
    backend_version: Annotated[str | None, typer.Option(help="For DIR/measured: its version.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Simulate the same requests beside.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep the results in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Send a scenario's requests to a real server, each at its time, and measure its answers.

    Times count from when a request was due, whatever the server or this client was doing then.
    """
    import json

    from rich.console import Console

    from sim.lab.replay import Options, Served, Target
    from sim.lab.replay.command import replay_command
    from sim.lab.replay.given import id_range, key_of, longest_wait_s
    from sim.lab.replay.terminal import format_replay, replay_bar

    given = {
        "gpu": gpu,
        "model": served_model,
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": max_num_batched_tokens,
        "kv_capacity_tokens": kv_capacity_tokens,
        "precision": precision,
        "tensor_parallel": tensor_parallel,
        "backend": backend,
        "backend_version": backend_version,
    }
    options = Options(
        speed=speed,
        limit=limit,
        timeout_s=longest_wait_s(timeout),
        endpoint=endpoint.value,
        exact=exact,
        prompt_ids=id_range(prompt_ids),
        prompts=prompts,
        settings={} if temperature is None else {"temperature": temperature},
        pool=pool,
        served=Served.of(given),
    )
    target = Target(url, model, key_of(key_variable))
    with replay_bar() as progress:
        summary = replay_command(
            scenario, target, options, overrides=overrides or (), compare=compare, out=out, progress=progress
        )
    if as_json:
        typer.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        Console().print(format_replay(summary))
    if out is not None:
        typer.echo(f"Results are in {out}", err=as_json)
    if summary["client"]["interrupted"]:
        raise typer.Exit(130)


@lab_app.command()
def table(
    outcomes: Annotated[Path, typer.Argument(help="A table of outcomes that `nightshift measure` has written.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")] = False,
) -> None:
    """Accuracy and tokens by strategy, difficulty, effort and predictability, as Markdown."""
    import json

    from sim.lab.outcomes.judged import outcome_table
    from sim.lab.outcomes.judgement import as_markdown

    found = outcome_table(outcomes)
    typer.echo(json.dumps(found.document(), indent=2, allow_nan=False) if as_json else as_markdown(found), nl=as_json)


class Scheduler(StrEnum):
    """How an engine fills its steps."""

    chunked = "chunked"
    prefill_first = "prefill-first"


class Provider(StrEnum):
    """Where a model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Numbers of weights, activations and cache."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


@lab_app.command()
def serve(
    model: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Weights; the shipped model if left out.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Instead: random weights in a public model's shape.")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Only so many layers of the shape.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 8000,
    provider: Annotated[Provider, typer.Option(help="Where the model runs.")] = Provider.auto,
    precision: Annotated[Precision, typer.Option(help="Numbers that it computes in.")] = Precision.fp32,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads on a CPU; one less than cores.")] = None,
    gpu: Annotated[str | None, typer.Option(help="The GPU's catalogue name, for the log.")] = None,
    scheduler: Annotated[Scheduler, typer.Option(help="How steps are filled.")] = Scheduler.chunked,
    max_num_seqs: Annotated[int | None, typer.Option(min=1, help="Requests in a batch; 32, on a GPU 64.")] = None,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in a step; half a row's if left out.")
    ] = None,
    max_model_len: Annotated[int | None, typer.Option(min=2, help="Tokens of a prompt with its answer.")] = None,
    kv_capacity_tokens: Annotated[
        int | None, typer.Option(min=16, help="KV memory; all rows at their longest if left out.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep steps and requests in this folder, written at the end.")
    ] = None,
) -> None:
    """Serve a model by OpenAI's interface, batched by the rules of the simulator's replica, until interrupted."""
    from sim.lab.serving.serve import ServeOptions
    from sim.lab.serving.serve import serve as run

    options = ServeOptions(
        model=model,
        shape=shape,
        layers=layers,
        host=host,
        port=port,
        provider=provider.value,
        precision=precision.value,
        threads=threads,
        gpu=gpu,
        scheduler=scheduler.value,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_model_len=max_model_len,
        kv_capacity_tokens=kv_capacity_tokens,
        log=log,
    )
    run(options, say=lambda line: typer.echo(line, err=True))
