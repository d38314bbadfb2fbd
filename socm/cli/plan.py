"""``socm plan``: when and where each workflow is to run."""

from __future__ import annotations

from typing import Annotated

import typer

from socm.cli.common import (
    AssumeSplits,
    CampaignFile,
    ClusterOption,
    JsonOption,
    OutputOption,
    console,
    load_plan,
    print_json,
    waiting,
    warn,
    write_json,
)

EXAMPLES = """
[bold]Examples[/bold]

  socm plan campaign.toml

  socm plan dag.yaml --cluster perlmutter --output plan.json

  socm plan campaign.toml --json | jq .makespan_s

  socm plan campaign.toml --prove 60
"""
ROWS = 40
"""A longer plan is summed up by kind, and only its exceptions are listed."""
EXCEPTIONS = 15


def plan(
    file: CampaignFile,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    output: OutputOption = None,
    prove_seconds: Annotated[
        float | None,
        typer.Option(
            "--prove",
            metavar="SECONDS",
            min=0,
            help="Ask CP-SAT for so long whether there is a shorter plan (needs socm[prove]).",
            show_default=False,
        ),
    ] = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help=f"List every workflow of a plan of more than {ROWS}.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Plan a campaign: when and where each workflow runs, and whether the deadline holds.

    Exit code 0 if the deadline is met or there is none, 3 if it is missed or no plan exists.
    """
    from socm.model.document import plan_document

    planned = load_plan(file, cluster, assume_splits=assume_splits)
    proof = None
    if prove_seconds is not None:
        from socm.planner.proof import prove

        with waiting("looking for a proof, or a shorter plan"):
            proof = prove(planned, seconds=prove_seconds)
        planned = proof.plan
    document = plan_document(planned)
    if output is not None:
        write_json(document, output)
    if json:
        print_json(document)
    else:
        from socm.report.table import campaign_table, exceptions, facts_table, plan_table
        from socm.report.verdict import plan_facts, plan_verdict, proof_verdict

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
        if proof is not None:
            out.print(proof_verdict(proof))
        out.print(plan_verdict(planned), style="green" if planned.feasible else "red")
        if output is not None:
            out.print(f"plan written to {output}", style="dim")
    return 0 if planned.feasible else 3
