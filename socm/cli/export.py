"""``socm export``: a campaign for other systems to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import (
    CampaignOrPlan,
    ClusterOption,
    JsonOption,
    OutputOption,
    load_plan,
    print_json,
    warn,
    write_json,
)
from socm.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from socm.model.campaign import Campaign

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
    campaign, run = _simulated(file, cluster) if simulated else (_campaign(file, cluster), None)
    document = instance(campaign, run)
    if output is not None:
        write_json(document, output)
    if output is None or json:
        print_json(document)
    return 0


def _campaign(file: Path, cluster: str | None) -> Campaign:
    """Read a campaign, or that of a plan; what a run would lack does not matter here."""
    from socm.config import load_campaign

    if file.suffix == ".json":
        return load_plan(file, cluster).campaign
    return load_campaign(file, cluster=cluster).campaign


def _simulated(file: Path, cluster: str | None) -> tuple[Campaign, dict[str, object]]:
    from sim.montecarlo import simulate
    from socm.exchange.wfformat_writer import execution

    plan = load_plan(file, cluster)
    outcome = simulate(plan, replications=0).exact
    if not outcome.completed:
        warn(["not all workflows complete in the simulation: those that do not run have no record"])
    return plan.campaign, execution(plan, outcome)
