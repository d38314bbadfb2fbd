"""The allocation within which a process runs: its nodes, its end, and the steps in it."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from socm.errors import BackendUnavailable
from socm.executor.slurm.answers import SEPARATOR, epoch, node_names
from socm.executor.slurm.client import Client
from socm.model.cluster import Cluster
from socm.model.machine import ALLOCATION
from socm.model.partition import Partition

_GROUP = re.compile(r"\bNodes=(\S+) CPU_IDs=(\S+) Mem=(\d+) GRES=(\S*)")
_OF_NODE = re.compile(r"\b(NodeName|ThreadsPerCore|RealMemory|MemSpecLimit)=(\w\S*)")
_GONE = "invalid job id"


@dataclass(frozen=True, kw_only=True)
class HeldNode:
    """What an allocation has of one node: physical cores, usable MB and GPUs."""

    name: str
    cores: int
    threads_per_core: int
    memory: int
    gpus: int

    def holds(self, partition: Partition) -> bool:
        """Whether it can stand for a node of a partition."""
        return (
            self.cores >= partition.cores
            and self.memory >= partition.memory
            and self.gpus >= partition.gpus
        )


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """An allocation, as SLURM knows it now.

    Parameters
    ----------
    native_id
        Id of its job.
    nodes
        Its nodes.
    end
        When it ends at the latest, or has ended, in seconds of the epoch; infinite if that is not
        known.
    over
        Whether it has ended, or is about to.
    """

    native_id: str
    nodes: tuple[HeldNode, ...] = ()
    end: float = math.inf
    over: bool = False


def allocation_id() -> str | None:
    """Return the id of the allocation that this process runs in; `None` if it runs in none."""
    return os.environ.get("SLURM_JOB_ID") or None


def need_allocation() -> str:
    """Return the id of the allocation that this process runs in.

    Raises
    ------
    BackendUnavailable
        If it runs in none.
    """
    native_id = allocation_id()
    if native_id is None:
        hint = "`salloc --nodes=4 --exclusive --mem=0 --time=8:00:00` makes one"
        raise BackendUnavailable("this is not inside of an allocation of SLURM", hint=hint)
    return native_id


def ask_allocation(client: Client, native_id: str) -> Allocation:
    """Ask SLURM for an allocation; one that it does not know any more is over.

    Raises
    ------
    BackendUnavailable
        If there was no answer, or none that is understood.
    """
    answer = client.run("scontrol", "-o", "-d", "show", "job", native_id)
    if answer.code and _GONE in answer.err.lower():
        return Allocation(native_id=native_id, over=True)
    state = re.search(r"\bJobState=(\S+)", answer.out)
    if answer.code or state is None:
        raise BackendUnavailable(f"`scontrol show job {native_id}` failed: {answer.last_line}")
    found = re.search(r"\bEndTime=(\S+)", answer.out)
    end = epoch(found[1]) if found else None
    end = math.inf if end is None else end
    if state[1] not in ("RUNNING", "SUSPENDED"):
        return Allocation(native_id=native_id, end=end, over=True)
    names = [name for group in _GROUP.findall(answer.out) for name in node_names(group[0])]
    threads, memory = _of_nodes(client, names)
    nodes = parse_nodes(answer.out, threads, memory)
    return Allocation(native_id=native_id, nodes=nodes, end=end)


def parse_nodes(text: str, threads: dict[str, int], memory: dict[str, int]) -> tuple[HeldNode, ...]:
    """Read what ``scontrol show job`` says of the nodes of a job.

    Parameters
    ----------
    threads, memory
        Of each node: hardware threads per core; and the MB that it has where the job has no limit.

    Examples
    --------
    >>> text = "Nodes=n[1-2] CPU_IDs=0-15 Mem=4000 GRES=gpu:h100:3(IDX:0-2) MinCPUsNode=1"
    >>> parse_nodes(text, {"n1": 2, "n2": 2}, {})[1]
    HeldNode(name='n2', cores=8, threads_per_core=2, memory=4000, gpus=3)
    """
    return tuple(
        HeldNode(
            name=name,
            cores=_length(cpus) // threads[name],
            threads_per_core=threads[name],
            memory=int(megabytes) or memory[name],
            gpus=sum(int(number) for number in re.findall(r"\bgpu:(?:[^:,(]+:)?(\d+)", gres)),
        )
        for nodes, cpus, megabytes, gres in _GROUP.findall(text)
        for name in node_names(nodes)
    )


def _length(ranges: str) -> int:
    """Count what is in ranges such as ``0-3,8``."""
    ends = (part.partition("-") for part in ranges.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)


def _of_nodes(client: Client, names: Collection[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Return threads per core and usable MB of nodes."""
    threads, memory = {}, {}
    for line in client.ask("scontrol", "-o", "show", "node", ",".join(names)).splitlines():
        said = dict(_OF_NODE.findall(line))
        if name := said.get("NodeName"):
            threads[name] = int(said.get("ThreadsPerCore", 1))
            memory[name] = int(said.get("RealMemory", 1)) - int(said.get("MemSpecLimit", 0))
    if missing := sorted(set(names) - set(threads)):
        raise BackendUnavailable(f"`scontrol show node` says nothing of {', '.join(missing)}")
    return threads, memory


def cluster_of(allocation: Allocation) -> Cluster:
    """Return an allocation as a cluster: its nodes of one kind are a partition.

    Examples
    --------
    >>> nodes = [HeldNode(name=f"n{k}", cores=8, threads_per_core=1, memory=4000, gpus=0)
    ...          for k in range(3)]
    >>> [p.nodes for p in cluster_of(Allocation(native_id="7", nodes=tuple(nodes))).partitions]
    [3]
    """
    kinds = Counter((n.cores, n.threads_per_core, n.memory, n.gpus) for n in allocation.nodes)
    partitions = tuple(
        Partition(
            name="nodes" if number == 1 else f"nodes-{number}",
            nodes=nodes,
            cores=cores,
            threads_per_core=threads,
            memory=memory,
            gpus=gpus,
            note=f"of job {allocation.native_id}",
        )
        for number, ((cores, threads, memory, gpus), nodes) in enumerate(kinds.items(), 1)
    )
    return Cluster(name=ALLOCATION, partitions=partitions)


def this_allocation() -> Cluster:
    """Return the allocation that this process runs in as a cluster.

    Raises
    ------
    BackendUnavailable
        If it runs in none, or SLURM gives no answer.
    """
    allocation = ask_allocation(Client(), need_allocation())
    if allocation.over or not allocation.nodes:
        raise BackendUnavailable(f"the allocation {allocation.native_id} has ended")
    return cluster_of(allocation)


def end_steps(client: Client, native_id: str, name: str) -> bool:
    """Ask for the end of the steps of a name; return whether there are any.

    Raises
    ------
    BackendUnavailable
        If SLURM gives no answer.
    """
    columns = SEPARATOR.join(("%i", "%j"))
    out = client.ask("squeue", "-h", "-s", "-j", native_id, "-o", columns)
    lines = (line.strip().partition(SEPARATOR) for line in out.splitlines())
    steps = [step for step, _, step_name in lines if step_name == name]
    if steps:
        client.run("scancel", "--signal=KILL", *steps)
    return bool(steps)
