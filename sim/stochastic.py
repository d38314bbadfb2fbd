"""What is random in a replication: the runtimes."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from socm.model.plan import Plan


class Cause(IntEnum):
    """What random numbers are drawn for; each cause has a stream of its own."""

    RUNTIME = 0


def runtime_factors(plan: Plan, seed: int, replication: int) -> NDArray[np.float64]:
    """Draw the factor of each workflow's runtime: lognormal with median 1.

    One factor for each workflow, in the order of the campaign, drawn at once: the same seed gives
    the same factors whatever the release rule, the number of processes or the order of events.
    All attempts at a workflow have the same factor.

    Examples
    --------
    >>> from socm.model.campaign import Campaign, ResourceRequest, Workflow
    >>> from socm.model.cluster import Cluster
    >>> from socm.model.partition import Partition
    >>> from socm.planner import plan_campaign
    >>> campaign = Campaign.of("one", [Workflow(name="map", request=ResourceRequest(runtime=60))])
    >>> node = Partition(name="cpu", nodes=1, cores=1, memory=1)
    >>> plan = plan_campaign(campaign, Cluster(name="tiny", partitions=(node,)))
    >>> factors = runtime_factors(plan, seed=1, replication=0)
    >>> factors.shape, bool((factors == runtime_factors(plan, seed=1, replication=0)).all())
    ((1,), True)
    """
    stream = np.random.SeedSequence(entropy=seed, spawn_key=(replication, Cause.RUNTIME))
    spread = np.array([w.request.spread for w in plan.campaign.workflows.values()])
    normal = np.random.default_rng(stream).standard_normal(len(spread))
    # Processors differ in the last digits of an exponential; a billionth of a runtime is no matter.
    return np.exp(spread * normal).round(9)
