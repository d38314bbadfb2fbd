"""``socm plan``: when and where each workflow is to run."""

from __future__ import annotations

from typing import Annotated

import typer

from socm.cli.common import (
    AssumeSplits,
    CampaignFile,
    ClusterOption,
    EffortOption,
    JsonOption,
    OutputOption,
    console,
    effort_of,
    load_plan,
    print_json,
    warn,
    write_json,
)

EXAMPLES = """
[bold]Examples[/bold]

  socm plan campaign.toml

  socm plan dag.yaml --cluster perlmutter --output plan.json

  socm plan campaign.toml --effort 60

  socm plan campaign.toml --json | jq .makespan_s
"""
ROWS = 40
"""A longer plan is summed up by kind, and only its exceptions are listed."""
EXCEPTIONS = 15


def plan(
    file: CampaignFile,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="Plan by this policy, not the campaign's."),
    ] = None,
    effort: EffortOption = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations",
            metavar="N",
            min=0,
            help="Try so often to improve the plan, whatever time that takes.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Of what is tried by chance; 0 if not given."),
    ] = None,
    output: OutputOption = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help=f"List every workflow of a plan of more than {ROWS}.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Plan a campaign: when and where each workflow runs, and whether the deadline holds.

    Exit code 0 if the deadline is met or there is none, 3 if it is missed or no plan exists.
    """
    from socm.cli import whynot
    from socm.model.document import plan_document

    planned = load_plan(
        file,
        cluster,
        assume_splits=assume_splits,
        policy=policy,
        effort=effort_of(effort, iterations, seed),
    )
    why = whynot.explain(planned)
    document = {**plan_document(planned), "why_not": whynot.document_of(why)}
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
        whynot.tell(out, why, file)
        if output is not None:
            out.print(f"plan written to {output}", style="dim")
    return 0 if planned.feasible else 3
