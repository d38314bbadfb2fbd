"""``socm validate``: whether a campaign file is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from socm.cli.common import (
    DRY_RUN,
    AssumeSplits,
    ClusterOption,
    JsonOption,
    console,
    print_json,
    warn,
)
from socm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from socm.config import LoadedCampaign
    from socm.model.plan import Plan

EXAMPLES = """
[bold]Examples[/bold]

  socm validate campaign.toml

  socm validate dag.yaml --cluster perlmutter --show

  socm validate campaign.toml --live

  socm validate --schema campaign > campaign.schema.json
"""


def validate(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Campaign: .toml, .yaml or .yml.", show_default=False),
    ] = None,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print every value, and where it comes from.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Ask the SLURM here whether it would take each job, too. Nothing is submitted.",
        ),
    ] = False,
    schema: Annotated[
        Literal["campaign", "cluster"] | None,
        typer.Option("--schema", help="Print the JSON Schema of such files, for editors."),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Check a campaign file: every problem in it, and whether each workflow fits the cluster.

    Exit code 0 if it can be planned, 2 if it is wrong or SLURM would refuse a job, 3 if some
    workflow fits nowhere, 5 if SLURM cannot be reached.
    """
    if schema is not None:
        from socm.config.json_schema import campaign_schema, cluster_schema

        print_json(campaign_schema() if schema == "campaign" else cluster_schema())
        return 0
    if file is None:
        raise ConfigError(Problem(message="name a campaign file", hint="socm validate FILE"))

    from dataclasses import asdict

    from socm.config import load_campaign
    from socm.planner import plan_campaign
    from socm.planner.effort import NONE, USUAL

    loaded = load_campaign(file, cluster=cluster, explain=show or json, assume_splits=assume_splits)
    plan = plan_campaign(loaded.campaign, loaded.cluster, effort=USUAL if live else NONE)
    if live:
        _ask_slurm(plan, file)
    warnings = [*loaded.warnings, *plan.warnings]
    if json:
        print_json(
            {
                "schema": "socm.campaign/1",
                "campaign": asdict(loaded.campaign),
                "cluster": loaded.cluster.name,
                "fingerprint": loaded.campaign.fingerprint,
                "warnings": warnings,
                "resolved": [asdict(value) for value in loaded.resolved],
            }
        )
        return 0
    from socm.report.table import campaign_table

    warn(warnings)
    out = console()
    out.print(f"{loaded.campaign.name} for {loaded.cluster.name}", style="bold")
    if show:
        _show(loaded)
    out.print(campaign_table(plan))
    accepted = ", and SLURM would take each job" if live else ""
    out.print(f"Valid{accepted}.", style="green")
    return 0


def _ask_slurm(plan: Plan, file: Path) -> None:
    """Refuse a plan of which the SLURM here would refuse a job."""
    from socm.cli.intake import refuse_unready
    from socm.executor import executor_type

    refuse_unready(plan.campaign, plan.cluster, file)
    kind = executor_type("slurm")
    if why_not := kind.why_not(plan.cluster):
        message = f"was planned for {plan.cluster.name}, {why_not}"
        raise ConfigError(Problem(file=str(file), message=message, hint="name a --cluster"))
    kind(DRY_RUN.absolute(), plan.cluster, epoch=0.0).check(plan)


def _show(loaded: LoadedCampaign) -> None:
    """Print the resolved campaign, each value with its origin."""
    from socm.report.keys import resolved_table

    out = console()
    tables = list(dict.fromkeys(value.table for value in loaded.resolved))
    for name in tables:
        out.print(f"\n[{name}]", style="bold")
        out.print(resolved_table([v for v in loaded.resolved if v.table == name]))
        if name in loaded.campaign.workflows:
            import shlex

            command = shlex.join(loaded.campaign.workflows[name].command)
            out.print(f"command  {command}", style="dim", soft_wrap=True)
    out.print()
