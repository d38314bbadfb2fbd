"""``socm validate``: whether a campaign file is right."""

from __future__ import annotations

from socm.cli.common import CampaignFile, ClusterOption, JsonOption, console, print_json, warn

EXAMPLES = """
[bold]Examples[/bold]

  socm validate campaign.toml

  socm validate dag.yaml --cluster perlmutter
"""


def validate(file: CampaignFile, cluster: ClusterOption = None, json: JsonOption = False) -> int:
    """Check a campaign file: every problem in it, and whether each workflow fits the cluster.

    Exit code 0 if it can be planned, 2 if it is wrong, 3 if some workflow fits nowhere.
    """
    from dataclasses import asdict

    from socm.config import load_campaign
    from socm.planner import plan_campaign
    from socm.units import format_duration

    loaded = load_campaign(file, cluster=cluster)
    campaign = loaded.campaign
    plan = plan_campaign(campaign, loaded.cluster)
    if json:
        print_json(
            {
                "schema": "socm.campaign/1",
                "campaign": asdict(campaign),
                "cluster": loaded.cluster.name,
                "fingerprint": campaign.fingerprint,
                "warnings": [*loaded.warnings, *plan.warnings],
            }
        )
        return 0
    from socm.report.table import campaign_table

    warn([*loaded.warnings, *plan.warnings])
    out = console()
    out.print(f"{campaign.name} for {loaded.cluster.name}", style="bold")
    out.print(campaign_table(plan))
    edges = campaign.dag.number_of_edges()
    deadline = "no deadline" if campaign.deadline is None else format_duration(campaign.deadline)
    out.print(f"workflows {len(campaign.workflows)}, dependencies {edges}, deadline {deadline}")
    out.print("Valid.", style="green")
    return 0
