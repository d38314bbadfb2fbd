"""Tables of keys: those of a workflow type, and the values that a campaign resolved to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from socm.config.findings import Resolved
from socm.spelling import kebab
from socm.units import format_duration, format_memory


def resolved_table(values: Iterable[Resolved]) -> Table:
    """Return keys and values, and the origin of each."""
    table = Table.grid(padding=(0, 2))
    for style in ("", "", "dim"):
        table.add_column(style=style, overflow="fold")
    for value in values:
        table.add_row(kebab(value.key), _value(value), value.origin)
    return table


def _value(resolved: Resolved) -> str:
    """Write a value in the unit of its key."""
    value = resolved.value
    if value is None:
        return "-"
    if isinstance(value, int) and resolved.key in ("deadline", "runtime", "walltime"):
        return format_duration(value)
    if isinstance(value, int) and resolved.key == "memory":
        return format_memory(value) if value else "all of each node"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "-"
    return str(value)


def keys_table(keys: Iterable[Mapping[str, Any]]) -> Table:
    """Return the keys of a workflow type, with type, default and help."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("key", no_wrap=True)
    for title in ("type", "default"):
        table.add_column(title, overflow="fold", max_width=18)
    table.add_column("help", overflow="fold")
    for key in keys:
        default = "required" if key["required"] else _default(key["default"])
        also = f"Also {', '.join(key['aliases'])}." if key["aliases"] else ""
        text = f"{key['help']} {also}".strip()
        kind = f"{key['type']} ({key['unit']})" if key["unit"] else key["type"]
        table.add_row(key["name"], kind, default, text)
    return table


def _default(value: object) -> str:
    empty = value is None or value in ([], {})
    return "" if empty else str(value).lower() if isinstance(value, bool) else str(value)
