"""Settings simulated, side by side on the cores; what is done is kept on disk where there is a place for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["Job", "Kept", "Outcome", "Runner", "run_job", "run_scenario", "scenarios_side_by_side", "side_by_side"]


class Job(NamedTuple):
    """A setting to simulate."""

    overrides: tuple[str, ...]
    seed: int
    replications: int


class Outcome(NamedTuple):
    """What came of it: every figure by its dotted name, one value per replication; or why it was refused."""

    figures: Mapping[str, Sequence[float]]
    refused: str | None = None


Runner = Callable[[Sequence[Job]], Iterator[Outcome]]
"""Gives the outcomes of jobs, in their order."""


class Kept:
    """Outcomes on disk, a line of JSON each, so that what is done need not be done again.

    The key of a job holds all that its outcome follows from: the scenario with every value, the files that it names by
    size and time, and the version of this package.
    """

    def __init__(self, file: Path, source: Path | str) -> None:
        """Read what is there; a last line that was cut off does not count."""
        self._file, self._source = file, source
        self._known: dict[str, Outcome] = {}
        told = file.read_text(encoding="utf-8") if file.is_file() else ""
        # What was cut off while it was written stays a line of its own.
        self._begin = "\n" if told and not told.endswith("\n") else ""
        for line in told.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                self._known[row["job"]] = Outcome(row["figures"], row["refused"])

    def key(self, job: Job) -> str:
        """What stands for a job; one that is refused has its overrides."""
        from importlib.metadata import version

        told = [version("nightshift"), list(job), _resolved(self._source, job)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def get(self, key: str) -> Outcome | None:
        """The outcome of a job that is done."""
        return self._known.get(key)

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome at once."""
        self._known[key] = outcome
        line = json.dumps({"job": key, "figures": outcome.figures, "refused": outcome.refused})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(self._begin + line + "\n")
        self._begin = ""


def _resolved(source: Path | str, job: Job) -> Any:
    """The scenario of a job with every value, and marks of the files it names; nothing where it is refused."""
    from sim.load import dump_scenario

    try:
        scenario = _scenario(source, job)
    except InputError:
        return None
    files = sorted(_files(scenario.model_dump(mode="json")))
    marks = [(name, stat.st_size, stat.st_mtime_ns) for name in files for stat in [Path(name).stat()]]
    return [dump_scenario(scenario), marks]


def _files(value: Any) -> Iterator[str]:
    """Texts in a scenario that name a file by its whole path, as loading makes them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _files(part)
    elif isinstance(value, str) and value.startswith("/") and Path(value).is_file():
        yield value


def side_by_side(source: Path | str, workers: int | None, kept: Kept | None = None) -> Runner:
    """A runner of jobs of one scenario, in as many processes as there are cores unless `workers` says how many."""

    def run(jobs: Sequence[Job]) -> Iterator[Outcome]:
        keys = ["" if kept is None else kept.key(job) for job in jobs]
        known = {key: found for key in keys if kept is not None and (found := kept.get(key)) is not None}
        missing = [job for job, key in zip(jobs, keys, strict=True) if key not in known]
        fresh = _outcomes(source, missing, workers)
        for key in keys:
            outcome = known.get(key)
            if outcome is None:
                outcome = next(fresh)
                if kept is not None:
                    kept.put(key, outcome)
            yield outcome

    return run


def _outcomes(source: Path | str, jobs: Sequence[Job], workers: int | None) -> Iterator[Outcome]:
    from joblib import Parallel, delayed

    if workers == 1 or len(jobs) < 2:
        yield from (run_job(source, job) for job in jobs)
    else:
        yield from Parallel(n_jobs=workers or -1, return_as="generator")(delayed(run_job)(source, job) for job in jobs)


def run_job(source: Path | str, job: Job) -> Outcome:
    """Simulate a setting; one that the scenario does not allow is refused, and says why."""
    try:
        return run_scenario(_scenario(source, job))
    except InputError as error:
        return Outcome({}, str(error))


def run_scenario(scenario: Scenario) -> Outcome:
    """Simulate a scenario as it is; refused where it cannot be."""
    from sim.runs.figures import run_figures
    from sim.simulation import simulate

    try:
        return Outcome(run_figures(simulate(scenario)))
    except InputError as error:
        return Outcome({}, str(error))


def scenarios_side_by_side(scenarios: Sequence[Scenario], workers: int | None = None) -> Iterator[Outcome]:
    """The outcomes of scenarios in their order, in as many processes as there are cores unless `workers` says."""
    from joblib import Parallel, delayed

    if workers == 1 or len(scenarios) < 2:
        yield from map(run_scenario, scenarios)
    else:
        yield from Parallel(n_jobs=workers or -1, return_as="generator")(delayed(run_scenario)(s) for s in scenarios)


def _scenario(source: Path | str, job: Job) -> Any:
    from sim.load import load_scenario

    return load_scenario(source, [*job.overrides, f"seed={job.seed}", f"replications={job.replications}"])
