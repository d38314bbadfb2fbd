"""A Gantt chart of a simulation in the terminal."""

from __future__ import annotations

from rich.text import Text

from socm.model.outcome import Simulation, WorkflowOutcome
from socm.model.plan import Plan
from socm.units import format_duration

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def gantt(simulation: Simulation, *, width: int = 80, rows: int = 40) -> Text:
    """Draw when each workflow runs in the exact run, the critical chain in colour.

    With more workflows than rows, the critical chain and then the longest workflows are shown,
    and the last line says how many are not.

    Parameters
    ----------
    width
        Width in columns of the terminal.
    rows
        The most workflows to show.
    """
    exact, plan = simulation.exact, simulation.plan
    ran = [w for w in exact.workflows if w.start is not None and w.finish is not None]
    critical = set(exact.critical_chain)
    shown = sorted(ran, key=lambda w: (w.name not in critical, _start(w) - _finish(w)))[:rows]
    shown.sort(key=lambda w: (_start(w), _finish(w)))
    deadline = plan.campaign.deadline
    end = max([exact.makespan, 1.0])
    # A distant deadline would compress the chart: then it is only named beneath.
    drawn_deadline = deadline if deadline is not None and deadline <= 1.5 * end else None
    end = max(end, drawn_deadline or 0)
    names = [w.name for w in shown] + ["maintenance"] * bool(_maintenance(plan, end))
    label = min(max(map(len, names), default=0), width // 3)
    columns = max(width - label - 3, 10)
    text = Text()
    for w in shown:
        name = w.name if len(w.name) <= label else w.name[: label - 1] + "…"
        text.append(f"{name:<{label}} ", style="bold" if w.name in critical else "")
        text.append("▕", style="dim")
        bar = _bar(_start(w), _finish(w), end, columns)
        style = "red" if w.status != "completed" else "cyan" if w.name in critical else "blue"
        text.append(bar, style=style)
        if drawn_deadline is not None:
            mark = min(round(drawn_deadline / end * columns), columns)
            if mark >= len(bar):
                text.append(" " * (mark - len(bar)) + "┊", style="yellow")
        text.append("\n")
    for start, finish in _maintenance(plan, end):
        text.append(f"{'maintenance'[:label]:<{label}} ▕", style="dim")
        text.append(_bar(start, finish, end, columns).replace("█", "░") + "\n", style="yellow")
    text.append(" " * (label + 1) + "└" + _axis(end, columns) + "\n", style="dim")
    notes = ["critical chain in bold"]
    if drawn_deadline is not None:
        notes.append(f"┊ deadline after {format_duration(drawn_deadline)}")
    elif deadline is not None:
        notes.append(f"the deadline of {format_duration(deadline)} is further right")
    if len(ran) > len(shown):
        notes.append(f"{len(ran) - len(shown)} shorter workflows are not shown")
    text.append(" " * (label + 2) + "; ".join(notes), style="dim")
    return text


def _maintenance(plan: Plan, end: float) -> list[tuple[int, float]]:
    """Return start and end of each maintenance that begins before the end of the chart."""
    return [(start, min(finish, end)) for start, finish in plan.maintenance if start < end]


def _start(w: WorkflowOutcome) -> float:
    return w.start or 0.0


def _finish(w: WorkflowOutcome) -> float:
    return w.finish or 0.0


def _bar(start: float, finish: float, end: float, columns: int) -> str:
    """Draw a bar; its end is exact to an eighth of a column.

    Examples
    --------
    >>> _bar(2, 5, 10, 10), _bar(0, 1, 100, 10)
    ('  ███', '▏')
    """
    first = int(start / end * columns)
    eighths = max(1, round(finish / end * columns * 8) - first * 8)
    full, rest = divmod(eighths, 8)
    return " " * first + "█" * full + (_EIGHTHS[rest] if rest else "")


def _axis(end: float, columns: int) -> str:
    """Draw a time axis: where it begins, its middle and its end.

    Examples
    --------
    >>> _axis(7200, 24)
    '0───────── 1 h ───── 2 h'
    """
    middle, last = f" {format_duration(end / 2)} ", f" {format_duration(end)}"
    left = max(0, columns // 2 - 1 - len(middle) // 2)
    right = max(0, columns - 1 - left - len(middle) - len(last))
    return "0" + "─" * left + middle + "─" * right + last
