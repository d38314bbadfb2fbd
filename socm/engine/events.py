"""What happens in a campaign: one frozen dataclass for each type of event.

The journal holds these and nothing else; the state is what they add up to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class JobState(Enum):
    """The state of a job. States are partially ordered: none that is final precedes another.

    Examples
    --------
    >>> JobState.QUEUED < JobState.RUNNING < JobState.TIMEOUT
    True
    >>> JobState.COMPLETED < JobState.TIMEOUT
    False
    """

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILED = "node failed"
    PREEMPTED = "preempted"
    ALLOCATION_ENDED = "allocation ended"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job is over."""
        return self not in (JobState.QUEUED, JobState.RUNNING)

    def __lt__(self, other: JobState) -> bool:
        if self is JobState.QUEUED:
            return other is not JobState.QUEUED
        return self is JobState.RUNNING and other.final


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at a time, in seconds since the campaign's start."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStarted(Event):
    """The campaign with this fingerprint was started."""

    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitting(Event):
    """A job is about to be submitted, to these nodes if any: written before the act."""

    workflow: str
    attempt: int
    job: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Event):
    """The backend accepted a job and gave it a native id."""

    workflow: str
    attempt: int
    native_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRefused(Event):
    """The backend refused a job permanently."""

    workflow: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A job began to run, on these nodes if they are known."""

    workflow: str
    attempt: int
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """A job is over, in a final state, and is charged these hours."""

    workflow: str
    attempt: int
    state: JobState
    exit_code: int | None = None
    reason: str = ""
    peak_memory: int | None = None
    core_hours: float = 0.0
    node_hours: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying(Event):
    """A workflow is pending again, and its next attempt asks for this."""

    workflow: str
    attempt: int
    qos: str | None
    walltime: int
    memory: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped(Event):
    """A workflow will not run, because of another that did not complete."""

    workflow: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(Event):
    """A workflow will not run: what is left of the budget of hours has no room for its job."""

    workflow: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Event):
    """The user asked for the end of a workflow that has a job: no attempt follows."""

    workflow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawing(Event):
    """A job that waits is about to be withdrawn, because its workflow was edited.

    When it is over, the workflow is pending again. A job that has begun meanwhile goes on.
    """

    workflow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Event):
    """A workflow without a job was cancelled by the user."""

    workflow: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused(Event):
    """A workflow was not run: its outputs exist and are newer than its inputs."""

    workflow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResumed(Event):
    """Another process carries the campaign on.

    With `retry_failed`, every workflow that was over and had not completed is pending again, with
    a new attempt if it had been tried.
    """

    retry_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replanned(Event):
    """The campaign was edited, and is carried on by another plan.

    Workflows that the plan does not have are no part of the run any more. Those that were edited
    ask for what the plan says, not for what an earlier attempt led to.
    """

    fingerprint: str
    plan: str
    edited: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEnded(Event):
    """Every workflow is in a final state."""


EVENT_TYPES: Mapping[str, type[Event]] = {
    event.__name__: event
    for event in (
        CampaignStarted,
        CampaignResumed,
        Replanned,
        Submitting,
        Submitted,
        SubmitRefused,
        Started,
        Ended,
        Retrying,
        Skipped,
        LeftOut,
        CancelRequested,
        Withdrawing,
        Cancelled,
        Reused,
        CampaignEnded,
    )
}
"""The types of events by name."""
