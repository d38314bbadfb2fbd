"""Cluster files: built-in ones, and those of users."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from socm.config.reading import read_section
from socm.config.sbatch import SbatchOptions
from socm.config.schema import ClusterFile, LimitsSection
from socm.config.source import Source, read
from socm.errors import ConfigError, Problem, did_you_mean
from socm.model.allowance import Allowance
from socm.model.cluster import Cluster
from socm.model.machine import ALLOCATION, LOCAL, this_machine
from socm.model.maintenance import Maintenance
from socm.model.partition import Partition
from socm.model.qos import Qos

_SPELLED_OTHERWISE = {"cores_per_node", "memory_per_node", "gpus_per_node", "limits"}
OPTIONS = {*SbatchOptions.model_fields}


def builtin_clusters() -> dict[str, Path]:
    """Return the cluster files that come with socm, by name.

    Examples
    --------
    >>> sorted(builtin_clusters())
    ['perlmutter', 'tiger3', 'universe']
    """
    folder = Path(str(files("socm.clusters")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_cluster(name: str, *, folder: Path | None = None) -> Cluster:
    """Load a built-in cluster by its name, or any other by the path of its file.

    Parameters
    ----------
    name
        ``"tiger3"``, ``"local"`` for this machine, ``"allocation"`` for the one that this
        process is in, or a path that ends in ``.toml``.
    folder
        The folder that a relative path starts from; the current folder if not given.

    Raises
    ------
    ConfigError
        If there is no such cluster, or with every problem in its file.

    Examples
    --------
    >>> load_cluster("tiger3").partitions[0].cores
    112
    """
    builtin = builtin_clusters()
    if name == LOCAL:
        return this_machine()
    if name == ALLOCATION:
        from socm.executor.slurm.allocation import this_allocation

        return this_allocation()
    if name in builtin:
        return _builtin(builtin[name])
    if name.endswith(".toml") or "/" in name:
        path = Path(os.path.expanduser(name))
        path = (folder or Path()) / path
        return replace(_from_source(read(path)), file=str(path.absolute()))
    known = [*builtin, LOCAL]
    hint = did_you_mean(name, known) or f"known are {', '.join(known)}, or a path to a .toml"
    raise ConfigError(Problem(message=f"unknown cluster {name!r}", hint=hint))


@cache
def _builtin(path: Path) -> Cluster:
    """Load a file that comes with socm, once: it does not change while a process lives."""
    return _from_source(read(path))


def _from_source(source: Source) -> Cluster:
    problems: list[Problem] = []
    section = read_section(ClusterFile, source.data, source, (), problems)
    if section is None:
        raise ConfigError(*problems)
    for what, names in (
        ("partitions", [p.name for p in section.partitions]),
        ("qos", [q.name for q in section.qos]),
    ):
        problems += [
            source.problem((what,), f"{what}: {name!r} is given {count} times")
            for name, count in Counter(names).items()
            if count > 1
        ]
    problems += [
        source.problem(
            ("partitions", index, "least_nodes_per_job"),
            f"partition {p.name!r}: a job has at least {p.least_nodes_per_job} nodes, "
            f"and at most {most}",
        )
        for index, p in enumerate(section.partitions)
        if p.least_nodes_per_job > (most := min(p.nodes, p.nodes_per_job or p.nodes))
    ]
    node: dict[str, tuple[int, int, int]] = {}
    for index, p in enumerate(section.partitions):
        has = (p.cores_per_node, p.memory_per_node, p.gpus_per_node)
        if node.setdefault(p.nodes_of or p.name, has) != has:
            message = f"partition {p.name!r}: other partitions have other nodes of {p.nodes_of!r}"
            hint = "cores, memory and GPUs of a node that they share are the same"
            problems.append(source.problem(("partitions", index, "nodes_of"), message, hint))
    known = [p.name for p in section.partitions]
    problems += [
        source.problem(
            ("qos", index, "partitions"),
            f"QOS {qos.name!r}: there is no partition {name!r}",
            did_you_mean(name, known),
        )
        for index, qos in enumerate(section.qos)
        for name in qos.partitions
        if name not in known
    ]
    problems += [
        source.problem(
            ("maintenance", index, "partitions"),
            f"maintenance: there is no partition {name!r}",
            did_you_mean(name, known),
        )
        for index, window in enumerate(section.maintenance)
        for name in window.partitions
        if name not in known
    ]
    if problems:
        raise ConfigError(*problems)
    return Cluster(
        name=section.name,
        description=section.description,
        source=section.source,
        checked=section.checked,
        account=section.account,
        account_required=section.account_required,
        options=section.sbatch(),
        limits=_limits(section.limits),
        partitions=tuple(
            Partition(
                cores=p.cores_per_node,
                memory=p.memory_per_node,
                gpus=p.gpus_per_node,
                options=p.sbatch(),
                limits=_limits(p.limits),
                **p.model_dump(exclude={*_SPELLED_OTHERWISE, *OPTIONS}),
            )
            for p in section.partitions
        ),
        qos=tuple(Qos(options=q.sbatch(), **q.model_dump(exclude=OPTIONS)) for q in section.qos),
        maintenance=tuple(Maintenance(**m.model_dump()) for m in section.maintenance),
    )


def _limits(section: LimitsSection | None) -> Allowance | None:
    return None if section is None else Allowance(**section.model_dump())
