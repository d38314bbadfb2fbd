"""A `Cluster` as the text of a cluster file, with the source and date of each figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import date

from socm.config.writing import comment_text, quoted
from socm.model.cluster import Cluster, Partition, Qos
from socm.units import format_walltime

_SPELLED = {
    "cores": "cores-per-node",
    "memory": "memory-per-node",
    "gpus": "gpus-per-node",
}
"""Keys of a partition whose names differ from its fields."""


def cluster_toml(cluster: Cluster, *, comments: Iterable[str] = ()) -> str:
    """Write a cluster as the TOML text that loads as the same cluster again.

    Parameters
    ----------
    comments
        Lines of comments at the top.

    Examples
    --------
    >>> cpu = Partition(name="cpu", nodes=2, cores=8, memory=1000, walltime=86400)
    >>> print(cluster_toml(Cluster(name="small", partitions=(cpu,))), end="")
    name = "small"
    <BLANKLINE>
    [[partitions]]
    name = "cpu"
    nodes = 2
    cores-per-node = 8
    memory-per-node = 1000  # MB
    walltime = "1-00:00:00"
    """
    lines = [f"# {comment_text(comment)}" for comment in comments]
    lines += [
        f"{key} = {_value(key, value)}"
        for key in ("name", "description", "source", "checked")
        if (value := getattr(cluster, key)) is not None
    ]
    for partition in cluster.partitions:
        lines += ["", "[[partitions]]", *_entries(partition, _SPELLED)]
    for qos in cluster.qos:
        lines += ["", "[[qos]]", *_entries(qos, {})]
    return "\n".join(lines) + "\n"


def _entries(section: Partition | Qos, spelled: dict[str, str]) -> Iterator[str]:
    """Yield a line for each value that differs from its default."""
    for entry in fields(section):
        value = getattr(section, entry.name)
        if value != entry.default:
            key = spelled.get(entry.name, entry.name.replace("_", "-"))
            unit = "  # MB" if entry.name == "memory" else ""
            yield f"{key} = {_value(entry.name, value)}{unit}"


def _value(key: str, value: object) -> str:
    """Write a value as TOML."""
    if key == "walltime" and isinstance(value, int):
        return quoted(format_walltime(value))
    if key == "checked" and isinstance(value, str) and _is_date(value):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(quoted, value))}]"
    return quoted(value) if isinstance(value, str) else repr(value)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
