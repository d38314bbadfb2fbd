"""A campaign inside one SLURM allocation, or inside several, one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

from socm.errors import Infeasible
from socm.model.allocation import Allocation, AllocationPlan, inside, part
from socm.model.campaign import Campaign
from socm.model.charge import ROUNDING, Charge, hours_in_words
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.mode import WALLTIME_FACTOR, usual_walltime
from socm.model.partition import Partition
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan
from socm.planner.policies import Planner
from socm.planner.sizing.frames import Cut, Frame, frames_of
from socm.units import HOUR, format_walltime
from socm.words import count

MOST_SIZES = 100
"""The most sizes that are planned for each goal; the rest is not tried."""


def plan_allocation(
    campaign: Campaign, cluster: Cluster, planner: Planner, *, most_sizes: int = MOST_SIZES
) -> AllocationPlan:
    """Plan a campaign in the cheapest allocation that meets the deadline.

    An allocation is one job: whole nodes for a time, charged whether they are used or not. Its
    workflows are steps; the limits of a QOS hold for the allocation, not for them. The walltime is
    one and a half times the planned duration, rounded up to a minute; it is capped at the limit
    of a QOS only if no QOS admits all of it. If no QOS admits the campaign even so, it is cut into
    allocations that follow one another; each workflow runs in one of them.

    Sizes are planned in the order of the least that each may be charged, by its longest path and
    its work, until no other can be charged less than the best plan so far. Without a deadline, or
    if no plan meets it, the shortest plan is chosen, and of equally short ones the cheapest.

    Parameters
    ----------
    planner
        Plans the inside of an allocation.
    most_sizes
        The most sizes that are planned for each goal; a warning says how many were not tried.

    Returns
    -------
    AllocationPlan
        Checked. It may miss the deadline; `feasible` tells.

    Raises
    ------
    Infeasible
        If no allocation can hold every workflow; says for each partition and QOS why not.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.qos import Qos
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
    search = _Search(campaign, cluster, planner, most_sizes)
    goals = (True, False) if campaign.deadline is not None else (False,)
    for in_time, cut in product(goals, _CUTS):
        if (plan := search.best(sizes, cut, in_time=in_time)) is not None:
            return plan
    raise AssertionError("some partition and QOS hold every workflow, so a plan was found")


def _refuse_too_dear(plan: AllocationPlan) -> None:
    budget = plan.campaign.budget
    charge = Charge(plan.charged_core_hours, plan.charged_node_hours)
    if budget.hours is not None and not charge.within(budget):
        raise Infeasible(
            f"no allocations within {hours_in_words(budget.hours, budget)} were found",
            [f"the best that were found are charged {hours_in_words(charge.of(budget), budget)}"],
        )


_CUTS = (
    Cut(into_several=False, capped=False),
    Cut(into_several=False, capped=True),
    Cut(into_several=True, capped=True),
)
"""What is tried, in this order."""

_Size = tuple[Frame, int]
"""A partition with a QOS, and a number of nodes."""


@dataclass(frozen=True, kw_only=True)
class _Batches:
    """Plans that follow one another on empty nodes; the times of each count from its start."""

    plans: tuple[Plan, ...]
    lower_bound: int
    idle: bool  # whether some node is never used

    @property
    def makespan(self) -> int:
        return sum(plan.makespan for plan in self.plans)


