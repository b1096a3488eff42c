"""`nightshift lab serve`: a model behind an OpenAI-compatible endpoint, until it is told to stop."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.lab.engine.engine import Engine
    from sim.lab.measuring.subject import Subject
    from sim.lab.serving import Texts

__all__ = ["ServeOptions", "Service", "open_service", "serve"]

_SWITCH_S = 0.0005
"""How long the thread that talks to clients may keep the engine's from its next step."""
_BACKLOG = 2048
_GRACE_S = 5
"""How long answers under way may take to end when the server is told to stop."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What is served, where and how. What is None follows from the model and where it runs, as in `measure`."""

    model: Path | None = None
    """A folder of weights; the shipped model where neither this nor a shape is given."""
    shape: str | None = None
    """A public model by name: random weights in its shape."""
    layers: int | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    threads: int | None = None
    gpu: str | None = None
    scheduler: Literal["chunked", "prefill-first"] = "chunked"
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    """Most tokens of a prompt with its answer."""
    kv_capacity_tokens: int | None = None
    log: Path | None = None
    """A folder for what was served, written at the end."""


@dataclass(frozen=True, eq=False)
class Service:
    """An engine with a model, and how its texts are written."""

    subject: Subject
    engine: Engine
    texts: Texts


def open_service(options: ServeOptions) -> Service:
    """The model and its engine, warm.

    Raises:
        InputError: for a folder without weights, an unknown shape, a provider that is not here, and limits that
            cannot be.
    """
    from sim.lab.engine.engine import Engine, EngineSettings
    from sim.lab.measuring.settings import Asked
    from sim.lab.measuring.steps import fill_cache
    from sim.lab.measuring.subject import subject_of
    from sim.lab.serving import texts_for

    named = ("model", "shape", "layers", "provider", "precision", "threads", "gpu", "max_num_seqs")
    subject = subject_of(Asked(out=Path(), **{name: getattr(options, name) for name in named}))
    capacity = _capacity(subject, options)
    rows = subject.limits.max_num_seqs
    tokens = options.max_num_batched_tokens or max(capacity // 2, rows)
    settings = EngineSettings(
        max_num_seqs=rows,
        max_num_batched_tokens=tokens,
        kv_capacity_tokens=options.kv_capacity_tokens or rows * (-(-capacity // 16) * 16),
        scheduler=options.scheduler,
    )
    decoder = subject.open(slots=rows + 1, capacity=capacity)
    fill_cache(decoder, tokens)
    engine = Engine(decoder, settings)
    return Service(subject, engine, texts_for(subject.config.vocab_size))


def _capacity(subject: Subject, options: ServeOptions) -> int:
    """Tokens of a row: one less than of the longest request, the KV of whose last token nobody needs."""
    asked, most = options.max_model_len, subject.config.max_positions
    if asked is None:
        return subject.limits.capacity
    if not 2 <= asked <= most + 1:
        raise InputError(asked, f"is no length of a request for a model of {most} positions", f"give 2 to {most + 1}")
    return asked - 1


def serve(options: ServeOptions, *, say: Callable[[str], None] = lambda line: None) -> None:
    """Serve until an interrupt; `say` is told where, and at the end where the log is.

    Raises:
        InputError: as `open_service`, for a port that is taken, and a log that cannot be written.
    """
    import uvicorn

    from sim.lab.serving import Runner, build_app

    if options.log is not None and options.log.exists() and not options.log.is_dir():
        raise InputError(options.log, "is a file", "give a folder for the log")
    with _listening(options.host, options.port) as listener:
        service = open_service(options)
        runner = Runner(service.engine, keep=options.log is not None)
        ending = _Ending(runner.stop, service, options.log, say)
        app = build_app(runner, service.subject.name, service.texts, at_end=ending)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_S)
        sys.setswitchinterval(_SWITCH_S)
        service.engine.clock.restart()
        runner.start()
        host, port = listener.getsockname()[:2]
        say(f"serving {service.subject.name} on {service.subject.provider} at http://{host}:{port}/v1")
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            ending()


@dataclass
class _Ending:
    """Stops the engine and writes the log, once: before a signal that was caught has its way."""

    stop: Callable[[], None]
    service: Service
    log: Path | None
    say: Callable[[str], None]
    done: bool = False

    def __call__(self) -> None:
        if self.done:
            return
        self.done = True
        self.stop()
        if self.log is not None:
            from sim.lab.provenance import provenance
            from sim.lab.serving.log import write_log

            subject = self.service.subject
            origin = provenance(provider=subject.provider)
            write_log(self.log, self.service.engine, subject.setup, subject.declared, origin)
            self.say(f"the log is in {self.log}")


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. It names its protocol, without which asyncio would leave small writes to be collected
    for tens of milliseconds (Nagle's algorithm)."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        rule = f"cannot be listened at ({error.strerror or error})"
        raise InputError(f"{host}:{port}", rule, "give another --port, 0 for any, or --host") from None
    return listener
