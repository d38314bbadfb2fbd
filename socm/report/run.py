"""What is said of a run: before it begins, as it goes, and at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from socm.engine.events import (
    CampaignEnded,
    CampaignResumed,
    CampaignStarted,
    Cancelled,
    Ended,
    Event,
    JobState,
    Retrying,
    Reused,
    Skipped,
    Started,
    SubmitRefused,
    Submitted,
)
from socm.engine.state import CampaignState, Status
from socm.executor.folder import JobFolder
from socm.executor.machine import LOCAL
from socm.model.plan import Plan
from socm.report.status import counts_line, failures, tail, why
from socm.report.table import facts_table, plan_table
from socm.report.verdict import plan_facts, plan_verdict
from socm.units import format_count, format_duration, format_memory, format_walltime

if TYPE_CHECKING:
    from socm.engine.run import Run

ROWS = 25
FAILURES = 10


def plan_preview(plan: Plan, executor: str, reason: str, *, width: int) -> Iterator[RenderableType]:
    """Show what will be submitted, where, and what it costs."""
    local = plan.cluster.name == LOCAL
    where = "this machine" if local else f"{plan.cluster.name}, by {executor}"
    yield Text(f"{plan.campaign.name} on {where} ({reason})", style="bold")
    yield plan_table(plan, plan.workflows[:ROWS], width=width)
    if len(plan.workflows) > ROWS:
        yield Text(f"and {len(plan.workflows) - ROWS} more; `socm plan` lists them", style="dim")
    jobs = Counter(w.qos or w.partition for w in plan.workflows)
    tiers = ", ".join(f"{count} in {name}" for name, count in jobs.items())
    attempts = plan.campaign.retries + 1
    retries = (
        f"up to {attempts} attempts: after a timeout with a longer walltime, out of memory with "
        "more, after a failed node or a preemption as before"
        if attempts > 1
        else "none"
    )
    yield facts_table(
        [*plan_facts(plan), ("jobs", f"{len(plan.workflows)}: {tiers}"), ("retries", retries)]
    )
    yield Text(plan_verdict(plan), style="green" if plan.feasible else "red")


def beginnings(plan: Plan, folder: str) -> Iterator[str]:
    """Say in a few lines what a run begins with: what was read, made and set aside for it."""
    workflows = plan.campaign.workflows
    edges = sum(len(w.depends) for w in workflows.values())
    yield f"validated: {plan.campaign.name}, fingerprint {plan.campaign.fingerprint}"
    yield f"created: {_count(len(workflows), 'workflow')}, {_dependencies(edges)}"
    budget = plan.campaign.budget
    most = [
        f"{format_count(number)} {what}"
        for number, what in ((budget.cores, "cores"), (budget.nodes, "nodes"))
        if number is not None
    ]
    held = f"at the most {' and '.join(most)}" if most else "whatever the plan holds"
    yield (
        f"allocated: {held} on {plan.cluster.name}; {_count(plan.peak_nodes, 'node')} at the peak "
        "of the plan"
    )
    yield f"kept in: {folder}"


def _dependencies(edges: int) -> str:
    return f"{format_count(edges)} dependenc{'y' if edges == 1 else 'ies'}"


def event_line(event: Event, plan: Plan, state: CampaignState) -> str | None:
    """Say in a line what has happened; nothing of what nobody needs to know."""
    name = getattr(event, "workflow", "")
    match event:
        case CampaignStarted():
            count = len(plan.workflows)
            return f"{plan.campaign.name}: {count} workflows on {plan.cluster.name}"
        case CampaignResumed():
            return f"{plan.campaign.name} goes on: {counts_line(state)}"
        case Submitted():
            planned, progress = plan.by_name[name], state.workflows[name]
            request = plan.campaign.workflows[name].request
            asked = [
                planned.qos or planned.partition,
                _count(len(planned.placements), "node"),
                f"{request.ranks} × {_count(planned.threads, 'core')}",
                format_memory(progress.memory),
                format_walltime(progress.walltime),
            ]
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            return f"{name}: submitted as {event.native_id} ({', '.join(asked)}){again}"
        case SubmitRefused():
            return f"{name}: refused: {event.reason}"
        case Started():
            return f"{name}: runs"
        case Ended():
            progress = state.workflows[name]
            took = format_duration(event.time - (progress.started or event.time))
            if event.state is JobState.COMPLETED:
                peak = (
                    f", {format_memory(event.peak_memory)} of memory" if event.peak_memory else ""
                )
                return f"{name}: completed after {took}{peak}"
            return f"{name}: {event.state.value} after {took}" + (
                f": {event.reason}" if event.reason not in ("", event.state.value) else ""
            )
        case Retrying():
            return f"{name}: tried again: {event.reason}"
        case Skipped():
            return f"{name}: skipped, because {event.because} did not complete"
        case Cancelled():
            return f"{name}: cancelled"
        case Reused():
            return f"{name}: left out, its outputs are there and newer than its inputs"
        case CampaignEnded():
            return f"{plan.campaign.name}: {counts_line(state)}"
        case _:
            return None


def _count(number: int, what: str) -> str:
    return f"{format_count(number)} {what}{'' if number == 1 else 's'}"


def ending(
    run: Run, plan: Plan, state: CampaignState, *, stopped: bool
) -> Iterator[RenderableType]:
    """Say how a run ended: what failed, why, and what now."""
    failed = [*failures(state)]
    yield ""
    for name, progress in failed[:FAILURES]:
        yield Text.assemble((f"{name} failed", "bold red"), f": {why(progress)}")
        folder = JobFolder(run.path, name, progress.attempt)
        for line in tail(folder.stderr) or tail(folder.stdout):
            yield Text(f"  {line}", style="dim")
    if len(failed) > FAILURES:
        yield Text(f"and {len(failed) - FAILURES} more failed; `socm status {run.name}` lists them")
    open_ones = any(not p.status.final for p in state.workflows.values())
    good = all(p.status is Status.COMPLETED for p in state.workflows.values())
    if open_ones:
        yield Text(f"Not done: {counts_line(state)}.", style="bold yellow")
        yield Text(f"`socm resume {run.name}` goes on; `socm cancel {run.name}` ends its jobs.")
        return
    took = (state.ended or 0.0) - (state.started or 0.0)
    deadline = plan.campaign.deadline
    if good:
        late = deadline is not None and (state.ended or 0.0) > deadline
        verdict = f"All {len(state.workflows)} workflows completed after {format_duration(took)}"
        if deadline is None:
            yield Text(f"{verdict}.", style="bold green")
        elif late:
            over = format_duration((state.ended or 0.0) - deadline)
            yield Text(f"{verdict}, {over} after the deadline.", style="bold yellow")
        else:
            yield Text(f"{verdict}, within the deadline.", style="bold green")
    else:
        yield Text(f"Ended after {format_duration(took)}: {counts_line(state)}.", style="bold red")
        if failed:
            yield Text(f"`socm logs {failed[0][0]} --run {run.name}` shows what it printed.")
        yield Text(f"`socm resume {run.name} --retry-failed` tries again.")
