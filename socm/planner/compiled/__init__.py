"""Whether schedules are made by compiled code, and what compiles it.

With Numba (``pip install 'socm[fast]'``) both schemes have a compiled twin that gives the same
schedules. To load it takes about a second, and some ten seconds the first time on a machine: so
that is done once the schedules that a process makes take longer than that.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from socm.planner.effort import PACE
from socm.planner.instance import Instance
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

SCHEMES = ("serial", "parallel")
"""Modules of this package."""
SWITCH = "SOCM_COMPILED"
"""Of the environment: 0 is never, 1 is from the beginning."""
LOADING = PACE
"""What it takes to load compiled code, in nodes looked at: about a second."""
SPEED = 5
"""How many times sooner compiled schedules are made, at the least."""

if TYPE_CHECKING:
    from socm.planner.compiled.arrays import Arrays

Function = TypeVar("Function", bound=Callable[..., object])


class Loader:
    """Compiled schemes, loaded once in a process, and not before that pays.

    What was scheduled without them tells: once that has taken as long as loading does, it is time.

    Parameters
    ----------
    work
        What the schedules of this process took, and those that are known to come.
    """

    def __init__(self, work: int = 0) -> None:
        self._work = work
        self._modules: dict[str, ModuleType | None] = {}

    def pace(self, instance: Instance, seconds: float) -> int:
        """Return how many nodes are looked at in a second, at the least, by a search for so long.

        If it is so long that compiled code pays, that is loaded now.
        """
        self._work += round(seconds * PACE)
        compiled = self._pays() and all(map(self._module, SCHEMES)) and _arrays(instance)
        return SPEED * PACE if compiled else PACE

    def schedule(
        self, scheme: str, instance: Instance, priority: Priority, work: int
    ) -> Schedule | None:
        """Make a schedule by a compiled scheme; `None` leaves it to the plain one.

        Parameters
        ----------
        scheme
            One of `SCHEMES`.
        work
            What the plain scheme would take for it, roughly.
        """
        self._work += work
        module = self._module(scheme) if self._pays() else None
        arrays = _arrays(instance) if module is not None else None
        if module is None or arrays is None:
            return None
        schedule: Schedule = module.schedule(arrays, priority)
        return schedule

    def _pays(self) -> bool:
        """Whether it is time to load what is compiled."""
        switch = os.environ.get(SWITCH)
        return switch == "1" or (switch != "0" and self._work >= LOADING)

    def _module(self, scheme: str) -> ModuleType | None:
        """Load a scheme; `None` where Numba is missing, or cannot keep what it compiles."""
        if scheme not in self._modules:
            try:
                module = importlib.import_module(f"socm.planner.compiled.{scheme}")
            except (ImportError, RuntimeError):
                self._modules[scheme] = None
            else:
                self._modules[scheme] = module
        return self._modules[scheme]


def _arrays(instance: Instance) -> Arrays | None:
    # These need the schemes, and the schemes need this module.
    from socm.planner.compiled.arrays import arrays_of

    return arrays_of(instance)


LOADER = Loader()
"""That of this process."""


def part(function: Function) -> Function:
    """Let a function be compiled into those that call it."""
    import numba

    return cast(Function, numba.njit(function))


def entry(*arguments: object) -> Callable[[Function], Function]:
    """Compile a function now, or load it if that was done on this machine.

    It is kept beside the source if that may be written to, else in Numba's cache of the user;
    ``NUMBA_CACHE_DIR`` names another place. It is compiled anew when its own module changes, so
    what other modules say by numbers that may change has to be an argument.

    Parameters
    ----------
    arguments
        Their types: of an array of records, that of the record; else `int` or `Ints`.

    Raises
    ------
    RuntimeError
        If there is no place to keep it.
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
            # Compiled, and not kept: the disk is full, or somebody else has the cache.
            dispatcher.compile(signature)
        dispatcher.disable_compile()
        return cast(Function, dispatcher)

    return compiled
