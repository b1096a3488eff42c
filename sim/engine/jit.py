"""The compiler's front door: what Python calls is marked `entry`, what compiled code calls `kernel`."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

from sim.paths import cache_home

__all__ = ["cache_folder", "entry", "inlined", "kernel", "source_digest"]

Function = TypeVar("Function", bound=Callable[..., Any])


def entry(function: Function) -> Function:
    """`function` compiled by numba for Python to call; its machine code is kept on disk and runs without the GIL.

    With `NUMBA_DISABLE_JIT=1` the plain Python function runs instead: same results, readable in a debugger.
    Numba looks only at the file of the function it loads from disk, so a change in a callee would go unseen;
    the folder is therefore named by a digest of the whole package.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = before or str(cache_folder())
    try:
        return _compiled(function, cache=True, nogil=True)
    finally:
        numba.config.CACHE_DIR = before


def kernel(function: Function) -> Function:
    """`function` compiled as part of an entry: compiled code calls it, Python cannot.

    Whether it is copied into its callers is left to the compiler: forced, compiling took three times as long.
    """
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def inlined(function: Function) -> Function:
    """A `kernel` that is always copied into its callers: short ones that the hot loop calls."""
    return _compiled(function, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compiled(function: Function, **options: bool) -> Function:
    """Compiled without reference counts: no function here makes an array, and the caller holds those it passes.

    Counting them cost four fifths of the time.
    """
    compiled: Function = numba.njit(error_model="numpy", _nrt=False, **options)(function)
    return compiled


@cache
def cache_folder() -> Path:
    """Folder of this version's machine code: in the user's cache, or one for this process where that is read-only."""
    try:
        folder = cache_home() / "kernels" / source_digest()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # read-only, or no home at all
        pass
    own = tempfile.mkdtemp(prefix="nightshift-kernels-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return Path(own)


@cache
def source_digest() -> str:
    """Digest of the engine's source files: 16 hexadecimal digits."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
