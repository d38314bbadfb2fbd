"""When and where each workflow of a campaign runs as a job of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from typing import Literal, NamedTuple

from socm.model.campaign import Campaign
from socm.model.charge import Charge, charge_of
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.placement import PlannedWorkflow, Reservation, peak_nodes
from socm.units import HOUR


class PlannedJob(NamedTuple):
    """What one job of a plan reserves: cores of a partition, under a QOS, for some seconds."""

    partition: str
    qos: str | None
    cores: int
    duration: int


@dataclass(frozen=True, kw_only=True)
class BasePlan(ABC):
    """What every plan has, whether its jobs are workflows or allocations.

    Parameters
    ----------
    campaign, cluster
        Both as resolved: nothing else is needed to carry a plan out.
    lower_bound
        Seconds before which no plan can end.
    start
        When the plan starts, in seconds since the start of the campaign.
    reservations
        Capacity that the campaign may not use.
    warnings
        What the planner noticed.
    """

    campaign: Campaign
    cluster: Cluster
    lower_bound: int
    start: int = 0
    reservations: tuple[Reservation, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    @abstractmethod
    def jobs(self) -> tuple[PlannedJob, ...]:
        """The jobs that are submitted."""

    @property
    @abstractmethod
    def makespan(self) -> int:
        """Seconds from the start of the campaign to its end."""

    @property
    def margin(self) -> int | None:
        """Seconds from its end to the deadline, negative if it is late; `None` without one."""
        deadline = self.campaign.deadline
        return None if deadline is None else deadline - self.makespan

    @property
    def feasible(self) -> bool:
        """Whether the plan ends by the deadline, or there is none."""
        return self.margin is None or self.margin >= 0

    @property
    def gap(self) -> float:
        """How far the plan may be from the best: makespan over lower bound, less one."""
        return self.makespan / self.lower_bound - 1 if self.lower_bound else 0.0

    @property
    def core_hours(self) -> float:
        """Core-hours that the plan reserves."""
        return sum(job.cores * job.duration for job in self.jobs) / HOUR

    @property
    def node_hours(self) -> float:
        """The reserved core-hours in hours of whole nodes."""
        size = {p.name: p.cores for p in self.cluster.partitions}
        return fsum(job.cores * job.duration / size[job.partition] for job in self.jobs) / HOUR

    @property
    def charged_core_hours(self) -> float:
        """The reserved core-hours, times the charge of each QOS."""
        return fsum(self._charge(job).core_hours for job in self.jobs)

    @property
    def charged_node_hours(self) -> float:
        """The reserved node-hours, times the charge of each QOS."""
        return fsum(self._charge(job).node_hours for job in self.jobs)

    @property
    def maintenance(self) -> dict[tuple[int, int], list[Reservation]]:
        """The maintenance that it knows of, by start and finish; the first one comes first."""
        windows: dict[tuple[int, int], list[Reservation]] = defaultdict(list)
        for r in self.reservations:
            if r.maintenance:
                windows[r.start, r.finish].append(r)
        return dict(sorted(windows.items()))

    def _charge(self, job: PlannedJob) -> Charge:
        return charge_of(self.cluster, job.partition, job.qos, job.cores, job.duration)


@dataclass(frozen=True, kw_only=True)
class Plan(BasePlan):
    """A campaign on a cluster, each workflow a job of its own.

    Parameters
    ----------
    workflows
        In order of start, then of falling upward rank.
    proved_by
        What proves the lower bound: the bounds of `socm.planner.bounds`, or CP-SAT.
    """

    workflows: tuple[PlannedWorkflow, ...]
    proved_by: Literal["bounds", "CP-SAT"] = "bounds"

    @cached_property
    def by_name(self) -> Mapping[str, PlannedWorkflow]:
        """Planned workflows by name."""
        return {w.name: w for w in self.workflows}

    def demand(self, w: PlannedWorkflow, memory: int | None = None) -> Demand:
        """Return what a workflow needs of its nodes, with the memory (MB) of a retry if given."""
        request = self.campaign.workflows[w.name].request
        threads = w.threads
        if memory is None:
            memory = request.memory
        elif not w.exclusive:
            partition = self.cluster.by_partition[w.partition]
            threads = max(threads, partition.cores_for(memory, request.ranks))
        return Demand(request.ranks, threads, memory, request.gpus, w.exclusive)

    @property
    def jobs(self) -> tuple[PlannedJob, ...]:
        """The jobs that are submitted: the workflows."""
        return tuple(PlannedJob(w.partition, w.qos, w.cores, w.duration) for w in self.workflows)

    @cached_property
    def makespan(self) -> int:
        """Seconds from the start of the campaign to its end."""
        return max((w.finish for w in self.workflows), default=self.start)

    @property
    def optimal(self) -> bool:
        """Whether it is proved that no plan is shorter."""
        return self.makespan <= self.lower_bound

    @property
    def provably_late(self) -> bool:
        """Whether it is proved that no plan meets the deadline."""
        return self.campaign.deadline is not None and self.lower_bound > self.campaign.deadline

    @cached_property
    def peak_nodes(self) -> int:
        """The most distinct nodes that are in use at once."""
        return peak_nodes(self.workflows)

    @cached_property
    def most_charged(self) -> Charge:
        """The most that is charged at any time, where a job is charged its walltime until it ends.

        That is what a site counts that charges a job when it is submitted, and what a run keeps
        within the budget.
        """
        changes = []
        for w in self.workflows:
            held, used = (
                charge_of(self.cluster, w.partition, w.qos, w.cores, seconds)
                for seconds in (max(w.walltime, w.duration), w.duration)
            )
            changes += [(w.start, 1, held), (w.finish, 0, used - held)]
        charged = most = Charge()
        for _, _, change in sorted(changes, key=lambda c: c[:2]):
            charged += change
            most = max(most, charged, key=lambda c: c.of(self.campaign.budget))
        return most

    @cached_property
    def critical_chain(self) -> tuple[str, ...]:
        """Names of a chain of workflows without a pause that leads to the end of the plan.

        Each waits for the one before: it depends on it, or takes over one of its nodes.
        """
        if not self.workflows:
            return ()
        ending: dict[int, list[PlannedWorkflow]] = defaultdict(list)
        for w in self.workflows:
            ending[w.finish].append(w)
        chain = [max(self.workflows, key=lambda w: w.finish)]
        while before := ending.get(chain[-1].start):
            parents = self.campaign.workflows[chain[-1].name].depends
            nodes = set(chain[-1].nodes)
            candidates = [w for w in before if w.name in parents] or [
                w for w in before if nodes.intersection(w.nodes)
            ]
            if not candidates:
                break
            chain.append(candidates[0])
        return tuple(w.name for w in reversed(chain))
