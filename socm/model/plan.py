"""When and where each workflow is to run, and the proof that it can."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal, NamedTuple

from socm.errors import InvalidPlan
from socm.model.allocation import Allocation, bad_allocations, bad_step
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster, Partition
from socm.model.demand import Amounts, Demand
from socm.model.occupancy import overfull_nodes
from socm.units import HOUR


class Placement(NamedTuple):
    """Ranks on one node; the node is an index within its partition."""

    partition: str
    node: int
    ranks: int


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """Capacity that is not the campaign's for a while: maintenance, or the jobs of others.

    Parameters
    ----------
    partition, node
        Where; a node of `None` is every node of the partition.
    start, finish
        Seconds since the campaign's start.
    cores, memory, gpus
        What is taken on each node; `None` is all of it.
    """

    partition: str
    node: int | None = None
    start: int
    finish: int
    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.finish <= 10**12:
            raise ValueError("a reservation begins at 0 or later, and ends after it begins")
        if any(x is not None and x < 0 for x in (self.node, self.cores, self.memory, self.gpus)):
            raise ValueError("a reservation takes no less than nothing")

    def loads(self, partition: Partition) -> Iterator[tuple[int, Amounts]]:
        """Yield each node that it concerns, with what it reserves there."""
        cores = partition.cores if self.cores is None else self.cores
        memory = partition.memory if self.memory is None else self.memory
        gpus = partition.gpus if self.gpus is None else self.gpus
        for node in range(partition.nodes) if self.node is None else (self.node,):
            yield node, Amounts(cores, memory, gpus)


@dataclass(frozen=True, kw_only=True)
class PlannedWorkflow:
    """One workflow's place in the plan.

    Parameters
    ----------
    name
        Of the workflow in the campaign.
    partition, qos
        To submit to; `qos` is `None` on a cluster without QOS.
    placements
        Its ranks, node by node.
    threads
        Physical cores of a rank.
    exclusive
        Whether its nodes are its own.
    cores
        Cores that count against limits: of the ranks, or of whole nodes.
    start, finish
        Whole seconds since the campaign's start.
    walltime
        Limit to ask for, in seconds.
    rank
        Upward rank: seconds from its start to the campaign's end along the longest chain.
    fixed
        It has run or is running: its times are what they were, not what was expected.
    """

    name: str
    partition: str
    qos: str | None
    placements: tuple[Placement, ...]
    threads: int
    exclusive: bool
    cores: int
    start: int
    finish: int
    walltime: int
    rank: float = 0.0
    fixed: bool = False

    @property
    def duration(self) -> int:
        """Seconds between start and finish."""
        return self.finish - self.start

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """The nodes that it runs on."""
        return tuple([(partition, node) for partition, node, _ in self.placements])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A campaign laid out on a cluster.

    Parameters
    ----------
    campaign, cluster
        Both as resolved: a plan says all there is to know to carry it out.
    workflows
        In order of start, then of falling upward rank.
    lower_bound
        Seconds below which no plan can end; of shape ``"allocation"``, none on as many nodes.
    start
        When the plan begins, in seconds since the campaign's start.
    reservations
        Capacity that was not the campaign's.
    shape
        ``"jobs"``: each workflow is a job of its own; ``"allocation"``: workflows are steps in
        allocations of whole nodes.
    allocations
        One after the other; none where each workflow is a job.
    warnings
        What the planner noticed.
    proved_by
        What says that no plan ends below the lower bound: our own bounds, or CP-SAT.
    """

    campaign: Campaign
    cluster: Cluster
    workflows: tuple[PlannedWorkflow, ...]
    lower_bound: int
    start: int = 0
    reservations: tuple[Reservation, ...] = ()
    shape: Literal["jobs", "allocation"] = "jobs"
    allocations: tuple[Allocation, ...] = ()
    warnings: tuple[str, ...] = ()
    proved_by: Literal["bounds", "CP-SAT"] = "bounds"

    @cached_property
    def by_name(self) -> Mapping[str, PlannedWorkflow]:
        """Planned workflows by name."""
        return {w.name: w for w in self.workflows}

    def demand(self, w: PlannedWorkflow) -> Demand:
        """Return what a workflow of the plan needs of its nodes."""
        request = self.campaign.workflows[w.name].request
        return Demand(request.ranks, w.threads, request.memory, request.gpus, w.exclusive)

    @cached_property
    def makespan(self) -> int:
        """Seconds from the campaign's start to its end."""
        return max((w.finish for w in self.workflows), default=self.start)

    @property
    def feasible(self) -> bool:
        """Whether the plan ends by the deadline, or there is none."""
        return self.campaign.deadline is None or self.makespan <= self.campaign.deadline

    @property
    def gap(self) -> float:
        """How far the plan may be from the best: makespan over lower bound, less one."""
        return self.makespan / self.lower_bound - 1 if self.lower_bound else 0.0

    @property
    def optimal(self) -> bool:
        """Whether it is proved that no plan can be shorter; of allocations it never is.

        Their bound is that of the nodes that they have, and more nodes may do better.
        """
        return self.shape == "jobs" and self.makespan <= self.lower_bound

    @property
    def core_hours(self) -> float:
        """Core-hours that the plan reserves."""
        return sum(cores * seconds for _, _, cores, seconds in self._reserved()) / HOUR

    @property
    def node_hours(self) -> float:
        """The same in nodes: what is reserved, in hours of whole nodes."""
        size = {p.name: p.cores for p in self.cluster.partitions}
        return sum(c * seconds / size[name] for name, _, c, seconds in self._reserved()) / HOUR

    @property
    def charged_core_hours(self) -> float:
        """Core-hours weighted with what each QOS charges."""
        charge = {q.name: q.charge for q in self.cluster.tiers}
        return sum(c * seconds * charge[qos] for _, qos, c, seconds in self._reserved()) / HOUR

    def _reserved(self) -> Iterator[tuple[str, str, int, int]]:
        """Yield for each job its partition, its QOS, its cores and its seconds."""
        for a in self.allocations:
            cores = a.nodes * self.cluster.by_partition[a.partition].cores
            yield a.partition, a.qos or "", cores, a.duration
        for w in self.workflows if self.shape == "jobs" else ():
            yield w.partition, w.qos or "", w.cores, w.duration

    @cached_property
    def peak_nodes(self) -> int:
        """The most distinct nodes in use at once; of allocations, those that they hold."""
        if self.shape == "allocation":
            return max((a.nodes for a in self.allocations), default=0)
        return max((used for _, used in _busy_nodes(self.workflows)), default=0)

    @cached_property
    def critical_path(self) -> tuple[str, ...]:
        """Names of a chain without a pause from start to end.

        Each waits for the one before: it depends on it, takes over one of its nodes, or is in the
        next allocation.
        """
        if not self.workflows:
            return ()
        ending: dict[int, list[PlannedWorkflow]] = defaultdict(list)
        for w in self.workflows:
            ending[w.finish].append(w)
        opening = {a.start for a in self.allocations}
        path = [max(self.workflows, key=lambda w: w.finish)]
        while before := ending.get(path[-1].start):
            last = path[-1]
            parents = self.campaign.workflows[last.name].depends
            nodes = set(last.nodes)
            candidates = [w for w in before if w.name in parents] or [
                w for w in before if nodes.intersection(w.nodes) or last.start in opening
            ]
            if not candidates:
                break
            path.append(candidates[0])
        return tuple(w.name for w in reversed(path))

    def check(self) -> None:
        """Prove the plan, independently of whoever made it.

        Raises
        ------
        InvalidPlan
            Listing every dependency, capacity, limit or budget that it breaks.
        """
        if violations := [*self._violations()]:
            raise InvalidPlan(violations)

    def _violations(self) -> Iterator[str]:
        yield from self._incomplete()
        yield from self._bad_times()
        for r in self.reservations:
            partition = self.cluster.by_partition.get(r.partition)
            if partition is None or (r.node or 0) >= partition.nodes:
                yield f"a reservation is on node {r.node} of {r.partition}, which there is not"
                return
        known = [w for w in self.workflows if w.name in self.campaign.workflows]
        steps = self.shape == "allocation"
        broken = {w.name: [*(bad_step(self, w) if steps else self._bad_request(w))] for w in known}
        yield from chain.from_iterable(broken.values())
        sound = [w for w in known if not broken[w.name]]
        yield from self._bad_order()
        starts = [w.start for w in self.workflows]
        if starts != sorted(starts):
            yield "its workflows are not in the order of their starts"
        yield from overfull_nodes(self, sound)
        yield from bad_allocations(self) if steps else self._exceeded_limits(sound)
        if self.allocations and not steps:
            yield "it has allocations, and each workflow is a job of its own"
        if not broken or any(broken.values()):
            return
        if self.workflows and self.makespan < self.lower_bound:
            yield f"it ends at {self.makespan} s, below its lower bound {self.lower_bound} s"

    def _incomplete(self) -> Iterator[str]:
        names = [w.name for w in self.workflows]
        for name in sorted(set(self.campaign.workflows).difference(names)):
            yield f"{name}: is in the campaign and not in the plan"
        for name in sorted(set(names).difference(self.campaign.workflows)):
            yield f"{name}: is in the plan and not in the campaign"
        for name in sorted(
            {name for name in names if names.count(name) > 1}
            if len(set(names)) < len(names)
            else ()
        ):
            yield f"{name}: is planned more than once"

    def _bad_times(self) -> Iterator[str]:
        for w in self.workflows:
            if w.finish <= w.start:
                yield f"{w.name}: ends at {w.finish} s, before it starts at {w.start} s"
            if w.start < (0 if w.fixed else self.start):
                yield f"{w.name}: starts at {w.start} s, before the plan at {self.start} s"

    def _bad_request(self, w: PlannedWorkflow) -> Iterator[str]:
        """Yield where a planned workflow is not what was asked for or what the cluster admits."""
        request = self.campaign.workflows[w.name].request
        options, _ = self.cluster.admit(request, self.campaign.budget)
        option = next(
            (o for o in options if (o.partition.name, o.qos.name) == (w.partition, w.qos or "")),
            None,
        )
        if option is None:
            yield f"{w.name}: {w.partition} with QOS {w.qos} does not admit it"
            return
        nodes, ranks = w.nodes, [p.ranks for p in w.placements]
        for what, planned, right in (
            ("threads", w.threads, option.threads),
            ("exclusive", w.exclusive, option.exclusive),
            ("ranks", sum(ranks), request.ranks),
            ("seconds", w.duration, w.duration if w.fixed else option.duration),
        ):
            if planned != right:
                yield f"{w.name}: {what} is {planned}, not {right}"
        if not w.fixed and not w.duration <= w.walltime <= option.walltime:
            yield (
                f"{w.name}: walltime {w.walltime} s is not between {w.duration} s and "
                f"{option.walltime} s"
            )
        if len(set(nodes)) < len(nodes) or min(ranks, default=1) < 1:
            yield f"{w.name}: a node is listed twice or without ranks"
        for partition, node in nodes:
            if partition != w.partition or not 0 <= node < option.partition.nodes:
                yield f"{w.name}: there is no node {node} of {partition} in {w.partition}"
        most = option.qos.nodes_per_job
        if most is not None and len(w.placements) > most:
            yield f"{w.name}: spans {len(w.placements)} nodes, QOS {w.qos} gives a job {most}"
        if w.exclusive and w.cores != len(w.placements) * option.partition.cores:
            yield f"{w.name}: counts {w.cores} cores on {len(w.placements)} whole nodes"
        if not w.exclusive and w.cores != request.ranks * option.threads:
            yield f"{w.name}: counts {w.cores} cores for {request.ranks} × {option.threads}"

    def _bad_order(self) -> Iterator[str]:
        for w in self.workflows:
            workflow = self.campaign.workflows.get(w.name)
            for parent in workflow.depends if workflow else ():
                before = self.by_name.get(parent)
                if before and before.finish > w.start:
                    yield (
                        f"{w.name}: starts at {w.start} s, before {parent} ends at "
                        f"{before.finish} s"
                    )

    def _exceeded_limits(self, workflows: list[PlannedWorkflow]) -> Iterator[str]:
        for qos in self.cluster.tiers:
            mine = [w for w in workflows if (w.qos or "") == qos.name]
            most = qos.running_jobs
            if most is not None and (jobs := peak(mine, lambda w: 1)) > most:
                yield f"QOS {qos.name}: {jobs} jobs run at once, it lets {most}"
            most = qos.cores
            if most is not None and (cores := peak(mine, lambda w: w.cores)) > most:
                yield f"QOS {qos.name}: {cores} cores in use at once, it lets {most}"
        budget = self.campaign.budget
        if budget.cores is not None and (most := peak(workflows, lambda w: w.cores)) > budget.cores:
            yield f"budget: {most} cores in use at once, not {budget.cores}"
        if budget.nodes is not None:
            most = max((used for _, used in _busy_nodes(workflows)), default=0)
            if most > budget.nodes:
                yield f"budget: {most} nodes in use at once, not {budget.nodes}"


def peak(workflows: Iterable[PlannedWorkflow], amount: Callable[[PlannedWorkflow], int]) -> int:
    """Return the most of something that is in use at once."""
    changes = sorted(
        change for w in workflows for change in ((w.start, 1, amount(w)), (w.finish, 0, -amount(w)))
    )
    used = most = 0
    for _, _, delta in changes:
        used += delta
        most = max(most, used)
    return most


def _busy_nodes(workflows: Iterable[PlannedWorkflow]) -> Iterator[tuple[int, int]]:
    """Yield the number of distinct nodes in use after each change."""
    changes = sorted(
        change
        for w in workflows
        for node in w.nodes
        for change in ((w.start, 1, node), (w.finish, 0, node))
    )
    jobs: dict[tuple[str, int], int] = defaultdict(int)
    busy = 0
    for time, begins, node in changes:
        before = jobs[node]
        jobs[node] += 1 if begins else -1
        busy += (jobs[node] > 0) - (before > 0)
        yield time, busy
