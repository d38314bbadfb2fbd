"""The schedule generation schemes, by compiled code where that pays.

Every policy makes its schedules by these two. With Numba (``pip install 'socm[fast]'``) the same
schedules are made by compiled code. Importing it takes about a second, and some twenty the first
time on a machine, so that is done once the schedules of a process take longer than that.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from socm.planner.compiled.arrays import arrays_of
from socm.planner.effort import PACE, WORK_OF_PLACING, WORK_OF_STARTING
from socm.planner.instance import Instance
from socm.planner.plain import parallel as plain_parallel
from socm.planner.plain import serial as plain_serial
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule

COMPILED = ("serial", "parallel")
"""Schemes that can be compiled: modules of `socm.planner.compiled`."""
SWITCH = "SOCM_COMPILED"
"""Environment variable: 0 is never to use compiled code, 1 is to load it at once."""
LOADING = PACE
"""Work that takes as long as loading compiled code: about a second."""
SPEED = 5
"""How many times faster compiled schedules are made, at the least."""


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
    nodes = sum(p.nodes for p in instance.cluster.partitions)
    work = len(instance) * (nodes + WORK_OF_PLACING)
    compiled = LOADER.schedule("serial", instance, priority, work)
    return compiled or plain_serial.schedule(instance, priority)


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
    work = WORK_OF_STARTING * len(instance)
    compiled = LOADER.schedule("parallel", instance, priority, work)
    return compiled or plain_parallel.schedule(instance, priority)


class Loader:
    """Loads the compiled schemes once in a process, and not before that pays.

    It pays once the schedules made without them took as long as loading does.

    Parameters
    ----------
    work
        Work of the schedules made so far.
    """

    def __init__(self, work: int = 0) -> None:
        self._work = work
        self._modules: dict[str, ModuleType | None] = {}

    def pace(self, instance: Instance, seconds: float) -> int:
        """Return how many nodes a search looks at in a second, at the least.

        If the search is so long that compiled code pays, it is loaded now.
        """
        self._work += round(seconds * PACE)
        compiled = self._pays() and all(map(self._module, COMPILED)) and arrays_of(instance)
        return SPEED * PACE if compiled else PACE

    def schedule(
        self, scheme: str, instance: Instance, priority: Priority, work: int
    ) -> Schedule | None:
        """Make a schedule by compiled code; `None` leaves it to the plain scheme.

        Parameters
        ----------
        work
            Work of the plain scheme for it, roughly.
        """
        self._work += work
        module = self._module(scheme) if self._pays() else None
        arrays = arrays_of(instance) if module is not None else None
        if module is None or arrays is None:
            return None
        schedule: Schedule = module.schedule(arrays, priority)
        return schedule

    def _pays(self) -> bool:
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


LOADER = Loader()
"""The loader of this process."""
