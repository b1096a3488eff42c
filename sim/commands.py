"""The commands as functions: each gives back what its `--json` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sim.errors import InputError

if TYPE_CHECKING:
    from router.evaluation.run import Asked
    from sim.comparison.sides import Asked as Comparison
    from sim.measurements import Assumed, Measurements
    from sim.planning.search.request import PlanRequest
    from sim.planning.search.request import Progress as PlanProgress
    from sim.precision import Precision
    from sim.regions import Grid
    from sim.simulation import Progress
    from sim.steptime.calibration import Calibration
    from sim.sweep.sweep import Plan as SweepPlan
    from sim.sweep.sweep import Progress as SweepProgress
    from sim.tune import Plan as TuningPlan

__all__ = [
    "calibrate",
    "compare",
    "convert",
    "drift",
    "evaluate",
    "fetch",
    "init",
    "inspect",
    "measure",
    "plan",
    "policies",
    "prices",
    "regions",
    "report",
    "schema",
    "simulate",
    "sweep",
    "train",
    "tune",
    "validate",
]


def simulate(
    scenario: Path | str,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    requests: bool = False,
    precision: Precision | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """The summary of a run of the scenario; with `out` its results are kept in that folder.

    `requests` keeps a row for each request among the results. An earlier results folder is replaced. With `precision`
    replications are added until figures are known so closely.

    Raises:
        InputError: for a faulty scenario, an unreadable trace, or an `out` that holds something else or cannot be
            written; earlier results stay as they were.
    """
    from sim.folders import check_results_folder, replace_folder
    from sim.load import load_scenario
    from sim.simulation import simulate as run

    if requests and out is None:
        raise InputError("--requests", "needs a folder to write to", "add --out DIR")
    if out is not None:
        check_results_folder(out)
    loaded = load_scenario(scenario, overrides)
    results = run(loaded, progress=progress, keep_requests=requests, precision=precision)
    if out is not None:
        try:
            replace_folder(out, results.save)
        except OSError as error:
            rule = f"cannot be written: {error.strerror or error}"
            raise InputError(out, rule, "make room, or give another folder") from None
    return results.summary


def compare(
    asked: Comparison,
    *,
    out: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Two scenarios on the same streams: their figures, the differences with intervals, and where those come from.

    With `out` that folder holds the page, the figures and both scenarios.

    Raises:
        InputError: for faulty scenarios, a folder that holds no results, nothing to compare with, and an `out` that
            cannot be written.
    """
    from sim.comparison.comparison import compared
    from sim.folders import check_place

    if out is not None:
        check_place(out / "compare.html")
    found, pair = compared(asked, progress=progress)
    if out is not None:
        from sim.comparison.report import save_comparison

        save_comparison(found, pair, out)
    return found


