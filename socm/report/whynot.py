"""Why a deadline is missed and what would do, in words and as data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from socm.planner.whynot import WhyNot
from socm.units import duration_text, format_duration

_IN_ENVIRONMENT = {"cores": "SOCM_REQUESTED_RESOURCES", "deadline": "SOCM_DEADLINE"}
"""What can be tried without an edit, in the order in which it is proposed."""


def why_not_table(why: WhyNot) -> Table:
    """Return what binds, what would do, and what does not help."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    binding = [_bound(text, at_least) for text, at_least in _bindings(why)]
    for title, lines in (
        ("what binds", binding or ["nothing that could be raised: a better plan may be"]),
        ("would do", [_remedy(r.text, r.makespan, r.checked) for r in why.remedies]),
        ("would not", [*why.futile]),
    ):
        for k, line in enumerate(lines):
            table.add_row("" if k else title, line)
    plans = f"{why.plans} plans were made to know this"
    table.add_row("", plans if why.complete else f"{plans}, and no more", style="dim")
    return table


def _bindings(why: WhyNot) -> Iterator[tuple[str, int | None]]:
    for binding in why.binding:
        yield binding.text, binding.at_least


def _bound(text: str, at_least: int | None) -> str:
    return text if at_least is None else f"{text} (so at least {format_duration(at_least)})"


def _remedy(text: str, makespan: int, checked: str) -> str:
    return f"{text}: done after {format_duration(makespan)}; {checked}"


def next_command(why: WhyNot, command: Sequence[str]) -> str | None:
    """Return the command that tries a remedy without an edit of the file.

    Parameters
    ----------
    command
        The one that found the plan to be late.
    """
    values = {r.kind: r.change for r in why.remedies}
    for kind, variable in _IN_ENVIRONMENT.items():
        change = values.get(kind)
        if change is not None:
            budget = change.get("budget")
            value = budget["cores"] if budget else duration_text(change["deadline_s"])
            return f"{variable}={value} {shlex.join(command)}"
    return None


def why_not_document(why: WhyNot) -> dict[str, Any]:
    """Return the same as JSON data."""
    return {
        "binding": [
            {"kind": b.kind, "text": b.text, "at_least_s": b.at_least, "without_s": b.without}
            for b in why.binding
        ],
        "remedies": [
            {
                "kind": r.kind,
                "text": r.text,
                "change": dict(r.change),
                "makespan_s": r.makespan,
                "checked": r.checked,
            }
            for r in why.remedies
        ],
        "futile": [*why.futile],
        "plans": why.plans,
        "complete": why.complete,
    }
