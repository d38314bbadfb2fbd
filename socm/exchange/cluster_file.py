"""A `Cluster` as the text of a cluster file, with the source and date of each figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date

from socm.config.sbatch import SbatchOptions
from socm.config.writing import comment_text, quoted
from socm.model.allowance import LIMITS, Allowance
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.model.site import SitePart
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
        for key in ("name", "description", "source", "checked", "account", "limits")
        if (value := getattr(cluster, key)) is not None
    ]
    if cluster.account_required:
        lines.append("account-required = true")
    lines += _options(cluster.options)
    for partition in cluster.partitions:
        lines += ["", "[[partitions]]", *_entries(partition, _SPELLED)]
    for qos in cluster.qos:
        lines += ["", "[[qos]]", *_entries(qos, {})]
    for window in cluster.maintenance:
        given = {f.name: getattr(window, f.name) for f in fields(window)}
        lines += ["", "[[maintenance]]"]
        lines += [f"{key} = {_value(key, value)}" for key, value in given.items() if value]
    return "\n".join(lines) + "\n"


def _entries(section: Partition | Qos, spelled: dict[str, str]) -> Iterator[str]:
    """Yield a line for each value that differs from its default."""
    of_any_part = {field.name for field in fields(SitePart)} - {"name"}
    for entry in sorted(fields(section), key=lambda field: field.name in of_any_part):
        value = getattr(section, entry.name)
        if entry.name == "options":
            yield from _options(value)
        elif value != entry.default:
            key = spelled.get(entry.name, entry.name.replace("_", "-"))
            unit = "  # MB" if "memory" in entry.name else ""
            yield f"{key} = {_value(entry.name, value)}{unit}"


def _options(options: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each option of sbatch that has a key, and one for the others."""
    others = []
    for name, value in options.items():
        if name == "nice":
            yield f"nice = {value}"
        elif name.replace("-", "_") in SbatchOptions.model_fields:
            yield f"{name} = {quoted(value)}"
        else:
            others.append(f"--{name}={value}" if value else f"--{name}")
    if others:
        yield f"sbatch-options = {_value('sbatch-options', tuple(others))}"


def _value(key: str, value: object) -> str:
    """Write a value as TOML."""
    if key == "walltime" and isinstance(value, int):
        return quoted(format_walltime(value))
    if key == "checked" and isinstance(value, str) and _is_date(value):
        return value
    if isinstance(value, Allowance):
        given = [(each, of) for each in LIMITS if (of := getattr(value, each)) is not None]
        written = [f"{each.replace('_', '-')} = {_value(each, of)}" for each, of in given]
        return f"{{ {', '.join(written)} }}" if written else "{}"
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
