"""Which workflow is planned first: the upward rank of HEFT, and any other priority."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from socm.model.campaign import Campaign
from socm.model.cluster import Option


def mean_durations(options: Mapping[str, Sequence[Option]]) -> dict[str, float]:
    """Return the seconds that each workflow takes, on average over partitions that admit it."""
    return {
        name: fmean({o.partition.name: o.duration for o in ways}.values())
        for name, ways in options.items()
    }


def by_priority(campaign: Campaign, key: Callable[[str], Any]) -> Iterator[str]:
    """Yield names, each after all that it depends on; of those that may be next, the least key.

    Those that may be next are the decision set of serial schedule generation. Equal keys go as
    declared.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> minute = ResourceRequest(runtime=60)
    >>> campaign = Campaign.of("maps", [
    ...     Workflow(name="spectrum", request=minute, depends=("map",)),
    ...     Workflow(name="map", request=minute),
    ...     Workflow(name="plot", request=minute),
    ... ])
    >>> [*by_priority(campaign, {"map": 2, "plot": 3, "spectrum": 1}.__getitem__)]
    ['map', 'spectrum', 'plot']
    """
    import networkx as nx

    yield from nx.lexicographical_topological_sort(campaign.dag, key=key)


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
