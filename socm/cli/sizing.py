"""``socm plan --minimize``: the least that meets the deadline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from socm.cli.common import console, print_json, warn, write_json
from socm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from socm.config import LoadedCampaign
    from socm.model.campaign import Budget, Campaign
    from socm.model.cluster import Cluster
    from socm.model.plan import Plan
    from socm.planner.policies import Planner
    from socm.planner.sizing import Objective, Sizing


def minimize(
    loaded: LoadedCampaign,
    planner: Planner,
    objective: Objective,
    *,
    file: Path,
    plot: Path | None = None,
    output: Path | None = None,
    json: bool = False,
) -> int:
    """Size a campaign, and show or write what was found; return the exit code."""
    from dataclasses import replace

    from socm.model.document import plan_document
    from socm.planner.sizing import size_campaign
    from socm.report.sizing import sizing_rows

    if plot is not None:
        from socm.report.sizing_plot import sizing_format

        sizing_format(plot)  # a wrong suffix is told before the work, not after
    if not json:
        warn(loaded.warnings)
    with telling(planner, loaded.campaign.name) as told:
        sizing = size_campaign(loaded.campaign, loaded.cluster, told, minimize=objective)
    plan = sizing.best.plan
    plan = replace(plan, warnings=(*loaded.warnings, *plan.warnings))
    document = plan_document(plan) | {"minimize": objective, "sizing": sizing_rows(sizing)}
    if output is not None:
        write_json(document, output)
    if plot is not None:
        from socm.report.sizing_plot import draw_sizing

        draw_sizing(sizing, plot)
    if json:
        print_json(document)
    else:
        _show(sizing, loaded.campaign.budget, yaml=file.suffix in (".yaml", ".yml"))
        for path in (plot, output):
            if path is not None:
                console().print(f"written to {path}", style="dim")
    return 0 if plan.feasible else 3


@contextmanager
def telling(planner: Planner, name: str) -> Iterator[Planner]:
    """Tell on a terminal how many plans were made."""
    from socm.report.terminal import Terminal

    count = 0
    with Terminal(stderr=True).status(f"{name}: planning") as status:

        def told(campaign: Campaign, cluster: Cluster) -> Plan:
            nonlocal count
            plan = planner(campaign, cluster)
            count += 1
            status.update(f"{name}: {count} plans made")
            return plan

        yield told


def _show(sizing: Sizing, budget: Budget, *, yaml: bool) -> None:
    from socm.report.sizing import sizing_reasons, sizing_table, sizing_verdict, to_write

    out, plan = console(), sizing.best.plan
    out.print(f"{plan.campaign.name} on {plan.cluster.name}", style="bold")
    out.print(sizing_table(sizing))
    out.print(sizing_verdict(sizing), style="green" if plan.feasible else "red")
    for reason in sizing_reasons(sizing):
        out.print(f"- {reason}")
    for line in to_write(sizing, budget, yaml=yaml):
        out.print(line, soft_wrap=True)


def refuse_plot(file: Path) -> NoReturn:
    """Say what draws a plan."""
    message = "--plot draws what --minimize finds"
    hint = f"`socm simulate {file} --plot FILE` draws a plan, carried out"
    raise ConfigError(Problem(message=message, hint=hint))


def refuse_shape() -> NoReturn:
    """Say that an allocation is as small as can be already."""
    message = "--shape allocation finds the smallest allocation by itself"
    raise ConfigError(Problem(message=message, hint="leave --minimize out"))
