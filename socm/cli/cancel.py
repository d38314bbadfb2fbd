"""``socm cancel``: end jobs of a run, and report what the cluster has confirmed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import JsonOption, console, print_json, run_document, warn_of
from socm.cli.run import RunArgument
from socm.cli.streams import telling_kills_nothing
from socm.errors import BackendUnavailable, ConfigError, Problem, RunError, did_you_mean
from socm.words import count, listed, reason_of

if TYPE_CHECKING:
    from socm.engine.run import Run
    from socm.engine.state import CampaignState

CANCEL_EXAMPLES = """
[bold]Examples[/bold]

  socm cancel

  socm cancel maps-3 map-f090 map-f150
"""
PATIENCE = 60.0
"""Seconds to wait for the ends of the jobs."""
LOOK = 0.5
"""Seconds between two looks at a run that another process carries on."""


@telling_kills_nothing()
def cancel(
    name: RunArgument = None,
    workflows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORKFLOW",
            help="Cancel these workflows (default: all of the run).",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Cancel the jobs of a run, or of some of its workflows, and no others.

    Waits until they are over. Exit code 5 if the cluster did not confirm that within a minute.
    """
    from socm.engine.run import Run

    run = Run.find(name, tell=warn_of)
    inside = run.inside
    if inside is not None and workflows and not {*workflows} & {*run.plan.by_name}:
        run, inside = inside, None
    known = run.plan.campaign.workflows
    if problems := [
        Problem(message=f"there is no workflow {w!r}", hint=did_you_mean(w, known))
        for w in workflows or []
        if w not in known
    ]:
        raise ConfigError(*problems)
    before = run.state()
    concerned = _open(before, [*(workflows or before.workflows)])
    state = _cancelled(run, concerned) if concerned else before
    if inside is not None and not workflows and concerned:
        _cancelled(inside, _open(inside.state(), [*inside.plan.by_name]))
    if left := _open(state, concerned):
        names = " ".join([run.name, *left] if workflows else [run.name])
        raise BackendUnavailable(
            f"no answer yet whether {listed(left)} {'is' if len(left) == 1 else 'are'} cancelled",
            hint=f"`socm status {run.name}` shows what runs; `socm cancel {names}` tries again",
        )
    if json:
        print_json(run_document(run, state, life=run.life()))
    elif concerned:
        console().print(_summary(run, state, concerned))
    else:
        console().print(f"{run.name} has nothing left to cancel")
    return 0


def _open(state: CampaignState, names: Sequence[str]) -> list[str]:
    return [name for name in names if not state.workflows[name].status.final]


def _summary(run: Run, state: CampaignState, names: Sequence[str]) -> str:
    """Say what has become of the workflows that were to be cancelled."""
    ends = Counter(state.workflows[name].status.value for name in names)
    parts = [f"{count(number, 'workflow')} {status}" for status, number in ends.items()]
    return f"{run.name}: {listed(parts, most=5)}"


def _cancelled(run: Run, names: Sequence[str]) -> CampaignState:
    """Cancel workflows, by the process that carries the run on, or here if there is none.

    Returns
    -------
    CampaignState
        When they are over, or patience is.
    """
    from socm.cli.requests import request_cancellation

    history = run.history()
    until, asked = time.monotonic() + PATIENCE, ""
    while True:
        life = run.life()
        if life is None:
            return _cancelled_here(run, names, until)
        if life.id not in ("", asked):
            try:
                request_cancellation(run.path, life.id, names)
            except OSError as error:
                raise RunError(f"{run.path} cannot be written: {reason_of(error)}") from error
            asked = life.id
        state = history.state()
        if not _open(state, names) or time.monotonic() > until:
            return state
        time.sleep(LOOK)


def _cancelled_here(run: Run, names: Sequence[str], until: float) -> CampaignState:
    """Resume a run just to cancel workflows; nothing is submitted."""
    from socm.engine.driver import run_plan
    from socm.engine.journal import MENDED, FileJournal
    from socm.engine.requests import Requests
    from socm.executor import open_executor

    def requests(state: CampaignState) -> Requests:
        stop = not _open(state, names) or time.monotonic() > until
        return Requests(stop=stop, pause=True, cancel=frozenset(names))

    with run.lock(), FileJournal(run.journal) as journal:
        if journal.mended:
            warn_of(MENDED)
        return run_plan(
            run.plan,
            open_executor(run, not_before=journal.latest),
            journal,
            job_prefix=run.id,
            events=[*journal.events],
            fail_fast=run.settings.fail_fast,
            requests=requests,
        )
