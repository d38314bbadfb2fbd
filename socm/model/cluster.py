"""Where it is to be done: partitions and QOS; and which of them admit a request."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from socm.errors import did_you_mean
from socm.model.allowance import KINDS, LIMITS, Allowance, Kind, Owned
from socm.model.campaign import Budget, ResourceRequest
from socm.model.maintenance import Maintenance, closures
from socm.model.mode import Mode, beyond, longest, mode_on
from socm.model.partition import Partition
from socm.model.placement import Reservation
from socm.model.qos import Qos
from socm.units import format_walltime

ALL_JOBS = "all jobs"
"""Who has the limits of all jobs; no QOS has a space in its name."""

Admission = tuple[tuple[Mode, ...], tuple[str, ...]]
"""The modes of a request, and why other partitions and QOS do not admit it."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Partitions, and the QOS under which jobs are submitted to them.

    The `limits` hold for all jobs, where neither partition nor QOS have the same limit.
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
    limits: Allowance | None = None
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    maintenance: tuple[Maintenance, ...] = ()
    file: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for what, names in (
            ("partitions", [p.name for p in self.partitions]),
            ("QOS", [q.name for q in self.qos]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two {what} of {self.name!r} have the same name")
        for p in self.partitions:
            first = next(other for other in self.partitions if other.home == p.home)
            if first.node != p.node:
                raise ValueError(f"nodes of {p.home!r} differ in {first.name!r} and {p.name!r}")

    @property
    def known_as(self) -> str:
        """What commands find it by: its file, or the name of one that comes with socm."""
        return shlex.quote(self.file or self.name)

    @cached_property
    def by_partition(self) -> dict[str, Partition]:
        """Partitions by name."""
        return {p.name: p for p in self.partitions}

    @cached_property
    def distinct(self) -> tuple[Partition, ...]:
        """The sets of nodes, each as a partition, so that no node is counted twice.

        Examples
        --------
        >>> cpu = Partition(name="cpu", nodes=4, cores=8, memory=1000)
        >>> quick = replace(cpu, name="quick", nodes=2, nodes_of="cpu", first_node=3)
        >>> [p.nodes for p in Cluster(name="small", partitions=(cpu, quick)).distinct]
        [5]
        """
        if not self.overlapping:
            return self.partitions
        sets: dict[str, set[int]] = {}
        for p in self.partitions:
            sets.setdefault(p.home, set()).update(p.numbers)
        first = {p.home: p for p in reversed(self.partitions)}
        return tuple(
            replace(
                first[home],
                name=home,
                nodes=len(numbers),
                nodes_per_job=None,
                least_nodes_per_job=1,
                nodes_of=None,
                first_node=0,
            )
            for home, numbers in sets.items()
        )

    @cached_property
    def overlapping(self) -> bool:
        """Whether a set of nodes is of several partitions."""
        return len({p.home for p in self.partitions}) < len(self.partitions)

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

    def closed(self, begin: datetime) -> tuple[Reservation, ...]:
        """Return its maintenance, as seen by a campaign that begins at a moment."""
        return tuple(closures(self.maintenance, self.partitions, begin))

    def pairs(self) -> Iterator[tuple[Partition, Qos]]:
        """Yield each partition with each QOS that may be used there, the smallest QOS first."""
        for qos in self.qos_by_size:
            for partition in self.partitions:
                if qos.usable_on(partition):
                    yield partition, self.under(partition, qos)

    def under(self, partition: Partition, qos: Qos) -> Qos:
        """Return a QOS with the limits that its jobs have on a partition.

        As in SLURM, of each limit that counts which comes first: of the partition, the QOS, or all
        jobs; or of the QOS before the partition, if it says so. The most nodes of a job on a
        partition always counts.

        Examples
        --------
        >>> cpu = Partition(
        ...     name="cpu", nodes=2, cores=8, memory=1000, limits=Allowance(running_jobs=3)
        ... )
        >>> cluster = Cluster(name="small", partitions=(cpu,), limits=Allowance(submit_jobs=9))
        >>> qos = cluster.under(cpu, Qos(name="short", running_jobs=2, cores=6))
        >>> qos.running_jobs, qos.submit_jobs, qos.cores
        (3, 9, 6)
        """
        if partition.limits is None and self.limits is None and partition.nodes_per_job is None:
            return qos
        first = {what: self._first(what, partition, qos) for what in LIMITS}
        limits: dict[str, Any] = {what: found and found.most for what, found in first.items()}
        nodes = [n for n in (limits["nodes_per_job"], partition.nodes_per_job) if n is not None]
        limits["nodes_per_job"] = min(nodes, default=None)
        return replace(qos, **limits)

    def owner(self, kind: Kind, partition: str, qos: str) -> str | None:
        """Return whose limit a job of a partition and a QOS counts against, if there is one."""
        key = kind, partition, qos
        if key not in self._owner_of:
            found = self._first(kind, self.by_partition[partition], self.by_qos[qos])
            self._owner_of[key] = None if found is None else found.owner
        return self._owner_of[key]

    @cached_property
    def _owner_of(self) -> dict[tuple[Kind, str, str], str | None]:
        """Answers by kind, partition and QOS."""
        return {}

    def counted_limits(self) -> Iterator[tuple[Kind, Owned]]:
        """Yield each limit over all jobs that count against it."""
        for owner, limits in self._owners():
            for kind in KINDS:
                if (most := getattr(limits, kind)) is not None:
                    yield kind, Owned(owner, most)

    def _owners(self) -> Iterator[tuple[str, Allowance]]:
        yield from ((q.name, q) for q in self.qos_by_size)
        shared = {p.slurm_name or p.name: p.limits for p in self.partitions if p.limits is not None}
        yield from ((_all_in(name), limits) for name, limits in shared.items())
        if self.limits is not None:
            yield ALL_JOBS, self.limits

    def _first(self, what: str, partition: Partition, qos: Qos) -> Owned | None:
        of_partition = _all_in(partition.slurm_name or partition.name), partition.limits
        order = [of_partition, (qos.name, qos), (ALL_JOBS, self.limits)]
        if qos.over_partition_limits:
            order[:2] = order[1::-1]
        for owner, limits in order:
            if limits is not None and (most := getattr(limits, what)) is not None:
                return Owned(owner, most)
        return None

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
        usual = [p for p in self.partitions if not self._wants_a_name(p, request)]
        for partition, qos in self.pairs():
            if request.partition not in (None, partition.name):
                continue
            if request.qos not in (None, qos.name):
                continue
            if not self.asked_for(request, partition, qos):
                continue
            outcome = self._outcome(request, partition, qos, budget)
            if isinstance(outcome, Mode):
                modes.append(outcome)
            else:
                place = [qos.name] if qos.name else []
                if partition not in usual or len(usual) > 1 or not place:
                    place.append(partition.name)
                reasons.append(f"{' on '.join(place)}: {outcome}")
        if not modes and not reasons:
            reasons.append(self._why_nothing(request))
        roomy = tuple(o for o in modes if not o.capped)
        return roomy or tuple(modes), tuple(reasons)

    def _outcome(
        self, request: ResourceRequest, partition: Partition, qos: Qos, budget: Budget
    ) -> Mode | str:
        if why_not := self.why_account(request.account, partition, qos):
            return why_not
        mode = mode_on(request, partition, qos, budget)
        return mode if isinstance(mode, str) or qos.send else self._reached(mode, request)

    def _reached(self, mode: Mode, request: ResourceRequest) -> Mode | str:
        """Return a mode with a walltime for which SLURM takes its QOS, or why there is none.

        A walltime that nobody asked for is made longer where SLURM would take a QOS on request, or
        another one than was asked for.
        """
        taken = self.taken_for(mode.walltime, mode.partition, request.account)
        if taken is None or taken.name == mode.qos.name:
            return mode
        reason = f"SLURM takes QOS {taken.name} for a walltime of {format_walltime(mode.walltime)}"
        passed = taken.on_request or request.qos is not None
        if not passed or taken.walltime is None or request.walltime is not None:
            return reason
        longer = beyond(taken.walltime)
        if longer > longest(mode.partition, mode.qos):
            return reason
        return self._reached(replace(mode, walltime=longer), request)

    def taken_for(
        self, walltime: int, partition: Partition, account: str | None = None
    ) -> Qos | None:
        """Return the QOS that SLURM takes for a job that names none: the smallest that admits it.

        Examples
        --------
        >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
        >>> qos = (
        ...     Qos(name="short", walltime=3600, send=False),
        ...     Qos(name="long", walltime=86400, send=False),
        ... )
        >>> cluster = Cluster(name="small", partitions=(cpu,), qos=qos)
        >>> cluster.taken_for(3600, cpu).name, cluster.taken_for(3660, cpu).name
        ('short', 'long')
        """
        for qos in self.qos_by_size:
            usable = qos.usable_on(partition) and not self.why_account(account, partition, qos)
            if usable and not qos.send and walltime <= (qos.walltime or walltime):
                return qos
        return None

    def least_walltime(self, partition: Partition, qos: Qos) -> float:
        """Return the least seconds, of whole minutes, for which SLURM takes a QOS."""
        smaller = self.qos_by_size[: self.qos_by_size.index(self.by_qos[qos.name])]
        limits = [
            beyond(q.walltime) if q.walltime else math.inf
            for q in smaller
            if not (qos.send or q.send) and q.usable_on(partition)
        ]
        return max(limits, default=0)

    def account_of(self, account: str | None, partition: Partition) -> str | None:
        """Return the account of a job on a partition, where a workflow names this one or none.

        Examples
        --------
        >>> gpu = Partition(name="gpu", nodes=2, cores=8, memory=1000, account_suffix="_g")
        >>> cluster = Cluster(name="small", partitions=(gpu,), account="m1")
        >>> cluster.account_of(None, gpu), cluster.account_of("m2_g", gpu)
        ('m1_g', 'm2_g')
        """
        account, suffix = account or self.account, partition.account_suffix or ""
        return account if account is None else account.removesuffix(suffix) + suffix

    def why_account(self, account: str | None, partition: Partition, qos: Qos) -> str | None:
        """Say why jobs with an account may not be there; `None` if they may."""
        account = self.account_of(account, partition)
        for part in (qos, partition):
            if part.accounts and account not in part.accounts:
                given = f"the account is {account}" if account else "no account is given"
                return f"only for account {' or '.join(part.accounts)}; {given}"
        return None

    def asked_for(self, request: ResourceRequest, partition: Partition, qos: Qos) -> bool:
        """Whether a request asks for a partition and a QOS, as far as they have to be asked for.

        A partition has to be named if it is on request, or if it has GPUs and the request needs
        none, while the cluster has nodes without. To name a QOS that leads nowhere else is enough.
        """
        if qos.on_request and request.qos != qos.name:
            return False
        if not self._wants_a_name(partition, request) or request.partition == partition.name:
            return True
        ways = [p for p in self.partitions if qos.usable_on(p)]
        return request.qos == qos.name and all(self._wants_a_name(p, request) for p in ways)

    def _wants_a_name(self, partition: Partition, request: ResourceRequest) -> bool:
        for_gpus = partition.gpus > 0 and not all(p.gpus for p in self.partitions)
        return partition.on_request or (for_gpus and not request.gpus)

    def _why_nothing(self, request: ResourceRequest) -> str:
        """Say why no partition and QOS can be used at all."""
        where = self.name if request.partition is None else f"{request.partition} of {self.name}"
        usable = [
            (partition, qos)
            for partition, qos in self.pairs()
            if request.partition in (None, partition.name) and request.qos in (None, qos.name)
        ]
        if request.qos is not None and not usable:
            return f"QOS {request.qos!r} may not be used on {where}"
        if named := dict.fromkeys(q.name for _, q in usable if q.on_request):
            return f"a QOS of {where} must be named: {' or '.join(named)}"
        if named := dict.fromkeys(p.name for p, _ in usable if self._wants_a_name(p, request)):
            return f"a partition of {where} must be named: {' or '.join(named)}"
        return f"no QOS may be used on {where}"


def _all_in(partition: str) -> str:
    return f"all jobs in {partition}"
