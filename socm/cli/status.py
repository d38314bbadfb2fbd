"""``socm status`` and ``socm logs``: a run, seen from another process."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socm.cli.common import JsonOption, console, print_json, run_document, warn_of
from socm.cli.run import RunArgument
from socm.errors import ConfigError, Problem, SocmError, did_you_mean
from socm.files import open_regular

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
PIECE = 1024**2
"""Bytes of a log that are printed at once: it may be larger than the memory."""


def status(
    name: RunArgument = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh until the run ends.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show the progress of a run: what runs, what waits and why, what failed and why."""
    from socm.engine.run import Run

    run = Run.find(name, tell=warn_of)
    if json:
        print_json(run_document(run, life=run.life(), reasons=_reasons))
        return 0
    out, view = console(), _View(run)
    if watch and out.is_terminal:
        from rich.live import Live

        with Live(console=out, screen=False, auto_refresh=False) as live:
            while True:
                live.update(view.look(out.width), refresh=True)
                if view.over:
                    return 0
                time.sleep(WATCH)
    out.print(view.look(out.width))
    while watch and not view.over:
        time.sleep(WATCH)
        out.print(view.look(out.width))
    return 0


class _View:
    """A run as it is seen again and again: of its journal only what is new is read.

    Attributes
    ----------
    over
        Whether nothing more will be seen.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._inside = _View(run.inside) if run.inside is not None else None
        self._history = run.history()
        self.over = False

    def look(self, width: int) -> Group:
        """Return the state of the run, as far as it fits on a screen."""
        from rich.console import Group
        from rich.text import Text

        from socm.executor.folder import JobFolder
        from socm.report.status import campaign_status, failures, progress_line, status_table, tail

        run, life = self._run, self._run.life()
        state = self._history.state()
        self.over = state.ended is not None or life is None
        now = state.ended if state.ended is not None else time.time() - run.epoch
        word = campaign_status(state, running=life is not None)
        parts: list[Any] = [
            Text.assemble((run.name, "bold"), f" ({word}): {progress_line(run.plan, state, now)}"),
            status_table(state, _reasons(run, state), now=now, width=width),
        ]
        for failed, progress in failures(state):
            folder = JobFolder(run.path, failed, progress.attempt)
            if lines := tail(folder.stderr, 3):
                parts.append(Text(f"{failed}, last lines of its stderr:", style="bold"))
                parts += [Text(f"  {line}", style="dim") for line in lines]
        if life is not None and life.doubt is not None:
            said = f"Carried on by {life.owner}, which cannot be verified from here: {life.doubt}."
            parts.append(Text(said, style="yellow"))
        if self._inside is not None:
            parts.append(self._inside.look(width))
        if run.is_inside:
            return Group(*parts)  # the run around it says what to do
        if word == "stopped":
            said = f"No socm process is running it; `socm resume {run.name}` continues."
            parts.append(Text(said, style="yellow"))
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

    run = Run.find(run_name, tell=warn_of)
    if run.inside is not None and workflow in run.inside.plan.by_name:
        run = run.inside
    progress = run.state().workflows.get(workflow)
    if progress is None:
        hint = did_you_mean(workflow, run.plan.campaign.workflows) or (
            f"`socm status {run.name}` lists them"
        )
        raise ConfigError(Problem(message=f"there is no workflow {workflow!r}", hint=hint))
    folder = JobFolder(run.path, workflow, attempt or progress.attempt)
    if not follow:
        for path in (folder.stdout, folder.stderr):
            _print_from(path, 0)
        if not folder.path.exists():
            typer.echo(f"{workflow} has not been submitted yet", err=True)
        return 0
    _follow(run, workflow, folder)
    return 0


def _follow(run: Run, workflow: str, folder: JobFolder) -> None:
    history = run.history()
    read = {folder.stdout: 0, folder.stderr: 0}
    while True:
        over = history.state().workflows[workflow].status.final or folder.result.exists()
        for path, place in read.items():
            read[path] += _print_from(path, place)
        if over:
            return
        time.sleep(FOLLOW)


def _print_from(path: Path, place: int) -> int:
    """Print a file from a place on, if it can be read; return how many bytes that were."""
    from socm.report.terminal import printable

    try:
        file = open_regular(path)
    except OSError:
        return 0
    with file:
        file.seek(place)
        while piece := file.read(PIECE):
            text = piece.decode(errors="replace")
            sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
        return file.tell() - place
