"""A picture of what budgets come to: makespan, margin and core-hours by nodes."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import TYPE_CHECKING

from socm.errors import ConfigError, Problem
from socm.planner.sizing import Sizing
from socm.report.picture import picture_format, write_picture
from socm.report.sizing import sizing_verdict
from socm.report.style import ALARM, BAND, CORES, GRID, INK, OTHERS, STEPS, drawn
from socm.units import format_core_hours, format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_TIME = "#009e73"
WIDTH, HEIGHT = 9.0, 6.6  # inches


def sizing_format(path: Path) -> str:
    """Return the format that a path asks for; a sizing is no page to look around in.

    Raises
    ------
    ConfigError
        If it cannot be drawn.
    """
    picture = picture_format(path)
    if picture == "html":
        hint = "end it in one of .svg, .png, .pdf"
        raise ConfigError(Problem(message="a sizing is not drawn as HTML", hint=hint))
    return picture


def draw_sizing(sizing: Sizing, path: Path) -> None:
    """Draw makespan, margin and core-hours by nodes, with the deadline and the lower bound.

    Raises
    ------
    ConfigError
        If matplotlib is missing, the format is unknown or the file can not be written.
    """
    picture = sizing_format(path)
    write_picture(path, drawn(lambda: _figure(sizing), picture))


def _figure(sizing: Sizing) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    plan = sizing.best.plan
    layout = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, 0.88), hspace=0.06)
    figure = Figure(figsize=(WIDTH, HEIGHT), layout=layout)
    late = plan.campaign.deadline is not None
    panels = figure.subplots(
        3 if late else 2, 1, sharex=True, height_ratios=[3, 1.2, 1.2][: 2 + late]
    )
    title = f"{plan.campaign.name} on {plan.cluster.name}: what must I ask for?"
    figure.text(0.02, 0.975, title, size=13, weight="bold", va="top")
    figure.text(0.02, 0.925, sizing_verdict(sizing), size=10, va="top")
    _draw_makespans(sizing, panels[0])
    if late:
        _draw_margins(sizing, panels[1])
    _draw_core_hours(sizing, panels[-1])
    _draw_nodes(sizing, panels[-1])
    for axes in panels:
        axes.grid(axis="y", color=GRID, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
    return figure


def _draw_makespans(sizing: Sizing, axes: Axes) -> None:
    """Draw the plans, where no plan can be, and the deadline."""
    rows = sizing.rows
    nodes = [size.nodes for size in rows]
    bounds = {size.nodes: size.plan.lower_bound for size in rows}
    if sizing.bound is not None and sizing.floor - 1 <= nodes[-1]:
        bounds.setdefault(sizing.floor - 1, sizing.bound)
    x, y = zip(*sorted(bounds.items()), strict=True)
    # What holds for a budget holds for all below: so steps go down at the smaller one.
    axes.fill_between(x, y, color=BAND, linewidth=0, step="pre", label="no plan ends here")
    # A plan for fewer nodes is one for more: the line never rises, the dots may.
    best = [min(size.plan.makespan for size in rows[: k + 1]) for k in range(len(rows))]
    axes.step(nodes, best, where="post", color=INK, linewidth=1)
    for in_time, colour, label in ((True, IN_TIME, "in time"), (False, OTHERS, "late")):
        dots = [(s.nodes, s.plan.makespan) for s in rows if s.in_time is in_time]
        if dots and sizing.best.margin is not None:
            axes.plot(*zip(*dots, strict=True), "o", color=colour, markersize=6, label=label)
        elif dots:
            axes.plot(*zip(*dots, strict=True), "o", color=INK, markersize=6, label="plans")
    top = max(size.plan.makespan for size in rows)
    deadline = sizing.best.plan.campaign.deadline
    if deadline is not None and deadline <= 1.5 * top:
        label = f"deadline {format_duration(deadline)}"
        axes.axhline(deadline, color=ALARM, linestyle="--", linewidth=1.2, label=label)
        top = max(top, deadline)
    elif deadline is not None:
        label = f"the deadline, {format_duration(deadline)}, is far above"
        axes.plot([], [], color=ALARM, linestyle="--", linewidth=1.2, label=label)
    if (chosen := sizing.chosen) is not None:
        place = (chosen.nodes, chosen.plan.makespan)
        axes.plot(*place, "o", markersize=13, fillstyle="none", color=INK, markeredgewidth=1.4)
        note = f"{chosen.nodes} node{'s' * (chosen.nodes > 1)}: {format_duration(place[1])}"
        axes.annotate(note, place, (10, 8), textcoords="offset points", weight="bold")
    step = next(step for step in STEPS if top <= 6 * step)
    times = range(0, int(1.1 * top) + 1, step)
    axes.set_yticks(times, [format_duration(time) if time else "0" for time in times])
    axes.set_ylim(0, 1.12 * top)
    axes.set_ylabel("makespan")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderpad=0)


def _draw_margins(sizing: Sizing, axes: Axes) -> None:
    """Draw how far before the deadline each plan ends, or after it."""
    margins = [(size.nodes, size.margin or 0) for size in sizing.rows]
    for nodes, margin in margins:
        axes.vlines(nodes, 0, margin, color=IN_TIME if margin >= 0 else ALARM, linewidth=7)
    if (size := sizing.chosen) is not None:
        text, top = format_duration(size.margin or 0), (size.nodes, size.margin or 0)
        axes.annotate(text, top, (0, 2), textcoords="offset points", ha="center", weight="bold")
    low, high = min(0, *(m for _, m in margins)), max(0, *(m for _, m in margins))
    step = next(step for step in STEPS if high - low <= 4 * step)
    times = range(low // step * step, high + step, step)
    axes.set_yticks(times, [format_duration(time) if time else "0" for time in times])
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.spines.bottom.set_visible(False)
    axes.set_ylabel("margin")


def _draw_core_hours(sizing: Sizing, axes: Axes) -> None:
    """Draw what the plans reserve, and what that is charged where it differs."""
    nodes = [size.nodes for size in sizing.rows]
    reserved = [size.plan.core_hours for size in sizing.rows]
    charged = [size.plan.charged_core_hours for size in sizing.rows]
    axes.vlines(nodes, 0, reserved, color=CORES, linewidth=7)
    if (size := sizing.chosen) is not None:
        text, top = format_core_hours(size.plan.core_hours), (size.nodes, size.plan.core_hours)
        axes.annotate(text, top, (0, 2), textcoords="offset points", ha="center", weight="bold")
    if any(round(a) != round(b) for a, b in zip(reserved, charged, strict=True)):
        axes.plot(nodes, charged, "_", color=ALARM, markersize=12, markeredgewidth=2)
        axes.text(0.995, 0.96, "– charged", color=ALARM, transform=axes.transAxes,
                  ha="right", va="top")  # fmt: skip
    axes.yaxis.set_major_formatter(lambda hours, _: format_core_hours(hours) if hours else "0")
    axes.set_ylim(0, 1.3 * max(*reserved, *charged))
    axes.locator_params(axis="y", nbins=3)
    axes.set_ylabel("core-hours")


def _draw_nodes(sizing: Sizing, axes: Axes) -> None:
    """Name the budgets; where they are far apart on a scale of ratios."""
    nodes = [size.nodes for size in sizing.rows]
    first, last = nodes[0], nodes[-1]
    ratios = last > 5 * first
    if ratios:
        axes.set_xscale("log", base=2)
        margin = (last / first) ** 0.06
        axes.set_xlim(first / margin, last * margin)
    else:
        margin = 0.06 * (last - first) or 1
        axes.set_xlim(first - margin, last + margin)
    # No two labels closer than a twentieth of the axis; the chosen budget has its own first.
    chosen = [sizing.chosen.nodes] if sizing.chosen else []
    place = (
        (lambda n: log(n / first) / log(last / first))
        if ratios
        else (lambda n: (n - first) / (last - first or 1))
    )
    named: list[int] = []
    for number in [*chosen, last, *nodes]:
        if all(abs(place(number) - place(other)) >= 0.05 for other in named):
            named.append(number)
    axes.set_xticks(named, [str(number) for number in named])
    axes.minorticks_off()
    axes.set_xlabel("nodes")
