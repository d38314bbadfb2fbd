"""The effect of an edit, in tables and as data."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.model.allocation import AnyPlan
from socm.model.difference import Change, Difference, Side
from socm.units import (
    duration_text,
    format_core_hours,
    format_count,
    format_duration,
    format_walltime,
    memory_text,
)
from socm.words import listed

_TIMES = frozenset({"deadline", "runtime", "walltime"})
_LONGEST = 60
"""The most characters of a value that are shown."""


def diff_document(a: Side, b: Side, found: Difference) -> dict[str, Any]:
    """Return a difference as JSON data."""

    def changes(found: Iterable[Change], subject: str) -> list[dict[str, Any]]:
        return [{subject: c.subject, "key": c.key, "a": c.before, "b": c.after} for c in found]

    return {
        "schema": "socm.diff/1",
        "differ": bool(found),
        "a": _side(a),
        "b": _side(b),
        "campaign": [{"key": c.key, "a": c.before, "b": c.after} for c in found.campaign],
        "cluster": changes(found.cluster, "of"),
        "added": [*found.added],
        "removed": [*found.removed],
        "changed": changes(found.changed, "workflow"),
        "planned": changes(found.planned, "workflow"),
    }


def _side(side: Side) -> dict[str, Any]:
    plan = side.plan
    return {
        "campaign": side.campaign.name,
        "cluster": side.cluster.name,
        "fingerprint": side.campaign.fingerprint,
        "workflows": len(side.campaign.workflows),
        "deadline_s": side.campaign.deadline,
        "feasible": plan is not None and plan.feasible,
        "makespan_s": plan and plan.makespan,
        "margin_s": plan and plan.margin,
        "lower_bound_s": plan and plan.lower_bound,
        "nodes": plan and plan.peak_nodes,
        "core_hours": plan and plan.core_hours,
        "charged_core_hours": plan and plan.charged_core_hours,
        "reasons": [*side.reasons],
    }


class _Figure(NamedTuple):
    """A figure of a plan, how it is written, how a step of it is, and which way a step goes."""

    name: str
    value: Callable[[AnyPlan], float | None]
    write: Callable[[float], str]
    step: Callable[[float], str]
    words: tuple[str, str]


def _seconds(value: float) -> str:
    return format_walltime(int(value)) if value >= 0 else f"-{format_walltime(int(-value))}"


_TIMING, _AMOUNT, _COUNT = ("sooner", "later"), ("less", "more"), ("fewer", "more")
_FIGURES = (
    _Figure("makespan", lambda p: p.makespan, _seconds, format_duration, _TIMING),
    _Figure("deadline", lambda p: p.campaign.deadline, _seconds, format_duration, _TIMING),
    _Figure("margin", lambda p: p.margin, _seconds, format_duration, _AMOUNT),
    _Figure("lower bound", lambda p: p.lower_bound, _seconds, format_duration, _AMOUNT),
    _Figure("nodes", lambda p: p.peak_nodes, format_count, format_count, _COUNT),
    _Figure("core-hours", lambda p: p.core_hours, format_core_hours, format_core_hours, _AMOUNT),
)
_CHARGED = _Figure(
    "charged", lambda p: p.charged_core_hours, format_core_hours, format_core_hours, _AMOUNT
)


def figures_table(a: Side, b: Side, names: tuple[str, str]) -> Table:
    """Return the figures of both sides, and by how much they differ."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    plans = [plan for plan in (a.plan, b.plan) if plan is not None]
    charged = any(plan.charged_core_hours != plan.core_hours for plan in plans)
    workflows = _Figure("workflows", lambda p: None, format_count, format_count, _COUNT)
    _row(table, workflows, len(a.campaign.workflows), len(b.campaign.workflows))
    for figure in (*_FIGURES, *([_CHARGED] if charged else [])):
        old, new = (None if plan is None else figure.value(plan) for plan in (a.plan, b.plan))
        _row(table, figure, old, new)
    table.add_row("", _verdict(a.plan), _verdict(b.plan), "")
    return table


