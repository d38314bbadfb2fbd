"""``socm clusters``: which clusters there are, and what they have."""

from __future__ import annotations

from typing import Annotated

import typer

from socm.cli.common import JsonOption, console, print_json

EXAMPLES = """
[bold]Examples[/bold]

  socm clusters

  socm clusters tiger3

  socm clusters my-cluster.toml --json
"""


def clusters(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Show this one.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> int:
    """List the clusters that socm knows, or show one with the sources of its figures."""
    from dataclasses import asdict

    from socm.config import builtin_clusters, load_cluster
    from socm.report.table import cluster_sources, cluster_tables, facts_table

    if name is None:
        known = [load_cluster(each) for each in builtin_clusters()]
        if json:
            print_json({"schema": "socm.clusters/1", "clusters": [asdict(c) for c in known]})
        else:
            console().print(facts_table((c.name, c.description or "") for c in known))
        return 0
    cluster = load_cluster(name)
    if json:
        print_json({"schema": "socm.cluster/1", "cluster": asdict(cluster)})
        return 0
    out = console()
    out.print(cluster.name, style="bold")
    for table in cluster_tables(cluster):
        out.print(table)
    out.print("Sources", style="bold")
    out.print(facts_table(cluster_sources(cluster)))
    return 0
