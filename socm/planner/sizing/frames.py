"""Which partitions and QOS have allocations that may hold a campaign, and of what size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from socm.errors import Infeasible
from socm.model.allocation import inside
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.mode import WALLTIME_FACTOR, Mode, longest
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.planner.bounds import heads_and_tails
from socm.units import format_count, format_walltime


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Whether a campaign may be cut into several allocations, and a walltime be capped."""

    into_several: bool
    capped: bool


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A partition and a QOS whose allocations may hold a campaign.

    Parameters
    ----------
    limit, least_walltime
        Longest walltime of a job, in seconds, and the least for which SLURM takes the QOS.
    slowest
        Seconds of the longest workflow.
    fewest, most
        Nodes.
    chain, work
        Seconds of the longest chain, and core-seconds of all.
    qos_position
        Place among the QOS, the smallest first.
    """

    partition: Partition
    qos: Qos
    limit: float
    least_walltime: float
    slowest: int
    fewest: int
    most: int
    chain: int
    work: int
    qos_position: int

    def window(self, cut: Cut) -> float:
        """The most seconds that an allocation is planned for.

        A batch needs no capped walltime unless one workflow alone does.
        """
        roomy = self.limit / WALLTIME_FACTOR
        if cut.into_several:
            return roomy if self.slowest <= roomy else self.limit
        return self.limit if cut.capped else roomy

    def least(self, nodes: int) -> float:
        """Lower bound in seconds on a plan of the campaign on a number of nodes."""
        return max(self.chain, self.work / (nodes * self.partition.cores))

    def charge(self, nodes: int, seconds: float) -> float:
        """What a number of nodes is charged for a time, in core-seconds."""
        return nodes * self.partition.cores * seconds * self.qos.charge


def frames_of(campaign: Campaign, cluster: Cluster) -> Iterator[Frame]:
    """Yield each partition and QOS whose allocations may hold a campaign, smallest QOS first."""
    reasons = []
    frames = 0
    for partition, qos in cluster.pairs():
        outcome = _frame_of(campaign, cluster, partition, qos)
        if isinstance(outcome, Frame):
            frames += 1
            yield outcome
        else:
            place = [qos.name] if qos.name else []
            if len(cluster.partitions) > 1 or not place:
                place.append(partition.name)
            reasons += [f"{' on '.join(place)}: {reason}" for reason in outcome]
    if not frames:
        raise Infeasible(
            f"no allocation on {cluster.name} holds {campaign.name}",
            reasons,
            hint=f"`socm clusters {cluster.known_as}` shows what it has",
        )


def _frame_of(
    campaign: Campaign, cluster: Cluster, partition: Partition, qos: Qos
) -> Frame | list[str]:
    """Return the frame, or the reasons why no allocation there holds the campaign."""
    workflows = campaign.workflows.values()
    if not all(cluster.asked_for(w.request, partition, qos) for w in workflows):
        return ["is used only where every workflow names it"]
    for w in workflows:
        if refused := cluster.why_account(w.request.account, partition, qos):
            return [f"{w.name}: {refused}"]
    bare = inside(cluster, partition, partition.nodes)
    modes: dict[str, Mode] = {}
    reasons = []
    for w in workflows:
        if w.request.partition not in (None, partition.name):
            reasons.append(f"{w.name} is for {w.request.partition}")
            continue
        admitted, why_not = bare.admit(replace(w.request, partition=None, qos=None))
        reasons += [f"{w.name}: {reason.partition(': ')[2]}" for reason in why_not]
        modes.update((w.name, mode) for mode in admitted)
    if reasons:
        return reasons
    limit = longest(partition, qos)
    least = cluster.least_walltime(partition, qos)
    if least > limit:
        return ["SLURM takes another QOS for each walltime that it admits"]
    slowest = max((o.duration for o in modes.values()), default=1)
    fewest = max((o.fewest_nodes for o in modes.values()), default=1)
    fewest = max(fewest, partition.least_nodes_per_job)
    most, owner = min(
        (
            (most // (1 if what == "nodes" else partition.cores), owner)
            for what, most, owner in qos.limits(partition, campaign.budget)
        ),
        key=lambda pair: pair[0],
    )
    if slowest > limit:
        name = max(modes, key=lambda n: modes[n].duration)
        reasons.append(
            f"{name} takes {format_walltime(slowest)}, a job may last {format_walltime(int(limit))}"
        )
    if fewest > most:
        name = max(modes, key=lambda n: modes[n].fewest_nodes)
        reasons.append(f"{name} needs {format_count(fewest)} whole nodes, {owner} {most}")
    if reasons:
        return reasons
    durations = {name: mode.duration for name, mode in modes.items()}
    heads, _ = heads_and_tails(campaign, durations)
    return Frame(
        partition=partition,
        qos=qos,
        limit=limit,
        least_walltime=least,
        slowest=slowest,
        fewest=fewest,
        most=most,
        chain=max((heads[name] + durations[name] for name in durations), default=0),
        work=sum(o.cores * o.duration for o in modes.values()),
        qos_position=[q.name for q in cluster.qos_by_size].index(qos.name),
    )
