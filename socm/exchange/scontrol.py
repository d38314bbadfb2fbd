"""The output of ``scontrol --oneliner``: settings, nodes and partitions.

It is read as text, not as JSON: that needs a plugin which many installations lack, and changes from
version to version.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from socm.errors import BackendError
from socm.model.partition import Partition
from socm.units import parse_duration

Record = Mapping[str, str]
"""The values of a line of ``--oneliner``, by key."""

_KEY = re.compile(r"(?:^|\s)(\w+)=")
_AWAY = {
    "DOWN", "DRAIN", "DRAINED", "DRAINING", "ERROR", "FAIL", "FAILING", "FUTURE", "INVAL",
    "INVALID_REG", "NOT_RESPONDING", "UNKNOWN",
}  # fmt: skip
_NO_LIMIT = {"", "(null)", "INFINITE", "N/A", "NONE", "UNLIMITED"}


class Hardware(NamedTuple):
    """What a node has; nodes with the same are of one kind."""

    cores: int
    threads_per_core: int
    memory: int
    gpus: int


class Node(NamedTuple):
    """A node, its partitions, and whether it is away: no job can start there."""

    name: str
    hardware: Hardware
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

    Values may contain spaces and equals signs. The last ones (a node's reason, a comment) are free
    text, so the first of two equal keys counts.

    Examples
    --------
    >>> list(read_records("NodeName=n1 OS=Linux 6 #1 SMP State=DOWN Reason=State=IDLE again?"))
    [{'NodeName': 'n1', 'OS': 'Linux 6 #1 SMP', 'State': 'DOWN', 'Reason': 'State=IDLE again?'}]
    """
    for line in text.splitlines():
        # The text before the first key, and then keys and values in turn.
        _, *parts = _KEY.split(line)
        record: dict[str, str] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            record.setdefault(key, value.strip())
        if record:
            yield record


