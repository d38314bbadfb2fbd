"""A cluster as the user guide describes one: equal nodes and one queue."""

from __future__ import annotations

from dataclasses import replace

from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos


def Resource(
    *,
    name: str,
    nodes: int,
    cores_per_node: int,
    memory_per_node: int,
    default_queue: str | None = None,
    maximum_walltime: int | None = None,
) -> Cluster:
    """Return a cluster of equal nodes, as the user guide describes one.

    Parameters
    ----------
    memory_per_node
        In MB. (The guide's comment says bytes, but its example, 100000000, would be 100 MB a
        node, less than any of its workflows asks for.)
    default_queue
        The QOS to submit to.
    maximum_walltime
        Longest limit of a job, in seconds.

    Examples
    --------
    >>> tiger3 = Resource(
    ...     name="tiger3", nodes=4, cores_per_node=112, memory_per_node=1_000_000,
    ...     default_queue="tiger-test", maximum_walltime=3_600_000,
    ... )
    >>> tiger3.qos[0].name, tiger3.partitions[0].nodes
    ('tiger-test', 4)
    """
    partition = Partition(name="cpu", nodes=nodes, cores=cores_per_node, memory=memory_per_node)
    if default_queue is None:
        partition = replace(partition, walltime=maximum_walltime)
        return Cluster(name=name, partitions=(partition,))
    queue = Qos(name=default_queue, walltime=maximum_walltime)
    return Cluster(name=name, partitions=(partition,), qos=(queue,))
