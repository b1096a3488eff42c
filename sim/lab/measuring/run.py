"""A whole measurement: the parts that are asked for, each kept where it was made with the same settings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sim.errors import InputError
from sim.folders import write_file
from sim.lab.measuring.card import card
from sim.lab.measuring.folder import CARD, MeasuredFolder, fingerprint
from sim.lab.measuring.parts import Bench, Progress
from sim.lab.measuring.polling import PollingClock
from sim.lab.measuring.settings import Asked
from sim.lab.measuring.steps import NewClock
from sim.lab.measuring.subject import Subject, subject_of
from sim.lab.provenance import KEY, Provenance, provenance

__all__ = ["measure"]

_RESUMES = frozenset({"outcomes"})


def measure(
    asked: Asked,
    *,
    command: str | None = None,
    progress: Progress = lambda line: None,
    subject: Subject | None = None,
    clock: NewClock = PollingClock,
) -> dict[str, Any]:
    """Measure the parts that are asked for into a folder; gives back its `provenance.json`, and which were `measured`.

    A part that the folder holds already, made with the same settings, is kept. Where no parts are named, those that
    need packages that are not installed are left out, and told. `subject` and `clock` take the place of the model that
    is asked for and of the machine's clock.

    Raises:
        InputError: for a folder that holds something else or the measurements of another model or machine, and for a
            model, provider or GPU that is not there.
    """
    folder = MeasuredFolder(asked.out)
    subject = subject or subject_of(asked)
    origin = provenance(command, provider=subject.provider)
    stamp = fingerprint(subject.stamp, _machine(origin))
    _check_same(folder, stamp, subject)
    told = {"setup": subject.setup, "limits": asdict(subject.limits), "threads": subject.threads}
    folder.tell(stamp=stamp, model=subject.declared, **told, **{KEY: origin})
    bench = Bench(asked, subject, origin, progress, clock)
    done = [part for part in asked.wanted if _measured(folder, bench, part, stamp)]
    return {"folder": str(asked.out), "measured": done, **folder.document}


def _measured(folder: MeasuredFolder, bench: Bench, part: str, stamp: str) -> bool:
    """Measure a part unless it is there; true where that was so."""
    mark = fingerprint(stamp, *_asked_of(part, bench.asked))
    if folder.holds(part, mark):
        bench.progress(f"{part}: kept, as it was measured with these settings")
        return False
    began_s = time.perf_counter()
    try:
        folder.measure(part, mark, bench.parts[part], resumes=part in _RESUMES)
    except ModuleNotFoundError as error:
        if bench.asked.parts is not None or (error.name or "sim").startswith("sim"):
            raise
        bench.progress(f"{part}: left out, as {error.name} is not installed")
        return False
    write_file(folder.path / CARD, card(folder.document))
    bench.progress(f"{part}: done in {time.perf_counter() - began_s:.0f} s")
    return True


def _asked_of(part: str, asked: Asked) -> Sequence[object]:
    """The settings that a part depends on."""
    own: dict[str, object] = {
        "router": asked.router and fingerprint(asked.router.read_bytes().hex()),
        "router-day": asked.router and fingerprint(asked.router.read_bytes().hex()),
        "outcomes": asked.questions,
        "end-to-end": asked.scenario,
    }
    return part, asked.seed, asked.quick, own.get(part)


def _machine(origin: Provenance) -> dict[str, Any]:
    """What tells machines apart."""
    hardware = origin["hardware"]
    return {name: hardware[name] for name in ("cpu", "cores")} | {"gpu": (hardware["gpu"] or {}).get("name")}


def _check_same(folder: MeasuredFolder, stamp: str, subject: Subject) -> None:
    known = folder.document.get("stamp")
    if known is not None and known != stamp:
        setup = folder.document.get("setup", {})
        held = f"{setup.get('model')} on {setup.get('gpu')} in {setup.get('precision')}"
        rule = f"holds measurements of {held} with other weights, limits or another machine than {subject.name} here"
        raise InputError(folder.path, rule, "give a new folder")
