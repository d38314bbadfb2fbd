"""Tables of a cluster: its partitions, its QOS, and where the figures come from."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.units import format_count, format_memory, format_walltime


def cluster_tables(cluster: Cluster) -> Iterator[Table]:
    """Yield a table of the partitions of a cluster, and one of its QOS if it has any."""
    partitions = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("partition", "nodes", "cores", "memory", "GPUs", "speed", "walltime"):
        partitions.add_column(name, justify="left" if name == "partition" else "right")
    partitions.add_column("")
    for p in cluster.partitions:
        partitions.add_row(
            p.name,
            format_count(p.nodes),
            str(p.cores),
            format_memory(p.memory),
            str(p.gpus or "-"),
            f"{p.speed:g}",
            format_walltime(p.walltime) if p.walltime else "-",
            _traits(p),
        )
    yield partitions
    if cluster.qos:
        yield _qos_table(cluster)


def _qos_table(cluster: Cluster) -> Table:
    """Return the QOS, without the columns of limits that none of them has."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    limits = {
        "jobs": [q.running_jobs for q in cluster.qos_by_size],
        "cores": [q.cores for q in cluster.qos_by_size],
        "cores/job": [q.cores_per_job for q in cluster.qos_by_size],
        "nodes/job": [q.nodes_per_job for q in cluster.qos_by_size],
    }
    limits = {name: column for name, column in limits.items() if any(column)}
    for name in ("QOS", "walltime", *limits, "charge"):
        table.add_column(name, justify="left" if name == "QOS" else "right", no_wrap=True)
    table.add_column("")
    for number, q in enumerate(cluster.qos_by_size):
        amounts = (column[number] for column in limits.values())
        table.add_row(
            q.name,
            format_walltime(q.walltime) if q.walltime else "-",
            *("-" if amount is None else format_count(amount) for amount in amounts),
            f"{q.charge:g}",
            _traits(q),
        )
    return table


def _traits(part: Partition | Qos) -> str:
    words = (
        ("over the partition's walltime", isinstance(part, Qos) and part.over_partition_walltime),
        ("whole nodes", part.exclusive),
        ("on request", part.debug),
        ("preemptible", part.preemptible),
    )
    return ", ".join(word for word, true in words if true)


def cluster_options(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield what jobs ask for beside nodes, time and memory, each with where they ask for it."""
    account = [f"account {cluster.account}"] if cluster.account else []
    if cluster.account_required and not account:
        account = ["an account, which each workflow has to name"]
    parts: tuple[Partition | Qos, ...] = (*cluster.partitions, *cluster.qos)
    for name, words, options in (
        (cluster.name, account, cluster.options),
        *((p.name, [*_asked_there(p)], p.options) for p in parts),
    ):
        asked = [f"--{option}={value}".rstrip("=") for option, value in options.items()]
        if words or asked:
            yield name, ", ".join((*words, *asked))


def _asked_there(part: Partition | Qos) -> Iterator[str]:
    """Yield how jobs ask SLURM for a partition or a QOS, and with which account."""
    if part.slurm_name:
        yield f"{part.slurm_name} in SLURM"
    if not part.send:
        yield "not named to SLURM" + ("" if isinstance(part, Partition) else ": by the walltime")
    if part.accounts:
        yield f"only for account {' or '.join(part.accounts)}"
    if isinstance(part, Partition) and part.account_suffix:
        yield f"accounts end in {part.account_suffix}"


def cluster_sources(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield the source of the figures of a cluster, its partitions and its QOS, each by name."""
    for name, source, checked, note in (
        (cluster.name, cluster.source, cluster.checked, cluster.description),
        *((p.name, p.source, p.checked, p.note) for p in cluster.partitions),
        *((q.name, q.source, q.checked, q.note) for q in cluster.qos),
    ):
        parts = [source or "no source", f"checked {checked}" if checked else "", note or ""]
        yield name, "; ".join(part for part in parts if part)
