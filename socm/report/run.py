"""What is printed of a run: before it starts, while it is active, and at its end."""

from __future__ import annotations

import math
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
    CancelRequested,
    Ended,
    Event,
    JobState,
    LeftOut,
    Retrying,
    Reused,
    Skipped,
    Started,
    SubmitRefused,
    Submitted,
    Withdrawing,
)
from socm.engine.state import CampaignState, Status
from socm.executor.folder import JobFolder
from socm.model.allocation import AllocationPlan, AnyPlan
from socm.model.charge import charge_of, hours_in_words
from socm.model.machine import LOCAL
from socm.model.plan import Plan
from socm.report.status import counts_line, failures, tail, why
from socm.report.table import facts_table, plan_table
from socm.report.verdict import plan_facts, plan_verdict
from socm.units import format_count, format_duration, format_memory, format_walltime
from socm.words import count, listed

if TYPE_CHECKING:
    from socm.engine.run import Run

ROWS = 25
FAILURES = 10


def plan_preview(
    plan: AnyPlan, executor: str, reason: str, *, width: int
) -> Iterator[RenderableType]:
    """Show what will be submitted, where, and what it costs."""
    local = plan.cluster.name == LOCAL
    where = "this machine" if local else f"{plan.cluster.name}, by {executor}"
    yield Text(f"{plan.campaign.name} on {where} ({reason})", style="bold")
    yield plan_table(plan, plan.workflows[:ROWS], width=width)
    if len(plan.workflows) > ROWS:
        yield Text(f"and {len(plan.workflows) - ROWS} more; `socm plan` lists them", style="dim")
    jobs = Counter(w.qos or w.partition for w in plan.workflows)
    where_to = ", ".join(f"{format_count(number)} in {name}" for name, number in jobs.items())
    attempts = plan.campaign.retries + 1
    retries = (
        f"up to {attempts} attempts: after a timeout with a longer walltime, when out of memory "
        "with more memory, after a failed node or a preemption unchanged"
        if attempts > 1
        else "none"
    )
    jobs_line = f"{format_count(len(plan.workflows))}: {where_to}"
    if isinstance(plan, AllocationPlan):
        steps = count(len(plan.workflows), "workflow")
        jobs_line = f"{count(len(plan.allocations), 'allocation')}, in which {steps} run as steps"
    yield facts_table([*plan_facts(plan), ("jobs", jobs_line), ("retries", retries)])
    yield Text(plan_verdict(plan), style="green" if plan.feasible else "red")


def beginnings(plan: Plan, folder: str) -> Iterator[str]:
    """Return a few lines on what a run starts with: campaign, workflows, nodes and folder."""
    workflows = plan.campaign.workflows
    edges = sum(len(w.depends) for w in workflows.values())
    yield f"validated: {plan.campaign.name}, fingerprint {plan.campaign.fingerprint}"
    dependencies = count(edges, "dependency", "dependencies")
    yield f"created: {count(len(workflows), 'workflow')}, {dependencies}"
    budget = plan.campaign.budget
    most = [
        count(number, what)
        for number, what in ((budget.cores, "core"), (budget.nodes, "node"))
        if number is not None
    ]
    if budget.hours is not None:
        most.append(hours_in_words(budget.hours, budget))
    most += [f"{format_count(number)} {name}" for name, number in plan.campaign.limits.items()]
    limit = f"at most {listed(most)}" if most else "no budget"
    yield (
        f"allocated: {limit} on {plan.cluster.name}; {count(plan.peak_nodes, 'node')} at the peak "
        "of the plan"
    )
    yield f"kept in: {folder}"


