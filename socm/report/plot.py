"""A chart of a simulation: when each workflow runs, and how much of the cluster is in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any, NamedTuple

from socm.model.outcome import Outcome, Simulation, quantile
from socm.report.style import (
    ALARM,
    BAND,
    COLOURS,
    CORES,
    GRID,
    INK,
    MEMORY,
    OTHERS,
    PALE,
    STEPS,
    drawn,
)
from socm.report.terminal import printable
from socm.report.usage import available_memory, lanes, usage
from socm.report.verdict import simulation_verdict
from socm.units import format_count, format_duration, format_memory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 60
"""With more workflows than this, they share lanes and go without their names."""
MOST_PATHS = 3000
"""With more bars or steps than this, an SVG or a PDF holds them as pixels."""

WIDTH, HEADER, ROW, LANES, USAGE, MARGINS = 12.0, 0.8, 0.22, 5.5, 1.4, 1.3  # inches


class _Bar(NamedTuple):
    """A workflow that ran: seconds to the right, rows downwards."""

    name: str
    start: float
    finish: float
    top: float = 0.0
    height: float = 0.0


def plot(simulation: Simulation, picture: str) -> bytes:
    """Draw the exact run of a simulation as a Gantt chart, with the use of the cluster beneath.

    Parameters
    ----------
    picture
        The format: svg, png or pdf.
    """
    return drawn(lambda: _figure(simulation), picture)


def _ran(exact: Outcome) -> list[_Bar]:
    """List those that ran, in order of start."""
    bars = [
        _Bar(w.name, w.start, w.finish)
        for w in exact.workflows
        if w.start is not None and w.finish is not None
    ]
    return sorted(bars, key=lambda bar: (bar.start, bar.finish))


def _figure(simulation: Simulation) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    count = len(simulation.exact.workflows)
    chart = ROW * max(count, 2) if count <= MOST_ROWS else LANES
    height = HEADER + chart + USAGE + MARGINS
    layout = ConstrainedLayoutEngine(rect=(0.005, 0, 0.985, 1 - HEADER / height), hspace=0.02)
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(chart, USAGE))
    campaign, cluster = simulation.plan.campaign.name, simulation.plan.cluster.name
    title = f"{_short(campaign, 70)} on {_short(cluster, 70)}"
    figure.text(0.012, 1 - 0.16 / height, title, size=14, weight="bold", va="top")
    verdict = shorten(printable(simulation_verdict(simulation)), 260, placeholder=" …")
    figure.text(0.012, 1 - 0.44 / height, fill(verdict, 140), size=10, va="top")
    if count <= MOST_ROWS:
        bars = _rows(simulation, upper)
        _draw_bars(simulation, upper, bars)
        _draw_chain(simulation, upper, {bar.name: bar for bar in bars})
    else:
        _draw_bars(simulation, upper, _packed(simulation.exact, upper))
    _draw_usage(simulation, lower)
    _draw_times(simulation, upper, lower)
    _draw_deadline(simulation, upper, lower)
    _draw_maintenance(simulation, upper, lower)
    labelled = upper.get_legend_handles_labels()
    figure.legend(*labelled, loc="outside lower left", ncols=4, frameon=False)
    return figure


def _short(name: str, most: int) -> str:
    """Return a name as it can be shown, without the middle of a long one: its ends say more."""
    name = printable(name)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2) :]}"


def _rows(simulation: Simulation, axes: Axes) -> list[_Bar]:
    """Label a row for each workflow with its name and QOS; those that never ran come last."""
    exact, planned = simulation.exact, simulation.plan.by_name
    ran = _ran(exact)
    names = [bar.name for bar in ran]
    names += sorted({w.name for w in exact.workflows}.difference(names))
    axes.set_yticks(range(len(names)), [_short(name, 60) for name in names])
    for row, (name, label) in enumerate(zip(names, axes.get_yticklabels(), strict=True)):
        if name in exact.critical_chain:
            label.set_fontweight("bold")
        qos, edge = _short(planned[name].qos or "", 30), axes.get_yaxis_transform()
        axes.text(1.005, row, qos, transform=edge, size=7, color="#666666", va="center")
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color=PALE, linewidth=0, zorder=0)
        if row >= len(ran):
            axes.text(0, row, "  did not run", color=ALARM, va="center_baseline")
    axes.set_ylim(len(names) - 0.5, -0.5)
    return [bar._replace(top=row - 0.36, height=0.72) for row, bar in enumerate(ran)]


def _packed(exact: Outcome, axes: Axes) -> list[_Bar]:
    """Put the critical chain into a thick lane on top, and the others into lanes below."""
    ran, critical = _ran(exact), set(exact.critical_chain)
    others = [bar for bar in ran if bar.name not in critical]
    chosen = lanes((bar.start, bar.finish) for bar in others)
    count = max(chosen, default=0) + 1
    thick = max(1.0, count / 30)
    named = ("critical\nchain", f"the other\n{format_count(len(others))}")
    axes.set_yticks([-thick, count / 2], named)
    axes.set_ylim(count, -1.7 * thick)
    if missing := len(exact.workflows) - len(ran):
        _explain(axes, f"{format_count(missing)} did not run", facecolor="none")
    chain = [bar._replace(top=-1.5 * thick, height=thick) for bar in ran if bar.name in critical]
    places = zip(others, chosen, strict=True)
    return chain + [bar._replace(top=lane + 0.05, height=0.9) for bar, lane in places]


def _draw_bars(simulation: Simulation, axes: Axes, bars: Sequence[_Bar]) -> None:
    """Draw the bars in the colours of their groups; mark the critical, retried and failed."""
    exact, groups = simulation.exact, _groups(simulation)
    named = [group for group in dict.fromkeys(groups.values()) if group != "others"]
    colours = dict(zip(named, COLOURS, strict=False)) | {"others": OTHERS}
    fills = [colours[groups[bar.name]] for bar in bars]
    # Neighbours are kept apart by white edges, unless little else were left of them.
    coarse = max((bar.top for bar in bars), default=0) < 100
    edges = [
        "white" if coarse and bar.finish - bar.start > exact.makespan / 200 else colour
        for bar, colour in zip(bars, fills, strict=True)
    ]
    _add(axes, bars, facecolors=fills, edgecolors=edges, linewidths=0.6 if coarse else 0.3)
    sizes = Counter(groups[bar.name] for bar in bars)
    for group in colours if len(sizes) > 1 else ():
        if size := sizes[group]:
            _explain(axes, f"{group} ({format_count(size)})", facecolor=colours[group])
    retried = {w.name for w in exact.workflows if w.attempts > 1}
    failed = {w.name for w in exact.workflows if w.status == "failed"}
    outline = 1.2 if len(exact.critical_chain) < 100 else 0.4
    for names, label, edge, width, hatch in (
        (set(exact.critical_chain), "critical chain", INK, outline, None),
        (retried - failed, "retried", "white", 0.0, "////"),
        (failed, "failed", ALARM, 1.6, "xxxx"),
    ):
        if marked := [bar for bar in bars if bar.name in names]:
            style = {"edgecolor": edge, "linewidth": width, "hatch": hatch}
            _add(axes, marked, facecolor="none", **style)
            _explain(axes, label, facecolor=OTHERS if edge == "white" else "none", **style)


def _groups(simulation: Simulation) -> Mapping[str, str]:
    """Return the group of each workflow, which has one colour: its type, or else its QOS."""
    plan = simulation.plan
    groups = {name: w.kind for name, w in plan.campaign.workflows.items()}
    if len(set(groups.values())) == 1:
        groups = {w.name: f"QOS {w.qos}" if w.qos else "no QOS" for w in plan.workflows}
    large = dict(Counter(groups.values()).most_common(len(COLOURS)))
    return {name: group if group in large else "others" for name, group in groups.items()}


def _explain(axes: Axes, label: str, **style: Any) -> None:
    """Put a patch into the legend."""
    axes.fill_between([], [], label=printable(label), **{"linewidth": 0, **style})


def _add(axes: Axes, bars: Sequence[_Bar], **style: Any) -> None:
    """Draw bars as one collection: there may be thousands."""
    from matplotlib.collections import PolyCollection

    corners = [
        list(zip((a, b, b, a), (top, top, top + height, top + height), strict=True))
        for _, a, b, top, height in bars
    ]
    pixels = len(bars) > MOST_PATHS
    axes.add_collection(PolyCollection(corners, rasterized=pixels, zorder=2, **style))


def _draw_chain(simulation: Simulation, axes: Axes, bars: Mapping[str, _Bar]) -> None:
    """Draw arrows along the critical chain, which say what each workflow waited for."""
    labels = {"-": "the next depends on it", ":": "the next waits for its nodes or limit"}
    for before, after in pairwise(simulation.exact.critical_chain):
        line = "-" if before in simulation.plan.campaign.workflows[after].depends else ":"
        a, b = bars[before], bars[after]
        arrow = {"arrowstyle": "-|>", "color": INK, "linestyle": line, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (b.start, b.top), (a.finish, a.top + a.height), arrowprops=arrow)
        if label := labels.pop(line, None):
            axes.plot([], [], color=INK, linewidth=1, linestyle=line, label=label)


def _draw_usage(simulation: Simulation, axes: Axes) -> None:
    """Draw the cores and the memory in use, as shares of what the campaign may use."""
    cores, memory = simulation.available_cores, available_memory(simulation)
    held = usage(simulation)
    of_cores = [100 * used / cores for used, _ in held.values()]
    of_memory = [100 * used / memory for _, used in held.values()]
    if held:
        area = axes.stairs(of_cores[:-1], [*held], fill=True, color=CORES)
        line = axes.stairs(of_memory[:-1], [*held], baseline=None, color=MEMORY, linewidth=1.2)
        mean = f"{100 * simulation.utilisation:.0f} %"
        area.set_label(f"cores: {mean} of {format_count(cores)} on average")
        line.set_label(f"memory: 100 % is {format_memory(memory)}")
        for steps in (area, line):
            steps.set_rasterized(len(held) > MOST_PATHS)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0)
    # A small campaign on a large cluster would be a line along the axis.
    peak = max([*of_cores, *of_memory], default=100)
    axes.set_ylim(0, 1.04 * next((top for top in (1, 2, 5, 10, 20, 50, 100) if peak <= top), peak))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.locator_params(axis="y", nbins=4)


def _draw_times(simulation: Simulation, upper: Axes, lower: Axes) -> None:
    """Draw the time axis, and the band in which 90 % of the replications end."""
    low, high = (quantile(simulation.makespans, q) for q in (0.05, 0.95))
    if low is not None and high is not None:
        label = f"90 % of {format_count(len(simulation.makespans))} replications end here"
        upper.axvspan(low, high, color=BAND, linewidth=0, zorder=1, label=label)
        lower.axvspan(low, high, color=BAND, linewidth=0, zorder=0)
    deadline, makespan = simulation.plan.campaign.deadline, simulation.exact.makespan
    end = max(makespan, high or 0, 1)
    if deadline is not None and deadline <= 1.5 * makespan:
        end = max(end, deadline)
    step = next(step for step in STEPS if end <= 9 * step)
    times = range(0, int(1.02 * end) + 1, step)
    lower.set_xticks(times, [format_duration(time) if time else "0" for time in times])
    lower.set_xlim(0, 1.02 * end)
    lower.set_xlabel("since the campaign's start")
    upper.tick_params(length=0, labelbottom=False)
    upper.spines.bottom.set_visible(False)
    for axes in (upper, lower):
        axes.grid(axis="x", color=GRID, linewidth=0.5)
        axes.set_axisbelow(True)


def _draw_maintenance(simulation: Simulation, upper: Axes, lower: Axes) -> None:
    """Shade the times in which nodes are under maintenance."""
    end = upper.get_xlim()[1]
    for start, finish in simulation.plan.maintenance:
        if start < end:
            for axes in (upper, lower):
                axes.axvspan(start, min(finish, end), color="0.85", zorder=0)


def _draw_deadline(simulation: Simulation, upper: Axes, lower: Axes) -> None:
    """Draw the deadline; a distant one is only named, as it would compress the chart."""
    deadline = simulation.plan.campaign.deadline
    if deadline is None:
        return
    end, text = upper.get_xlim()[1], f"deadline {format_duration(deadline)}"
    if deadline > end:
        text = f"the deadline, after {format_duration(deadline)}, is further right →"
    else:
        for axes in (upper, lower):
            axes.axvline(deadline, color=ALARM, linestyle="--", linewidth=1.2)
    side = "right" if deadline > end / 2 else "left"
    above = upper.get_xaxis_transform()
    upper.text(min(deadline, end), 1.0, text, ha=side, va="bottom", color=ALARM, transform=above)