def read_node(record: Record) -> Node:
    """Read a node: its physical cores and memory, less those reserved for the system.

    Raises
    ------
    BackendError
        If a figure is missing.
    """
    try:
        cores = int(record["Sockets"]) * int(record["CoresPerSocket"])
        cpus = int(record["CPUTot"])
        # SLURM's CPUs are cores or hardware threads, by its settings; it allocates whole cores.
        cpus_per_core = max(1, cpus // cores)
        spared = int(record.get("CoreSpecCount", 0)) * cpus_per_core
        effective = int(record.get("CPUEfctv", cpus - spared))
        memory = int(record["RealMemory"]) - int(record.get("MemSpecLimit", 0))
        name, state = record["NodeName"], record["State"]
    except (KeyError, ValueError, ZeroDivisionError) as error:
        node = record.get("NodeName", "a node")
        message = f"the record of {node} from scontrol cannot be read: {error}"
        raise BackendError(message) from error
    states = re.split(r"[^A-Z_]+", state.upper())
    return Node(
        name=name,
        hardware=Hardware(
            cores=max(1, effective // cpus_per_core),
            threads_per_core=cpus_per_core,
            memory=max(1, memory),
            gpus=count_gpus(record.get("Gres", "")),
        ),
        partitions=tuple(filter(None, record.get("Partitions", "").split(","))),
        # In older versions an asterisk marks a node that does not answer.
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
    """Return a limit as SLURM writes it, or `None` if there is none."""
    return None if value is None or value.upper() in _NO_LIMIT else value


def preempts(mode: str) -> bool:
    """Whether a PreemptMode stops jobs.

    Examples
    --------
    >>> preempts("REQUEUE"), preempts("GANG,SUSPEND"), preempts("OFF")
    (True, True, False)
    """
    return not {"CANCEL", "REQUEUE", "SUSPEND"}.isdisjoint(mode.upper().split(","))


def stopped_for_others(
    records: Mapping[str, Record], nodes: Iterable[Node], settings: Record
) -> set[str]:
    """Return the partitions whose jobs SLURM may stop for those of a higher PriorityTier."""
    if settings.get("PreemptType") != "preempt/partition_prio":
        return set()
    tiers = {name: int(record.get("PriorityTier", 1)) for name, record in records.items()}
    together = {frozenset(node.partitions) for node in nodes}
    return {
        name
        for names in together
        for name in names & records.keys()
        if preempts(records[name].get("PreemptMode", "OFF"))
        and any(tiers[other] > tiers[name] for other in names & records.keys())
    }


def why_closed(record: Record, nodes: Sequence[Node]) -> str | None:
    """Return why no job of an ordinary user can start in a partition; `None` if one can."""
    if (state := record.get("State", "UP")) != "UP":
        return f"its state is {state}"
    if record.get("RootOnly") == "YES":
        return "it is only for root"
    if record.get("ReqResv") == "YES":
        return "it needs a reservation"
    if record.get("MaxNodes") == "0":
        return "no job may have a node there"
    if not nodes:
        return "it has no nodes"
    present = Counter(node.hardware for node in nodes if not node.away)
    if not present:
        return "all its nodes are down or drained"
    least = least_nodes(record)
    return None if max(present.values()) >= least else f"a job there has at least {least} nodes"


def partitions_of(
    record: Record, nodes: Sequence[Node], settings: Record, *, taken: Container[str]
) -> list[Partition]:
    """Return a partition for each kind of nodes in a partition of SLURM.

    The kind with the most nodes keeps the name; the others have a number after it.

    Parameters
    ----------
    nodes
        The nodes of the partition, of which at least one is not away.
    settings
        Those of SLURM, for what the partition does not say itself.
    taken
        Names that are in use.
    """
    slurm_name = record["PartitionName"]
    present = Counter(node.hardware for node in nodes if not node.away)
    kinds = _kinds(record, nodes)
    names = (f"{slurm_name}-{k}" for k in range(2, 10**6))
    free = (name for name in names if name not in taken)
    most_cpus = limit(record.get("MaxCPUsPerNode"))
    longest = limit(record.get("MaxTime"))
    most_nodes = limit(record.get("MaxNodes"))
    whole_nodes = settings.get("SelectType") == "select/linear"
    made: list[Partition] = []
    for kind in kinds:
        cores = kind.cores
        if most_cpus is not None:
            cores = max(1, min(cores, int(most_cpus) // kind.threads_per_core))
        made.append(
            Partition(
                name=next(free) if made else slurm_name,
                nodes=present[kind],
                cores=cores,
                threads_per_core=kind.threads_per_core,
                memory=kind.memory,
                gpus=kind.gpus,
                exclusive=whole_nodes or gives_whole_nodes(record),
                walltime=parse_duration(longest) if longest is not None else None,
                nodes_per_job=int(most_nodes) if most_nodes is not None else None,
                least_nodes_per_job=least_nodes(record),
                memory_per_core=_per_core("MaxMemPerCPU", kind, record, settings),
                default_memory_per_core=_per_core("DefMemPerCPU", kind, record, settings),
                slurm_name=slurm_name if made else None,
                accounts=_allowed(record),
                note="; ".join(_notes(record, nodes, kind, len(kinds))) or None,
            )
        )
    return made


def names_of(
    record: Record, nodes: Sequence[Node], kinds: Sequence[Partition]
) -> dict[Partition, tuple[str, ...]]:
    """Return the names of the nodes that each kind of a partition has."""
    present: dict[Hardware, list[str]] = {}
    for node in nodes:
        if not node.away and record["PartitionName"] in node.partitions:
            present.setdefault(node.hardware, []).append(node.name)
    names = [present[kind] for kind in _kinds(record, nodes)]
    return {kind: tuple(mine) for kind, mine in zip(kinds, names, strict=True)}


def _kinds(record: Record, nodes: Sequence[Node]) -> list[Hardware]:
    """Return the kinds of nodes on which jobs can start, those of most nodes first."""
    present = Counter(
        node.hardware
        for node in nodes
        if not node.away and record["PartitionName"] in node.partitions
    )
    kinds = [kind for kind in present if present[kind] >= least_nodes(record)]
    return sorted(kinds, key=lambda kind: (present[kind], kind), reverse=True)


def _per_core(key: str, kind: Hardware, record: Record, settings: Record) -> int | None:
    """Return an amount of memory for each CPU as one for each core."""
    amount = limit(record.get(key)) or limit(settings.get(key))
    return int(amount) * kind.threads_per_core if amount else None


def gives_whole_nodes(record: Record) -> bool:
    """Whether jobs of a partition get whole nodes, in the words of old and new versions.

    Examples
    --------
    >>> [gives_whole_nodes(r) for r in ({"OverSubscribe": "EXCLUSIVE"}, {"Exclusive": "NODE"})]
    [True, True]
    >>> gives_whole_nodes({"OverSubscribe": "NO", "Exclusive": "USER"})
    False
    """
    said = record.get("Exclusive", "NO").upper().split(",")
    return record.get("OverSubscribe") == "EXCLUSIVE" or "NODE" in said or whole_blocks(record)


def whole_blocks(record: Record) -> bool:
    """Whether jobs of a partition get all nodes of a block of the network."""
    said = record.get("Exclusive", "NO").upper().split(",")
    return "TOPO" in said or record.get("ExclusiveTopo") == "YES"


def _allowed(record: Record) -> tuple[str, ...]:
    """Return the accounts whose jobs may be in a partition; empty is all."""
    allowed = record.get("AllowAccounts", "ALL")
    return () if allowed == "ALL" else tuple(allowed.split(","))


def _notes(record: Record, nodes: Sequence[Node], kind: Hardware, kinds: int) -> Iterator[str]:
    """Yield facts about a partition that its figures do not show."""
    mine = [node for node in nodes if node.hardware == kind]
    if away := sum(node.away for node in mine):
        yield f"{away} of {len(mine)} nodes are down or drained and not counted"
    if kinds > 1:
        yield f"one of {kinds} kinds of nodes in SLURM's partition {record['PartitionName']}"
    if amount := limit(record.get("DefMemPerNode")):
        yield f"without --mem, SLURM allocates {amount} MB per node"
    if record.get("AllowGroups", "ALL") != "ALL":
        yield f"only for groups {record['AllowGroups'].replace(',', ', ')}"
    if record.get("ExclusiveUser") == "YES" or "USER" in record.get("Exclusive", "").upper():
        yield "jobs share nodes only with those of the same user"
    if kind.memory == 1:
        yield "SLURM does not know the memory of these nodes: fill it in"


def lost_limits(record: Record) -> list[str]:
    """List the limits of a partition that a cluster file cannot express."""
    keys = ("DenyAccounts", "MaxMemPerNode", "MaxCPUsPerSocket")
    lost = [f"{key}={value}" for key in keys if (value := limit(record.get(key)))]
    if whole_blocks(record):
        lost.append("a job gets all nodes of a block of the network, of which only its own count")
    return lost


def least_nodes(record: Record) -> int:
    """Return the fewest nodes that a job in a partition has."""
    return max(1, int(record.get("MinNodes", 1)))
