"""Schedules: when, where and in which mode each workflow of an instance runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from socm.model.placement import Placement, PlannedWorkflow
from socm.planner.instance import IndexedMode, Instance, NodeRanks


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Start, mode and placements of every workflow of an instance.

    Parameters
    ----------
    start
        Seconds since the campaign's start.
    modes
        The mode chosen for each workflow.
    placements
        For each workflow how many of its ranks are on which node.
    work
        Cost of making the schedule, in nodes looked at.
    """

    start: list[int]
    modes: list[IndexedMode]
    placements: Sequence[NodeRanks]
    work: int

    @cached_property
    def finish(self) -> list[int]:
        """When each workflow ends."""
        return [start + mode.duration for start, mode in zip(self.start, self.modes, strict=True)]

    @cached_property
    def makespan(self) -> int:
        """When the last workflow ends."""
        return max(self.finish, default=0)

    def planned(self, instance: Instance, rank: Sequence[float]) -> list[PlannedWorkflow]:
        """Return the fixed workflows, and then the scheduled ones.

        Parameters
        ----------
        rank
            The upward rank of each scheduled workflow.
        """
        partitions = [p.name for p in instance.cluster.partitions]
        homes = [p.home for p in instance.cluster.partitions]
        return [
            *instance.fixed,
            *(
                PlannedWorkflow(
                    name=instance.names[k],
                    partition=partitions[mode.partition],
                    qos=mode.mode.qos.name or None,
                    placements=tuple(
                        [
                            Placement(homes[mode.partition], node, ranks)
                            for node, ranks in self.placements[k]
                        ]
                    ),
                    threads=mode.mode.threads,
                    exclusive=mode.mode.exclusive,
                    cores=mode.cores,
                    start=self.start[k],
                    finish=self.start[k] + mode.duration,
                    walltime=mode.mode.walltime,
                    upward_rank=rank[k],
                )
                for k, mode in enumerate(self.modes)
            ),
        ]
