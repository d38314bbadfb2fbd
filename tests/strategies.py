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
    "held",
    "home",
    "least_walltime",
    "longest_walltime",
    "noisy",
    "numbers",
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
    smaller = cluster.qos_by_size[: cluster.qos_by_size.index(cluster.by_qos[qos.name])]
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


def home(partition: Partition) -> str:
    """The set that the nodes of a partition are of."""
    return partition.nodes_of or partition.name


def numbers(partition: Partition) -> range:
    """The numbers of its nodes in that set."""
    return range(partition.first_node, partition.first_node + partition.nodes)


def held(cluster: Cluster, partition: Partition, qos: Qos) -> dict[str, tuple[str, int]]:
    """Each limit of a job, and whose it is, as a person would read the cluster file."""
    qos = cluster.by_qos[qos.name]
    here = partition.slurm_name or partition.name
    levels = [(f"in {here}", partition.limits), (f"of {qos.name}", qos), ("all", cluster.limits)]
    if qos.over_partition_limits:
        levels = [levels[1], levels[0], levels[2]]
    found: dict[str, tuple[str, int]] = {}
    for what in (
        "walltime", "running_jobs", "submit_jobs", "cores", "cores_per_job", "nodes_per_job"
    ):  # fmt: skip
        for owner, limits in levels:
            amount = getattr(limits, what, None)
            if amount is not None and what not in found:
                found[what] = owner, amount
    most = partition.nodes_per_job
    if most is not None and most < found.get("nodes_per_job", ("", math.inf))[1]:
        found["nodes_per_job"] = "", most
    return found


def longest_walltime(cluster: Cluster, partition: Partition, qos: Qos) -> float:
    """The seconds that a job may ask for, as a person would read the cluster file."""
    _, most = held(cluster, partition, qos).get("walltime", ("", math.inf))
    if partition.walltime is None or qos.over_partition_walltime:
        return most
    return min(partition.walltime, most)


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
        # (partition, node, second) to cores, MB and GPUs; and what counts against limits.
        self.nodes: dict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.limited: dict[tuple[str, tuple[str, int], int], int] = defaultdict(int)
        self.cores: dict[int, int] = defaultdict(int)
        self.uses: dict[tuple[str, int], int] = defaultdict(int)
        self.busy: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for r in reservations:
            partition = cluster.by_partition[r.partition]
            taken = (r.cores, r.memory, r.gpus)
            has = (partition.cores, partition.memory, partition.gpus)
            load = [h if t is None else t for t, h in zip(taken, has, strict=True)]
            for node in numbers(partition) if r.node is None else [r.node]:
                for second in range(r.start, r.finish):
                    self._put((home(partition), node, second), load)
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
            for what, limit in self._limits(w.partition, w.qos).items():
                self.limited[what, limit, second] += w.cores if what == "cores" else 1
            self.cores[second] += w.cores
            for name, amount in request.uses.items():
                self.uses[name, second] += amount

    def _limits(self, partition: str, qos: str | None) -> dict[str, tuple[str, int]]:
        """The limits that count over all jobs."""
        cluster = self.cluster
        found = held(cluster, cluster.by_partition[partition], cluster.by_qos[qos or ""])
        over_all = ("running_jobs", "submit_jobs", "cores")
        return {what: limit for what, limit in found.items() if what in over_all}

    def overfull(self) -> Iterator[str]:
        """Say each second in which something is used that is not there."""
        of_set = {home(p): p for p in self.cluster.partitions}
        for (name, node, second), used in self.nodes.items():
            partition = of_set[name]
            has = (partition.cores, partition.memory, partition.gpus)
            mine = (name, node) in self.busy[second]  # reservations alone may be of more
            if mine and any(u > h for u, h in zip(used, has, strict=True)):
                yield f"{name} {node} at {second}: {used}"
        for (what, (owner, most), second), amount in self.limited.items():
            if amount > most:
                yield f"{amount} {what} {owner} at {second}"
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
        cores, memory, gpus = self.nodes[home(partition), node, second]
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
            for node in numbers(option.partition)[: self.campaign.budget.nodes]
        )
        _, most = held(self.cluster, option.partition, option.qos).get(
            "nodes_per_job", ("", len(rooms))
        )
        return sum(rooms[-most:]) >= request.ranks

    def admits(self, option: Mode, request: ResourceRequest, start: int) -> bool:
        """Whether nodes, the QOS, the budget of cores and counted resources let it start then."""
        budget = self.campaign.budget.cores
        for second in range(start, start + option.duration):
            if budget is not None and self.cores[second] + option.cores > budget:
                return False
            for what, limit in self._limits(option.partition.name, option.qos.name).items():
                more = option.cores if what == "cores" else 1
                if self.limited[what, limit, second] + more > limit[1]:
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
            and all(p.ranks > 0 and p.partition == home(option.partition) for p in w.placements)
            and {p.node for p in w.placements} <= {*numbers(option.partition)}
            and len({p.node for p in w.placements}) == len(w.placements)
            and len(w.placements)
            <= held(cluster, option.partition, option.qos).get("nodes_per_job", ("", math.inf))[1]
            and len(w.placements) >= option.partition.least_nodes_per_job
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
    of_set = {home(p): p for p in cluster.partitions}
    for (name, node), here in on_node.items():
        p = of_set[name]
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
    used: dict[tuple[str, str, int], list[tuple[float, float, float]]] = defaultdict(list)
    for r in ran:
        partition, qos = cluster.by_partition[r.job.partition], cluster.by_qos[r.job.qos or ""]
        limits = held(cluster, partition, qos)
        for what, (owner, most) in limits.items():
            begin = r.submitted if what == "submit_jobs" else r.start
            used[what, owner, most].append((begin, r.end, r.cores if what == "cores" else 1))
        if (
            not partition.least_nodes_per_job
            <= len(r.nodes)
            <= limits.get("nodes_per_job", ("", math.inf))[1]
            or r.cores > limits.get("cores_per_job", ("", math.inf))[1]
            or r.job.walltime > longest_walltime(cluster, partition, qos)
            or r.end - r.start > r.job.walltime + 1e-6
        ):
            yield f"a job of {qos.name}"
    for (what, owner, most), uses in used.items():
        if what in ("running_jobs", "submit_jobs", "cores") and peak(uses) > most:
            yield f"{what} {owner}"
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
