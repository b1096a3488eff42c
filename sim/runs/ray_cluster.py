"""Runs on a cluster of Ray: the same tasks on other machines, with the same outcomes."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sim.errors import InputError
from sim.paths import cache_home
from sim.runs.executor import Done, Task
from sim.runs.keys import file_digest, named_files, package_digest, with_files
from sim.runs.outcome import Outcome, attempt

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["OnRay", "at_hand", "check_ray", "run_on_node"]

_MOST_RETRIES = 3
"""Times that Ray runs a task again whose worker or machine died."""
_QUEUED = 2
"""Tasks submitted for each core of the cluster: one that it runs, and one so that it need not wait."""
_OWN_STORE_BYTES = 100_000_000
"""Memory for what machines hand each other, where the cluster is this machine alone; tasks are small."""

Files = dict[str, tuple[str, Any]]
"""By the path that a scenario has: the digest of its content, and where Ray has the content."""


class OnRay:
    """The cores of a cluster of Ray, one thread each; what a machine that dies was running is run elsewhere.

    Files that scenarios name travel with them. Nightshift itself must be there already, in the same version.
    """

    def __init__(self, address: str, workers: int | None = None) -> None:
        """Of a cluster: `auto`, `HOST:PORT`, `ray://HOST:PORT`, or `local` for one of `workers` cores on this machine.

        Raises:
            InputError: where Ray is missing.
        """
        self._ray, self._address, self._workers = check_ray(), address, workers
        self._is_ours = False
        self._run: Any = None
        self._flight: dict[Any, Task] = {}
        self._contents: dict[str, Any] = {}

    @property
    def is_full(self) -> bool:
        """Whether all cores have enough to do; machines may come and go."""
        cores = self._ray.cluster_resources().get("CPU", 0.0)
        return len(self._flight) >= _QUEUED * max(cores, 1.0)

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._flight)

    def submit(self, task: Task) -> None:
        """Have a task done by the next core that is free."""
        files = {path: (digest, self._content(path, digest)) for path, digest in named_files(task.scenario).items()}
        self._flight[self._run.remote(task.scenario, files, package_digest())] = task

    def collect(self) -> list[Done]:
        """What has ended."""
        ended, _ = self._ray.wait(list(self._flight), num_returns=1)
        return [(self._flight.pop(found), self._outcome(found)) for found in ended]

    def _outcome(self, found: Any) -> Outcome:
        """A fault of a machine that no other would be without ends all; one of a task is its own."""
        try:
            outcome: Outcome = self._ray.get(found)
        except InputError as error:
            raise InputError(error.value, error.rule, error.remedy) from None
        except self._ray.exceptions.RayError as error:
            text = str(error).strip().splitlines()
            return Outcome({}, f"Ray gave it up: {text[0] if text else type(error).__name__}", is_failed=True)
        return outcome

    def _content(self, path: str, digest: str) -> Any:
        if digest not in self._contents:
            self._contents[digest] = self._ray.put(Path(path).read_bytes())
        return self._contents[digest]

    def __enter__(self) -> Self:
        """Reach the cluster.

        Raises:
            InputError: where it does not answer.
        """
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            _connect(self._ray, self._address, self._workers)
        remote = self._ray.remote(num_cpus=1, max_retries=_MOST_RETRIES, retry_exceptions=[OSError])
        self._run = remote(run_on_node)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster as it was."""
        for found in self._flight:
            self._ray.cancel(found, force=True)
        self._flight.clear()
        self._contents.clear()
        if self._is_ours:
            self._ray.shutdown()


def check_ray() -> Any:
    """The package `ray`.

    Raises:
        InputError: where it is missing.
    """
    # Looked at when it is imported; nobody was asked whether figures of use may be sent.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        remedy = "add it with: pip install 'nightshift[ray]'"
        raise InputError("ray", "is needed to run on a cluster and is not installed", remedy) from None
    return ray


def _connect(ray: Any, address: str, workers: int | None) -> None:
    own = {"num_cpus": workers, "object_store_memory": _OWN_STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **(own if address == "local" else {}))
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        why = str(error).strip().splitlines()
        remedy = "start one with `ray start --head`, or give --ray local for one on this machine"
        raise InputError(address, f"is no cluster of Ray that answers ({why[0] if why else ''})", remedy) from None


def run_on_node(scenario: Scenario, files: Files, digest: str) -> Outcome:
    """Run a scenario on a machine of the cluster, as it would be run at home.

    Raises:
        InputError: where that machine has another version of Nightshift.
    """
    import socket

    import ray

    if package_digest() != digest:
        remedy = "install the same version, and the same versions of numpy, scipy, numba and simpy, on every machine"
        raise InputError(socket.gethostname(), "has another version of Nightshift than this machine", remedy)
    return attempt(at_hand(scenario, files, ray.get))


def at_hand(scenario: Scenario, files: Files, fetch: Any) -> Scenario:
    """The scenario with its files where this machine has them: in the same place, or fetched into the cache."""
    places = {path: _place(path, *told, fetch) for path, told in files.items()}
    moved = {path: place for path, place in places.items() if place != path}
    return with_files(scenario, moved) if moved else scenario


def _place(path: str, digest: str, content: Any, fetch: Any) -> str:
    if os.path.isfile(path) and file_digest(Path(path)) == digest:
        return path
    place = cache_home() / "shipped" / digest / Path(path).name
    if not (place.is_file() and file_digest(place) == digest):
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_name(f".{os.getpid()}")
        aside.write_bytes(fetch(content))
        os.replace(aside, place)
    return str(place)
