"""Where it is to be done: nodes, partitions and QOS; and which of them admit a request."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from socm.errors import did_you_mean
from socm.model.campaign import Budget, ResourceRequest
from socm.model.demand import Amounts, Demand
from socm.model.site import SitePart
from socm.units import MINUTE, format_count, format_walltime

WALLTIME_FACTOR = 1.5
"""Walltime over expected runtime, where the campaign gives no walltime."""

MOST_NODES = 100_000
LARGEST = 10**9


@dataclass(frozen=True, kw_only=True)
class Partition(SitePart):
    """Nodes of one kind.

    Parameters
    ----------
    nodes
        Number of nodes.
    cores, threads_per_core, memory, gpus
        Of each node: physical cores, hardware threads per core, usable MB, GPUs.
    speed
        Work per second relative to the node that runtimes were measured on.
    exclusive
        Whether jobs get whole nodes.
    walltime
        Longest limit of a job in seconds, or `None`.
    slurm_name
        Its name in SLURM, where that differs: a partition of SLURM may have nodes of several
        kinds, and each kind is a partition here.
    send, options, source, checked, note
        As for a `SitePart`.
    """

    nodes: int
    cores: int
    threads_per_core: int = 1
    memory: int
    gpus: int = 0
    speed: float = 1.0
    exclusive: bool = False
    walltime: int | None = None
    slurm_name: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MOST_NODES:
            raise ValueError(f"partition {self.name!r}: nodes lie between 1 and {MOST_NODES}")
        for what in ("cores", "threads_per_core", "memory"):
            if not 1 <= getattr(self, what) <= LARGEST:
                raise ValueError(f"partition {self.name!r}: {what} is not between 1 and {LARGEST}")
        if not 0 <= self.gpus <= LARGEST or not 1e-3 <= self.speed <= 1e3:
            raise ValueError(f"partition {self.name!r}: gpus or speed is out of range")
        if self.walltime is not None and self.walltime < 1:
            raise ValueError(f"partition {self.name!r}: walltime is at least a second")

    @cached_property
    def node(self) -> Amounts:
        """What each node has."""
        return Amounts(self.cores, self.memory, self.gpus)

    def demand(self, request: ResourceRequest, *, exclusive: bool = False) -> Demand:
        """Return what a request needs of these nodes."""
        threads = request.cores(self.threads_per_core)
        return Demand(request.ranks, threads, request.memory, request.gpus, exclusive)

    def ranks_per_node(self, request: ResourceRequest) -> int:
        """Return how many ranks of a request fit on an empty node; 0 if not even one does."""
        return self.demand(request).ranks_within(*self.node)


class JobLimit(NamedTuple):
    """The most nodes or cores that one job may have, and in words whose limit that is."""

    what: Literal["nodes", "cores"]
    most: int
    owner: str


@dataclass(frozen=True, kw_only=True)
class Qos(SitePart):
    """A quality of service: limits on what a user may have at once, and for how long.

    Parameters
    ----------
    name
        Empty on a cluster without QOS.
    partitions
        Where it may be used; empty is everywhere.
    walltime
        Longest limit of a job in seconds.
    running_jobs, cores
        The most jobs, and cores over all of them, that run at once.
    cores_per_job, nodes_per_job
        The most that one job may ask for.
    charge
        What is charged for a core-hour.
    exclusive
        Whether its jobs get whole nodes.
    debug
        Meant for tests: used only for workflows that name it.
    send, options, source, checked, note
        As for a `SitePart`.
    """

    partitions: tuple[str, ...] = ()
    walltime: int | None = None
    running_jobs: int | None = None
    cores: int | None = None
    cores_per_job: int | None = None
    nodes_per_job: int | None = None
    charge: float = 1.0
    exclusive: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        for what in ("walltime", "running_jobs", "cores", "cores_per_job", "nodes_per_job"):
            limit = getattr(self, what)
            if limit is not None and not 1 <= limit <= 10**12:
                raise ValueError(f"QOS {self.name!r}: {what} is out of range")
        if not 0 <= self.charge <= 1000:
            raise ValueError(f"QOS {self.name!r}: charge lies between 0 and 1000")

    def usable_on(self, partition: Partition) -> bool:
        """Whether jobs of this QOS may run on a partition."""
        return not self.partitions or partition.name in self.partitions

    def limits(self, partition: Partition, budget: Budget | None = None) -> list[JobLimit]:
        """List what bounds the size of one job on a partition: nodes there, QOS, budget."""
        budget = budget or Budget()
        limits: list[tuple[Literal["nodes", "cores"], int | None, str]] = [
            ("nodes", partition.nodes, f"{partition.name} has"),
            ("nodes", self.nodes_per_job, "a job may have"),
            ("nodes", budget.nodes, "the budget is"),
            ("cores", self.cores_per_job, "a job may have"),
            ("cores", self.cores, "its jobs may have"),
            ("cores", budget.cores, "the budget is"),
        ]
        return [JobLimit(what, most, owner) for what, most, owner in limits if most is not None]

    def refusals(
        self, partition: Partition, *, nodes: int, cores: int, budget: Budget | None = None
    ) -> Iterator[str]:
        """Yield why a job of this size is too large here; nothing if it is admitted."""
        for what, most, owner in self.limits(partition, budget):
            need = nodes if what == "nodes" else cores
            if need > most:
                yield f"needs {format_count(need)} {what}, {owner} {format_count(most)}"


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A mode of a workflow: a partition and a QOS that admit it, and what it takes there.

    Parameters
    ----------
    demand
        What the request needs of the nodes of the partition.
    ranks_per_node, fewest_nodes
        Ranks that fit on an empty node, and so the least number of nodes for all ranks.
    cores
        Cores that count against QOS limits, budget and charge.
    duration, walltime
        Expected seconds there, and the limit to ask for.
    capped
        Whether the walltime was cut to what the QOS allows.
    """

    partition: Partition
    qos: Qos
    demand: Demand
    ranks_per_node: int
    fewest_nodes: int
    cores: int
    duration: int
    walltime: int
    capped: bool = False

    @property
    def threads(self) -> int:
        """Physical cores of a rank on this partition."""
        return self.demand.threads

    @property
    def exclusive(self) -> bool:
        """Whether it gets whole nodes."""
        return self.demand.exclusive

    @property
    def amounts(self) -> Amounts:
        """Cores, MB and GPUs over all nodes, at least."""
        if self.exclusive:
            return Amounts(*(self.fewest_nodes * amount for amount in self.partition.node))
        demand = self.demand
        return Amounts(self.cores, demand.memory, demand.ranks * demand.gpus)