def event_line(event: Event, plan: Plan, state: CampaignState) -> str | None:
    """Return a line on what has happened; `None` for events that are not printed."""
    name = getattr(event, "workflow", "")
    match event:
        case CampaignStarted():
            workflows = count(len(plan.workflows), "workflow")
            return f"{plan.campaign.name}: {workflows} on {plan.cluster.name}"
        case CampaignResumed():
            again = ", what failed is retried" if event.retry_failed else ""
            return f"{plan.campaign.name} resumed{again}: {counts_line(state)}"
        case Submitted():
            planned, progress = plan.by_name[name], state.workflows[name]
            request = plan.campaign.workflows[name].request
            asked = [
                planned.qos or planned.partition,
                count(len(planned.placements), "node"),
                f"{request.ranks} × {count(planned.threads, 'core')}",
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
            if progress.status is Status.PENDING:
                return f"{name}: its job was withdrawn"
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
            return f"{name}: next attempt: {event.reason}"
        case Skipped():
            return f"{name}: skipped, because {event.because} did not complete"
        case LeftOut():
            return f"{name}: left out: {event.reason}"
        case CancelRequested():
            return f"{name}: to be cancelled"
        case Withdrawing():
            return f"{name}: its job waits and is withdrawn, to be submitted as edited"
        case Cancelled():
            return f"{name}: cancelled"
        case Reused():
            return f"{name}: not run, its outputs exist and are newer than its inputs"
        case CampaignEnded():
            return f"{plan.campaign.name}: {counts_line(state)}"
        case _:
            return None


def outage_line(outage: str | None, executor: str) -> str:
    """Return a line on what keeps jobs from starting, or that nothing does any more.

    Examples
    --------
    >>> outage_line("`squeue` gave no answer in 60 s", "slurm")
    'the cluster is not answering (`squeue` gave no answer in 60 s); jobs keep running, retrying'
    >>> outage_line(None, "local")
    'this machine starts jobs again'
    """
    who, does, again = ("the cluster", "is not answering", "answers again")
    if executor == LOCAL:
        who, does, again = ("this machine", "starts no more jobs just now", "starts jobs again")
    return f"{who} {does} ({outage}); jobs keep running, retrying" if outage else f"{who} {again}"


def ending(run: Run, plan: Plan, state: CampaignState) -> Iterator[RenderableType]:
    """Show how a run ended: what failed, why, and what to do next."""
    failed = [*failures(state)]
    yield ""
    for name, progress in failed[:FAILURES]:
        yield Text.assemble((f"{name} failed", "bold red"), f": {why(progress)}")
        folder = JobFolder(run.path, name, progress.attempt)
        for line in tail(folder.stderr) or tail(folder.stdout):
            yield Text(f"  {line}", style="dim")
    if len(failed) > FAILURES:
        more = format_count(len(failed) - FAILURES)
        yield Text(f"and {more} more failed; `socm status {run.name}` lists them")
    open_ones = any(not p.status.final for p in state.workflows.values())
    good = all(p.status is Status.COMPLETED for p in state.workflows.values())
    if open_ones:
        yield Text(f"Not done: {counts_line(state)}.", style="bold yellow")
        yield Text(
            f"`socm resume {run.name}` continues; `socm cancel {run.name}` cancels its jobs."
        )
        return
    took = (state.ended or 0.0) - (state.started or 0.0)
    deadline = plan.campaign.deadline
    if good:
        late = deadline is not None and (state.ended or 0.0) > deadline
        number = count(len(state.workflows), "workflow")
        every = number if len(state.workflows) == 1 else f"All {number}"
        verdict = f"{every} completed after {format_duration(took)}"
        if deadline is None:
            yield Text(f"{verdict}.", style="bold green")
        elif late:
            over = format_duration((state.ended or 0.0) - deadline)
            yield Text(f"{verdict}, {over} after the deadline.", style="bold yellow")
        else:
            yield Text(f"{verdict}, within the deadline.", style="bold green")
    else:
        yield Text(f"Ended after {format_duration(took)}: {counts_line(state)}.", style="bold red")
        yield from _left_out(run, plan, state)
        if failed:
            yield Text(f"`socm logs {failed[0][0]} --run {run.name}` shows its output.")
        yield Text(f"`socm resume {run.name} --retry-failed` retries what failed.")


def _left_out(run: Run, plan: Plan, state: CampaignState) -> Iterator[Text]:
    """Say what the budget of hours had no room for, and what would go on."""
    budget = plan.campaign.budget
    names = [name for name, p in state.workflows.items() if p.left_out]
    if not names or budget.hours is None:
        return
    used = state.charge.of(budget)
    yield Text(
        f"What is left of the budget is too little: {hours_in_words(used, budget)} of "
        f"{hours_in_words(budget.hours, budget)} are charged. Left out: {listed(names)}."
    )
    needed = used
    for name, progress in state.workflows.items():
        if progress.status is Status.SKIPPED:
            w = plan.by_name[name]
            charge = charge_of(plan.cluster, w.partition, progress.qos, w.cores, progress.walltime)
            needed += charge.of(budget)
    unit = "core-hours" if budget.node_hours is None else "node-hours"
    yield Text(
        f"With {unit} = {math.ceil(needed)} in [campaign.budget] of {run.settings.file}, "
        f"`socm resume {run.name} --accept-changes` runs what is left."
    )
