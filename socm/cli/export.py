"""``socm export``: a campaign for other systems to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import (
    CampaignOrPlan,
    ClusterOption,
    JsonOption,
    OutputOption,
    print_json,
    warn,
    write_json,
)
from socm.cli.intake import take_in
from socm.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from socm.model.plan import Plan

EXAMPLES = """
[bold]Examples[/bold]

  socm export campaign.toml

  socm export dag.yaml --simulated --output dag.json

  socm export plan.json --simulated | jq .workflow.execution.makespanInSeconds
"""
FORMATS = ("wfformat",)


def export(
    file: CampaignOrPlan,
    kind: Annotated[str, typer.Option("--to", metavar="FORMAT", help="wfformat.")] = "wfformat",
    simulated: Annotated[
        bool, typer.Option("--simulated", help="With an execution: the exact simulation.")
    ] = False,
    cluster: ClusterOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> int:
    """Write a campaign in a format of other systems: WfFormat of the WfCommons project.

    The document goes to standard output, or to a file. --json makes JSON of errors, too.
    """
    from socm.exchange.wfformat_writer import instance

    if kind not in FORMATS:
        hint = did_you_mean(kind, FORMATS) or f"known are {', '.join(FORMATS)}"
        raise ConfigError(Problem(message=f"unknown format {kind!r}", hint=hint))
    taken = take_in(file, cluster)
    document = instance(taken.campaign, _simulated(taken.plan()) if simulated else None)
    if output is not None:
        write_json(document, output)
    if output is None or json:
        print_json(document)
    return 0


def _simulated(plan: Plan) -> dict[str, object]:
    """Return the execution of a plan in the exact simulation."""
    from sim.montecarlo import simulate
    from socm.exchange.wfformat_writer import execution

    outcome = simulate(plan, replications=0).exact
    if not outcome.completed:
        warn(["not all workflows complete in the simulation: those that do not run have no record"])
    return execution(plan, outcome)
