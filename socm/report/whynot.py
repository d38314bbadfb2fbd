"""Why a deadline is missed and what would meet it, in words and as JSON data."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from socm.model.campaign import Budget
from socm.model.charge import hours_in_words
from socm.model.plan import Plan
from socm.planner.whynot import Remedy, WhyNot
from socm.planner.whynot.bottlenecks import (
    Begun,
    CountedWork,
    CriticalPath,
    Lifted,
    Proven,
    QosWork,
    Work,
)
from socm.planner.whynot.changes import (
    Change,
    Deadline,
    Dropped,
    MoreHours,
    MoreNodes,
    MoreUses,
    NamedQos,
    OpenQos,
    RaisedBudget,
    RaisedLimit,
)
from socm.planner.whynot.trials import Less
from socm.spelling import kebab
from socm.units import (
    HOUR,
    duration_text,
    format_core_hours,
    format_count,
    format_duration,
    format_memory,
)
from socm.words import count, listed

_LESS = {
    Less.NONE: "the smallest step",
    Less.EXCLUDED: "no plan with less meets the deadline",
    Less.LATE: "one step less was planned and is late",
    Less.UNTRIED: "less was not tried",
}
_JOBS = {"running_jobs": "running job", "submit_jobs": "submitted job"}
_LONGEST_CHAIN = 4
"""Names of a chain that are written out; a longer one is shortened in the middle."""


def why_not_table(why: WhyNot) -> Table:
    """Return bottlenecks, remedies, and what does not help."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, lines in (
        ("bottleneck", [_bottleneck_line(b, why.late) for b in why.bottlenecks]),
        ("would fix it", [_remedy_line(r, why.late) for r in why.remedies]),
        ("would not help", [*_futile_texts(why)]),
    ):
        if title == "bottleneck" and not lines:
            lines = ["no single limit; a better plan may exist"]
        for k, line in enumerate(lines):
            table.add_row("" if k else title, line)
    limit = "" if why.complete else "; search limit reached"
    table.add_row("", f"({count(why.plans, 'plan')} tried{limit})", style="dim")
    return table


def next_command(why: WhyNot, command: Sequence[str]) -> str | None:
    """Return the command that tries a remedy without an edit of the file.

    Parameters
    ----------
    command
        The one that found the plan to be late.
    """
    for remedy in why.remedies:
        match remedy.change:
            case RaisedBudget(budget=Budget(cores=int(cores), nodes=None)):
                return f"SOCM_REQUESTED_RESOURCES={cores} {shlex.join(command)}"
    for remedy in why.remedies:
        match remedy.change:
            case Deadline(seconds=seconds):
                return f"SOCM_DEADLINE={duration_text(seconds)} {shlex.join(command)}"
    return None


def why_not_document(why: WhyNot) -> dict[str, Any]:
    """Return the same as JSON data."""
    return {
        "binding": [
            {
                "kind": kind,
                "text": text,
                "at_least_s": None if isinstance(b, Lifted) else b.at_least,
                "without_s": b.without if isinstance(b, Lifted) else None,
            }
            for b in why.bottlenecks
            for kind, text in [_bottleneck(b, why.late)]
        ],
        "remedies": [
            {
                "kind": words.kind,
                "text": words.text,
                "change": words.data,
                "makespan_s": r.makespan,
                "checked": _less_text(r, why.late),
            }
            for r in why.remedies
            for words in [_described(r.change, why.late)]
        ],
        "futile": [*_futile_texts(why)],
        "plans": why.plans,
        "complete": why.complete,
    }


# Bottlenecks


