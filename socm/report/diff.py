"""What an edit did, in tables and as data."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.model.allocation import AnyPlan
from socm.model.difference import Change, Difference, Side
from socm.planner.whynot.words import names_in_words
from socm.units import (
    duration_text,
    format_core_hours,
    format_count,
    format_duration,
    format_walltime,
    memory_text,
)

_TIMES = frozenset({"deadline", "runtime", "walltime"})
_LONGEST = 60
"""So many characters of a value are shown."""


def diff_document(a: Side, b: Side, found: Difference) -> dict[str, Any]:
    """Return a difference as JSON data."""

    def changes(of: Iterable[Change], what: str) -> list[dict[str, Any]]:
        return [{what: c.subject, "key": c.key, "a": c.before, "b": c.after} for c in of]

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
        "margin_s": margin(plan) if plan else None,
        "lower_bound_s": plan and plan.lower_bound,
        "nodes": plan and plan.peak_nodes,
        "core_hours": plan and plan.core_hours,
        "charged_core_hours": plan and plan.charged_core_hours,
        "reasons": [*side.reasons],
    }


def margin(plan: AnyPlan) -> int | None:
    """Return the seconds from a plan's end to its deadline; `None` if there is none."""
    deadline = plan.campaign.deadline
    return None if deadline is None else deadline - plan.makespan


def figures_table(a: Side, b: Side, names: tuple[str, str]) -> Table:
    """Return the figures of both, side by side, and by how much they differ."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("", overflow="fold")

    def seconds(value: float) -> str:
        return format_walltime(int(value)) if value >= 0 else f"-{format_walltime(int(-value))}"

    count = len(a.campaign.workflows), len(b.campaign.workflows)
    _row(table, "workflows", count, format_count, format_count, ("fewer", "more"))
    plans = a.plan, b.plan
    for name, value, write, step, words in (
        ("makespan", lambda p: p.makespan, seconds, format_duration, ("sooner", "later")),
        ("deadline", lambda p: p.campaign.deadline, seconds, format_duration, ("sooner", "later")),
        ("margin", margin, seconds, format_duration, ("less", "more")),
        ("lower bound", lambda p: p.lower_bound, seconds, format_duration, ("less", "more")),
        ("nodes", lambda p: p.peak_nodes, format_count, format_count, ("fewer", "more")),
        ("core-hours", lambda p: p.core_hours, format_core_hours, format_core_hours, _MORE),
        ("charged", lambda p: p.charged_core_hours, format_core_hours, format_core_hours, _MORE),
    ):
        values = tuple(None if p is None else value(p) for p in plans)
        if name == "charged" and all(p is None or value(p) == p.core_hours for p in plans):
            continue
        _row(table, name, values, write, step, words)
    verdicts = ["no plan" if p is None else _verdict(p) for p in plans]
    table.add_row("", *verdicts, "")
    return table


_MORE = ("less", "more")


def _verdict(plan: AnyPlan) -> str:
    if plan.campaign.deadline is None:
        return "no deadline"
    return "in time" if plan.feasible else "late"


def _row(
    table: Table,
    name: str,
    values: tuple[Any, ...],
    write: Callable[[float], str],
    step: Callable[[float], str],
    words: tuple[str, str],
) -> None:
    """Add a figure of both; none where neither has it."""
    old, new = values
    if old is None and new is None:
        return
    by = ""
    if old is not None and new is not None and step(abs(new - old)) != step(0):
        by = f"{step(abs(new - old))} {words[new > old]}"
    table.add_row(name, *("-" if v is None else write(v) for v in values), by)


def changes_table(found: Difference, most: int | None) -> Table:
    """Return what differs, line by line.

    Parameters
    ----------
    most
        So many lines of workflows, and of their places, are listed; `None` is all. Of places
        those come first that moved the furthest.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    added, removed = (
        names if most is None or len(names) <= most else [names_in_words(names)]
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
            counts = Counter(change.key for change in changes).most_common()
            parts = [f"{key} of {format_count(count)}" for key, count in counts]
            more = f"and {format_count(len(lines) - most)} more (--all lists all)"
            table.add_row("", "; in all ".join([more, *([", ".join(parts)] if parts else [])]))
    return table


def _of(change: Change) -> str:
    """Write a change with whose value it is."""
    return f"{change.subject}: {_text(change)}" if change.subject else _text(change)


def _moves(changes: Sequence[Change]) -> list[str]:
    """Write for each workflow how its place differs, the furthest first."""
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
        return "is new" if change.after else "is not there any more"
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
