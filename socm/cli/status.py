"""``socm status`` and ``socm logs``: a run, seen from another process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socm.cli.common import JsonOption, console, print_json
from socm.cli.run import RunArgument
from socm.errors import ConfigError, Problem, SocmError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Group

    from socm.engine.run import Run
    from socm.engine.state import CampaignState
    from socm.executor.folder import JobFolder

STATUS_EXAMPLES = """
[bold]Examples[/bold]

  socm status

  socm status maps-3 --watch

  socm status --json | jq '.workflows[] | select(.state == "failed")'
"""
LOGS_EXAMPLES = """
[bold]Examples[/bold]

  socm logs map-f090

  socm logs map-f090 --follow --run maps-3
"""
FOLLOW = 0.5
WATCH = 5.0


def status(
    name: RunArgument = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh until the run ends.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show the progress of a run: what runs, what waits and why, what failed and why."""
    from socm.engine.run import Run
    from socm.report.status import status_document

    run = Run.find(name)
    if json:
        state = run.state()
        print_json(
            status_document(
                run.name,
                run.plan,
                state,
                run.epoch,
                running=run.is_running(),
                reasons=_reasons(run, state),
            )
        )
        return 0
    out = console()
    if watch and out.is_terminal:
        from rich.live import Live

        with Live(console=out, screen=False, auto_refresh=False) as live:
            while True:
                live.update(_view(run, out.width), refresh=True)
                if run.state().ended is not None or not run.is_running():
                    return 0
                time.sleep(WATCH)
    out.print(_view(run, out.width))
    while watch and run.is_running():
        time.sleep(WATCH)
        out.print(_view(run, out.width))
    return 0


def _view(run: Run, width: int) -> Group:
    """Return the state of a run, as far as it fits on a screen."""
    from rich.console import Group
    from rich.text import Text

    from socm.executor.folder import JobFolder
    from socm.report.status import campaign_status, failures, progress_line, status_table, tail

    state = run.state()
    now = state.ended if state.ended is not None else time.time() - run.epoch
    word = campaign_status(state, running=run.is_running())
    parts: list[Any] = [
        Text.assemble((run.name, "bold"), f" ({word}): {progress_line(run.plan, state, now)}"),
        status_table(state, _reasons(run, state), now=now, width=width),
    ]
    for failed, progress in failures(state):
        folder = JobFolder(run.path, failed, progress.attempt)
        if lines := tail(folder.stderr, 3):
            parts.append(Text(f"{failed}, last lines of its stderr:", style="bold"))
            parts += [Text(f"  {line}", style="dim") for line in lines]
    if word == "stopped":
        parts.append(
            Text(
                f"No socm process is running it; `socm resume {run.name}` continues.",
                style="yellow",
            )
        )
    elif word == "failed":
        parts.append(Text(f"`socm resume {run.name} --retry-failed` retries what failed."))
    return Group(*parts)


def _reasons(run: Run, state: CampaignState) -> Mapping[str, str]:
    """Return why submitted workflows wait, in the words of the cluster."""
    from socm.engine.state import Status
    from socm.executor import open_executor

    queued = {
        p.native_id: name
        for name, p in state.workflows.items()
        if p.status is Status.QUEUED and p.native_id is not None
    }
    reasons: Mapping[str, str] = {}
    if queued:
        with contextlib.suppress(SocmError):  # a state without reasons is better than none
            reasons = open_executor(run).why_queued(queued)
    return {queued[native_id]: reason for native_id, reason in reasons.items()}


def logs(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name of a workflow.")],
    run_name: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="Name or folder of a run (default: the last one started)."
        ),
    ] = None,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", min=1, help="Number of the attempt (default: the last one)."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new output until the workflow ends.")
    ] = False,
) -> int:
    """Print the output of a workflow: its stdout, then its stderr."""
    from socm.engine.run import Run
    from socm.executor.folder import JobFolder

    run = Run.find(run_name)
    progress = run.state().workflows.get(workflow)
    if progress is None:
        hint = did_you_mean(workflow, run.plan.campaign.workflows) or (
            f"`socm status {run.name}` lists them"
        )
        raise ConfigError(Problem(message=f"there is no workflow {workflow!r}", hint=hint))
    folder = JobFolder(run.path, workflow, attempt or progress.attempt)
    if not follow:
        for path in (folder.stdout, folder.stderr):
            typer.echo(_read(path, 0).decode(errors="replace"), nl=False)
        if not folder.path.exists():
            typer.echo(f"{workflow} has not been submitted yet", err=True)
        return 0
    _follow(run, workflow, folder)
    return 0


def _follow(run: Run, workflow: str, folder: JobFolder) -> None:
    read = {folder.stdout: 0, folder.stderr: 0}
    while True:
        over = run.state().workflows[workflow].status.final or folder.result.exists()
        for path, place in read.items():
            more = _read(path, place)
            read[path] += len(more)
            typer.echo(more.decode(errors="replace"), nl=False)
        if over:
            return
        time.sleep(FOLLOW)


def _read(path: Path, place: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(place)
            return file.read()
    except OSError:
        return b""