def _bottleneck(bottleneck: Proven | Lifted, late: Plan) -> tuple[str, str]:
    """Return the kind of a bottleneck, and its description."""
    match bottleneck:
        case Begun(workflow=name, at_least=end):
            return "begun", f"{name} has begun and ends after {format_duration(end)}"
        case CriticalPath(workflows=[name], seconds=seconds):
            return "critical-path", f"{name} alone takes {format_duration(seconds)}"
        case CriticalPath(workflows=names, seconds=seconds):
            takes = f"take {format_duration(seconds)}, one after the other"
            return "critical-path", f"{_chain(names)} {takes}"
        case Work(resource=resource, needed=needed, available=available):
            if resource == "memory":
                what, has = f"{format_memory(needed)} of memory", format_memory(available)
            else:
                noun = "core" if resource == "cores" else "GPU"
                what, has = count(math.ceil(needed), noun), format_count(available)
            average = f"an average of {what} is needed until the deadline"
            return resource, f"{average}; {_owner(bottleneck.budget)} {has}"
        case QosWork(qos=qos, limit=limit, needed=needed, available=available):
            cores = count(math.ceil(needed), "core")
            what = cores if limit == "cores" else f"{needed:.1f} {_JOBS[limit]}s"
            average = f"an average of {what} is needed until the deadline"
            only = f"QOS {qos}, the only one that admits {listed(bottleneck.workflows)},"
            return "qos", f"{average}; {only} allows {format_count(available)}"
        case CountedWork(name=name, needed=needed, available=available):
            average = f"an average of {needed:.1f} of {name} is needed until the deadline"
            return "limit", f"{average}; the limit is {format_count(available)}"
        case Lifted(change=change, without=makespan):
            words = _described(change, late)
            done = f"done after {format_duration(makespan)} with {words.whole}"
            return words.limit_kind, f"{words.limit}: {done}"
    bound = format_duration(bottleneck.at_least)
    return "lower-bound", f"dependencies and resources together: no plan ends before {bound}"


def _bottleneck_line(bottleneck: Proven | Lifted, late: Plan) -> str:
    _, text = _bottleneck(bottleneck, late)
    if isinstance(bottleneck, CriticalPath | Work | QosWork | CountedWork):
        return f"{text} (so at least {format_duration(bottleneck.at_least)})"
    return text


def _owner(budget: Budget) -> str:
    if budget.nodes is not None:
        return f"the budget of {count(budget.nodes, 'node')} has"
    return "the cluster has" if budget.cores is None else "the budget is"


def _chain(names: Sequence[str]) -> str:
    """Write a chain; the middle of a long one is left out.

    Examples
    --------
    >>> _chain(["map", "noise", "spectrum", "covariance", "plot"])
    'map → noise → … → plot (5 workflows)'
    >>> _chain(["map", "plot"])
    'map → plot'
    """
    if len(names) <= _LONGEST_CHAIN:
        return " → ".join(names)
    return f"{names[0]} → {names[1]} → … → {names[-1]} ({count(len(names), 'workflow')})"


# Changes


@dataclass(frozen=True, kw_only=True)
class _Described:
    """A change in words and as JSON data.

    Parameters
    ----------
    kind
        Of a remedy.
    data
        What changes.
    text
        The same, in words.
    limit
        What it raises, as it is in the late plan.
    limit_kind
        Of a bottleneck.
    whole
        The largest change of the kind, in words.
    """

    kind: str
    data: dict[str, Any]
    text: str
    limit: str = ""
    limit_kind: str = ""
    whole: str = ""


def _described(change: Change, late: Plan) -> _Described:
    campaign, cluster = late.campaign, late.cluster
    match change:
        case Deadline(seconds=seconds):
            now = duration_text(campaign.deadline or 0)
            return _Described(
                kind="deadline",
                data={"deadline_s": seconds},
                text=f"deadline {duration_text(seconds)} instead of {now}",
            )
        case RaisedBudget(budget=budget):
            return _budget(budget, late)
        case MoreNodes(partition=name, nodes=nodes):
            before = cluster.by_partition[name].nodes
            return _Described(
                kind="nodes",
                data={"partition": {"name": name, "nodes": nodes}},
                text=f"{nodes} nodes in {name} instead of {before}",
                limit=f"the {count(before, 'node')} of {name}",
                limit_kind="nodes",
                whole=f"{format_count(nodes)} nodes in {name}",
            )
        case RaisedLimit(qos=name, limit=limit, amount=amount):
            qos = cluster.by_qos[name]
            before = getattr(qos, limit) or 0
            noun = "core" if limit == "cores" else _JOBS[limit]
            return _Described(
                kind="qos",
                data={"limit": {"qos": name, limit: amount}},
                text=f"{limit.replace('_', '-')} {amount} in QOS {name} instead of {before}",
                limit=f"the limit of {count(before, noun)} of QOS {name}",
                limit_kind="qos",
                whole=f"any number of {noun}s in QOS {name}",
            )
        case MoreUses(name=name, amount=amount):
            before = campaign.limits[name]
            return _Described(
                kind="limit",
                data={"limits": {name: amount}},
                text=f"limits.{name} {amount} instead of {before}",
                limit=f"the limit of {format_count(before)} of {name}",
                limit_kind="limit",
                whole=f"any number of {name}",
            )
        case MoreHours(hours=enough):
            return _hours(enough, late.campaign.budget)
        case OpenQos(qos=name):
            return _Described(kind="qos", data={"open": name}, text="", whole=f"QOS {name} for all")
        case NamedQos(qos=named):
            by_qos: dict[str | None, list[str]] = {}
            for workflow, qos_name in named.items():
                by_qos.setdefault(qos_name, []).append(workflow)
            return _Described(
                kind="qos",
                data={"qos": dict(named)},
                text=" and ".join(
                    f"QOS {q}{_risk(q, late)} for {listed(names)}" for q, names in by_qos.items()
                ),
                whole="any QOS instead of those that are named",
            )
        case Dropped(workflows=names):
            gone = {*names}
            time = sum(w.cores * w.duration for w in late.workflows if w.name in gone)
            hours = format_core_hours(time / HOUR)
            return _Described(
                kind="drop",
                data={"drop": [*names]},
                text=f"without {listed(names)} ({hours} core-hours)",
            )


