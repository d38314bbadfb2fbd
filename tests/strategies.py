"""The strategies of `socm.testing`, the brute force that judges plans, and simulations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from unittest import mock

from hypothesis import settings

from sim.backend import SimBackend
from sim.scheduler import Running, Scheduler
from sim.stochastic import runtime_factors
from socm.engine.backend import Job
from socm.engine.driver import run_plan
from socm.engine.events import Ended, Event, Started, Submitted
from socm.engine.journal import MemoryJournal
from socm.engine.release import Release, hand_over_or_due
from socm.engine.state import CampaignState
from socm.model.campaign import Campaign, ResourceRequest
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.partition import Partition
from socm.model.placement import PlannedWorkflow, Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.testing import (
    LONG,
    SHORT,
    budgets,
    campaigns,
    clusters,
    depends,
    pairs,
    partitions,
    requests,
    reservations,
)

__all__ = [
    "LONG",
    "SHORT",
    "Ran",
    "Seconds",
    "World",
    "budgets",
    "campaigns",
    "clusters",
    "depends",
    "distinct_nodes",
    "exact",
    "excesses",
    "faults",
    "least_walltime",
    "longest_walltime",
    "noisy",
    "pairs",
    "partitions",
    "peak",
    "requests",
    "reservations",
    "share",
    "simulate",
    "unasked",
]


def least_walltime(partition: Partition, qos: Qos, cluster: Cluster) -> float:
    """Return the least walltime for which SLURM takes a QOS that jobs do not name."""
    smaller = cluster.qos_by_size[: cluster.qos_by_size.index(qos)]
    here = [q for q in smaller if partition.name in (q.partitions or cluster.by_partition)]
    limits = [q.walltime or math.inf for q in here if not q.send and not qos.send]
    return max([limit + 60 - limit % 60 if limit < math.inf else limit for limit in limits] or [0])


def unasked(request: ResourceRequest, partition: Partition, qos: Qos, cluster: Cluster) -> bool:
    """Whether a partition or a QOS has to be named, and a request does not."""
    if request.qos != qos.name and (qos.debug or qos.preemptible):
        return True
    mixed = len({p.gpus > 0 for p in cluster.partitions}) == 2
    shy = {
        p.name
        for p in cluster.partitions
        if p.debug or p.preemptible or (mixed and p.gpus and not request.gpus)
    }
    if partition.name not in shy or request.partition == partition.name:
        return False
    leads_to = {*cluster.by_partition} & {*(qos.partitions or cluster.by_partition)}
    return request.qos != qos.name or bool(leads_to - shy)


def share(part: float) -> settings:
    """A share of the examples that the profile asks for: for tests that cost more."""
    return settings(max_examples=max(1, round(settings().max_examples * part)))


def longest_walltime(partition: Partition, qos: Qos) -> float:
    """The seconds that a job may ask for, as a person would read the cluster file."""
    if partition.walltime is None or qos.over_partition_walltime:
        return qos.walltime or math.inf
    return min(partition.walltime, qos.walltime or math.inf)


class Seconds:
    """What is in use in each second, added up one by one: slow, and too simple to be wrong.

    Parameters
    ----------
    workflows
        Those that are laid out.
    """

    def __init__(
        self,
        campaign: Campaign,
        cluster: Cluster,
        workflows: Iterable[PlannedWorkflow] = (),
        reservations: Iterable[Reservation] = (),
    ) -> None:
        self.campaign = campaign
        self.cluster = cluster
        # (partition, node, second) to cores, MB and GPUs; (QOS, second) to jobs and cores.
        self.nodes: dict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.qos: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        self.cores: dict[int, int] = defaultdict(int)
        self.uses: dict[tuple[str, int], int] = defaultdict(int)
        self.busy: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for r in reservations:
            partition = cluster.by_partition[r.partition]
            taken = (r.cores, r.memory, r.gpus)
            has = (partition.cores, partition.memory, partition.gpus)
            load = [h if t is None else t for t, h in zip(taken, has, strict=True)]
            for node in range(partition.nodes) if r.node is None else [r.node]:
                for second in range(r.start, r.finish):
                    self._put((r.partition, node, second), load)
        for w in workflows:
            self.add(w)

    def _put(self, key: tuple[str, int, int], load: Iterable[int]) -> None:
        self.nodes[key] = [u + x for u, x in zip(self.nodes[key], load, strict=True)]

    def add(self, w: PlannedWorkflow) -> None:
        """Lay out one more."""
        request = self.campaign.workflows[w.name].request
        partition = self.cluster.by_partition[w.partition]
        for second in range(w.start, w.finish):
            for p in w.placements:
                load = [
                    p.ranks * w.threads,
                    math.ceil(p.ranks * request.memory / request.ranks),
                    p.ranks * request.gpus,
                ]
                if w.exclusive:
                    load = [partition.cores, partition.memory, partition.gpus]
                self._put((p.partition, p.node, second), load)
                self.busy[second].add((p.partition, p.node))
            used = self.qos[w.qos or "", second]
            used[0] += 1
            used[1] += w.cores
            self.cores[second] += w.cores
            for name, amount in request.uses.items():
                self.uses[name, second] += amount

    def overfull(self) -> Iterator[str]:
        """Say each second in which something is used that is not there."""
        for (name, node, second), used in self.nodes.items():
            partition = self.cluster.by_partition[name]
            has = (partition.cores, partition.memory, partition.gpus)
            if any(u > h for u, h in zip(used, has, strict=True)):
                yield f"{name} {node} at {second}: {used}"
        for (name, second), used in self.qos.items():
            qos = self.cluster.by_qos[name]
            limits = (qos.running_jobs, qos.cores)
            if any(x is not None and u > x for u, x in zip(used, limits, strict=True)):
                yield f"{name} at {second}: {used}"
        for (name, second), amount in self.uses.items():
            if amount > self.campaign.limits[name]:
                yield f"{amount} of {name} at {second}"
        budget = self.campaign.budget
        for second, cores in self.cores.items():
            if budget.cores is not None and cores > budget.cores:
                yield f"{cores} cores at {second}"
            if budget.nodes is not None and len(self.busy[second]) > budget.nodes:
                yield f"{len(self.busy[second])} nodes at {second}"

    def room(self, option: Mode, request: ResourceRequest, node: int, second: int) -> int:
        """Count the ranks that fit on a node in a second."""
        partition = option.partition
        cores, memory, gpus = self.nodes[partition.name, node, second]
        if option.exclusive:
            return 0 if cores or memory or gpus else option.ranks_per_node
        ranks = 0
        while (
            ranks < request.ranks
            and cores + (ranks + 1) * option.threads <= partition.cores
            and memory + math.ceil((ranks + 1) * request.memory / request.ranks) <= partition.memory
            and gpus + (ranks + 1) * request.gpus <= partition.gpus
        ):
            ranks += 1
        return ranks

    def has_room(self, option: Mode, request: ResourceRequest, start: int) -> bool:
        """Whether nodes alone let a request start then."""
        window = range(start, start + option.duration)
        rooms = sorted(
            min(self.room(option, request, node, second) for second in window)
            for node in range(min(option.partition.nodes, self.campaign.budget.nodes or 10**6))
        )
        most = option.qos.nodes_per_job or len(rooms)
        return sum(rooms[-most:]) >= request.ranks

    def admits(self, option: Mode, request: ResourceRequest, start: int) -> bool:
        """Whether nodes, the QOS, the budget of cores and counted resources let it start then."""
        limits = (option.qos.running_jobs, option.qos.cores, self.campaign.budget.cores)
        more = (1, option.cores, option.cores)
        for second in range(start, start + option.duration):
            used = (*self.qos[option.qos.name, second], self.cores[second])
            for u, x, limit in zip(used, more, limits, strict=True):
                if limit is not None and u + x > limit:
                    return False
            for name, amount in request.uses.items():
                if self.uses[name, second] + amount > self.campaign.limits[name]:
                    return False
        return self.has_room(option, request, start)


def faults(plan: Plan) -> list[str]:
    """Say what is wrong with a plan, second by second and without the code that plans use."""
    campaign, cluster = plan.campaign, plan.cluster
    found = []
    if sorted(w.name for w in plan.workflows) != sorted(campaign.workflows):
        return ["not each workflow once"]
    if any(b.start < a.start for a, b in pairwise(plan.workflows)):
        found.append("not in the order of their starts")
    for w in plan.workflows:
        request = campaign.workflows[w.name].request
        options, _ = cluster.admit(request, campaign.budget)
        matching = [
            o for o in options if (o.partition.name, o.qos.name) == (w.partition, w.qos or "")
        ]
        if not matching:
            found.append(f"{w.name} is not admitted")
            continue
        [option] = matching
        whole = option.exclusive
        cores = len(w.placements) * option.partition.cores if whole else w.threads * request.ranks
        sound = (
            w.start >= (0 if w.fixed else plan.start)
            and w.finish - w.start == option.duration
            and option.duration <= w.walltime <= option.walltime
            and (w.threads, w.exclusive, w.cores) == (option.threads, whole, cores)
            and sum(p.ranks for p in w.placements) == request.ranks
            and all(p.ranks > 0 and p.partition == w.partition for p in w.placements)
            and {p.node for p in w.placements} <= set(range(option.partition.nodes))
            and len({p.node for p in w.placements}) == len(w.placements)
            and len(w.placements) <= (option.qos.nodes_per_job or option.partition.nodes)
        )
        if not sound:
            found.append(f"{w.name} is not what was asked for")
        found += [
            f"{w.name} starts before {parent} ends"
            for parent in campaign.workflows[w.name].depends
            if plan.by_name[parent].finish > w.start
        ]
    return found or [*Seconds(campaign, cluster, plan.workflows, plan.reservations).overfull()]


@dataclass(frozen=True)
class Ran:
    """One attempt as the emulator ran it: when it was submitted, began, ended, and where."""

    job: Job
    nodes: tuple[tuple[str, int, int], ...]
    cores: int
    submitted: float
    start: float
    end: float


@dataclass(frozen=True)
class World:
    """A simulation, with all that came of it."""

    plan: Plan
    state: CampaignState
    events: list[Event]
    ran: list[Ran]

    @property
    def first_start(self) -> dict[str, float]:
        """When each workflow began to run for the first time."""
        starts: dict[str, float] = {}
        for r in self.ran:
            starts.setdefault(r.job.workflow.name, r.start)
        return starts


def exact(plan: Plan) -> Callable[[Job], float]:
    """Everything takes as long as planned."""
    return lambda job: plan.by_name[job.workflow.name].duration


def noisy(plan: Plan, seed: int) -> Callable[[Job], float]:
    """Everything takes as long as chance has it."""
    factors = dict(zip(plan.campaign.workflows, runtime_factors(plan, seed, 0), strict=True))
    return lambda job: float(factors[job.workflow.name] * plan.by_name[job.workflow.name].duration)


def simulate(
    plan: Plan, runtime: Callable[[Job], float], release: Release = hand_over_or_due
) -> World:
    """Drive a plan in the emulator, and look over the controller's shoulder."""
    placed: dict[str, Running] = {}

    class Watched(Scheduler):
        def start(self, now: float) -> Iterator[Running]:
            for running in super().start(now):
                placed[running.job.name] = running
                yield running

    journal = MemoryJournal()
    with mock.patch("sim.backend.Scheduler", Watched):
        backend = SimBackend.for_plan(plan, runtime)
    state = run_plan(plan, backend, journal, release=release)
    by_attempt = {(r.job.workflow.name, r.job.attempt): r for r in placed.values()}
    submitted: dict[tuple[str, int], float] = {}
    begun: dict[tuple[str, int], float] = {}
    ran = []
    for event in journal.events:
        if isinstance(event, Submitted):
            submitted[event.workflow, event.attempt] = event.time
        elif isinstance(event, Started):
            begun[event.workflow, event.attempt] = event.time
        elif isinstance(event, Ended):
            key = event.workflow, event.attempt
            job = by_attempt[key].job
            nodes = by_attempt[key].placements
            size = plan.cluster.by_partition[job.partition].cores
            ranks = job.demand.ranks
            ran.append(
                Ran(
                    job=job,
                    nodes=tuple(nodes),
                    cores=len(nodes) * size if job.demand.exclusive else ranks * job.demand.threads,
                    submitted=submitted[key],
                    start=begun[key],
                    end=event.time,
                )
            )
    return World(plan, state, journal.events, sorted(ran, key=lambda r: r.start))


