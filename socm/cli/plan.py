"""``socm plan``: when and where each workflow is to run."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from socm.cli import shapes, sizing
from socm.cli.common import (
    AssumeSplits,
    CampaignFile,
    ClusterOption,
    EffortOption,
    JsonOption,
    OutputOption,
    console,
    effort_of,
    print_json,
    waiting,
    warn,
    write_json,
)
from socm.cli.intake import take_in
from socm.errors import ConfigError, Problem

EXAMPLES = """
[bold]Examples[/bold]

  socm plan campaign.toml

  socm plan dag.yaml --cluster perlmutter --output plan.json

  socm plan campaign.toml --effort 60

  socm plan campaign.toml --json | jq .makespan_s

  socm plan campaign.toml --minimize nodes --plot nodes.svg

  socm plan campaign.toml --shape allocation

  socm plan campaign.toml --prove --time-limit 600
"""
ROWS = 40
"""A longer plan is summed up by kind, and only its exceptions are listed."""
EXCEPTIONS = 15
PROOF_SECONDS = 60.0


class Objective(StrEnum):
    """What is to be small."""

    NODES = "nodes"
    CORE_HOURS = "core-hours"
    CHARGE = "charge"


class Shape(StrEnum):
    """What SLURM is asked for."""

    JOBS = "jobs"
    ALLOCATION = "allocation"


def plan(
    file: CampaignFile,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    minimize: Annotated[
        Objective | None,
        typer.Option("--minimize", help="Find the least that makes the deadline."),
    ] = None,
    shape: Annotated[
        Shape | None,
        typer.Option(
            "--shape",
            help="Each workflow a job, or all in allocations of whole nodes; compares the two.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw what --minimize finds: .svg, .png, .pdf."
        ),
    ] = None,
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
    prove: Annotated[
        bool,
        typer.Option(
            "--prove", help="Ask CP-SAT whether there is a shorter plan (needs socm\\[prove])."
        ),
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit", metavar="SECONDS", min=0, help="Of --prove; a minute if not given."
        ),
    ] = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help=f"List every workflow of a plan of more than {ROWS}.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Plan a campaign: when and where each workflow runs, and whether the deadline holds.

    With --minimize: the least that makes the deadline, and what to write into the campaign.

    Exit code 0 if the deadline is met or there is none, 3 if it is missed or no plan exists.
    """
    from socm.cli import whynot
    from socm.config import load_campaign
    from socm.model.document import plan_document
    from socm.planner import plan_campaign
    from socm.planner.effort import USUAL

    wanted = effort_of(effort, iterations, seed)
    if time_limit is not None and not prove:
        message = "--time-limit is that of --prove"
        raise ConfigError(Problem(message=message, hint="--effort limits the usual search"))
    if prove and (minimize is not None or shape is Shape.ALLOCATION):
        message = "--prove is for plans in which each workflow is a job"
        raise ConfigError(Problem(message=message, hint="leave --minimize and --shape out"))
    if minimize is not None and shape is Shape.ALLOCATION:
        sizing.refuse_shape()
    if plot is not None and minimize is None:
        sizing.refuse_plot(file)
    planner = partial(plan_campaign, effort=wanted or USUAL)
    load = partial(load_campaign, file, cluster=cluster, policy=policy, assume_splits=assume_splits)
    if minimize is not None:
        return sizing.minimize(
            load(), planner, minimize.value, plot=plot, output=output, json=json, file=file
        )
    compared = None
    if shape is not None:
        planned, compared = shapes.plan_shapes(load(), planner, shape.value)
    else:
        taken = take_in(file, cluster, policy=policy, assume_splits=assume_splits)
        planned = taken.plan(wanted)
    proof = None
    if prove:
        from socm.planner.bounds.proof import prove as ask

        with waiting("looking for a proof, or a shorter plan"):
            proof = ask(planned, seconds=PROOF_SECONDS if time_limit is None else time_limit)
        planned = proof.plan
    why = whynot.explain(planned)
    document = {**plan_document(planned), "why_not": whynot.document_of(why)}
    if compared is not None:
        from socm.report.shapes import shapes_rows

        document["shapes"] = shapes_rows(compared)
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
        if compared is not None:
            from socm.report.shapes import shapes_table

            out.print(shapes_table(compared))
        if proof is not None:
            out.print(proof_verdict(proof))
        out.print(plan_verdict(planned), style="green" if planned.feasible else "red")
        whynot.tell(out, why, file)
        if output is not None:
            out.print(f"plan written to {output}", style="dim")
    return 0 if planned.feasible else 3
