"""``socm plan``: when and where each workflow is to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socm.cli import shapes, sizing
from socm.cli.common import (
    AssumeSplits,
    CampaignFile,
    ClusterOption,
    EffortOption,
    JsonOption,
    MaintenanceOption,
    OutputOption,
    console,
    effort_of,
    finite,
    print_json,
    waiting,
    warn,
    write_json,
)
from socm.cli.intake import take_in, with_maintenance
from socm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from socm.model.allocation import AnyPlan
    from socm.planner.bounds.proof import Proof
    from socm.planner.whynot import WhyNot
    from socm.report.shapes import Shapes

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
"""A plan of more workflows is summed up by workflow type, and only some workflows are listed."""
EXCEPTIONS = 15
PROOF_SECONDS = 60.0


class Objective(StrEnum):
    """What --minimize minimizes."""

    NODES = "nodes"
    CORE_HOURS = "core-hours"
    CHARGE = "charge"


class Shape(StrEnum):
    """What is submitted to SLURM."""

    JOBS = "jobs"
    ALLOCATION = "allocation"


@dataclass(frozen=True, kw_only=True)
class _Result:
    """A plan, and what else was found out about it."""

    plan: AnyPlan
    shapes: Shapes | None = None
    proof: Proof | None = None
    why: WhyNot | None = None


def plan(
    file: CampaignFile,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    maintenance: MaintenanceOption = None,
    minimize: Annotated[
        Objective | None,
        typer.Option("--minimize", help="Find the smallest amount that meets the deadline."),
    ] = None,
    shape: Annotated[
        Shape | None,
        typer.Option(
            "--shape",
            help="Submit each workflow as its own job, or run all inside whole-node allocations; "
            "prints a comparison.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw the result of --minimize: .svg, .png or .pdf."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="Use this policy instead of the campaign's."),
    ] = None,
    effort: EffortOption = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations",
            metavar="N",
            min=0,
            help="Number of improvement attempts, instead of a time limit.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Random seed of the search (default 0)."),
    ] = None,
    output: OutputOption = None,
    prove: Annotated[
        bool,
        typer.Option(
            "--prove",
            help="Let CP-SAT look for a shorter plan, or prove that there is none (needs "
            "socm\\[prove]).",
        ),
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            metavar="SECONDS",
            min=0,
            callback=finite,
            help=f"Time limit for --prove (default {PROOF_SECONDS:.0f} s).",
        ),
    ] = None,
    all_rows: Annotated[
        bool,
        typer.Option("--all", help=f"List every workflow, also of a plan with more than {ROWS}."),
    ] = False,
    json: JsonOption = False,
) -> int:
    """Plan a campaign: when and where each workflow runs, and whether it is in time.

    With --minimize: the smallest budget that meets the deadline, and the lines
    to write into the campaign file.

    Exit code 0 if the deadline is met or there is none, 3 if it is missed or no
    plan exists.
    """
    from socm.config import load_campaign
    from socm.planner import plan_campaign
    from socm.planner.effort import USUAL

    search = effort_of(effort, iterations, seed)
    _refuse_contradictions(file, minimize, shape, plot, prove=prove, time_limit=time_limit)
    planner = partial(plan_campaign, effort=search or USUAL)
    compared = None
    if minimize is None and shape is None:
        made = take_in(
            file,
            cluster,
            policy=policy,
            assume_splits=assume_splits,
            maintenance=maintenance,
        ).any_plan(search)
    else:
        loaded = load_campaign(file, cluster=cluster, policy=policy, assume_splits=assume_splits)
        loaded = replace(loaded, cluster=with_maintenance(loaded.cluster, maintenance))
        clear = partial(planner, reservations=loaded.cluster.closed(datetime.now(UTC)))
        if minimize is not None:
            return sizing.minimize(
                loaded, clear, minimize.value, plot=plot, output=output, json=json, file=file
            )
        assert shape is not None
        made, compared = shapes.plan_shapes(loaded, planner, clear, shape.value)
    proof = _proof(made, PROOF_SECONDS if time_limit is None else time_limit) if prove else None
    result = _explained(made if proof is None else proof.plan, compared, proof)
    document = _document(result)
    if output is not None:
        write_json(document, output)
    if json:
        print_json(document)
    else:
        _show(result, file, all_rows=all_rows)
        if output is not None:
            console().print(f"plan written to {output}", style="dim")
    return 0 if result.plan.feasible else 3


def _refuse_contradictions(
    file: Path,
    minimize: Objective | None,
    shape: Shape | None,
    plot: Path | None,
    *,
    prove: bool,
    time_limit: float | None,
) -> None:
    """Refuse options that say nothing, or nothing that could be done, together."""
    if time_limit is not None and not prove:
        message = "--time-limit is the limit of --prove, which is not given"
        raise ConfigError(Problem(message=message, hint="--effort limits the usual search"))
    if prove and (minimize is not None or shape is Shape.ALLOCATION):
        message = "--prove is for plans in which each workflow is a job"
        raise ConfigError(Problem(message=message, hint="leave --minimize and --shape out"))
    if minimize is not None and shape is Shape.ALLOCATION:
        sizing.refuse_shape()
    if plot is not None and minimize is None:
        sizing.refuse_plot(file)


def _proof(plan: AnyPlan, seconds: float) -> Proof:
    from socm.model.allocation import of_jobs
    from socm.planner.bounds.proof import prove

    jobs = of_jobs(plan)
    with waiting("looking for a proof, or a shorter plan"):
        return prove(jobs, seconds=seconds)


def _explained(plan: AnyPlan, compared: Shapes | None, proof: Proof | None) -> _Result:
    """Say why a plan is late, if its workflows are jobs: remedies are planned as jobs."""
    from socm.cli import whynot
    from socm.model.plan import Plan

    why = whynot.explain(plan) if isinstance(plan, Plan) else None
    return _Result(plan=plan, shapes=compared, proof=proof, why=why)


def _document(result: _Result) -> dict[str, Any]:
    from socm.cli import whynot
    from socm.model.document import plan_document
    from socm.report.shapes import shapes_rows

    document = {**plan_document(result.plan), "why_not": whynot.document_of(result.why)}
    if result.shapes is not None:
        document["shapes"] = shapes_rows(result.shapes)
    return document


def _show(result: _Result, file: Path, *, all_rows: bool) -> None:
    """Print a plan: a table of its workflows, what it comes to, and the verdict."""
    from socm.cli import whynot
    from socm.report.shapes import shapes_table
    from socm.report.table import campaign_table, exceptions, facts_table, plan_table
    from socm.report.verdict import plan_facts, plan_verdict, proof_verdict

    made, out = result.plan, console()
    warn(made.warnings)
    out.print(f"{made.campaign.name} on {made.cluster.name}", style="bold")
    if all_rows or len(made.workflows) <= ROWS:
        rows = made.workflows
    else:
        rows = exceptions(made, EXCEPTIONS)
        out.print(campaign_table(made))
        out.print("On the critical chain, and the largest (--all lists all):", style="dim")
    out.print(plan_table(made, rows, width=out.width))
    out.print(facts_table(plan_facts(made)))
    if result.shapes is not None:
        out.print(shapes_table(result.shapes))
    if result.proof is not None:
        out.print(proof_verdict(result.proof))
    out.print(plan_verdict(made), style="green" if made.feasible else "red")
    whynot.tell(out, result.why, file)