class _Search:
    """Plans a campaign in allocations of different sizes, each once."""

    def __init__(self, campaign: Campaign, cluster: Cluster, planner: Planner, most: int) -> None:
        self._campaign = campaign
        self._cluster = cluster
        self._planner = planner
        self._most = most
        self._hours = campaign.budget.hours
        self._whole: dict[tuple[str, int], Plan] = {}

    def best(self, sizes: Sequence[_Size], cut: Cut, *, in_time: bool) -> AllocationPlan | None:
        """Return the cheapest plan in time; or the shortest of all.

        Sizes are tried in the order of the least that is possible for each, until that is more
        than the best plan so far. If a plan leaves a node unused, larger sizes are left out.
        """
        deadline = self._campaign.deadline if in_time else None

        def worth(frame: Frame, nodes: int, seconds: float) -> tuple[float, ...]:
            charge = frame.charge(nodes, seconds)
            size = frame.partition.cores if self._campaign.budget.node_hours is not None else 1
            dear = self._hours is not None and charge / size / HOUR > self._hours + ROUNDING
            return (dear, charge, nodes) if in_time else (dear, seconds, charge, nodes)

        queue = []
        for frame, nodes in sizes:
            seconds = frame.least(nodes)
            late = deadline is not None and seconds > deadline
            if not late and (cut.into_several or seconds <= frame.window(cut)):
                queue.append((worth(frame, nodes, seconds), frame.qos_position, frame, nodes))
        best: tuple[tuple[float, ...], _Size, _Batches] | None = None
        enough: dict[tuple[str, float], int] = {}
        tried = untried = 0
        for least, position, frame, nodes in sorted(queue, key=lambda entry: entry[:2]):
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
            if deadline is not None and batches.makespan > deadline:
                continue
            this = (*worth(frame, nodes, batches.makespan), len(batches.plans), position)
            if best is None or this < best[0]:
                best = (this, (frame, nodes), batches)
        return self._plan(*best[1], best[2], untried) if best is not None else None

    def _batches(self, frame: Frame, nodes: int, cut: Cut) -> _Batches | None:
        """Cut a campaign so that each part ends within the window of an allocation.

        The rest is planned on empty nodes again and again, and each time the workflows that end
        within the window form a batch. A workflow ends after those on which it depends, so these
        are in the same batch or in an earlier one.
        """
        window = frame.window(cut)
        whole = self._uncut(frame.partition, nodes)
        if whole.makespan <= window:
            idle = whole.peak_nodes < nodes
            plans = (whole,) if whole.workflows else ()
            return _Batches(plans=plans, lower_bound=whole.lower_bound, idle=idle)
        if not cut.into_several:
            return None
        rest = {w.name: w for w in whole.workflows}
        done, peak = [], 0
        while rest:
            # The first ones, up to twice the work that an allocation can hold: these are enough to
            # choose from, and planning the whole rest each time would be slow.
            room = 2 * nodes * frame.partition.cores * window
            before = accumulate((w.cores * w.duration for w in rest.values()), initial=0)
            soon = {name for name, work in zip(rest, before, strict=False) if work <= room}
            plan = self._inner(frame.partition, nodes, soon)
            batch = tuple(w for w in plan.workflows if w.finish <= window)
            assert batch, "some workflow starts at once, and none is longer than the window"
            done.append(self._only(plan, batch))
            peak = max(peak, plan.peak_nodes)
            for w in batch:
                del rest[w.name]
        return _Batches(plans=tuple(done), lower_bound=whole.lower_bound, idle=peak < nodes)

    def _uncut(self, partition: Partition, nodes: int) -> Plan:
        """Plan all workflows on empty nodes, once for each number of nodes."""
        if (partition.name, nodes) not in self._whole:
            plan = self._inner(partition, nodes, self._campaign.workflows.keys())
            self._whole[partition.name, nodes] = plan
        return self._whole[partition.name, nodes]

    def _inner(self, partition: Partition, nodes: int, names: Collection[str]) -> Plan:
        """Plan workflows on empty nodes; all others on which they depend are done."""
        return self._planner(part(self._campaign, names), inside(self._cluster, partition, nodes))

    def _only(self, plan: Plan, workflows: tuple[PlannedWorkflow, ...]) -> Plan:
        """Return the plan of some of its workflows, and of no others."""
        campaign = part(self._campaign, {w.name for w in workflows})
        return replace(plan, campaign=campaign, workflows=workflows)

    def _plan(self, frame: Frame, nodes: int, batches: _Batches, untried: int) -> AllocationPlan:
        """Put each batch into an allocation, one after the other; check the plan."""
        allocations = tuple(_one_after_the_other(frame, nodes, batches.plans))
        warnings = [
            f"allocation {number}: walltime capped at {format_walltime(a.walltime)} by "
            f"{a.qos or a.partition}, {a.walltime / a.duration:.2f} × its planned duration"
            for number, a in enumerate(allocations, 1)
            if a.walltime < WALLTIME_FACTOR * a.duration
        ]
        if untried:
            sizes = count(untried, "size")
            warnings.append(f"{sizes} of allocations not tried: one of them may do as well")
        plan = AllocationPlan(
            campaign=self._campaign,
            cluster=self._cluster,
            lower_bound=batches.lower_bound,
            allocations=allocations,
            warnings=tuple(warnings),
        )
        _refuse_too_dear(plan)
        check_plan(plan)
        return plan


def _one_after_the_other(frame: Frame, nodes: int, plans: Sequence[Plan]) -> Iterator[Allocation]:
    start = 0
    for plan in plans:
        walltime = int(min(usual_walltime(plan.makespan), frame.limit))
        walltime = int(max(walltime, frame.least_walltime))
        steps = tuple(
            replace(w, walltime=min(w.walltime, walltime - w.start)) for w in plan.workflows
        )
        yield Allocation(
            partition=frame.partition.name,
            qos=frame.qos.name or None,
            nodes=nodes,
            start=start,
            walltime=walltime,
            # The bound of the whole campaign says nothing of a part; none is known.
            plan=replace(plan, workflows=steps, lower_bound=0, warnings=()),
        )
        start += plan.makespan
