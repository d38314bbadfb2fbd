"""``socm workflows``: which types there are, what each may say, and what a file becomes."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socm.cli.common import (
    AssumeSplits,
    CampaignFile,
    ClusterOption,
    JsonOption,
    console,
    print_json,
    warn,
)
from socm.cli.verbs import verbs

if TYPE_CHECKING:
    from socm.model.campaign import Workflow

EXAMPLES = """
[bold]Examples[/bold]

  socm workflows

  socm workflows show ml-null-tests.pwv-tests

  socm workflows expand campaign.toml

  socm workflows expand campaign.toml --json | jq -r '.[].name'
"""

app = typer.Typer(
    cls=verbs("list", "show"),
    help="List and show workflow types, and expand campaigns.",
    epilog=EXAMPLES,
)


@app.command("list")
def list_types(json: JsonOption = False) -> int:
    """List the workflow types, those of other packages too; so does `socm workflows` alone."""
    from socm.config.keys import summary_of
    from socm.errors import ConfigError
    from socm.report.table import facts_table
    from socm.workflows import WORKFLOW_TYPES

    known: dict[str, str] = {}
    broken: dict[str, str] = {}
    for name in WORKFLOW_TYPES:
        try:
            known[name] = summary_of(WORKFLOW_TYPES[name].options)
        except ConfigError as error:
            broken[name] = error.problems[0].message
    if json:
        types = [{"name": name, "help": text, "error": None} for name, text in known.items()]
        types += [{"name": name, "help": None, "error": text} for name, text in broken.items()]
        print_json({"schema": "socm.workflow-types/1", "types": types})
        return 0
    console().print(facts_table(known.items()))
    warn(broken.values())
    return 0


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="TYPE", help="Workflow type.", show_default=False)],
    json: JsonOption = False,
) -> int:
    """Show the keys of a workflow type; so does `socm workflows TYPE`."""
    from socm.config.keys import keys_of, summary_of
    from socm.report.keys import keys_table
    from socm.workflows import WORKFLOW_TYPES

    options = WORKFLOW_TYPES[name].options
    keys = keys_of(options)
    if json:
        print_json({"schema": "socm.workflow-type/1", "name": name, "keys": keys})
        return 0
    out = console()
    out.print(f"[campaign.{name}]", style="bold")
    out.print(summary_of(options))
    out.print(keys_table(keys))
    out.print("Beside these: name, depends, resources, environment and all that every section has.")
    return 0


@app.command("expand")
def expand(
    file: CampaignFile,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    json: JsonOption = False,
) -> int:
    """Print the workflows that a campaign becomes, each with its command line; write nothing."""
    from socm.config import load_campaign
    from socm.words import count, listed

    loaded = load_campaign(file, cluster=cluster, assume_splits=assume_splits)
    workflows = loaded.campaign.workflows.values()
    if json:
        print_json([_document(w) for w in workflows])
        return 0
    warn(loaded.warnings)
    out = console()
    for workflow in workflows:
        after = f"  after {listed([*workflow.depends])}" if workflow.depends else ""
        out.print(f"{workflow.name}{after}", style="bold", soft_wrap=True)
        if workflow.description:
            out.print(f"  {workflow.description}", style="dim", soft_wrap=True)
        out.print(f"  {' '.join(map(_quoted, workflow.command))}", soft_wrap=True)
    if loaded.notes:
        out.print()
    for note in loaded.notes:
        out.print(note, soft_wrap=True)
    out.print(count(len(workflows), "workflow"), style="bold")
    return 0


def _document(workflow: Workflow) -> dict[str, Any]:
    """Return one workflow as JSON data: a contract, to which keys may be added."""
    request = workflow.request
    return {
        "name": workflow.name,
        "type": workflow.kind,
        "command": list(workflow.command),
        "depends": list(workflow.depends),
        "environment": dict(workflow.environment),
        "files": dict(workflow.files),
        "resources": {
            "ranks": request.ranks,
            "threads": request.threads,
            "memory_mb": request.memory,
            "runtime_s": request.runtime,
        },
        "samples": workflow.sizes.get("samples"),
        "sizes": dict(workflow.sizes),
        "assumed": workflow.assumed,
        "description": workflow.description,
    }


def _quoted(word: str) -> str:
    """Quote a word for a shell; one of SQL as a person would.

    Examples
    --------
    >>> print(_quoted("type='obs'"), _quoted("/maps"), _quoted("a b"))
    "type='obs'" /maps 'a b'
    """
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)
