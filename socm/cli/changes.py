"""What a campaign file says now, against what a run was begun with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from socm.cli.intake import refuse_unready, take_in
from socm.errors import ConfigError, InvalidPlan, Problem

if TYPE_CHECKING:
    from socm.cli.progress import Reporter
    from socm.engine.edits import Edit
    from socm.engine.journal import FileJournal
    from socm.engine.requests import Poll
    from socm.engine.run import Run
    from socm.engine.state import CampaignState
    from socm.executor import Executor
    from socm.model.campaign import Campaign
    from socm.model.placement import PlannedWorkflow
    from socm.model.plan import Plan


@dataclass(frozen=True)
class Changes:
    """What has changed in the campaign file of a run.

    Parameters
    ----------
    file
        The file.
    differences
        Each with its workflow, or nothing for the campaign's own keys; and in words.
    edit
        What they amount to.
    """

    file: Path
    differences: list[tuple[str, str]]
    edit: Edit


def changes_of(run: Run) -> Changes | None:
    """Return what has changed in the campaign file of a run; `None` if nothing has.

    A file that is not there any more changes nothing: the run has all it needs. Nor does a
    deadline that is a date: it is another span of time each time that it is read.
    """
    from socm.engine.edits import Edit

    file = Path(run.settings.file)
    if not file.is_file():
        return None
    campaign = _as_it_is_now(run, file)
    allocations = run.allocations
    before = run.plan.campaign if allocations is None else allocations.campaign
    differences = [*_differences(before, campaign)]
    if not differences:
        return None
    if allocations is not None:
        problems = [Problem(file=str(file), message=what) for _, what in differences]
        message = "the campaign was changed since, and runs in allocations"
        problems.append(Problem(file=str(file), message=message, hint="change it back"))
        raise ConfigError(*problems)
    refuse_unready(campaign, run.plan.cluster, file)
    changed = frozenset(name for name, _ in differences if name)
    return Changes(file, differences, Edit(run.plan, campaign, changed))


def refuse_changes(run: Run) -> None:
    """Refuse to go on with a campaign that was changed since.

    Raises
    ------
    ConfigError
        With every difference.
    """
    changes = changes_of(run)
    if changes is None:
        return
    file = str(changes.file)
    problems = [Problem(file=file, message=what) for _, what in changes.differences]
    hint = (
        f"`socm resume {run.name} --accept-changes` goes on with the file as it is now; "
        "or change it back"
    )
    message = "the campaign was changed since this run began"
    raise ConfigError(*problems, Problem(file=file, message=message, hint=hint))


def accept_changes(
    changes: Changes,
    run: Run,
    journal: FileJournal,
    executor: Executor,
    requests: Poll,
    reporter: Reporter,
) -> None:
    """Carry a run on as its campaign file is now, from one line of its journal on.

    Raises
    ------
    ConfigError
        If a change comes too late; then nothing is changed.
    """
    from socm.engine.edits import prepare
    from socm.engine.state import CampaignState
    from socm.planner import plan_campaign

    closed = run.plan.cluster.closed(datetime.fromtimestamp(run.epoch, UTC))

    def make_plan(campaign: Campaign, start: int, fixed: list[PlannedWorkflow]) -> Plan:
        try:
            return plan_campaign(
                campaign, run.plan.cluster, start=start, reservations=closed, fixed=fixed
            )
        except InvalidPlan as error:
            raise ConfigError(*_too_small(changes.file, error)) from error

    state = CampaignState.of(run.plan, journal.events)
    if late := changes.edit.too_late(state):
        raise ConfigError(*_too_late(changes, run, state, late))
    new = prepare(
        changes.edit,
        executor,
        journal,
        make_plan,
        events=[*journal.events],
        job_prefix=run.id,
        requests=requests,
        reporter=reporter,
    )
    state = CampaignState.of(run.plan, journal.events)
    begun = [*_too_late(changes, run, state, new.begun)]
    if new.plan is not None:
        for problem in begun:
            reporter.say(f"{problem.message}: {problem.hint}")
        run.replan(new.plan, journal, new.edit.changed, new.time)
    elif begun:
        raise ConfigError(*begun)


def _as_it_is_now(run: Run, file: Path) -> Campaign:
    from socm.model.machine import HERE

    name = run.plan.cluster.name
    here = name in HERE and file.suffix != ".json"
    return take_in(file, name if here else None).campaign


def _differences(before: Campaign, after: Campaign) -> Iterator[tuple[str, str]]:
    """Yield what differs: the workflow, or nothing for the campaign's own keys; and in words."""
    from socm.model.difference import workflow_changes

    for key in ("budget", "limits", "policy", "retries"):
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
    """Yield why a smaller budget or limit comes too late."""
    for violation in error.violations:
        yield Problem(
            file=str(file),
            message=f"what has jobs already does not fit any more: {violation}",
            hint="change it back, or wait until less is in use",
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _too_late(
    changes: Changes, run: Run, state: CampaignState, names: Iterable[str]
) -> Iterator[Problem]:
    """Yield the differences of some workflows that come too late."""
    late = {*names}
    for name, what in changes.differences:
        if name not in late:
            continue
        status = state.workflows[name].status
        hint = "change it back, or begin a new run"
        if not status.final:
            hint = (
                f"change it back; or `socm cancel {run.name} {name}` ends its job, and then "
                f"`socm resume {run.name} --accept-changes --retry-failed` submits it as it is now"
            )
        message = f"{what}; but it is {status.value} already"
        yield Problem(file=str(changes.file), message=message, hint=hint)
