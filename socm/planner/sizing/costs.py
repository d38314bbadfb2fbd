"""What workflows cost where they are, and how to hold them where they are cheap."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import fsum

from socm.model.campaign import Campaign, ResourceRequest
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan
from socm.planner.sizing.budgets import modes_by_nodes
from socm.units import HOUR


class Costs:
    """What workflows cost in core-seconds; only their partition and QOS decide that.

    A level is one of the costs that a workflow may have, counted from the least.

    Attributes
    ----------
    levels
        What each workflow may cost.
    least
        The least core-hours that a plan can cost.
    """

    def __init__(self, campaign: Campaign, cluster: Cluster, *, charged: bool) -> None:
        self._campaign = campaign
        self._charge = {q.name: q.charge if charged else 1.0 for q in cluster.qos_by_size}
        self._modes = {n: cluster.admit(w.request)[0] for n, w in campaign.workflows.items()}
        self.levels = {
            name: sorted({self._of_mode(m) for m in modes}) for name, modes in self._modes.items()
        }
        modes = [modes_by_nodes(w.request, cluster).values() for w in campaign.workflows.values()]
        # Exact sums, rounded once: a plan's cost does not depend on the order of its workflows.
        self.least = fsum(min(map(self._of_mode, chain(*its_modes))) for its_modes in modes) / HOUR

    def _of_mode(self, mode: Mode) -> float:
        return mode.cores * mode.duration * self._charge[mode.qos.name]

    def of(self, w: PlannedWorkflow) -> float:
        """Return what a workflow costs where it is."""
        return w.cores * w.duration * self._charge[w.qos or ""]

    def at(self, name: str, level: int) -> float:
        """Return what a workflow costs at a level."""
        return self.levels[name][min(level, len(self.levels[name]) - 1)]

    def level(self, w: PlannedWorkflow) -> int:
        """Return the level of a workflow where it is."""
        levels = self.levels[w.name]
        return min(bisect_left(levels, self.of(w)), len(levels) - 1)

    def total(self, plan: Plan) -> float:
        """Return what a plan costs."""
        return fsum(self.of(w) for w in plan.workflows)

    def held_to(self, levels: Mapping[str, int]) -> Campaign:
        """Return the campaign with workflows held where they cost what they do at a level."""
        workflows = dict(self._campaign.workflows)
        for name, level in levels.items():
            cost = self.at(name, level)
            allowed = [m for m in self._modes[name] if self._of_mode(m) == cost]
            request = _held(workflows[name].request, self._modes[name], allowed)
            workflows[name] = replace(workflows[name], request=request)
        return replace(self._campaign, workflows=workflows)


def _held(
    request: ResourceRequest, modes: Sequence[Mode], allowed: Sequence[Mode]
) -> ResourceRequest:
    """Name a partition, a QOS or both, so that only allowed modes stay, and most of them."""

    def left(partition: str | None, qos: str | None) -> list[Mode]:
        return [
            m for m in modes if partition in (None, m.partition.name) and qos in (None, m.qos.name)
        ]

    partitions = [request.partition, *dict.fromkeys(m.partition.name for m in allowed)]
    qos_names = [request.qos, *dict.fromkeys(m.qos.name or None for m in allowed)]
    names = [(p, q) for p in partitions for q in qos_names if set(left(p, q)) <= set(allowed)]
    partition, qos = max(names, key=lambda pair: len(left(*pair)))
    return replace(request, partition=partition, qos=qos)
