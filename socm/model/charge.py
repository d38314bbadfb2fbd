"""What jobs are charged: hours of cores and of nodes, times the charge of their QOS."""

from __future__ import annotations

from dataclasses import dataclass

from socm.model.campaign import Budget
from socm.model.cluster import Cluster
from socm.units import HOUR, format_core_hours

ROUNDING = 1e-6
"""Hours that a sum of charges may be off by; a few milliseconds of a core."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Hours that are charged: of cores, and the same of whole nodes.

    Examples
    --------
    >>> twice = Charge(8.0, 1.0) + Charge(8.0, 1.0)
    >>> twice, twice.within(Budget(core_hours=16)), twice.within(Budget(node_hours=1.5))
    (Charge(core_hours=16.0, node_hours=2.0), True, False)
    """

    core_hours: float = 0.0
    node_hours: float = 0.0

    def __add__(self, other: Charge) -> Charge:
        return Charge(self.core_hours + other.core_hours, self.node_hours + other.node_hours)

    def __sub__(self, other: Charge) -> Charge:
        return Charge(self.core_hours - other.core_hours, self.node_hours - other.node_hours)

    def of(self, budget: Budget) -> float:
        """Return the hours that a budget counts."""
        return self.core_hours if budget.node_hours is None else self.node_hours

    def within(self, budget: Budget) -> bool:
        """Whether a budget of hours has room for it; one without such a limit always has."""
        return budget.hours is None or self.of(budget) <= budget.hours + ROUNDING


def charge_of(
    cluster: Cluster, partition: str, qos: str | None, cores: int, seconds: float
) -> Charge:
    """Return what a job is charged that has some cores for some seconds."""
    core_hours = cores * seconds * cluster.by_qos[qos or ""].charge / HOUR
    return Charge(core_hours, core_hours / cluster.by_partition[partition].cores)


def hours_in_words(hours: float, budget: Budget) -> str:
    """Write an amount in the unit of a budget of hours.

    Examples
    --------
    >>> hours_in_words(12.0, Budget(node_hours=40))
    '12 node-hours'
    """
    return f"{format_core_hours(hours)} {'core' if budget.node_hours is None else 'node'}-hours"
