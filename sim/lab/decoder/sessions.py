"""Where ONNX Runtime can run on this machine, and sessions there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from router.provider import cuda_works
from sim.errors import InputError, one_of

__all__ = ["Provider", "choose_provider", "load_session", "providers_here", "session_options"]

Provider = Literal["auto", "cpu", "cuda"]

_EXECUTION = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
_CUDA_REMEDY = "use cpu, or install them (`pip install onnxruntime-gpu[cuda,cudnn]`)"


def providers_here() -> list[str]:
    """Where models can run on this machine, the fastest first: "cuda" where such a device works, and "cpu"."""
    return ["cuda", "cpu"] if cuda_works() else ["cpu"]


def choose_provider(asked: Provider) -> str:
    """ "cpu" or "cuda"; auto is the fastest one here.

    Raises:
        InputError: for one that is not here.
    """
    if asked not in ("auto", *_EXECUTION):
        raise InputError(asked, "is not a provider", one_of(["auto", *_EXECUTION]), where="provider")
    if asked == "cpu":
        return asked
    here = providers_here()
    if asked == "cuda" and asked not in here:
        rule = "needs an NVIDIA GPU with its driver and the CUDA libraries of ONNX Runtime, which do not work here"
        raise InputError(asked, rule, _CUDA_REMEDY, where="provider")
    return here[0]


def session_options(threads: int | None = None, spinning: bool = True) -> Any:
    """Options of a session that runs one node after another on `threads` threads (None: one a core).

    Spinning threads wait for work at full load, which makes small steps some 15 % faster and takes the cores from
    everything else meanwhile.
    """
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # it would keep a plan for every length of prompt
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    return options


def load_session(graph: Path | bytes, provider: str, options: Any) -> Any:
    """A session over a graph (a file, or its bytes) on "cpu" or "cuda".

    On CUDA products of 32-bit numbers stay exact (no TF32), and memory grows by what is asked for.

    Raises:
        InputError: where ONNX Runtime goes back to the CPU by itself.
    """
    from onnxruntime import InferenceSession

    settings = {"device_id": 0, "arena_extend_strategy": "kSameAsRequested", "use_tf32": 0}
    cuda = [(_EXECUTION["cuda"], settings)] if provider == "cuda" else []
    source = graph if isinstance(graph, bytes) else str(graph)
    session = InferenceSession(source, options, providers=[*cuda, _EXECUTION["cpu"]])
    if _EXECUTION[provider] not in session.get_providers():
        raise InputError(provider, "could not be loaded by ONNX Runtime", _CUDA_REMEDY, where="provider")
    return session