def _verdict(plan: AnyPlan | None) -> str:
    if plan is None:
        return "no plan"
    if plan.campaign.deadline is None:
        return "no deadline"
    return "in time" if plan.feasible else "late"


def _row(table: Table, figure: _Figure, old: float | None, new: float | None) -> None:
    """Add a row for a figure, unless neither side has it."""
    if old is None and new is None:
        return
    step = ""
    if old is not None and new is not None:
        size = figure.step(abs(new - old))
        if size != figure.step(0):
            step = f"{size} {figure.words[new > old]}"
    table.add_row(figure.name, *("-" if v is None else figure.write(v) for v in (old, new)), step)


def changes_table(found: Difference, most: int | None) -> Table:
    """Return what differs, line by line.

    Parameters
    ----------
    most
        The most lines of each part; `None` is no limit. The workflows whose start moved furthest
        come first.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    added, removed = (
        names if most is None or len(names) <= most else [listed(names)]
        for names in (found.added, found.removed)
    )
    for title, lines, changes in (
        ("campaign", [_text(c) for c in found.campaign], ()),
        ("cluster", [_of(c) for c in found.cluster], ()),
        ("added", added, ()),
        ("removed", removed, ()),
        ("changed", [_of(c) for c in found.changed], found.changed),
        ("planned", _moves(found.planned), found.planned),
    ):
        for k, line in enumerate(lines[:most]):
            table.add_row("" if k else title, line)
        if most is not None and len(lines) > most:
            more = f"and {format_count(len(lines) - most)} more (--all lists all)"
            keys = Counter(change.key for change in changes).most_common()
            parts = ", ".join(f"{key} of {format_count(times)}" for key, times in keys)
            table.add_row("", f"{more}; in all {parts}" if parts else more)
    return table


def _of(change: Change) -> str:
    """Write a change, after the name of what has changed."""
    return f"{change.subject}: {_text(change)}" if change.subject else _text(change)


def _moves(changes: Sequence[Change]) -> list[str]:
    """Write for each workflow how its place in the plan differs, the furthest first."""
    by_name: dict[str, dict[str, Change]] = {}
    for change in changes:
        by_name.setdefault(change.subject, {})[change.key] = change

    def far(name: str) -> int:
        start = by_name[name].get("start")
        return abs(start.after - start.before) if start else 0

    ranked = sorted(by_name, key=far, reverse=True)
    return [f"{name}: {', '.join(_move(by_name[name]))}" for name in ranked]


def _move(changes: Mapping[str, Change]) -> Iterator[str]:
    for key, change in changes.items():
        if key == "finish":
            if "start" not in changes:
                ends = format_walltime(change.after), format_walltime(change.before)
                yield "ends at {} instead of {}".format(*ends)
        elif key == "start":
            moved = change.after - change.before
            yield (
                f"starts at {format_walltime(change.after)} instead of "
                f"{format_walltime(change.before)}, {format_duration(abs(moved))} "
                + ("later" if moved > 0 else "sooner")
            )
        else:
            yield _text(change)


def _text(change: Change) -> str:
    """Write a change as ``key old → new``."""
    if change.key == "there":
        return "is new" if change.after else "is removed"
    before, after = (_value(change.key, value) for value in (change.before, change.after))
    name = "QOS" if change.key == "qos" else change.key.replace("_", "-")
    return f"{name} {before} → {after}"


def _value(key: str, value: Any) -> str:
    """Write a value in the unit of its key.

    Examples
    --------
    >>> _value("runtime", 5400), _value("command", ("make", "a map")), _value("qos", None)
    ('1h30m', "make 'a map'", '-')
    """
    if value is None or value == () or value == {}:
        return "-"
    if key in _TIMES and isinstance(value, int):
        return duration_text(value)
    if key == "memory":
        return memory_text(value)
    if key == "command":
        text = shlex.join(value)
    elif isinstance(value, list | tuple):
        text = ", ".join(map(str, value))
    elif isinstance(value, Mapping):
        text = ", ".join(f"{k}={v}" for k, v in value.items())
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