def regions(
    scenario: Path | str,
    grid: Grid | None = None,
    *,
    overrides: Sequence[str] = (),
    replications: int = 5,
    prepared: str | None = None,
    cost: Literal["use", "bill"] = "use",
    out: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Which way of answering is best at each point of a grid: direct, thinking longer, or on prepared contexts.

    The ways are the strategies of the scenario, and the one named `prepared` on contexts prepared ahead. With `out` the
    map is kept in that folder as JSON, table and page. `progress` is told the runs that are done, of how many.

    Raises:
        InputError: for a scenario that has no such ways, a grid that it does not allow, and an `out` that cannot be
            written.
    """
    from sim.regions import Grid, Plan, made_map, save_regions

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    plan = Plan(grid or Grid(), tuple(overrides), replications, prepared, cost)
    found = made_map(scenario, plan, workers=workers, progress=progress)
    if out is not None:
        save_regions(found, out)
    return found


def plan(
    scenario: Path | str,
    request: PlanRequest | None = None,
    *,
    out: Path | None = None,
    progress: PlanProgress | None = None,
) -> dict[str, Any]:
    """What to buy for which hours, and the policy to run it by: the cheapest that keeps a promise, or the best of a
    budget.

    With `out` that folder holds the plan as JSON and page, the planned scenario, and all that was tried. An interrupt
    ends the search early, and the best so far is given back. `progress` is told the analytic answer as soon as it is
    there.

    Raises:
        InputError: for a faulty scenario or request, where there is nothing to buy, where no plan keeps the promise,
            and for an `out` that cannot be written.
    """
    from sim.plan import planned
    from sim.planning.report.folder import check_folder, save_folder

    if out is not None:
        check_folder(out)
    found, trials = planned(scenario, request, progress=progress)
    if out is not None:
        save_folder(found, trials, out)
    return found


def tune(
    scenario: Path | str,
    plan: TuningPlan | None = None,
    *,
    out: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The settings of a scenario that no other is better than, by cost, accuracy and objectives met at once.

    They are found on the scenario's seed and confirmed on one that the search has not seen, beside the scenario as it
    is. With `out` that folder holds the result, a scenario for each point, and every run as it is done: a search that
    was stopped goes on there. An interrupt ends the search early, and what is done is given back. `progress` is told
    the runs that are done, of how many at most.

    Raises:
        InputError: for a scenario, a plan or keys that do not allow it, where optuna is missing, and for an `out` that
            holds something else or cannot be written.
    """
    from sim.tune import Plan, save_tuning, tuned
    from sim.tune.report import RUNS, check_folder

    if out is not None:
        check_folder(out)
    kept = None if out is None else out / RUNS
    found = tuned(scenario, plan or Plan(), workers=workers, kept=kept, progress=progress)
    if out is not None:
        save_tuning(found, scenario, out)
    return found


def sweep(
    scenario: Path | str,
    plan: SweepPlan,
    *,
    out: Path | None = None,
    store: Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Callable[[SweepProgress], None] | None = None,
) -> dict[str, Any]:
    """What a scenario comes to at many points, and which key moves which figure how far.

    Runs are kept in the folder `store`, or in `runs` within `out`, as they end: a sweep that was stopped goes on there,
    and a point that was run before, by whatever sweep, is free. `out` also gets the table, the page and the JSON.
    They are run in `workers` processes, or on the cluster of Ray at the address `ray`, with the same result. Refused
    points are told, and the others go on. An interrupt ends the sweep early, and what is done is given back.

    Raises:
        InputError: for a plan that makes no sweep, a scenario that cannot be read, an `out` that holds something else
            or cannot be written, and where Ray is wanted and does not answer.
    """
    from sim.runs import Store, executor_of
    from sim.sweep.document import document_of
    from sim.sweep.report import RUNS, check_folder, save_sweep
    from sim.sweep.sweep import swept

    if out is not None:
        check_folder(out)
    kept = store or (None if out is None else out / RUNS)
    executor = executor_of(workers, ray)
    made = swept(scenario, plan, executor, store=None if kept is None else Store(kept), progress=progress)
    found = document_of(made)
    if out is not None:
        save_sweep(made, found, out)
    return found


def policies(
    scenario: Path | str,
    overrides: Sequence[str] = (),
    *,
    replications: int = 5,
    places: int = 8,
    cost: Literal["use", "bill"] = "use",
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """What routing is worth: single strategies, mixes, thresholds, a bandit, a router file and an oracle.

    They are held against each other where they spend the same. Each policy with a dial (what a right answer is worth to
    it, or its threshold) is run at up to `places` of it.
    `progress` is told what is run next.

    Raises:
        InputError: for a scenario whose router does not look at requests, or that has nothing to choose from.
    """
    from sim.policies import compare_policies

    return compare_policies(scenario, overrides, replications=replications, places=places, cost=cost, progress=progress)


def calibrate(
    paths: Sequence[Path], out: Path, *, assume: Assumed | None = None, quick: bool = False
) -> dict[str, Any]:
    """Fit step times to measurements and write them to `out`; gives back what was fitted, and how far it is off.

    `assume` fills what the files do not say. `quick` leaves out the errors on runs that the fit did not use.

    Raises:
        InputError: for measurements that cannot be read or cannot tell the step times, and for an `out` that is no
            name of a JSON file or cannot be written.
    """
    import json
    from dataclasses import replace

    from sim.calibration.learn import calibrate as fit
    from sim.folders import check_place, write_file
    from sim.hardware import load_catalogue
    from sim.measurements import declared_models, read_measurements

    if out.suffix != ".json":
        raise InputError(out, "is not the name of a JSON file", "give one that ends in .json")
    check_place(out)
    catalogue = declared_models(paths, load_catalogue())
    measurements = read_measurements(paths, catalogue, assume=assume)
    calibration = replace(fit(measurements, catalogue, held_out=not quick), name=out.stem)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, json.dumps(calibration.document(), indent=1, allow_nan=False) + "\n")
    return {
        "file": str(out),
        "name": calibration.name,
        "sources": list(calibration.sources),
        "held_out": dict(calibration.held_out),
        "notes": [*measurements.notes, *calibration.notes],
    }


def measure(
    out: Path, *, parts: Sequence[str] | None = None, progress: Callable[[str], None] | None = None, **how: Any
) -> dict[str, Any]:
    """Measure a model on this machine into the folder `out`; gives back what was measured, and which parts anew.

    Parts are steps, loops, router, outcomes and end-to-end, all of them unless `parts` names some, and router-day where
    it is named; one that the folder holds, made with the same settings, is kept. `how` is the rest of
    `sim.lab.measuring.Asked`: model, shape, layers, provider, precision, threads, gpu, max_num_seqs, router, questions,
    seed, quick.

    Raises:
        InputError: for a folder that holds something else or the measurements of another model or machine, for a
            model, provider or GPU that is not there, and for settings that contradict each other.
    """
    from sim.lab.measuring import Asked
    from sim.lab.measuring import measure as run

    asked = Asked(out=out, parts=None if parts is None else tuple(parts), **how)
    return run(asked, progress=progress or (lambda line: None))


def validate(
    paths: Sequence[Path],
    *,
    calibration: Path | None = None,
    assume: Assumed | None = None,
    out: Path | None = None,
    papers: bool = False,
) -> dict[str, Any]:
    """Predicted against measured times; with `out` also as a page, a chart and documentation in that folder.

    Where no calibration is given, a folder that `nightshift measure` wrote is predicted by its own table of steps, on
    which alone step times are fitted, and everything else by the shipped calibration. `assume` fills what the files do
    not say. With `papers` the files hold points of published figures on test-time and sleep-time compute, and simulated
    runs are held against them.

    Raises:
        InputError: for points, measurements or a calibration that cannot be read, measurements that hold nothing to
            compare, an `out` that cannot be written, and what does not go with `papers`.
    """
    if papers:
        return _published(paths, calibration=calibration, assume=assume, out=out)
    from dataclasses import replace

    from sim.hardware import load_catalogue
    from sim.measurements import declared_models, drift_notes, read_measurements
    from sim.validation.payload import validation_payload
    from sim.validation.predict import compare
    from sim.validation.report import check_report_folder, save_validation

    if out is not None:
        check_report_folder(out)
    catalogue = declared_models(paths, load_catalogue())
    measurements = read_measurements(paths, catalogue, assume=assume)
    fitted = _calibration_for(paths, measurements, calibration)
    comparison = compare(measurements, fitted, catalogue)
    if comparison.rows.empty:
        why = f" ({'; '.join(comparison.notes)})" if comparison.notes else ""
        raise InputError(", ".join(map(str, paths)), f"hold nothing to compare{why}", "give other measurements")
    comparison = replace(comparison, notes=(*comparison.notes, *drift_notes(paths)))
    payload = validation_payload(comparison, fitted, command=_again(paths, calibration, assume))
    if out is not None:
        save_validation(payload, out)
    return payload


def _calibration_for(paths: Sequence[Path], measurements: Measurements, calibration: Path | None) -> Calibration:
    """The calibration named; without one the own steps of measured folders, else the shipped one."""
    from sim.measurements import is_measured_folder
    from sim.steptime.calibration_file import load_calibration

    if calibration is None and measurements.step_tables and all(map(is_measured_folder, paths)):
        from sim.calibration.learn import own_steps

        return own_steps(measurements)
    return load_calibration(calibration)


def _published(paths: Sequence[Path], **given: object) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    from sim.validation.papers import papers_payload

    for name, value in given.items():
        # What is assumed of measurements may be there and say nothing.
        said = any(asdict(value).values()) if is_dataclass(value) and not isinstance(value, type) else value
        if said:
            remedy = "leave one of them out"
            raise InputError("--papers", f"goes with no measurements, and so with no {name}", remedy)
    return papers_payload(paths)


def _again(paths: Sequence[Path], calibration: Path | None, assume: Assumed | None) -> str:
    """The command line that validates the same, with files by their names alone."""
    import shlex
    from dataclasses import asdict

    given = {"calibration": calibration and calibration.name, **(asdict(assume) if assume else {})}
    named = {"weights": "precision", "tensor_parallel": "tensor-parallel"}
    options = [word for key, value in given.items() if value for word in (f"--{named.get(key, key)}", str(value))]
    return shlex.join(["nightshift", "validate", *(path.resolve().name for path in paths), *options])


def evaluate(
    asked: Asked,
    *,
    names: str | None = None,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """How good a router is, and what routing by it is worth at equal spend; with `out` also as a page in that folder.

    `names` maps our columns to those of the outcomes, OURS=THEIRS between commas.

    Raises:
        InputError: for files that cannot be read or do not fit together, and for an `out` that cannot be written.
    """
    from dataclasses import replace

    from router.errors import RouterError
    from router.evaluation.run import evaluate as run

    try:
        if names is not None:
            from router.tables import parse_map

            asked = replace(asked, names=parse_map(names))
        found = run(asked, progress)
    except RouterError as error:
        raise InputError(error.value, error.rule, error.remedy, where=error.where) from None
    if out is not None:
        from sim.evaluation.report import save_evaluation

        save_evaluation(found, out)
    return found


def train(
    outcomes: Path,
    out: Path,
    *,
    names: str = "",
    texts: Path | None = None,
    group: str | None = None,
    features: Sequence[str] = ("auto",),
    signals: Sequence[str] = (),
    strategies: Sequence[str] | None = None,
    effort: str = "medium",
    seed: int = 0,
    folds: int = 5,
    hashed: int | None = None,
    hold_out: float = 0.0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a router on outcomes and write it to `out`; gives back what it was trained on, and figures held out.

    `names` maps the file's columns, as `router.tables` says. `hold_out` leaves this share of the contexts out of all
    training, for `evaluate` or a simulation; which ones follows from their names and the seed.

    Raises:
        InputError: for outcomes that cannot be read, contradict themselves or are too few, and for an `out` that is no
            name of an ONNX file or cannot be written.
    """
    from datetime import UTC, datetime

    from router.errors import RouterError
    from sim.folders import check_place

    if out.suffix != ".onnx":
        raise InputError(out, "is not the name of an ONNX file", "give one that ends in .onnx")
    check_place(out)
    _needs_training()
    from router.export import export
    from router.rows import read_labels
    from router.splits import without_held_out
    from router.tables import parse_map
    from router.train import HASHED
    from router.train import train as learn

    try:
        labels = read_labels(
            outcomes,
            names=parse_map(names),
            texts_path=texts,
            group=group,
            features=features,
            signals=signals,
            strategies=strategies,
            effort=effort,
        )
        trained = learn(
            without_held_out(labels, hold_out, seed),
            seed=seed,
            folds=folds,
            hashed=HASHED if hashed is None else hashed,
            progress=progress or (lambda line: None),
        )
        export(trained, out, date=datetime.now(UTC).strftime("%Y-%m-%d"))
    except RouterError as error:
        raise InputError(error.value, error.rule, error.remedy, where=error.where) from None
    return {"file": str(out), **trained.document()}


def _needs_training() -> None:
    """Refuse to train where a library for it is not installed.

    Raises:
        InputError: for the first that is lacking.
    """
    from importlib.util import find_spec

    for module in ("sklearn", "onnx"):
        if find_spec(module) is None:
            raise InputError(module, "is needed to train and not installed", "pip install 'nightshift[train]'")


def drift(file: Path, logs: Path, *, window: str = "1d", names: str = "") -> dict[str, Any]:
    """How far a gateway's log is from what a router was trained on, window by window, and whether to train it again.

    `names` maps the log's columns, OURS=THEIRS between commas; see `router.drift.logs`.

    Raises:
        InputError: for a file that is no router, and a log that cannot be read.
    """
    from router.drift.drift import drift as run
    from router.drift.logs import parse_names
    from router.errors import RouterError
    from sim.scenario.quantities import parse_duration

    window_s = parse_duration(window)
    try:
        found = run(file, logs, window_s=window_s, names=parse_names(names))
    except RouterError as error:
        raise InputError(error.value, error.rule, error.remedy, where=error.where) from None
    return {"file": str(file), "logs": str(logs), "window_s": window_s, **found.document()}


def report(folder: Path) -> dict[str, Any]:
    """Write `report.html` into a results folder; gives back where.

    Raises:
        InputError: where the folder holds no results, or those of a version without what a report needs, or cannot
            be written.
    """
    from sim.report import write_report

    return {"file": str(write_report(folder))}


def prices(words: Sequence[str] = ()) -> dict[str, Any]:
    """The shipped tariffs, tiers, zones and GPU prices by family, with source and date; those that hold all `words`.

    Raises:
        InputError: where none does.
    """
    from sim.prices.listing import price_list

    return price_list(words)


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario, with the meaning of every field."""
    from sim.scenario import Scenario

    own = _with_standard_bounds(Scenario.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **own}


_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Bounds that pydantic puts under its own names, where a validator of ours stands before them."""


def _with_standard_bounds(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_standard_bounds(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A key of the scenario may have such a name as well; what stands under it is no number.
    return {
        key if isinstance(value, dict) else _BOUNDS.get(key, key): _with_standard_bounds(value)
        for key, value in schema.items()
    }


def init(file: Path, *, force: bool = False) -> dict[str, Any]:
    """Write a commented starter scenario; gives back where.

    Raises:
        InputError: where the file exists and `force` is not set, or cannot be written.
    """
    from sim.folders import write_file
    from sim.paths import data_path

    if file.exists() and not force:
        raise InputError(file, "exists", "give another name, or --force to overwrite it")
    write_file(file, data_path("starter.yaml").read_text(encoding="utf-8"))
    return {"file": str(file)}


def inspect(file: Path, *, format: str | None = None, on_bad_row: str = "refuse") -> dict[str, Any]:
    """What a trace holds: rows, rates, burstiness, quantiles of lengths.

    Raises:
        TraceError: for a file that cannot be read as a trace.
    """
    from sim.workload.inspect import inspect_trace

    return inspect_trace(file, format, on_bad_row)


def convert(source: Path, target: Path, *, format: str | None = None, on_bad_row: str = "refuse") -> dict[str, Any]:
    """Write a trace in Nightshift's own layout; gives back what was written.

    Raises:
        TraceError: for a file that cannot be read as a trace.
    """
    from sim.workload.convert import convert_trace

    return convert_trace(source, target, format, on_bad_row)


def fetch(
    name: str,
    *,
    sha256: str | None = None,
    accept_unverified: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Bring a public trace into the cache; gives back its name and file.

    `progress` is told the bytes so far, and all of them where that is known.

    Raises:
        InputError: for an unknown name, or a file that cannot be had or is not what it should be.
    """
    from sim.workload.fetch import fetch_trace

    file = fetch_trace(name, sha256=sha256, accept_unverified=accept_unverified, progress=progress)
    return {"name": name, "file": str(file)}
