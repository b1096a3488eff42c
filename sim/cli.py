"""The command `nightshift`: read arguments, call one function, print what it gives back.

Everything but typer is imported inside the commands, so that `nightshift --help` answers at once.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.comparison.cli import compare
from sim.evaluation.cli import evaluate
from sim.lab.cli import lab_app
from sim.planning.cli import plan
from sim.sweep.cli import sweep

if TYPE_CHECKING:
    from sim.measurements import Assumed
    from sim.precision import Precision

__all__ = ["app", "main", "run"]

_INTERRUPTED = 130
"""Exit code of a command that the user stopped."""
_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

app = typer.Typer(name="nightshift", add_completion=False, **_SETTINGS)
trace_app = typer.Typer(name="trace", help="Look at, convert and fetch traces of requests.", **_SETTINGS)
app.add_typer(trace_app)
app.add_typer(lab_app)
app.command()(evaluate)
app.command()(plan)
app.command()(sweep)
app.command()(compare)


class Layout(StrEnum):
    """Layouts of traces; guessed from the file where none is given."""

    azure = "azure"
    mooncake = "mooncake"
    burstgpt = "burstgpt"
    nightshift = "nightshift"
    agentic = "agentic"


class Counted(StrEnum):
    """What a way to answer is taken to cost."""

    use = "use"
    bill = "bill"


class Provider(StrEnum):
    """Where a model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Numbers(StrEnum):
    """The numbers that a model runs in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


class BadRow(StrEnum):
    """What to do with a row of a trace that cannot be read."""

    refuse = "refuse"
    skip = "skip"


AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
LayoutOption = Annotated[Layout | None, typer.Option("--format", help="Layout of the trace.")]
BadRowOption = Annotated[BadRow, typer.Option("--on-bad-row", help="Stop at a row that cannot be read, or skip it.")]


MeasuredArgument = Annotated[list[Path], typer.Argument(help="Files and folders of measurements.", show_default=False)]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model, where a file does not say.")]
GpuOption = Annotated[str | None, typer.Option("--gpu", help="GPU, where a file does not say.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="Format of weights, where a file is silent.")]
TensorParallelOption = Annotated[int | None, typer.Option(help="GPUs a replica, where a file does not say.")]
BackendOption = Annotated[str | None, typer.Option("--backend", help="Serving engine, where a file does not say.")]


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    # Looking for garbage among the million things that imports leave took 0.3 s as they came, and 0.5 s at the end.
    # A seventh as often costs little memory; with a seventieth, a hundred small runs held twice as much.
    gc.set_threshold(5_000, 10, 10)
    code = run(sys.argv[1:])
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Exit code of a command line: 0 done, 2 bad input, 1 our fault, 130 interrupted.

    `--debug`, anywhere in it, shows where an error came from.
    """
    debug = "--debug" in arguments
    try:
        app(args=[argument for argument in arguments if argument != "--debug"], prog_name="nightshift")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Exception as error:
        return _report(error, debug)
    return 0


