"""Threads that this process does without, and the environment of what it starts.

NumPy's BLAS starts a thread for each core as it is loaded. None is used here, and login nodes,
where cores are many, allow few.
"""

from __future__ import annotations

import os

_BLAS = "OPENBLAS_NUM_THREADS"


def do_without() -> None:
    """Start no threads in this process, unless its user has set how many; call it before imports.

    `os.environ` stays as it is.
    """
    if _BLAS not in os.environ:
        os.putenv(_BLAS, "1")


def restore_environment() -> None:
    """Let processes that are started from now on have as many as they like."""
    if _BLAS not in os.environ:
        os.unsetenv(_BLAS)
