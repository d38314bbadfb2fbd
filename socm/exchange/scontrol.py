"""What ``scontrol --oneliner`` prints: settings, nodes and partitions.

Its text is read, not its JSON: that needs a plugin which many installations lack, and has changed
from version to version.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from socm.errors import BackendError
from socm.model.cluster import Partition
from socm.units import parse_duration

Record = Mapping[str, str]
"""A line of ``--oneliner``, by key."""

_KEY = re.compile(r"(?:^|\s)(\w+)=")
_AWAY = {
    "DOWN", "DRAIN", "DRAINED", "DRAINING", "ERROR", "FAIL", "FAILING", "FUTURE", "INVAL",
    "INVALID_REG", "NOT_RESPONDING", "UNKNOWN",
}  # fmt: skip
_NO_LIMIT = {"", "(null)", "INFINITE", "N/A", "NONE", "UNLIMITED"}


class Shape(NamedTuple):
    """What a node has; nodes of one shape are of one kind."""

    cores: int
    threads_per_core: int
    memory: int
    gpus: int


class Node(NamedTuple):
    """A node, the partitions that it is in, and whether no job can start there."""

    name: str
    shape: Shape
    partitions: tuple[str, ...]
    away: bool


def read_settings(text: str) -> Record:
    r"""Read ``scontrol show config``.

    Examples
    --------
    >>> read_settings("Configuration data as of today\nClusterName             = mini\n")
    {'ClusterName': 'mini'}
    """
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def read_records(text: str) -> Iterator[Record]:
    """Read lines of ``key=value``.

    Values may have spaces and equals signs within. People write what they like into the last ones
    (a node's reason, a comment), so of a key that comes twice the first counts.

    Examples
    --------
    >>> list(read_records("NodeName=n1 OS=Linux 6 #1 SMP State=DOWN Reason=State=IDLE again?"))
    [{'NodeName': 'n1', 'OS': 'Linux 6 #1 SMP', 'State': 'DOWN', 'Reason': 'State=IDLE again?'}]
    """
    for line in text.splitlines():
        # The text before the first key, and then keys and values by turns.
        _, *parts = _KEY.split(line)
        record: dict[str, str] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            record.setdefault(key, value.strip())
        if record:
            yield record


def read_node(record: Record) -> Node:
    """Read a node: its physical cores and memory without what is kept for the system.

    Raises
    ------
    BackendError
        If a figure is missing.
    """
    try:
        hardware = int(record["Sockets"]) * int(record["CoresPerSocket"])
        cpus = int(record["CPUTot"])
        # SLURM may be told to count cores, or hardware threads; it gives away whole cores.
        cpus_per_core = max(1, cpus // hardware)
        spared = int(record.get("CoreSpecCount", 0)) * cpus_per_core
        effective = int(record.get("CPUEfctv", cpus - spared))
        memory = int(record["RealMemory"]) - int(record.get("MemSpecLimit", 0))
        name, state = record["NodeName"], record["State"]
    except (KeyError, ValueError, ZeroDivisionError) as error:
        node = record.get("NodeName", "of a node")
        raise BackendError(f"what scontrol says {node} is not understood: {error}") from error
    states = re.split(r"[^A-Z_]+", state.upper())
    return Node(
        name=name,
        shape=Shape(
            cores=max(1, effective // cpus_per_core),
            threads_per_core=cpus_per_core,
            memory=max(1, memory),
            gpus=count_gpus(record.get("Gres", "")),
        ),
        partitions=tuple(filter(None, record.get("Partitions", "").split(","))),
        # An asterisk is how older versions say that a node does not answer.
        away="*" in state or not _AWAY.isdisjoint(states),
    )


def count_gpus(gres: str) -> int:
    """Count the GPUs among a node's generic resources.

    Examples
    --------
    >>> count_gpus("gpu:a100:4(S:0-1),shard:16"), count_gpus("gpu:2,gpu:v100:1"), count_gpus("gpu")
    (4, 3, 1)
    >>> count_gpus("(null)")
    0
    """
    total = 0
    for item in re.sub(r"\(.*?\)", "", gres).split(","):
        kind, *details = item.split(":")
        if kind == "gpu":
            total += int(details[-1]) if details and details[-1].isdigit() else 1
    return total


def limit(value: str | None) -> str | None:
    """Return a limit as SLURM writes it, or `None` where there is none."""
    return None if value is None or value.upper() in _NO_LIMIT else value


def why_closed(record: Record, nodes: Sequence[Node]) -> str | None:
    """Say why no job of an ordinary user can start in a partition now, if so."""
    if (state := record.get("State", "UP")) != "UP":
        return f"its state is {state}"
    if record.get("RootOnly") == "YES":
        return "it is for root alone"
    if record.get("ReqResv") == "YES":
        return "it needs a reservation"
    if not nodes:
        return "it has no nodes"
    return "all its nodes are down or drained" if all(node.away for node in nodes) else None


def partitions_of(
    record: Record, nodes: Sequence[Node], *, whole_nodes: bool, taken: Container[str]
) -> list[Partition]:
    """Make a partition of each kind of nodes in a partition of SLURM.

    The kind with the most nodes has its name, the others that with a number.

    Parameters
    ----------
    nodes
        Those in the partition, of which at least one is not away.
    whole_nodes
        Whether SLURM is set up to give no less anywhere.
    taken
        Names that must not be given.
    """
    slurm_name = record["PartitionName"]
    present = Counter(node.shape for node in nodes if not node.away)
    shapes = sorted(present, key=lambda shape: (present[shape], shape), reverse=True)
    names = (f"{slurm_name}-{k}" for k in range(2, 10**6))
    free = (name for name in names if name not in taken)
    most_cpus = limit(record.get("MaxCPUsPerNode"))
    longest = limit(record.get("MaxTime"))
    made: list[Partition] = []
    for shape in shapes:
        cores = shape.cores
        if most_cpus is not None:
            cores = max(1, min(cores, int(most_cpus) // shape.threads_per_core))
        made.append(
            Partition(
                name=next(free) if made else slurm_name,
                nodes=present[shape],
                cores=cores,
                threads_per_core=shape.threads_per_core,
                memory=shape.memory,
                gpus=shape.gpus,
                exclusive=whole_nodes or record.get("OverSubscribe") == "EXCLUSIVE",
                walltime=parse_duration(longest) if longest is not None else None,
                slurm_name=slurm_name if made else None,
                note="; ".join(_notes(record, nodes, shape, len(shapes))) or None,
            )
        )
    return made


def _notes(record: Record, nodes: Sequence[Node], shape: Shape, kinds: int) -> Iterator[str]:
    """Say what a partition's figures do not."""
    mine = [node for node in nodes if node.shape == shape]
    if away := sum(node.away for node in mine):
        yield f"{away} of {len(mine)} nodes are down or drained and not counted"
    if kinds > 1:
        yield f"one of {kinds} kinds of nodes in SLURM's partition {record['PartitionName']}"
    for key, unit in (("DefMemPerCPU", "CPU"), ("DefMemPerNode", "node")):
        if amount := limit(record.get(key)):
            yield f"without --mem SLURM gives {amount} MB a {unit}"
    for key, whom in (("AllowAccounts", "accounts"), ("AllowGroups", "groups")):
        if record.get(key, "ALL") != "ALL":
            yield f"only for {whom} {record[key].replace(',', ', ')}"
    if shape.memory == 1:
        yield "SLURM is not told of the memory of these nodes: put it in"


def lost_limits(record: Record) -> list[str]:
    """List the limits of a partition that a cluster file has no words for."""
    keys = ("MaxNodes", "MaxMemPerNode", "MaxMemPerCPU", "MaxCPUsPerSocket")
    lost = [f"{key}={value}" for key in keys if (value := limit(record.get(key)))]
    if (fewest := record.get("MinNodes", "0")) not in ("0", "1"):
        lost.append(f"MinNodes={fewest}")
    return lost
