"""``socm diff``: what an edit did to a campaign and its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import AssumeSplits, ClusterOption, JsonOption, console, print_json, warn
from socm.cli.intake import take_in
from socm.cli.plan import EXCEPTIONS, ROWS

if TYPE_CHECKING:
    from socm.model.difference import Side

EXAMPLES = """
[bold]Examples[/bold]

  socm diff campaign.toml edited.toml

  socm diff plan.json campaign.toml

  socm diff a.yaml b.yaml --json | jq '.b.core_hours - .a.core_hours'
"""

Campaigns = Annotated[
    Path,
    typer.Argument(help="Campaign (.toml, .yaml) or plan (.json).", show_default=False),
]


def diff(
    a: Campaigns,
    b: Campaigns,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    all_rows: Annotated[
        bool, typer.Option("--all", help=f"List all, if more than {ROWS} workflows differ.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if anything differs.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Compare two campaigns or plans: workflows, cluster, starts, core-hours and margin.

    Campaigns are planned for it. Exit code 0 whatever differs, unless --exit-code is given.
    """
    from socm.model.difference import difference
    from socm.report.diff import changes_table, diff_document, figures_table

    before = _side(a, cluster, assume_splits=assume_splits, quiet=json)
    after = _side(b, cluster, assume_splits=assume_splits, quiet=json)
    found = difference(before, after)
    if json:
        print_json(diff_document(before, after, found))
    else:
        out = console()
        names = (str(a), str(b)) if a != b else ("a", "b")
        out.print(figures_table(before, after, names))
        for name, side in zip(names, (before, after), strict=True):
            for reason in side.reasons[:EXCEPTIONS]:
                out.print(f"{name}: {reason}", style="red", soft_wrap=True)
        short = all_rows or len(found.workflows) <= ROWS
        out.print(changes_table(found, None if short else EXCEPTIONS))
        if not found:
            out.print("Nothing differs.", style="green")
    return int(exit_code and bool(found))


def _side(file: Path, cluster: str | None, *, assume_splits: bool, quiet: bool) -> Side:
    """Read a plan, or plan a campaign; that it fits nowhere is not an error but a difference."""
    from socm.errors import Infeasible
    from socm.model.difference import Side

    planned = file.suffix == ".json"  # and so for a cluster of its own
    taken = take_in(file, None if planned else cluster, assume_splits=assume_splits)
    if not quiet:
        warn(f"{file}: {warning}" for warning in taken.warnings)
    try:
        return Side(taken.campaign, taken.cluster, taken.any_plan())
    except Infeasible as error:
        return Side(taken.campaign, taken.cluster, None, error.reasons)
