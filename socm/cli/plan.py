"""``socm plan``: when and where each workflow is to run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from socm.cli import sizing
from socm.cli.common import (
    AssumeSplits,
    CampaignFile,
    ClusterOption,
    JsonOption,
    OutputOption,
    console,
    load_plan,
    print_json,
    warn,
    write_json,
)

EXAMPLES = """
[bold]Examples[/bold]

  socm plan campaign.toml

  socm plan dag.yaml --cluster perlmutter --output plan.json

  socm plan campaign.toml --json | jq .makespan_s

  socm plan campaign.toml --minimize nodes --plot nodes.svg
"""
ROWS = 40
"""A longer plan is summed up by kind, and only its exceptions are listed."""
EXCEPTIONS = 15


class Objective(StrEnum):
    """What is to be small."""

    NODES = "nodes"
    CORE_HOURS = "core-hours"
    CHARGE = "charge"


def plan(
    file: CampaignFile,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    minimize: Annotated[
        Objective | None,
        typer.Option("--minimize", help="Find the least that makes the deadline."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw what --minimize finds: .svg, .png, .pdf."
        ),
    ] = None,
    output: OutputOption = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help=f"List every workflow of a plan of more than {ROWS}.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Plan a campaign: when and where each workflow runs, and whether the deadline holds.

    With --minimize: the least that makes the deadline, and what to write into the campaign.

    Exit code 0 if the deadline is met or there is none, 3 if it is missed or no plan exists.
    """
    from socm.model.document import plan_document

    if minimize is not None:
        from socm.planner import plan_campaign

        return sizing.minimize(
            file,
            cluster,
            plan_campaign,
            minimize.value,
            assume_splits=assume_splits,
            plot=plot,
            output=output,
            json=json,
        )
    if plot is not None:
        sizing.refuse_plot(file)
    planned = load_plan(file, cluster, assume_splits=assume_splits)
    document = plan_document(planned)
    if output is not None:
        write_json(document, output)
    if json:
        print_json(document)
    else:
        from socm.report.table import campaign_table, exceptions, facts_table, plan_table
        from socm.report.verdict import plan_facts, plan_verdict

        warn(planned.warnings)
        out = console()
        short = all_rows or len(planned.workflows) <= ROWS
        rows = planned.workflows if short else exceptions(planned, EXCEPTIONS)
        out.print(f"{planned.campaign.name} on {planned.cluster.name}", style="bold")
        if len(rows) < len(planned.workflows):
            out.print(campaign_table(planned))
            out.print("On the critical path, and the largest (--all lists all):", style="dim")
        out.print(plan_table(planned, rows, width=out.width))
        out.print(facts_table(plan_facts(planned)))
        out.print(plan_verdict(planned), style="green" if planned.feasible else "red")
        if output is not None:
            out.print(f"plan written to {output}", style="dim")
    return 0 if planned.feasible else 3
