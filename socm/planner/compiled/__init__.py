"""The serial scheme in code that Numba compiles, and the decorators that compile it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np

Function = TypeVar("Function", bound=Callable[..., object])


def part(function: Function) -> Function:
    """Compile a function into those that call it."""
    import numba

    return cast(Function, numba.njit(function))


def entry(*arguments: object) -> Callable[[Function], Function]:
    """Compile a function now, or load it if it was compiled on this machine before.

    Numba keeps it beside the source if that is writable, else in the user's cache;
    ``NUMBA_CACHE_DIR`` names another place. It is compiled again only when its own module changes,
    so values of other modules that may change have to be arguments.

    Parameters
    ----------
    arguments
        Types of the arguments: of an array of records, that of the record; else `int` or `Ints`.

    Raises
    ------
    RuntimeError
        If it cannot be kept anywhere.
    """
    import numba

    signature = tuple(
        numba.from_dtype(kind)[::1]
        if isinstance(kind, np.dtype)
        else numba.int64
        if kind is int
        else numba.int64[::1]
        for kind in arguments
    )

    def compiled(function: Function) -> Function:
        dispatcher = numba.njit(cache=True)(function)
        try:
            dispatcher.compile(signature)
        except OSError:
            # It is compiled, but not kept: the disk is full, or the cache belongs to another user.
            dispatcher.compile(signature)
        dispatcher.disable_compile()
        return cast(Function, dispatcher)

    return compiled