def peak(uses: Iterable[tuple[float, float, float]]) -> float:
    """The most in use at once, of (start, end, amount); what ends makes room for what starts."""
    changes = sorted(c for s, e, a in uses if e > s for c in ((s, 1, a), (e, 0, -a)))
    used = most = 0.0
    for _, _, change in changes:
        used += change
        most = max(most, used)
    return most


def excesses(world: World) -> Iterator[str]:
    """Say where an emulated world used more than there is."""
    cluster, budget, ran = world.plan.cluster, world.plan.campaign.budget, world.ran
    on_node: dict[tuple[str, int], list[tuple[Ran, int]]] = defaultdict(list)
    for r in ran:
        for name, node, ranks in r.nodes:
            on_node[name, node].append((r, ranks))
    for (name, node), here in on_node.items():
        p = cluster.by_partition[name]
        has = (p.cores, p.memory, p.gpus)
        loads = [
            (
                r,
                has
                if r.job.demand.exclusive
                else (
                    ranks * r.job.demand.threads,
                    math.ceil(ranks * r.job.demand.memory / r.job.demand.ranks),
                    ranks * r.job.demand.gpus,
                ),
            )
            for r, ranks in here
        ]
        for k, what in enumerate(("cores", "MB", "GPUs")):
            if peak((r.start, r.end, load[k]) for r, load in loads) > has[k]:
                yield f"{what} of {name} {node}"
    for qos in cluster.qos_by_size:
        mine = [r for r in ran if (r.job.qos or "") == qos.name]
        jobs = peak((r.start, r.end, 1) for r in mine)
        if qos.running_jobs is not None and jobs > qos.running_jobs:
            yield f"jobs of {qos.name}"
        if qos.cores is not None and peak((r.start, r.end, r.cores) for r in mine) > qos.cores:
            yield f"cores of {qos.name}"
        if any(
            len(r.nodes) > (qos.nodes_per_job or math.inf)
            or r.job.walltime > longest_walltime(cluster.by_partition[r.job.partition], qos)
            or r.end - r.start > r.job.walltime + 1e-6
            for r in mine
        ):
            yield f"a job of {qos.name}"
    # What is submitted counts against the budget, whether it runs or waits.
    for name, limit in world.plan.campaign.limits.items():
        uses = ((r.submitted, r.end, r.job.workflow.request.uses.get(name, 0)) for r in ran)
        if peak(uses) > limit:
            yield f"limit of {name}"
    if budget.cores is not None and peak((r.submitted, r.end, r.cores) for r in ran) > budget.cores:
        yield "budget of cores"
    if budget.nodes is not None and distinct_nodes(ran) > budget.nodes:
        yield "budget of nodes"


def distinct_nodes(ran: Iterable[Ran]) -> int:
    """The most distinct nodes in use at once."""
    changes = sorted(
        change
        for r in ran
        for name, node, _ in r.nodes
        for change in ((r.start, 1, (name, node)), (r.end, 0, (name, node)))
        if r.end > r.start
    )
    jobs: dict[tuple[str, int], int] = defaultdict(int)
    most = 0
    for _, begins, node in changes:
        jobs[node] += 1 if begins else -1
        most = max(most, sum(count > 0 for count in jobs.values()))
    return most
