"""Schedules: when and where each workflow of an instance begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from socm.model.placement import Placement, PlannedWorkflow
from socm.planner.instance import Instance, Rooms, Way


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Start, way and rooms of every workflow of an instance.

    `work` is what it took to make it, in nodes that were looked at.
    """

    start: list[int]
    ways: list[Way]
    rooms: Sequence[Rooms]
    work: int

    @cached_property
    def finish(self) -> list[int]:
        """When each ends."""
        return [start + way.duration for start, way in zip(self.start, self.ways, strict=True)]

    @cached_property
    def makespan(self) -> int:
        """When the last ends."""
        return max(self.finish, default=0)

    def planned(self, instance: Instance, rank: Sequence[float]) -> list[PlannedWorkflow]:
        """Return what is fixed, and then each workflow at its place."""
        partitions = [p.name for p in instance.cluster.partitions]
        return [
            *instance.fixed,
            *(
                PlannedWorkflow(
                    name=instance.names[k],
                    partition=partitions[way.partition],
                    qos=way.option.qos.name or None,
                    placements=tuple(
                        [
                            Placement(partitions[way.partition], node, ranks)
                            for node, ranks in self.rooms[k]
                        ]
                    ),
                    threads=way.option.threads,
                    exclusive=way.option.exclusive,
                    cores=way.cores,
                    start=self.start[k],
                    finish=self.start[k] + way.duration,
                    walltime=way.option.walltime,
                    upward_rank=rank[k],
                )
                for k, way in enumerate(self.ways)
            ),
        ]
