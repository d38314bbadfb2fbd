"""The serial scheme, compiled: the same schedules as the plain scheme, several times sooner.

It also looks at as many nodes, so a search that counts work ends at the same plan. Importing this
module needs Numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from socm.planner.compiled.arrays import Arrays, Ints, Records
from socm.planner.compiled.kernel import kernel
from socm.planner.effort import WORK_OF_PLACING
from socm.planner.instance import NodeRanks
from socm.planner.ranking import Priority
from socm.planner.schedule import Schedule


def schedule(arrays: Arrays, priority: Priority) -> Schedule:
    """Schedule an instance; see `socm.planner.schemes.serial`."""
    order, position = _order_and_position(priority)
    start, mode, first, last, placements, visits = kernel(
        arrays.workflows, arrays.children, arrays.modes, arrays.counts, arrays.partitions,
        arrays.limits, arrays.reserved, arrays.begun, arrays.placements, arrays.start, order,
        position,
    )  # fmt: skip
    placements["node"] = arrays.names[placements["node"]]
    all_modes = arrays.all_modes
    return Schedule(
        start=start.tolist(),
        modes=[all_modes[m] for m in mode.tolist()],
        placements=FlatPlacements(first=first, last=last, flat=placements),
        work=visits + WORK_OF_PLACING * len(order),
    )


def _order_and_position(priority: Priority) -> tuple[Ints, Ints]:
    """Return the workflows, the least priority value first; and the position of each."""
    order = np.array(sorted(range(len(priority)), key=priority.__getitem__), dtype=np.int64)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return order, position


class FlatPlacements(Sequence[NodeRanks]):
    """Placements of all workflows in one array; objects are made when they are asked for.

    Examples
    --------
    >>> from socm.planner.compiled.arrays import NODE_RANKS
    >>> flat = np.array([(4, 1), (5, 2), (6, 3)], dtype=NODE_RANKS)
    >>> [*FlatPlacements(first=np.array([2, 0]), last=np.array([3, 2]), flat=flat)]
    [[(6, 3)], [(4, 1), (5, 2)]]
    """

    def __init__(self, *, first: Ints, last: Ints, flat: Records) -> None:
        self._first, self._last, self._flat = first, last, flat

    def __len__(self) -> int:
        return len(self._first)

    @overload
    def __getitem__(self, index: int) -> NodeRanks: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NodeRanks]: ...
    def __getitem__(self, index: int | slice) -> NodeRanks | Sequence[NodeRanks]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        placements: NodeRanks = self._flat[self._first[index] : self._last[index]].tolist()
        return placements
