"""Outcomes of runs and simulations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from socm.model.plan import Plan


@dataclass(frozen=True, kw_only=True)
class WorkflowOutcome:
    """The outcome of one workflow.

    Parameters
    ----------
    status
        ``"completed"``, ``"failed"`` or ``"skipped"``.
    start, finish
        First start and last end, in seconds since the campaign's start; `None` if it never ran.
    attempts
        Number of submissions.
    """

    name: str
    status: str
    start: float | None
    finish: float | None
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a campaign in one run.

    Parameters
    ----------
    workflows
        In the order of the plan.
    makespan
        Seconds from the start of the campaign to its end.
    core_seconds
        Reserved cores times seconds, over all attempts.
    timeouts
        Number of attempts that reached their walltime.
    critical_chain
        Names of the workflows of a chain without a pause, up to the end: each started when the one
        before ended.
    """

    workflows: tuple[WorkflowOutcome, ...]
    makespan: float
    core_seconds: float
    timeouts: int
    critical_chain: tuple[str, ...]

    @property
    def completed(self) -> bool:
        """Whether every workflow completed."""
        return all(w.status == "completed" for w in self.workflows)

    def meets(self, deadline: int | None) -> bool:
        """Whether every workflow completed, by the deadline if there is one."""
        return self.completed and (deadline is None or self.makespan <= deadline)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The outcomes of a plan on the emulated cluster: an exact run, and replications.

    Parameters
    ----------
    plan
        The plan that was carried out.
    exact
        The exact run, in which every workflow takes its expected runtime.
    makespans
        Makespan of each replication in which every workflow completed, in seconds.
    replications
        Number of replications.
    in_time
        For each replication, whether every workflow completed by the deadline.
    criticality
        For each workflow, the share of replications in which it was on the critical chain.
    finishes
        For each workflow that completed in some replication, its finishes in seconds.
    lost
        For each workflow that failed in some replication, the share of replications in which it
        failed.
    timeouts
        Mean number of attempts per replication that reached their walltime.
    seed
        Random seed; the same seed gives the same runtimes.
    assumptions
        What the numbers rest on, by name.
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
        """Share of replications that meet the deadline; `None` without deadline or replications."""
        if self.plan.campaign.deadline is None or not self.in_time:
            return None
        return sum(self.in_time) / len(self.in_time)

    @property
    def probability_interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the probability."""
        if self.probability is None:
            return None
        return wilson(sum(self.in_time), len(self.in_time))

    @property
    def utilisation(self) -> float:
        """Core-seconds used in the exact run, over all that were available until its end."""
        available = self.available_cores * self.exact.makespan
        return self.exact.core_seconds / available if available else 0.0

    @property
    def available_cores(self) -> int:
        """The most cores that the campaign may use at once, by its budget and the cluster."""
        budget, partitions = self.plan.campaign.budget, self.plan.cluster.distinct
        left = budget.nodes if budget.nodes is not None else sum(p.nodes for p in partitions)
        cores = 0
        for partition in sorted(partitions, key=lambda p: -p.cores):
            cores += min(left, partition.nodes) * partition.cores
            left -= min(left, partition.nodes)
        return min(cores, budget.cores or cores)


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return a quantile by linear interpolation; `None` of nothing.

    Examples
    --------
    >>> quantile([1, 2, 4], 0.75), quantile([], 0.5)
    (3.0, None)
    """
    if not len(values):
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


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
