"""Modes that keep a campaign within its budget of hours, and why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum

from socm.errors import Infeasible
from socm.model.campaign import Campaign
from socm.model.charge import ROUNDING, charge_of, hours_in_words
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.placement import PlannedWorkflow
from socm.planner.instance import Modes
from socm.words import listed

MOST_NAMED = 5
"""How many workflows are named that are charged most."""


class Prices:
    """What workflows are charged in the hours that the budget counts; mode and time decide that.

    Parameters
    ----------
    modes
        Those of each workflow.
    fixed
        Workflows that have run or are running: nothing changes what they are charged.
    """

    def __init__(
        self, campaign: Campaign, cluster: Cluster, modes: Modes, fixed: Iterable[PlannedWorkflow]
    ) -> None:
        self._campaign, self._cluster, self._modes = campaign, cluster, modes
        self._spent = {w.name: self.of(w) for w in fixed}

    def of(self, w: PlannedWorkflow) -> float:
        """Return what a planned workflow is charged."""
        return self._hours(w.partition, w.qos, w.cores, w.duration)

    def of_mode(self, mode: Mode) -> float:
        """Return what a workflow is charged in a mode."""
        return self._hours(mode.partition.name, mode.qos.name, mode.cores, mode.duration)

    def _hours(self, partition: str, qos: str | None, cores: int, seconds: int) -> float:
        charge = charge_of(self._cluster, partition, qos, cores, seconds)
        return charge.of(self._campaign.budget)

    def least(self, name: str) -> float:
        """Return what a workflow is charged at least."""
        if name in self._spent:
            return self._spent[name]
        return min(map(self.of_mode, self._modes[name]))

    def refuse_too_dear(self) -> None:
        """Refuse a campaign that no choice of modes keeps within its budget of hours.

        Raises
        ------
        Infeasible
            With what it is charged at least, and what would fit.
        """
        budget, names = self._campaign.budget, [*self._campaign.workflows]
        least = {name: self.least(name) for name in names}
        total = fsum(least.values())
        if budget.hours is None or total <= budget.hours + ROUNDING:
            return
        dearest = sorted(names, key=lambda name: -least[name])
        unit = "core-hours" if budget.node_hours is None else "node-hours"
        raise Infeasible(
            f"the campaign is charged more than its budget of "
            f"{hours_in_words(budget.hours, budget)}",
            [
                f"at expected runtimes it is charged at least {hours_in_words(total, budget)}",
                *(f"{n}: {hours_in_words(least[n], budget)}" for n in dearest[:MOST_NAMED]),
            ],
            remedies=[
                f"[campaign.budget] {unit} = {-(-total // 1):.0f}",
                *self._dropping(least, total - budget.hours),
            ],
        )

    def _dropping(self, least: Mapping[str, float], excess: float) -> Iterable[str]:
        """Yield what may be left out: the lowest priority first, with all that depends on it."""
        campaign = self._campaign
        weight: dict[str, int] = {}
        for name in reversed(campaign.order):
            after = [weight[child] for child in campaign.children[name]]
            weight[name] = max([campaign.workflows[name].priority, *after])
        last = {name: k for k, name in enumerate(campaign.order)}
        gone: list[str] = []
        for name in sorted(least, key=lambda name: (weight[name], -last[name])):
            if name not in self._spent:
                gone.append(name)
                excess -= least[name]
                if excess <= ROUNDING:
                    break
        if excess <= ROUNDING and len(gone) < len(least):
            yield f"without {listed(gone)}"

    def cheaper(self, workflows: Iterable[PlannedWorkflow], modes: Modes) -> Modes | None:
        """Return modes without the dear ones of as many workflows as have to be cheaper.

        Those that save most are held to their cheapest modes. `None` if the plan is within the
        budget.
        """
        hours = self._campaign.budget.hours
        total = fsum(self.of(w) for w in workflows)
        if hours is None or total <= hours + ROUNDING:
            return None
        saved = {w.name: self.of(w) - self.least(w.name) for w in workflows}
        held = dict(modes)
        for name in sorted(saved, key=lambda name: -saved[name]):
            if total <= hours + ROUNDING or saved[name] <= 0:
                break
            least = self.least(name)
            held[name] = [m for m in modes[name] if self.of_mode(m) <= least + ROUNDING]
            total -= saved[name]
        return held
