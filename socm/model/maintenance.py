"""Times in which nodes of a cluster are not for jobs, as dates; and as seconds of a campaign."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.units import moment


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """A time in which nodes are not for jobs: no job starts that could still run then.

    Parameters
    ----------
    start, end
        Dates with a zone, as text: ``2026-12-08T06:00-05:00``.
    partitions
        Whose nodes; empty is those of all partitions.
    nodes
        How many nodes of each partition; `None` is all of them.
    note
        For people.

    Raises
    ------
    ValueError
        If a date cannot be read, or the end is not after the start.
    """

    start: str
    end: str
    partitions: tuple[str, ...] = ()
    nodes: int | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if moment(self.end) <= moment(self.start):
            raise ValueError(f"maintenance ends at {self.end}, not after its start {self.start}")
        if self.nodes is not None and self.nodes < 1:
            raise ValueError("maintenance is of at least one node")

    def seconds(self, begin: datetime) -> tuple[int, int]:
        """Return start and end in whole seconds from a moment, rounded outwards.

        Examples
        --------
        >>> from datetime import UTC
        >>> tuesday = Maintenance(start="2026-12-08T06:00Z", end="2026-12-08T10:00Z")
        >>> tuesday.seconds(datetime(2026, 12, 8, 5, tzinfo=UTC))
        (3600, 18000)
        """
        start, end = (moment(text) - begin for text in (self.start, self.end))
        return math.floor(start.total_seconds()), math.ceil(end.total_seconds())


def closures(
    windows: Iterable[Maintenance], partitions: Iterable[Partition], begin: datetime
) -> Iterator[Reservation]:
    """Yield maintenance as reservations of a campaign that begins at a moment.

    What is over by then is left out. Nodes of a plan have no names: where maintenance is of some
    nodes only, it is of the last ones.
    """
    partitions = tuple(partitions)
    for window in windows:
        start, finish = window.seconds(begin)
        if finish <= 0:
            continue
        for partition in partitions:
            if window.partitions and partition.name not in window.partitions:
                continue
            nodes: list[int | None] = [None]
            if window.nodes is not None and window.nodes < partition.nodes:
                nodes = [*partition.numbers[-window.nodes :]]
            for node in nodes:
                yield Reservation(
                    partition=partition.name,
                    node=node,
                    start=max(0, start),
                    finish=finish,
                    maintenance=True,
                )
