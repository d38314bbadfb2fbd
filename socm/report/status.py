"""The progress of a run: as a document, as a table, and in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from socm.engine.events import JobState
from socm.engine.life import Life
from socm.engine.state import CampaignState, Progress, Status
from socm.model.plan import Plan
from socm.units import format_duration

STATUS_SCHEMA = "socm.status/1"
STYLES = {
    Status.COMPLETED: "green",
    Status.FAILED: "bold red",
    Status.CANCELLED: "red",
    Status.SKIPPED: "yellow",
    Status.RUNNING: "cyan",
    Status.QUEUED: "blue",
}
_ORDER = (
    Status.FAILED,
    Status.CANCELLED,
    Status.RUNNING,
    Status.QUEUED,
    Status.SUBMITTING,
    Status.PENDING,
    Status.SKIPPED,
    Status.COMPLETED,
)


def campaign_status(state: CampaignState, *, running: bool) -> str:
    """Return the state of a run in a word: running, stopped, completed or failed."""
    if any(not p.status.final for p in state.workflows.values()):
        return "running" if running else "stopped"
    good = all(p.status is Status.COMPLETED for p in state.workflows.values())
    return "completed" if good else "failed"


def status_document(
    name: str,
    plan: Plan,
    state: CampaignState,
    epoch: float,
    *,
    life: Life | None,
    reasons: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the progress of a run as JSON data.

    Parameters
    ----------
    life
        The process that carries the run on.
    reasons
        Why submitted workflows wait, by name.
    """
    return {
        "schema": STATUS_SCHEMA,
        "run": name,
        "campaign": plan.campaign.name,
        "state": campaign_status(state, running=life is not None),
        "process": life and {"owner": life.owner, "verified": life.doubt is None},
        "start": _moment(epoch, state.started),
        "end": _moment(epoch, state.ended),
        "deadline": _moment(epoch, plan.campaign.deadline),
        "workflows": [
            {
                "name": workflow,
                "state": progress.status.value,
                "attempt": progress.attempt,
                "native_id": progress.native_id,
                "exit_code": progress.exit_code,
                "reason": (reasons or {}).get(workflow) or progress.reason or None,
                "start": _moment(epoch, progress.started),
                "end": _moment(epoch, progress.ended),
                "peak_memory_mb": progress.peak_memory,
            }
            for workflow, progress in state.workflows.items()
        ],
    }


def _moment(epoch: float, seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(epoch + seconds, UTC).isoformat(timespec="milliseconds")


def counts_line(state: CampaignState) -> str:
    """Count the workflows by their status.

    Examples
    --------
    >>> state = CampaignState({"a": Progress("short", 60, 1), "b": Progress("short", 60, 1)})
    >>> counts_line(state)
    '2 pending'
    """
    counts = Counter(p.status for p in state.workflows.values())
    return ", ".join(f"{counts[s]} {s.value}" for s in _ORDER if counts[s])


def progress_line(plan: Plan, state: CampaignState, now: float) -> str:
    """Return the counts of a run, and the time to its deadline."""
    line = counts_line(state)
    if plan.campaign.deadline is not None:
        left = plan.campaign.deadline - now
        line += (
            f"; {format_duration(left)} to the deadline"
            if left >= 0
            else f"; {format_duration(-left)} after the deadline"
        )
    return line


def status_table(
    state: CampaignState, reasons: Mapping[str, str], *, now: float, width: int = 80
) -> Table:
    """Return a table of the workflows; those that failed come first."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", width=width)
    table.add_column("workflow", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("attempt", justify="right")
    table.add_column("job", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    position = {status: k for k, status in enumerate(_ORDER)}
    for name, p in sorted(state.workflows.items(), key=lambda item: position[item[1].status]):
        took = "" if p.started is None else format_duration(max(0.0, (p.ended or now) - p.started))
        table.add_row(
            name,
            Text(p.status.value, style=STYLES.get(p.status, "")),
            str(p.attempt),
            p.native_id or "",
            took,
            Text(reasons.get(name) or why(p)),
        )
    return table


def why(progress: Progress) -> str:
    """Return in a line why a workflow has not completed."""
    if progress.status is Status.COMPLETED:
        return ""
    if progress.outcome is None or not progress.status.final:
        return progress.reason
    outcome, reason = progress.outcome.value, progress.reason
    if progress.outcome is JobState.FAILED and reason:
        return reason
    return outcome if not reason or reason.lower() == outcome else f"{outcome}: {reason}"


def tail(path: Path, lines: int = 5) -> list[str]:
    """Return the last lines of a file; none if it does not exist."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def failures(state: CampaignState) -> Iterable[tuple[str, Progress]]:
    """Return the workflows that failed, by name."""
    return [(n, p) for n, p in state.workflows.items() if p.status is Status.FAILED]