Admission = tuple[tuple[Mode, ...], tuple[str, ...]]
"""The modes of a request, and why other partitions and QOS do not admit it."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Partitions, and the QOS under which jobs are submitted to them.

    Every job gets the `options`, by their names in sbatch, and the `account` if it has none itself.

    Examples
    --------
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
    >>> cluster = Cluster(name="small", partitions=(cpu,), qos=(Qos(name="short", walltime=3600),))
    >>> modes, reasons = cluster.admit(ResourceRequest(ranks=3, threads=4, runtime=600))
    >>> modes[0].fewest_nodes, modes[0].walltime
    (2, 900)
    >>> cluster.admit(ResourceRequest(threads=16, runtime=7200))[1]
    ('short: one rank needs 16 cores, a node has 8',)
    """

    name: str
    partitions: tuple[Partition, ...]
    qos: tuple[Qos, ...] = ()
    description: str | None = None
    source: str | None = None
    checked: str | None = None
    account: str | None = None
    account_required: bool = False
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for what, names in (
            ("partitions", [p.name for p in self.partitions]),
            ("QOS", [q.name for q in self.qos]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two {what} of {self.name!r} have the same name")

    @cached_property
    def by_partition(self) -> dict[str, Partition]:
        """Partitions by name."""
        return {p.name: p for p in self.partitions}

    @cached_property
    def by_qos(self) -> dict[str, Qos]:
        """QOS by name; the empty name where the cluster has none."""
        return {q.name: q for q in self.qos_by_size}

    @cached_property
    def qos_by_size(self) -> tuple[Qos, ...]:
        """QOS from the smallest, by walltime, then cores; one without limits if it has none."""

        def size(qos: Qos) -> tuple[float, float]:
            return (qos.walltime or math.inf, qos.cores_per_job or qos.cores or math.inf)

        return tuple(sorted(self.qos, key=size)) or (Qos(name=""),)

    def pairs(self) -> Iterator[tuple[Partition, Qos]]:
        """Yield each partition with each QOS that may be used there, the smallest QOS first."""
        for qos in self.qos_by_size:
            for partition in self.partitions:
                if qos.usable_on(partition):
                    yield partition, qos

    def admit(self, request: ResourceRequest, budget: Budget | None = None) -> Admission:
        """List the modes of a request, and why other partitions and QOS do not admit it.

        Equal requests get the same object.

        The usual walltime is cut to the limit of a QOS only where no QOS allows all of it.

        Returns
        -------
        modes
            The smallest QOS first.
        reasons
            One line for each partition and QOS that does not admit the request.
        """
        key = request, budget or Budget()
        found = self._admitted.get(key)
        if found is None:
            found = self._admitted[key] = self._admit(*key)
        return found

    @cached_property
    def _admitted(self) -> dict[tuple[ResourceRequest, Budget], Admission]:
        """Answers by request: planner, bounds and the check of the plan ask the same."""
        return {}

    def _admit(self, request: ResourceRequest, budget: Budget) -> Admission:
        reasons = [
            f"{kind} {named!r} is not on {self.name}"
            + (f"; {hint}" if (hint := did_you_mean(named, known)) else "")
            for kind, named, known in (
                ("partition", request.partition, self.by_partition),
                ("QOS", request.qos, self.by_qos),
            )
            if named is not None and named not in known
        ]
        if reasons:
            return (), tuple(reasons)
        modes = []
        for partition, qos in self.pairs():
            if request.partition not in (None, partition.name):
                continue
            if request.qos != qos.name and (request.qos is not None or qos.debug):
                continue
            outcome = self._mode(request, partition, qos, budget)
            if isinstance(outcome, Mode):
                modes.append(outcome)
            else:
                place = [qos.name] if qos.name else []
                if len(self.partitions) > 1 or not place:
                    place.append(partition.name)
                reasons.append(f"{' on '.join(place)}: {outcome}")
        if not modes and not reasons:
            reasons.append(self._why_no_qos(request))
        roomy = tuple(o for o in modes if not o.capped)
        return roomy or tuple(modes), tuple(reasons)

    def _why_no_qos(self, request: ResourceRequest) -> str:
        """Say why no partition and QOS can be used at all."""
        where = self.name if request.partition is None else f"{request.partition} of {self.name}"
        if request.qos is not None:
            return f"QOS {request.qos!r} may not be used on {where}"
        on_request = [q.name for q in self.qos_by_size if q.debug]
        if on_request:
            return f"a QOS of {where} must be named: {' or '.join(on_request)}"
        return f"no QOS may be used on {where}"

    def _mode(
        self, request: ResourceRequest, partition: Partition, qos: Qos, budget: Budget
    ) -> Mode | str:
        """Return the mode, or the reason why the partition and QOS do not admit the request."""
        demand = partition.demand(request, exclusive=partition.exclusive or qos.exclusive)
        ranks_per_node = demand.ranks_within(*partition.node)
        if ranks_per_node == 0:
            return _why_no_rank_fits(demand, partition)
        nodes = -(-request.ranks // ranks_per_node)
        cores = demand.cores(nodes, partition.node)
        refusals = qos.refusals(partition, nodes=nodes, cores=cores, budget=budget)
        if (refusal := next(refusals, None)) is not None:
            return refusal
        duration = math.ceil(request.runtime / partition.speed)
        walltime = request.walltime or usual_walltime(duration)
        at_most = longest(partition, qos)
        capped = walltime > at_most
        if capped and (request.walltime is not None or duration > at_most):
            return f"walltime {format_walltime(walltime)} > {format_walltime(int(at_most))}"
        if duration > walltime:
            return (
                f"takes {format_walltime(duration)} there, longer than its walltime "
                f"{format_walltime(walltime)}"
            )
        return Mode(
            partition=partition,
            qos=qos,
            demand=demand,
            ranks_per_node=ranks_per_node,
            fewest_nodes=nodes,
            cores=cores,
            duration=duration,
            walltime=int(at_most) if capped else walltime,
            capped=capped,
        )


def longest(partition: Partition, qos: Qos) -> float:
    """Return the seconds that a job may ask for; infinite without a limit."""
    return min(limit for limit in (qos.walltime, partition.walltime, math.inf) if limit)


def usual_walltime(duration: int) -> int:
    """Return the walltime to ask for, in seconds: whole minutes, and room for what is slow.

    Examples
    --------
    >>> usual_walltime(100)
    180
    """
    return math.ceil(WALLTIME_FACTOR * duration / MINUTE) * MINUTE


def _why_no_rank_fits(demand: Demand, partition: Partition) -> str:
    rank = demand._replace(exclusive=False).load(1, partition.node)
    for what, need, have in zip(("cores", "MB", "GPUs"), rank, partition.node, strict=True):
        if need > have:
            return f"one rank needs {format_count(need)} {what}, a node has {format_count(have)}"
    raise AssertionError("a rank that fits in cores, memory and GPUs fits")