def _report(error: Exception, debug: bool) -> int:
    from router.errors import RouterError
    from sim.errors import InputError

    if debug:
        import traceback

        typer.echo("".join(traceback.format_exception(error)), err=True)
    if isinstance(error, InputError | RouterError):
        typer.echo(str(error), err=True)
        return 2
    text = " ".join(str(error).split())
    typer.echo(f"{type(error).__name__}: {text}; this is a fault of Nightshift, --debug tells more", err=True)
    return 1


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nightshift {version('nightshift')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Simulate fleets that serve language models: what they cost and how fast they answer."""


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or a bundled scenario such as quickstart.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: fleet.0.replicas=4."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep the results in this folder.")] = None,
    as_json: AsJson = False,
    requests: Annotated[bool, typer.Option("--requests", help="Keep a row for each request, with --out.")] = False,
    replications: Annotated[int | None, typer.Option(min=1, help="Independent runs.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness.")] = None,
    precision: Annotated[
        float | None,
        typer.Option("--precision", metavar="SHARE", help="Add runs until figures are known to this share: 0.02."),
    ] = None,
    precision_of: Annotated[
        str | None,
        typer.Option("--precision-of", metavar="FIGURES", help="Which: cost.total_usd,latency.e2e_s.p99."),
    ] = None,
    most_replications: Annotated[
        int | None, typer.Option("--most-replications", min=1, help="Runs at most with --precision; 200.")
    ] = None,
) -> None:
    """Run a scenario: how fast it answers, how many objectives it meets, what it costs."""
    from sim import commands
    from sim.terminal import format_summary, progress_bar

    given = {"replications": replications, "seed": seed}
    changes = [*(overrides or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    wanted = _precision(precision, precision_of, most_replications)
    with progress_bar() as progress:
        summary = commands.simulate(scenario, changes, out=out, requests=requests, precision=wanted, progress=progress)
    if as_json:
        _print_json(summary)
    else:
        _show(format_summary(summary))
    if out is not None:
        typer.echo(f"Results are in {out}", err=as_json)


def _precision(wanted: float | None, figures: str | None, most: int | None) -> Precision | None:
    from sim.errors import InputError
    from sim.precision import Precision

    if wanted is None:
        option = "--precision-of" if figures else "--most-replications" if most else None
        if option is not None:
            raise InputError(option, "says nothing without --precision", "add --precision 0.02")
        return None
    names = tuple(name.strip() for name in (figures or "").split(",") if name.strip())
    return Precision(wanted, names) if most is None else Precision(wanted, names, most)


@app.command()
def regions(
    scenario: Annotated[str, typer.Argument(help="A scenario with contexts, questions, strategies and sleep.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: fleet.0.replicas=4."),
    ] = None,
    queries: Annotated[str, typer.Option(help="Mean questions of a context.")] = "1,2,5,10,20",
    predictability: Annotated[str, typer.Option(help="How far contexts foretell them, as a rank.")] = "0.1,0.5,0.9",
    price_ratio: Annotated[str, typer.Option(help="Peak prices, as multiples of those off-peak.")] = "1,3,10",
    load: Annotated[str, typer.Option(help="Shares of the fleet that the way with most work takes.")] = "0.3,0.6,0.9",
    off_peak: Annotated[str, typer.Option(metavar="HOURS", help="When prices are low, local time.")] = "22:00-08:00",
    prepared: Annotated[
        str | None, typer.Option(metavar="STRATEGY", help="How questions on prepared contexts are answered.")
    ] = None,
    cost: Annotated[Counted, typer.Option(help="What counts: what is used, or the whole bill.")] = Counted.use,
    replications: Annotated[int, typer.Option(min=2, help="Independent runs of each way at each point.")] = 5,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core where left out.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep the map in this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Map where preparing contexts pays, where thinking longer does, and where a direct answer does.

    An axis given as as-is leaves the scenario as it is.
    """
    from sim import commands
    from sim.regions import Grid
    from sim.regions.terminal import format_regions, regions_bar

    axes = {"queries": queries, "predictability": predictability, "price_ratio": price_ratio, "load": load}
    grid = Grid(**{axis: _values(axis, text) for axis, text in axes.items()}, off_peak=off_peak)
    with regions_bar() as progress:
        found = commands.regions(
            scenario,
            grid,
            overrides=overrides or (),
            replications=replications,
            prepared=prepared,
            cost=cost.value,
            out=out,
            workers=workers,
            progress=progress,
        )
    if as_json:
        _print_json(found)
    else:
        _show(format_regions(found))
    if out is not None:
        typer.echo(f"The map is in {out / 'regions.html'}", err=as_json)


@app.command()
def policies(
    scenario: Annotated[str, typer.Argument(help="A scenario whose router looks at requests.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: fleet.0.replicas=4."),
    ] = None,
    replications: Annotated[int, typer.Option(min=2, help="Independent runs of each policy.")] = 5,
    places: Annotated[int, typer.Option(min=3, help="Most places of a policy's dial that are run.")] = 8,
    cost: Annotated[Counted, typer.Option(help="What counts: what is used, or the whole bill.")] = Counted.use,
    as_json: AsJson = False,
) -> None:
    """Tell what routing is worth: all ways to route, at equal spending, on the same requests."""
    from sim import commands
    from sim.policies.terminal import format_policies

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    found = commands.policies(
        scenario, overrides or (), replications=replications, places=places, cost=cost.value, progress=tell
    )
    if as_json:
        _print_json(found)
    else:
        _show(format_policies(found))


def _values(axis: str, text: str) -> tuple[float, ...]:
    """Numbers between commas; none for as-is."""
    from sim.errors import InputError

    try:
        return () if text == "as-is" else tuple(dict.fromkeys(sorted(float(part) for part in text.split(","))))
    except ValueError:
        remedy = "give numbers between commas, such as 1,2,5, or as-is"
        raise InputError(text, f"is no list of values of {axis.replace('_', ' ')}", remedy) from None


@app.command()
def tune(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or a bundled scenario such as quickstart.")],
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="What to try: router.above=0:0.5, KEY=LOW:HIGH:log, KEY=A,B,C."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value: fleet.0.replicas=4."),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Some of cost, bill, accuracy, slo, latency, latency-p99 and others."),
    ] = None,
    slo: Annotated[float | None, typer.Option(help="Share of requests that must meet their objectives.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 64,
    replications: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 2,
    fresh: Annotated[int, typer.Option(min=2, help="Runs of each point found, on a seed not used before.")] = 8,
    points: Annotated[int, typer.Option(min=1, help="Most points to confirm.")] = 8,
    fleet: Annotated[
        bool | None,
        typer.Option("--fleet/--no-fleet", help="Size a fleet for each setting; where there is a plan if not said."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core where left out.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Keep result and runs here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search for the best settings of router and sleep rules, by cost, accuracy and objectives met at once.

    Without --vary it tries what the scenario's router, strategies and sleep leave open.
    """
    from sim import commands
    from sim.tune import Plan
    from sim.tune.terminal import format_tuning, tuning_bar

    plan = Plan(
        vary=tuple(vary or ()),
        objectives=() if objectives is None else tuple(name.strip() for name in objectives.split(",")),
        slo=slo,
        trials=trials,
        replications=replications,
        fresh=fresh,
        most_points=points,
        fleet=fleet,
        overrides=(*(overrides or ()), *(() if seed is None else (f"seed={seed}",))),
    )
    with tuning_bar() as progress:
        found = commands.tune(scenario, plan, out=out, workers=workers, progress=progress)
    if as_json:
        _print_json(found)
    else:
        _show(format_tuning(found))
    if out is not None:
        typer.echo(f"The search is in {out}", err=as_json)
    if found["interrupted"]:
        raise typer.Exit(_INTERRUPTED)


@app.command()
def calibrate(
    files: MeasuredArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.json", help="File to write.", show_default=False)],
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the errors on runs not used.")] = False,
    as_json: AsJson = False,
    model: ModelOption = None,
    gpu: GpuOption = None,
    precision: PrecisionOption = None,
    tensor_parallel: TensorParallelOption = None,
    backend: BackendOption = None,
) -> None:
    """Fit step times to measurements, and tell how far they are off on runs that the fit did not use."""
    from sim import commands
    from sim.validation.terminal import format_calibration

    assume = _assumed(model, gpu, precision, tensor_parallel, backend)
    found = commands.calibrate(files, out, assume=assume, quick=quick)
    if as_json:
        _print_json(found)
    else:
        _show(format_calibration(found))


@app.command()
def train(
    outcomes: Annotated[Path, typer.Argument(help="Outcomes in CSV, JSON lines or Parquet.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.onnx", help="File to write.", show_default=False)],
    names: Annotated[
        str, typer.Option("--map", metavar="OURS=THEIRS,..", help="Columns: text=prompt,a:correct=x.")
    ] = "",
    texts: Annotated[Path | None, typer.Option(metavar="FILE", help="Texts and more columns, by question.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="Held out whole, as subjects are.")] = None,
    features: Annotated[
        str, typer.Option(metavar="A,B", help="Columns of numbers to use; auto: all, where there is no text.")
    ] = "auto",
    signals: Annotated[
        str, typer.Option(metavar="A,B", help="Of a first answer: confidence:STRATEGY, agreement:STRATEGY.")
    ] = "",
    strategies: Annotated[str | None, typer.Option(metavar="A,B", help="Only these, in this order.")] = None,
    effort: Annotated[str, typer.Option(help="Of the notes on prepared contexts.")] = "medium",
    hashed: Annotated[int | None, typer.Option(min=0, help="Places of hashed n-grams, a power of two.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts, each left out once for the figures.")] = 5,
    hold_out: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of contexts left out of training.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and trees.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a router on outcomes: each strategy's chance of a right answer and its tokens."""
    from sim import commands
    from sim.training_terminal import format_training

    found = commands.train(
        outcomes,
        out,
        names=names,
        texts=texts,
        group=group,
        features=_words(features),
        signals=_words(signals),
        strategies=None if strategies is None else _words(strategies),
        effort=effort,
        hashed=hashed,
        folds=folds,
        hold_out=hold_out,
        seed=seed,
        progress=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        _print_json(found)
    else:
        _show(format_training(found))


def _words(text: str) -> list[str]:
    """The words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


@app.command()
def drift(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A router.", show_default=False)],
    logs: Annotated[Path, typer.Argument(help="Requests in CSV, JSON lines or Parquet.", show_default=False)],
    window: Annotated[str, typer.Option(metavar="TIME", help="Length of the windows that are judged.")] = "1d",
    names: Annotated[
        str, typer.Option("--map", metavar="OURS=THEIRS,..", help="Columns: text=prompt,arrival_s=when.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Hold a log against what a router was trained on: have questions or answers changed, is it to be trained again?"""
    from sim import commands
    from sim.drift_terminal import format_drift

    found = commands.drift(file, logs, window=window, names=names)
    if as_json:
        _print_json(found)
    else:
        _show(format_drift(found))


@app.command()
def measure(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to fill.", show_default=False)],
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FOLDER", help="Weights to run; else the shipped model.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="NAME", help="Random weights in the shape of a model: Llama-3.1-8B.")
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Only so many layers of the shape.")] = None,
    provider: Annotated[Provider, typer.Option(help="Where it runs; auto takes a GPU that works.")] = Provider.auto,
    precision: Annotated[Numbers, typer.Option(help="Numbers that it runs in.")] = Numbers.fp32,
    parts: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Some of steps, loops, router, outcomes, end-to-end, router-day."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds instead of minutes, to see that it works.")] = False,
    scenario: Annotated[str, typer.Option(metavar="NAME", help="What to run end to end.")] = "lab-day",
    router: Annotated[Path | None, typer.Option(metavar="FILE.onnx", help="A router to time, and to ask.")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Asked for the outcomes.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Most requests in a batch.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="On a CPU; else all cores but one.")] = None,
    gpu: Annotated[str | None, typer.Option(help="The GPU by the catalogue's name, if its own is not there.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of requests, questions and orders.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a model on this machine: step times, loops, router latency, outcomes. What is there already is kept."""
    import time

    from sim import commands

    began_s = time.monotonic()

    def tell(line: str) -> None:
        typer.echo(f"[{time.monotonic() - began_s:5.0f} s] {line}", err=True)

    found = commands.measure(
        out,
        model=model,
        shape=shape,
        layers=layers,
        provider=provider.value,
        precision=precision.value,
        parts=None if parts is None else [part.strip() for part in parts.split(",") if part.strip()],
        quick=quick,
        scenario=scenario,
        router=router,
        questions=questions,
        max_num_seqs=rows,
        threads=threads,
        gpu=gpu,
        seed=seed,
        progress=tell,
    )
    _print(
        found,
        f"The figures are in {out / 'README.md'}; hold predictions against them with: nightshift validate {out}",
        as_json,
    )


@app.command()
def validate(
    paths: MeasuredArgument,
    papers: Annotated[
        bool, typer.Option("--papers", help="The files hold points of published figures: simulate them.")
    ] = False,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", metavar="FILE", help="Written by calibrate; else the shipped one.")
    ] = None,
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write page and chart to here.")] = None,
    model: ModelOption = None,
    gpu: GpuOption = None,
    precision: PrecisionOption = None,
    tensor_parallel: TensorParallelOption = None,
    backend: BackendOption = None,
) -> None:
    """Hold what the simulator predicts against what was measured."""
    from sim import commands
    from sim.validation.terminal import format_validation

    assume = _assumed(model, gpu, precision, tensor_parallel, backend)
    found = commands.validate(paths, calibration=calibration, assume=assume, out=out, papers=papers)
    if as_json:
        _print_json(found)
    elif papers:
        from sim.validation.papers.terminal import format_papers

        _show(format_papers(found))
    else:
        _show(format_validation(found))
    if out is not None:
        typer.echo(f"The report is in {out / 'validation.html'}", err=as_json)


def _assumed(
    model: str | None, gpu: str | None, precision: str | None, tensor_parallel: int | None, backend: str | None
) -> Assumed:
    from sim.measurements import Assumed

    return Assumed(model=model, gpu=gpu, weights=precision, tensor_parallel=tensor_parallel, backend=backend)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Results, as kept by simulate --out.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write a page on the results in a folder: cost, load and prices over time, latencies, objectives."""
    from sim import commands

    written = commands.report(folder)
    _print(written, f"The report is in {written['file']}", as_json)


@app.command()
def prices(
    words: Annotated[list[str] | None, typer.Argument(help="Only what holds these words: h100 aws.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the tariffs, tiers, zones and GPU prices that a scenario may name, with their sources."""
    from sim import commands
    from sim.prices.terminal import format_prices

    found = commands.prices(words or ())
    if as_json:
        _print_json(found)
    else:
        _show(format_prices(found, brief=not words))


@app.command()
def schema(as_json: AsJson = True) -> None:
    """Print the JSON Schema of a scenario, with the meaning of every key."""
    from sim import commands

    _print_json(commands.schema())


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("scenario.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented scenario to start from."""
    from sim import commands

    written = commands.init(file, force=force)
    _print(written, f"Wrote {file}. Run it with: nightshift simulate {file}", as_json)


@trace_app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A trace, plain or .gz.")],
    layout: LayoutOption = None,
    on_bad_row: BadRowOption = BadRow.refuse,
    as_json: AsJson = False,
) -> None:
    """Tell what a trace holds: rows, rates, burstiness, lengths."""
    from sim import commands
    from sim.workload.inspect import format_inspection

    found = commands.inspect(file, format=layout and layout.value, on_bad_row=on_bad_row.value)
    _print(found, format_inspection(found), as_json)


@trace_app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A trace, plain or .gz.")],
    target: Annotated[Path, typer.Argument(help="File to write, .csv or .csv.gz.")],
    layout: LayoutOption = None,
    on_bad_row: BadRowOption = BadRow.refuse,
    as_json: AsJson = False,
) -> None:
    """Write a trace in Nightshift's own layout."""
    from sim import commands

    written = commands.convert(source, target, format=layout and layout.value, on_bad_row=on_bad_row.value)
    _print(written, f"Wrote {target}", as_json)


@trace_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A public trace, such as azure-llm-2023-conversation.")],
    sha256: Annotated[str | None, typer.Option(help="Hash to verify by, for a trace without a known one.")] = None,
    accept_unverified: Annotated[
        bool, typer.Option("--accept-unverified", help="Take a trace without a known hash as it comes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a public trace into the cache."""
    from sim import commands

    with _download_bar(name) as progress:
        fetched = commands.fetch(name, sha256=sha256, accept_unverified=accept_unverified, progress=progress)
    _print(fetched, f"{name} is at {fetched['file']}", as_json)


@contextmanager
def _download_bar(name: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """A progress bar on stderr; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(value: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        _print_json(value)
    else:
        typer.echo(text)


def _show(renderable: Any) -> None:
    from rich.console import Console

    Console().print(renderable)


def _print_json(value: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(value, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
