"""The limits that count over all jobs of a campaign at once, and what a job counts against each.

Only the check of a plan (`socm.model.check`) works this out by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from socm.model.allowance import Kind
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster


class Limited(NamedTuple):
    """What is limited: jobs or cores of a QOS, of a partition or of all jobs; or what else counts.

    That is the cores of the budget, or a counted resource.
    """

    what: Kind | Literal["budget", "uses"]
    name: str = ""


def limits_of(campaign: Campaign, cluster: Cluster) -> dict[Limited, int]:
    """Return the most that may be in use at once of whatever is limited.

    Examples
    --------
    >>> from socm.model.campaign import Budget
    >>> from socm.model.partition import Partition
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000)
    >>> campaign = Campaign.of("maps", [], budget=Budget(cores=8), limits={"io": 4})
    >>> for limited, most in limits_of(campaign, Cluster(name="c", partitions=(cpu,))).items():
    ...     print(*limited, most)
    budget  8
    uses io 4
    """
    return {
        **of_cluster(cluster),
        **({} if campaign.budget.cores is None else {Limited("budget"): campaign.budget.cores}),
        **{Limited("uses", name): most for name, most in campaign.limits.items()},
    }


def of_cluster(cluster: Cluster) -> dict[Limited, int]:
    """Return the limits that the QOS and the partitions of a cluster have, and all its jobs."""
    return {Limited(kind, each.owner): each.most for kind, each in cluster.counted_limits()}


def counted(
    cluster: Cluster, partition: str, qos: str | None, cores: int, uses: Mapping[str, int]
) -> Iterator[tuple[Limited, int]]:
    """Yield what a job counts against each limit that there may be.

    Parameters
    ----------
    partition, qos, cores
        Where it runs, and its cores: of its ranks, or of whole nodes.
    uses
        Its counted resources.
    """
    amounts: tuple[tuple[Kind, int], ...] = (
        ("running_jobs", 1), ("submit_jobs", 1), ("cores", cores),
    )  # fmt: skip
    for kind, amount in amounts:
        if (owner := cluster.owner(kind, partition, qos or "")) is not None:
            yield Limited(kind, owner), amount
    yield Limited("budget"), cores
    for name, amount in uses.items():
        yield Limited("uses", name), amount
