"""The schedule generation schemes, by compiled code where that pays.

Every policy makes its schedules by these two. With Numba (``pip install 'socm[fast]'``) compiled
code makes the same serial schedules. Loading it takes as long as a usual search, and some twenty
seconds the first time on a machine, so a single plan does without it.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from types import ModuleType

from socm.planner.compiled.arrays import arrays_of
from socm.planner.effort import USUAL_WORK, WORK_OF_PLACING
from socm.planner.instance import Instance
from socm.planner.plain import parallel as plain_parallel
from socm.planner.plain import serial as plain_serial
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

SWITCH = "SOCM_COMPILED"
"""Environment variable: 0 is never to use compiled code, 1 is to load it at once."""
LOADING = USUAL_WORK * 5 // 4
"""Work from which on compiled code is loaded: a bit more than that of a usual search."""


def serial(instance: Instance, priority: Priority) -> Schedule:
    """Place one workflow after the other where it ends first, in the gaps that others left.

    The serial schedule generation scheme: of the workflows whose parents are placed, the one with
    the least priority value comes next.

    Parameters
    ----------
    priority
        A value for each workflow; of equal ones the one that was declared first comes first.

    References
    ----------
    R. Kolisch, Eur. J. Oper. Res. 90 (1996) 320, https://doi.org/10.1016/0377-2217(95)00357-6
    """
    nodes = sum(p.nodes for p in instance.cluster.distinct)
    compiled = LOADER.compiled(len(instance) * (nodes + WORK_OF_PLACING))
    arrays = arrays_of(instance) if compiled is not None else None
    if compiled is None or arrays is None:
        schedule = plain_serial.schedule(instance, priority)
        LOADER.spend(schedule.work)
    else:
        schedule = compiled.schedule(arrays, priority)
    return schedule


def parallel(instance: Instance, priority: Priority) -> Schedule:
    """Go forward in time, and at each instant start what fits, the least priority value first.

    The parallel schedule generation scheme with EASY backfilling: the first workflow that does not
    fit gets a reservation for the earliest time at which it will, and no other may delay it.
    Unlike `serial` it never looks back, so it is fast for very many workflows, and cannot be used
    where capacity is reserved for later.

    Parameters
    ----------
    priority
        A value for each workflow; of equal ones the one that was declared first comes first.

    References
    ----------
    R. Kolisch, Eur. J. Oper. Res. 90 (1996) 320, https://doi.org/10.1016/0377-2217(95)00357-6

    A. W. Mu'alem, D. G. Feitelson, IEEE Trans. Parallel Distrib. Syst. 12 (2001) 529,
    https://doi.org/10.1109/71.932708
    """
    assert not instance.reservations
    if instance.cluster.overlapping:  # it sees the nodes of each partition alone
        return serial(instance, priority)
    return plain_parallel.schedule(instance, priority)


class Loader:
    """Loads compiled code once a process does more work than that of a usual search."""

    def __init__(self) -> None:
        self._spent = 0

    def spend(self, work: int) -> None:
        """Count work that was done without compiled code."""
        self._spent += work

    def compiled(self, ahead: int) -> ModuleType | None:
        """Return the compiled scheme; `None` if it does not pay yet, or cannot be loaded.

        Parameters
        ----------
        ahead
            About how much work comes next, by the plain scheme.
        """
        switch = os.environ.get(SWITCH)
        pays = switch == "1" or (switch != "0" and self._spent + ahead >= LOADING)
        return _compiled() if pays else None


@cache
def _compiled() -> ModuleType | None:
    """Load the compiled scheme; `None` if Numba is missing, or cannot keep what it compiles."""
    try:
        return import_module("socm.planner.compiled.serial")
    except (ImportError, RuntimeError):
        return None


LOADER = Loader()
"""The loader of this process."""
