"""``socm diff``: the effect of an edit on a campaign and its plan."""

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


_HELP = "Campaign (.toml, .yaml) or plan (.json)."


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help=_HELP, show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_HELP, show_default=False)],
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    all_rows: Annotated[
        bool,
        typer.Option("--all", help=f"List every difference, also of more than {ROWS} workflows."),
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with code 1 if anything differs.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Compare two campaigns or plans: workflows, cluster, times, cost and margin.

    A campaign is planned first. Exit code 0 whether they differ or not, unless
    --exit-code is given.
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
    """Read a plan, or plan a campaign; here, a campaign without a plan is not an error."""
    from socm.errors import Infeasible
    from socm.model.difference import Side

    planned = file.suffix == ".json"  # a plan has its cluster
    taken = take_in(file, None if planned else cluster, assume_splits=assume_splits)
    if not quiet:
        warn(f"{file}: {warning}" for warning in taken.warnings)
    try:
        return Side(taken.campaign, taken.cluster, taken.any_plan())
    except Infeasible as error:
        return Side(taken.campaign, taken.cluster, None, error.reasons)
