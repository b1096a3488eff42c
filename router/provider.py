"""Where ONNX Runtime runs a router: on a GPU where CUDA works, else on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from router.errors import RouterError

__all__ = ["cuda_works", "device_for", "open_session"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


def device_for(provider: str) -> str:
    """ "cpu" or "cuda"; "auto" is "cuda" where that works.

    Raises:
        RouterError: for a provider that is not known, or not here.
    """
    if provider not in ("auto", "cpu", "cuda"):
        raise RouterError(provider, "is no provider", "use one of: auto, cpu, cuda")
    if provider == "cpu":
        return "cpu"
    works = cuda_works()
    if provider == "cuda" and not works:
        rule = "needs an NVIDIA GPU with its driver and the CUDA libraries of ONNX Runtime, which do not work here"
        raise RouterError("cuda", rule, "use cpu, or install them (`pip install onnxruntime-gpu[cuda,cudnn]`)")
    return "cuda" if works else "cpu"


def open_session(file: bytes, device: str, threads: int) -> Any:
    """An ONNX Runtime session over the bytes of a graph.

    Raises:
        RouterError: for what ONNX Runtime cannot open.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Threads that wait at full load would take the cores from whatever the gateway does beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    cuda = [(_CUDA, {"device_id": 0, "use_tf32": 0})] if device == "cuda" else []
    try:
        session = InferenceSession(file, options, providers=[*cuda, _CPU], enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors have no common class
        told = " ".join(str(error).split())[:200]
        remedy = "export the router again with `nightshift train`"
        raise RouterError("the file", f"cannot be opened by ONNX Runtime: {told}", remedy) from None
    if device == "cuda" and _CUDA not in session.get_providers():
        raise RouterError("cuda", "could not be loaded by ONNX Runtime", "use cpu")
    return session


def cuda_works() -> bool:
    """Whether ONNX Runtime gets memory of a CUDA device; says nothing where there is none."""
    import io
    from contextlib import redirect_stdout

    import onnxruntime

    if _CUDA not in onnxruntime.get_available_providers() or not _has_cuda_device():
        return False
    try:
        with redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()
        onnxruntime.OrtValue.ortvalue_from_shape_and_type([1], np.float32, "cuda", 0)
    except Exception:  # whatever it is that fails there, CUDA does not work
        return False
    return True


def _has_cuda_device() -> bool:
    """Whether the driver counts one: ONNX Runtime writes to stderr where there is none."""
    import ctypes
    import sys

    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
