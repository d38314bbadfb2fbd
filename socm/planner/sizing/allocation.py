"""A campaign inside one SLURM allocation, or inside several, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

from socm.model.allocation import Allocation
from socm.model.campaign import Budget, Campaign
from socm.model.cluster import WALLTIME_FACTOR, Cluster, Partition, usual_walltime
from socm.model.plan import Plan, PlannedWorkflow
from socm.planner.policies import Planner
from socm.planner.sizing.frames import Cut, Frame, frames_of, inside
from socm.units import format_walltime

MOST_SIZES = 100
"""So many sizes are planned for each goal; those left then are not tried."""


def plan_allocation(
    campaign: Campaign, cluster: Cluster, planner: Planner, *, most_sizes: int = MOST_SIZES
) -> Plan:
    """Lay a campaign out in the allocation that is charged least of those that make the deadline.

    An allocation is one job: whole nodes for a time, charged whether they are used or not. Its
    workflows are steps; the limits of a QOS hold for the allocation, not for them. One and a half
    times the planned length is asked for, rounded up to a minute; that is cut to the limit of the
    QOS only where none holds all of it. Where no QOS holds the campaign even so, allocations
    follow one another, each with what can be done within it; no workflow straddles two.

    Sizes are planned from the one that might be charged least, by the longest chain and the work
    that there is, until no other can be charged less than the best that was found. Without a
    deadline, or if none makes it, the shortest plan is taken, and of equal ones the cheapest.

    Parameters
    ----------
    planner
        Lays out what an allocation holds.
    most_sizes
        So many sizes are planned for each goal; a warning of the plan tells how many were left.

    Raises
    ------
    Infeasible
        If no allocation holds every workflow; says for each partition and QOS why not.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.cluster import Qos
    >>> from socm.planner import plan_campaign
    >>> hour = ResourceRequest(threads=8, runtime=3600)
    >>> maps = [Workflow(name=f"map-{k}", request=hour) for k in range(12)]
    >>> campaign = Campaign.of("maps", maps, deadline=4 * 3600)
    >>> cpu = Partition(name="cpu", nodes=20, cores=8, memory=1000)
    >>> short = Qos(name="short", walltime=4 * 3600)
    >>> plan = plan_allocation(
    ...     campaign, Cluster(name="c", partitions=(cpu,), qos=(short,)), plan_campaign
    ... )
    >>> [(a.nodes, a.start, a.finish, a.walltime) for a in plan.allocations]
    [(6, 0, 7200, 10800)]
    >>> plan.node_hours
    12.0
    """
    frames = [*frames_of(campaign, cluster)]
    sizes = [(frame, nodes) for frame in frames for nodes in range(frame.fewest, frame.most + 1)]
    maker = _Maker(campaign, cluster, planner, most_sizes)
    goals = (True, False) if campaign.deadline is not None else (False,)
    for in_time, cut in product(goals, _CUTS):
        if (plan := maker.best(sizes, cut, in_time=in_time)) is not None:
            return plan
    raise AssertionError("some frame holds every workflow, so that a plan was found")


_CUTS = (
    Cut(into_several=False, capped=False),
    Cut(into_several=False, capped=True),
    Cut(into_several=True, capped=True),
)
"""What is tried, in this order."""

_Size = tuple[Frame, int]
"""How many nodes, of which partition with which QOS."""


@dataclass(frozen=True, kw_only=True)
class _Batches:
    """A campaign cut into what follows one another on empty nodes; times from each beginning."""

    steps: tuple[tuple[PlannedWorkflow, ...], ...]
    lower_bound: int
    idle: bool  # whether some node is never used

    @property
    def lengths(self) -> list[int]:
        return [max(w.finish for w in batch) for batch in self.steps]


class _Maker:
    """Lays a campaign out in allocations of different sizes, each once."""

    def __init__(self, campaign: Campaign, cluster: Cluster, planner: Planner, most: int) -> None:
        self._campaign = campaign
        self._cluster = cluster
        self._planner = planner
        self._most = most
        self._whole: dict[tuple[str, int], Plan] = {}

    def best(self, sizes: Sequence[_Size], cut: Cut, *, in_time: bool) -> Plan | None:
        """Return the cheapest plan in time; or the shortest of all.

        Sizes are tried in the order of what is least possible for each, and none after it is more
        than the best that was found. Where a plan leaves a node idle throughout, larger sizes are
        left out: it had no use for the node.
        """
        deadline = self._campaign.deadline if in_time else None

        def worth(size: _Size, seconds: float) -> tuple[float, ...]:
            frame, nodes = size
            charge = frame.charge(nodes, seconds)
            return (charge, nodes) if in_time else (seconds, charge, nodes)

        queue = []
        for size in sizes:
            seconds = size[0].least(size[1])
            late = deadline is not None and seconds > deadline
            if not late and (cut.into_several or seconds <= size[0].window(cut)):
                queue.append((worth(size, seconds), size[0].tier, size))
        best: tuple[tuple[float, ...], _Size, _Batches] | None = None
        enough: dict[tuple[str, float], int] = {}
        tried = untried = 0
        for least, tier, size in sorted(queue, key=lambda entry: entry[:2]):
            frame, nodes = size
            if best is not None and least > best[0]:
                break
            kind = (frame.partition.name, frame.window(cut))
            if nodes > enough.get(kind, nodes):
                continue
            if tried == self._most:
                untried += 1
                continue
            tried += 1
            batches = self._batches(frame, nodes, cut)
            if batches is None:
                continue
            if batches.idle:
                enough[kind] = nodes
            seconds = sum(batches.lengths)
            if deadline is not None and seconds > deadline:
                continue
            this = (*worth(size, seconds), len(batches.steps), tier)
            if best is None or this < best[0]:
                best = (this, size, batches)
        return self._plan(*best[1], best[2], untried) if best is not None else None

    def _batches(self, frame: Frame, nodes: int, cut: Cut) -> _Batches | None:
        """Cut a campaign so that each part is over within the window of an allocation.

        What is left is laid out on empty nodes anew each time, and of that all is done that ends
        in the window. A workflow ends after all that it depends on, so none is done too soon.
        """
        window = frame.window(cut)
        whole = self._uncut(frame.partition, nodes)
        if whole.makespan <= window:
            idle = whole.peak_nodes < nodes
            steps = (whole.workflows,) if whole.workflows else ()
            return _Batches(steps=steps, lower_bound=whole.lower_bound, idle=idle)
        if not cut.into_several:
            return None
        rest = {w.name: w for w in whole.workflows}
        done, peak = [], 0
        while rest:
            # Those that begin first, and twice what an allocation can hold: that is enough to
            # choose from, and the whole rest would be laid out again and again.
            room = 2 * nodes * frame.partition.cores * window
            before = accumulate((w.cores * w.duration for w in rest.values()), initial=0)
            soon = [name for name, work in zip(rest, before, strict=False) if work <= room]
            plan = self._lay_out(frame.partition, nodes, soon)
            batch = tuple(w for w in plan.workflows if w.finish <= window)
            assert batch, "some workflow begins at once, and none is longer than the window"
            done.append(batch)
            peak = max(peak, plan.peak_nodes)
            for w in batch:
                del rest[w.name]
        return _Batches(steps=tuple(done), lower_bound=whole.lower_bound, idle=peak < nodes)

    def _uncut(self, partition: Partition, nodes: int) -> Plan:
        """Lay all workflows out on empty nodes, once for each number of them."""
        if (partition.name, nodes) not in self._whole:
            plan = self._lay_out(partition, nodes, self._campaign.workflows)
            self._whole[partition.name, nodes] = plan
        return self._whole[partition.name, nodes]

    def _lay_out(self, partition: Partition, nodes: int, names: Iterable[str]) -> Plan:
        """Plan workflows on empty nodes; what they depend on beside one another is over."""
        chosen = set(names)
        workflows = {
            name: replace(
                w,
                depends=tuple(parent for parent in w.depends if parent in chosen),
                request=replace(w.request, partition=None, qos=None),
            )
            for name, w in self._campaign.workflows.items()
            if name in chosen
        }
        campaign = replace(self._campaign, workflows=workflows, budget=Budget(), deadline=None)
        return self._planner(campaign, inside(self._cluster, partition, nodes))

    def _plan(self, frame: Frame, nodes: int, batches: _Batches, untried: int) -> Plan:
        """Put batches one after the other, each in an allocation; prove the plan."""
        qos = frame.qos.name or None
        allocations, workflows, warnings = [], [], []
        begin = 0
        for steps, length in zip(batches.steps, batches.lengths, strict=True):
            walltime = int(min(usual_walltime(length), frame.limit))
            allocation = Allocation(
                partition=frame.partition.name,
                qos=qos,
                nodes=nodes,
                start=begin,
                finish=begin + length,
                walltime=walltime,
            )
            allocations.append(allocation)
            if walltime < WALLTIME_FACTOR * length:
                warnings.append(
                    f"allocation {len(allocations)}: walltime capped at "
                    f"{format_walltime(walltime)} by {qos or frame.partition.name}, "
                    f"{walltime / length:.2f} × its planned length"
                )
            workflows += [
                replace(
                    w,
                    qos=qos,
                    start=begin + w.start,
                    finish=begin + w.finish,
                    walltime=min(w.walltime, walltime - w.start),
                )
                for w in steps
            ]
            begin += length
        if untried:
            warnings.append(
                f"{untried} sizes of allocations were not tried: one of them may do as well"
            )
        plan = Plan(
            campaign=self._campaign,
            cluster=self._cluster,
            workflows=tuple(sorted(workflows, key=lambda w: (w.start, -w.rank))),
            lower_bound=batches.lower_bound,
            shape="allocation",
            allocations=tuple(allocations),
            warnings=tuple(warnings),
        )
        plan.check()
        return plan
