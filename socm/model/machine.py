"""The machine that socm runs on, as a cluster."""

from __future__ import annotations

import os
from typing import Final

from socm.model.cluster import Cluster
from socm.model.partition import Partition

LOCAL: Final = "local"
"""The name of the cluster that is this machine, and of the executor that runs jobs on it."""
ALLOCATION: Final = "allocation"
"""The name of the cluster that is the allocation of SLURM in which socm runs."""

HERE: Final = {LOCAL: "on this machine", ALLOCATION: "in an allocation"}
"""The clusters that have no queue to submit to, in words."""


def this_machine() -> Cluster:
    """Return this machine as a cluster: the cores and the memory that this process may use."""
    import psutil

    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    memory = max(1, psutil.virtual_memory().total // 2**20)
    machine = Partition(name=LOCAL, nodes=1, cores=cores, memory=memory, note="this machine")
    return Cluster(name=LOCAL, partitions=(machine,))
