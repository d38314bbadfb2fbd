"""What pipelines ask of sbatch beside the size of their jobs: keys of `resources` and arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from socm.config.sbatch import SbatchOptions
from socm.model.cluster import Cluster
from socm.spelling import kebab, snake

MOST_TASKS = 10_000
"""The most tasks of an array that become stages."""
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::([1-9]\d{0,8}))?)?")


def settings(asked: Mapping[str, object], cluster: Cluster) -> dict[str, object]:
    """Return what is asked of sbatch that has a key in ``resources``.

    A partition or a QOS that the cluster does not have is left out: it is one of another cluster.

    Examples
    --------
    >>> settings({"qos": "night", "account": 17, "mail_user": "me@home", "nodes": 4},
    ...          Cluster(name="none", partitions=()))
    {'account': '17', 'mail-user': 'me@home'}
    """
    known: dict[str, Mapping[str, object]] = {
        "partition": cluster.by_partition,
        "qos": cluster.by_qos,
    }
    found: dict[str, object] = {}
    for key, value in asked.items():
        name = snake(key)
        if value is None:
            continue
        if name == "account" or (name in known and str(value) in known[name]):
            found[name] = str(value)
        elif name in SbatchOptions.model_fields:
            found[kebab(name)] = value
    return found


def taken(asked: Mapping[str, object], cluster: Cluster) -> frozenset[str]:
    """Return which keys of what is asked of sbatch are in its `settings`."""
    return frozenset(key for key, value in asked.items() if settings({key: value}, cluster))


def array_tasks(text: str) -> list[str]:
    """Return the tasks of an array as SLURM writes it; what follows ``%`` is not one of them.

    Examples
    --------
    >>> array_tasks("0-2"), array_tasks("1,4-8:2%3"), array_tasks("7")
    (['0', '1', '2'], ['1', '4', '6', '8'], ['7'])

    Raises
    ------
    ValueError
        If it is not an array, or has more tasks than can become stages.
    """
    found = dict.fromkeys(_tasks(text.partition("%")[0]))
    return [str(task) for task in found]


def _tasks(text: str) -> Iterator[int]:
    number = 0
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{text!r} is not an array of tasks such as 0-9")
        first, last, step = (int(group or 0) for group in match.groups())
        last = last if match[2] else first
        if last < first:
            raise ValueError(f"{text!r} is not an array: {last} comes before {first}")
        tasks = range(first, last + 1, step or 1)
        number += len(tasks)
        if number > MOST_TASKS:
            raise ValueError(f"an array of more than {MOST_TASKS} tasks")
        yield from tasks
