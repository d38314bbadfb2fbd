"""What a run or a simulation came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from socm.model.plan import Plan


@dataclass(frozen=True, kw_only=True)
class WorkflowOutcome:
    """What became of one workflow.

    Parameters
    ----------
    status
        ``"completed"``, ``"failed"`` or ``"skipped"``.
    start, finish
        First start and last end, in seconds since the campaign's start; `None` if it never ran.
    attempts
        How many times it was submitted.
    """

    name: str
    status: str
    start: float | None
    finish: float | None
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a campaign, once.

    Parameters
    ----------
    workflows
        In the order of the plan.
    makespan
        Seconds from the campaign's start to its end.
    core_seconds
        Reserved cores times the time they were held, over all attempts.
    timeouts
        Attempts that ran into their walltime.
    critical
        Names of a chain of workflows, each begun when the one before ended, up to the end.
    """

    workflows: tuple[WorkflowOutcome, ...]
    makespan: float
    core_seconds: float
    timeouts: int
    critical: tuple[str, ...]

    @property
    def completed(self) -> bool:
        """Whether every workflow completed."""
        return all(w.status == "completed" for w in self.workflows)

    def meets(self, deadline: int | None) -> bool:
        """Whether everything completed, and by the deadline."""
        return self.completed and (deadline is None or self.makespan <= deadline)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What a plan comes to on the emulated cluster: once exactly, and many times by chance.

    Parameters
    ----------
    plan
        What was carried out.
    exact
        With every runtime as expected.
    makespans
        Of each replication in which every workflow completed, in seconds.
    replications
        How many there were.
    in_time
        For each replication, whether all completed by the deadline.
    criticality
        For each workflow, the share of replications in which it was on the critical chain.
    finishes
        For each workflow that completed in some replication, its finishes.
    lost
        For each workflow that failed in some replication, the share of those in which it did.
    timeouts
        Mean number of attempts per replication that ran into their walltime.
    seed
        The same seed gives the same worlds.
    assumptions
        What the numbers rest on.
    """

    plan: Plan
    exact: Outcome
    makespans: tuple[float, ...] = ()
    replications: int = 0
    in_time: tuple[bool, ...] = ()
    criticality: Mapping[str, float] = field(default_factory=dict)
    finishes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    lost: Mapping[str, float] = field(default_factory=dict)
    timeouts: float = 0.0
    seed: int = 0
    assumptions: Mapping[str, object] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether the exact run meets the deadline, or there is none."""
        return self.exact.meets(self.plan.campaign.deadline)

    @property
    def probability(self) -> float | None:
        """The share of replications that meet the deadline; `None` without one of either."""
        if self.plan.campaign.deadline is None or not self.in_time:
            return None
        return sum(self.in_time) / len(self.in_time)

    @property
    def probability_interval(self) -> tuple[float, float] | None:
        """Where the probability lies with 95 % confidence."""
        if self.probability is None:
            return None
        return wilson(sum(self.in_time), len(self.in_time))

    @property
    def utilisation(self) -> float:
        """Cores held over cores that the campaign might have held, in the exact run."""
        available = self.available_cores * self.exact.makespan
        return self.exact.core_seconds / available if available else 0.0

    @property
    def available_cores(self) -> int:
        """The most cores that the campaign might hold: its budget, else the cluster."""
        budget, partitions = self.plan.campaign.budget, self.plan.cluster.partitions
        left = budget.nodes if budget.nodes is not None else sum(p.nodes for p in partitions)
        cores = 0
        for partition in sorted(partitions, key=lambda p: -p.cores):
            cores += min(left, partition.nodes) * partition.cores
            left -= min(left, partition.nodes)
        return min(cores, budget.cores or cores)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209,
    https://doi.org/10.1080/01621459.1927.10502953

    Examples
    --------
    >>> low, high = wilson(190, 200)
    >>> round(low, 3), round(high, 3)
    (0.91, 0.973)
    """
    z = 1.959964
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = (
        z
        * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
        / (1 + z * z / trials)
    )
    return max(0.0, centre - half), min(1.0, centre + half)
