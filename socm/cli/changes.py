"""What a campaign file says now, against what a run was begun with."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from socm.cli.intake import refuse_unready, take_in
from socm.errors import ConfigError, InvalidPlan, Problem

if TYPE_CHECKING:
    from socm.engine.journal import FileJournal
    from socm.engine.run import Run
    from socm.engine.state import CampaignState
    from socm.model.campaign import Campaign


def take_in_changes(run: Run, journal: FileJournal | None = None) -> None:
    """Refuse to go on with a campaign that was changed since; or plan what it is now.

    A file that is not there any more changes nothing: the run has all it needs. Nor does a
    deadline that is a date: it is another span of time each time that it is read.

    Parameters
    ----------
    journal
        Of the run, where the changes are accepted.

    Raises
    ------
    ConfigError
        With every difference, unless they are accepted; and where one comes too late.
    """
    from socm.planner import plan_campaign

    file = Path(run.settings.file)
    if not file.exists():
        return
    changed = _as_it_is_now(run, file)
    differences = [*_differences(run.plan.campaign, changed)]
    if not differences:
        return
    refuse_unready(changed, run.plan.cluster, file)
    if journal is None:
        problems = [Problem(file=str(file), message=what) for _, what in differences]
        hint = (
            f"`socm resume {run.name} --accept-changes` goes on with the file as it is now; "
            "or change it back"
        )
        message = "the campaign was changed since this run began"
        raise ConfigError(*problems, Problem(file=str(file), message=message, hint=hint))
    state = run.state()
    if problems := [*_too_late(run, state, differences)]:
        raise ConfigError(*problems)
    now = math.ceil(max(journal.latest, time.time() - run.epoch))
    try:
        plan = plan_campaign(changed, run.plan.cluster, start=now, fixed=state.kept(run.plan, now))
    except InvalidPlan as error:
        raise ConfigError(*_too_small(file, error)) from error
    run.replan(plan, journal, {name for name, _ in differences if name}, now)


def _as_it_is_now(run: Run, file: Path) -> Campaign:
    from socm.model.machine import LOCAL

    local = run.plan.cluster.name == LOCAL and file.suffix != ".json"
    return take_in(file, LOCAL if local else None).campaign


def _differences(before: Campaign, after: Campaign) -> Iterator[tuple[str, str]]:
    """Yield what differs: the workflow, or nothing for the campaign's own keys; and in words."""
    from socm.model.difference import workflow_changes

    for key in ("budget", "policy", "retries"):
        old, new = getattr(before, key), getattr(after, key)
        if old != new:
            yield "", f"{key} was {old}, and is {new}"
    for name in before.workflows:
        if name not in after.workflows:
            yield name, f"{name} was in the campaign, and is not any more"
    for name in after.workflows:
        if name not in before.workflows:
            yield "", f"{name} is new in the campaign"
    for name, workflow in after.workflows.items():
        known = before.workflows.get(name)
        for change in workflow_changes(known, workflow) if known is not None else ():
            if change.key not in ("description", "priority"):
                old, new = _short(change.before), _short(change.after)
                yield name, f"{name}: {change.key} was {old}, and is {new}"


def _too_small(file: Path, error: InvalidPlan) -> Iterator[Problem]:
    """Yield why a smaller budget comes too late."""
    for violation in error.violations:
        yield Problem(
            file=str(file),
            message=f"the budget is smaller than what has jobs already: {violation}",
            hint="change it back, or wait until less is in use",
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _too_late(
    run: Run, state: CampaignState, differences: list[tuple[str, str]]
) -> Iterator[Problem]:
    """Yield the differences that come too late."""
    for name, what in differences:
        progress = state.workflows.get(name)
        if progress is None or progress.status.can_be_edited:
            continue
        hint = "change it back, or begin a new run"
        if not progress.status.final:
            hint = (
                f"change it back; or `socm cancel {run.name} {name}` ends its job, and then "
                f"`socm resume {run.name} --accept-changes --retry-failed` submits it as it is now"
            )
        message = f"{what}; but it is {progress.status.value} already"
        yield Problem(file=run.settings.file, message=message, hint=hint)
