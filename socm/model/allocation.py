"""Whole nodes for a while, and in each such allocation an ordinary plan of what runs in it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from socm.errors import ConfigError, Problem
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import PlannedWorkflow
from socm.model.plan import BasePlan, Plan, PlannedJob

JOB = "allocation"
"""The name of the workflow whose attempts are the allocations of a campaign."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """One SLURM job that holds whole nodes while workflows run on them as steps.

    Parameters
    ----------
    partition, qos
        Where it is submitted; `qos` is `None` on a cluster without QOS.
    nodes
        The number of its nodes.
    start
        Whole seconds since the start of the campaign.
    walltime
        The limit that is asked for, in seconds.
    plan
        The plan of the inside: its campaign is `part` of the whole one, its cluster is `inside`
        the allocation, and its times count from the start of the allocation.
    """

    partition: str
    qos: str | None
    nodes: int
    start: int
    walltime: int
    plan: Plan

    @property
    def duration(self) -> int:
        """Seconds from its start to the end of the last workflow in it."""
        return self.plan.makespan

    @property
    def finish(self) -> int:
        """When the last workflow in it ends, in seconds since the start of the campaign."""
        return self.start + self.duration

    @property
    def workflows(self) -> tuple[PlannedWorkflow, ...]:
        """The workflows that run in it, with its QOS and with times of the whole campaign."""
        return tuple(
            replace(w, qos=self.qos, start=self.start + w.start, finish=self.start + w.finish)
            for w in self.plan.workflows
        )


@dataclass(frozen=True, kw_only=True)
class AllocationPlan(BasePlan):
    """A campaign in allocations of whole nodes, one after the other.

    The lower bound is that of the nodes which the allocations have: with more nodes, a plan may
    end sooner. So such a plan is never proved optimal, nor is a deadline proved out of reach.

    Parameters
    ----------
    allocations
        In order of start.
    """

    allocations: tuple[Allocation, ...]

    optimal = provably_late = False

    @cached_property
    def workflows(self) -> tuple[PlannedWorkflow, ...]:
        """All workflows, with times of the whole campaign, as those of a `Plan` are ordered."""
        workflows = [w for a in self.allocations for w in a.workflows]
        return tuple(sorted(workflows, key=lambda w: w.start))

    @cached_property
    def by_name(self) -> Mapping[str, PlannedWorkflow]:
        """Planned workflows by name."""
        return {w.name: w for w in self.workflows}

    @property
    def jobs(self) -> tuple[PlannedJob, ...]:
        """The jobs that are submitted: the allocations."""
        cores = {p.name: p.cores for p in self.cluster.partitions}
        return tuple(
            PlannedJob(a.partition, a.qos, a.nodes * cores[a.partition], a.duration)
            for a in self.allocations
        )

    @property
    def makespan(self) -> int:
        """Seconds from the start of the campaign to its end."""
        return max((a.finish for a in self.allocations), default=self.start)

    @property
    def peak_nodes(self) -> int:
        """The nodes of the largest allocation."""
        return max((a.nodes for a in self.allocations), default=0)

    @property
    def critical_chain(self) -> tuple[str, ...]:
        """Names of a chain of workflows without a pause that leads to the end of the plan.

        Each waits for the one before, or for the allocation of the one before to end.
        """
        chain: tuple[str, ...] = ()
        start = self.makespan
        for a in reversed(self.allocations):
            if a.finish != start:
                break
            chain = a.plan.critical_chain + chain
            start = a.start + a.plan.by_name[chain[0]].start
        return chain

    def nth(self, number: int) -> Allocation:
        """Return the allocation to ask for as the nth, from 0: as planned, then the longest."""
        if number < len(self.allocations):
            return self.allocations[number]
        return max(self.allocations, key=lambda a: a.walltime)


AnyPlan = Plan | AllocationPlan
"""A plan whose workflows are jobs, or one whose workflows are steps in allocations."""


def of_jobs(plan: AnyPlan) -> Plan:
    """Return a plan in which each workflow is a job of its own.

    Raises
    ------
    ConfigError
        If it is a plan of allocations.
    """
    if isinstance(plan, AllocationPlan):
        message = "a plan of shape 'allocation' cannot be proved, nor run but by SLURM"
        hint = "`socm plan CAMPAIGN --shape jobs --output plan.json` makes each workflow a job"
        raise ConfigError(Problem(message=message, hint=hint))
    return plan


def of_steps(plan: AllocationPlan) -> Plan:
    """Return the plan of all steps, with the times of the whole campaign, on the nodes of one.

    Allocations that follow one another are then one cluster with pauses. What one of them leaves
    undone, the next one carries on; so no walltime of a step is cut to the end of its allocation.

    Raises
    ------
    ConfigError
        If the allocations do not have the same nodes.
    """
    if not plan.allocations:
        return Plan(campaign=plan.campaign, cluster=plan.cluster, workflows=(), lower_bound=0)
    if len({(a.partition, a.nodes) for a in plan.allocations}) > 1:
        message = "its allocations do not have the same number of nodes of the same partition"
        hint = "`socm plan CAMPAIGN --shape allocation` makes a plan whose allocations do"
        raise ConfigError(Problem(message=message, hint=hint))
    first = plan.allocations[0]
    cluster = inside(plan.cluster, plan.cluster.by_partition[first.partition], first.nodes)
    campaign = part(plan.campaign, plan.campaign.workflows)
    workflows = []
    for w in plan.workflows:
        [mode], _ = cluster.admit(campaign.workflows[w.name].request)
        workflows.append(replace(w, qos=None, walltime=mode.walltime))
    return Plan(
        campaign=campaign,
        cluster=cluster,
        workflows=tuple(workflows),
        lower_bound=plan.lower_bound,
        start=plan.start,
    )


def as_job(plan: AllocationPlan, command: tuple[str, ...]) -> Campaign:
    """Return the campaign of one workflow that carries a plan out, one allocation after the other.

    Its workflow asks for whole nodes: for all cores and all memory of as many as the plan has.

    Parameters
    ----------
    command
        What runs in each allocation.
    """
    first = plan.allocations[0]
    partition = plan.cluster.by_partition[first.partition]
    workflows = plan.campaign.workflows.values()
    shared = set.intersection(*({*w.options.items()} for w in workflows))
    job = Workflow(
        name=JOB,
        kind=JOB,
        command=command,
        launcher="none",
        options=dict(sorted(shared)),
        request=ResourceRequest(
            ranks=first.nodes,
            threads=partition.cores,
            memory=first.nodes * partition.memory,
            gpus=partition.gpus,
            runtime=max(1, math.floor(first.duration * partition.speed)),
            walltime=first.walltime,
            partition=first.partition,
            qos=first.qos,
            account=next((w.request.account for w in workflows if w.request.account), None),
        ),
    )
    return Campaign.of(
        plan.campaign.name,
        [job],
        budget=replace(plan.campaign.budget, cores=None, nodes=None),  # what it may be charged
        retries=plan.campaign.retries,
        source=plan.campaign.source,
    )


def inside(cluster: Cluster, partition: Partition, nodes: int) -> Cluster:
    """Return the inside of an allocation: a cluster of its nodes, which steps share, without QOS.

    Examples
    --------
    >>> cpu = Partition(name="cpu", nodes=100, cores=8, memory=1000, exclusive=True)
    >>> cluster = inside(Cluster(name="c", partitions=(cpu,)), cpu, 4)
    >>> cluster.partitions[0].nodes, cluster.partitions[0].exclusive
    (4, False)
    """
    shared = replace(partition, nodes_per_job=None, least_nodes_per_job=1, limits=None)
    shared = replace(shared, nodes=nodes, exclusive=False, walltime=None, memory_per_core=None)
    shared = replace(shared, nodes_of=None, first_node=0)
    shared = replace(shared, debug=False, preemptible=False, accounts=())
    return Cluster(name=cluster.name, partitions=(shared,))


def part(campaign: Campaign, names: Collection[str]) -> Campaign:
    """Return the part of a campaign that runs in one allocation.

    What its workflows need of others is done when the allocation starts, so such dependencies are
    left out; so are the partition and the QOS that a workflow names, the budget and the deadline,
    which concern the allocation.

    Parameters
    ----------
    names
        The workflows; names that are not in the campaign are ignored.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> hour = ResourceRequest(runtime=3600, qos="day")
    >>> campaign = Campaign.of("c", [
    ...     Workflow(name="a", request=hour),
    ...     Workflow(name="b", request=hour, depends=("a",)),
    ... ])
    >>> b = part(campaign, {"b"}).workflows["b"]
    >>> b.depends, b.request.qos
    ((), None)
    """
    workflows = {
        name: replace(
            w,
            depends=tuple(parent for parent in w.depends if parent in names),
            request=replace(w.request, partition=None, qos=None),
        )
        for name, w in campaign.workflows.items()
        if name in names
    }
    return replace(campaign, workflows=workflows, budget=Budget(), deadline=None)
