"""Which workflow is planned first: the upward rank of HEFT."""

from __future__ import annotations

from collections.abc import Mapping

from socm.model.campaign import Campaign


def upward_rank(campaign: Campaign, duration: Mapping[str, float]) -> dict[str, float]:
    """Return the length of the longest chain from the start of each workflow to the end.

    Equation 8 of Topcuoglu, Hariri and Wu (2002); data move over a shared file system, so
    there is no communication to add.

    Parameters
    ----------
    campaign
        Workflows and what they wait for.
    duration
        Seconds that each takes, on average over the partitions that admit it.

    References
    ----------
    H. Topcuoglu, S. Hariri, M.-Y. Wu, IEEE Trans. Parallel Distrib. Syst. 13 (2002) 260,
    https://doi.org/10.1109/71.993206

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> minute = ResourceRequest(runtime=60)
    >>> chain = Campaign.of("chain", [
    ...     Workflow(name="map", request=minute),
    ...     Workflow(name="spectrum", request=minute, depends=("map",)),
    ...     Workflow(name="plot", request=minute),
    ... ])
    >>> sorted(upward_rank(chain, {"map": 50, "spectrum": 20, "plot": 5}).items())
    [('map', 70), ('plot', 5), ('spectrum', 20)]
    """
    rank: dict[str, float] = {}
    for name in reversed(campaign.order):
        rank[name] = duration[name] + max((rank[c] for c in campaign.children[name]), default=0)
    return rank