def _risk(qos: str | None, late: Plan) -> str:
    """Say of a QOS if SLURM may stop its jobs."""
    return " (preemptible)" if qos and late.cluster.by_qos[qos].preemptible else ""


def _budget(raised: Budget, late: Plan) -> _Described:
    now, parts = late.campaign.budget, []
    if raised.nodes is not None:
        parts.append(("nodes", "nodes", "node", raised.nodes, now.nodes or 0))
    if raised.cores is not None:
        parts.append(("cores", "requested_resources", "core", raised.cores, now.cores or 0))
    kind, _, noun, most, _ = parts[0]
    return _Described(
        kind=kind,
        data={"budget": {key: amount for key, _, _, amount, _ in parts}},
        text=" and ".join(f"{option} {amount}" for _, option, _, amount, _ in parts)
        + f" instead of {' and '.join(str(before) for *_, before in parts)}",
        limit=f"the budget of {' and '.join(count(b, noun) for _, _, noun, _, b in parts)}",
        limit_kind="budget",
        whole=f"all {count(most, noun)} of {late.cluster.name}",
    )


def _hours(enough: float, now: Budget) -> _Described:
    key = "core_hours" if now.node_hours is None else "node_hours"
    return _Described(
        kind="hours",
        data={"budget": {key: enough}},
        text=f"budget.{kebab(key)} {enough:g} instead of {now.hours:g}",
        limit=f"the budget of {hours_in_words(now.hours or 0.0, now)}",
        limit_kind="budget",
        whole=hours_in_words(enough, now),
    )


def _remedy_line(remedy: Remedy, late: Plan) -> str:
    done = f"done after {format_duration(remedy.makespan)}"
    return f"{_described(remedy.change, late).text}: {done}; {_less_text(remedy, late)}"


def _less_text(remedy: Remedy, late: Plan) -> str:
    """Say what is known of smaller changes."""
    match remedy.change:
        case Deadline():
            if remedy.less is Less.EXCLUDED:
                return "no plan ends sooner"
            return f"no plan ends before {format_duration(late.lower_bound)}"
        case Dropped():
            order = "lowest priority first, with all that depends on it"
            return f"{order}; {_LESS[remedy.less]}" if remedy.less is Less.UNTRIED else order
    return _LESS[remedy.less]


def _futile_texts(why: WhyNot) -> Iterator[str]:
    """Say what does not help; QOS that do not help for the same reason in one sentence."""
    closed: dict[int, list[str]] = {}
    for futile in why.futile:
        if isinstance(futile.change, OpenQos) and futile.at_least is not None:
            closed.setdefault(futile.at_least, []).append(futile.change.qos)
            continue
        whole = _described(futile.change, why.late).whole
        if futile.at_least is not None:
            yield f"{whole}: no plan ends before {format_duration(futile.at_least)}"
        else:
            yield f"{whole}: done after {format_duration(futile.makespan or 0)}, which is late"
    for bound, names in closed.items():
        yield f"QOS {listed(names)}: no plan ends before {format_duration(bound)}"
