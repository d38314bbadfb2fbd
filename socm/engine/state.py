"""The state of a campaign: a fold over its events, the same whether it is live or resumed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

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
    Replanned,
    Retrying,
    Reused,
    Skipped,
    Started,
    SubmitRefused,
    Submitted,
    Submitting,
    Withdrawing,
)
from socm.model.charge import Charge
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan


class Status(Enum):
    """The state of a workflow."""

    PENDING = "pending"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether it changes no more, unless it is retried."""
        return self in (Status.COMPLETED, Status.FAILED, Status.SKIPPED, Status.CANCELLED)

    @property
    def can_be_edited(self) -> bool:
        """Whether a workflow can still be edited: it has not completed, and there is no job."""
        return self in (Status.PENDING, Status.FAILED, Status.SKIPPED, Status.CANCELLED)

    @property
    def can_be_withdrawn(self) -> bool:
        """Whether a workflow can be edited once its job is withdrawn, which may wait."""
        return self in (Status.SUBMITTING, Status.QUEUED)


@dataclass(slots=True)
class Progress:
    """The state of one workflow, and of its attempts.

    Parameters
    ----------
    qos, walltime, memory
        What its current attempt asks for; seconds and MB.
    began
        Start of its first attempt, in seconds since the campaign's start.
    started, ended
        Start and end of the current attempt, in the same seconds.
    nodes
        Names of the nodes on which the current attempt runs, where they are known; before that, of
        those that it was submitted to.
    failed_nodes
        Names of the nodes that failed under an attempt which had no other.
    outcome
        How its last attempt ended.
    excused
        How many of its attempts an allocation ended, or were withdrawn: they do not count as tries.
    cancelling
        Whether the user asked for its end.
    withdrawing
        Whether its job is to be withdrawn, so that it is submitted as edited.
    edited
        Whether it was edited since its last attempt.
    left_out
        Whether the budget of hours had no room for it.
    """

    qos: str | None
    walltime: int
    memory: int
    status: Status = Status.PENDING
    attempt: int = 1
    native_id: str | None = None
    began: float | None = None
    started: float | None = None
    ended: float | None = None
    nodes: tuple[str, ...] = ()
    failed_nodes: tuple[str, ...] = ()
    outcome: JobState | None = None
    exit_code: int | None = None
    reason: str = ""
    peak_memory: int | None = None
    excused: int = 0
    cancelling: bool = False
    withdrawing: bool = False
    edited: bool = False
    left_out: bool = False


@dataclass(slots=True)
class CampaignState:
    """The state of a campaign and of each of its workflows.

    Parameters
    ----------
    started, ended
        Of the campaign, in seconds since its start.
    last_end
        When the last attempt ended, or what took its place: a refusal, a cancellation, outputs
        that are used again.
    charge
        What all attempts that are over have been charged.
    """

    workflows: dict[str, Progress] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    last_end: float | None = None
    charge: Charge = field(default_factory=Charge)

    @classmethod
    def of(cls, plan: Plan, events: Iterable[Event] = ()) -> CampaignState:
        """Return the state of a plan after some events."""
        memory = {name: w.request.memory for name, w in plan.campaign.workflows.items()}
        state = cls({w.name: Progress(w.qos, w.walltime, memory[w.name]) for w in plan.workflows})
        events = [*events]
        edits = [event for event in events if isinstance(event, Replanned)]
        for event in events:
            name = getattr(event, "workflow", None)
            if edits and name is not None and name not in state.workflows:
                if isinstance(event, Ended):
                    state.charge += Charge(event.core_hours, event.node_hours)
                continue  # an edit has taken it out of the campaign
            apply(state, event)
            if isinstance(event, Replanned):
                for name in {*event.edited} & state.workflows.keys():
                    planned, progress = plan.by_name[name], state.workflows[name]
                    progress.qos, progress.walltime = planned.qos, planned.walltime
                    progress.memory = memory[name]
                    progress.edited = True
        return state

    def kept(self, plan: Plan, now: int, gone: Collection[str] = ()) -> list[PlannedWorkflow]:
        """Return what no edit can change of a plan: workflows with a job, or that completed.

        What has completed needs its place no longer.

        Parameters
        ----------
        gone
            Workflows whose jobs are to be withdrawn.
        """
        status = {name: progress.status for name, progress in self.workflows.items()}
        return [
            replace(w, finish=min(w.finish, now))
            if status[w.name] is Status.COMPLETED and w.start < now
            else w
            for w in plan.workflows
            if not status[w.name].can_be_edited and w.name not in gone
        ]

    def is_finished(
        self, plan: Plan, *, retry_failed: bool = False, fail_fast: bool = False
    ) -> bool:
        """Whether the run has ended, and nothing is left to do if it is resumed.

        Parameters
        ----------
        retry_failed, fail_fast
            As for `socm.engine.driver.run_plan`.
        """

        def is_over(name: str, progress: Progress) -> bool:
            match progress.status:
                case Status.COMPLETED:
                    return True
                case Status.SKIPPED if not fail_fast and not retry_failed:
                    parents = plan.campaign.workflows[name].depends
                    return progress.left_out or any(
                        self.workflows[p].status is not Status.COMPLETED for p in parents
                    )
                case status:
                    return status.final and not retry_failed

        return self.ended is not None and all(is_over(*item) for item in self.workflows.items())


def _try_again(progress: Progress) -> None:
    """Make a workflow pending that has not completed, as if it had not been tried."""
    if progress.status in (Status.FAILED, Status.SKIPPED, Status.CANCELLED):
        tried = progress.status is Status.FAILED or progress.native_id is not None
        progress.attempt += tried
        progress.status = Status.PENDING
        progress.native_id = progress.started = progress.ended = None
        progress.nodes = progress.failed_nodes = ()
        progress.cancelling = progress.left_out = False


def _was_withdrawn(progress: Progress) -> bool:
    """Whether a job that is over was withdrawn: one that has begun may have ended by itself."""
    if not progress.withdrawing or progress.cancelling or progress.status is Status.COMPLETED:
        return False
    return progress.outcome is JobState.CANCELLED or progress.started is None


_ENDS = (Ended, SubmitRefused, Cancelled, Reused)
_OUTCOMES = {JobState.COMPLETED: Status.COMPLETED, JobState.CANCELLED: Status.CANCELLED}


def apply(state: CampaignState, event: Event) -> None:
    """Change the state by one event: the only code that does."""
    if isinstance(event, _ENDS):
        state.last_end = max(event.time, state.last_end or event.time)
    match event:
        case Submitting():
            progress = state.workflows[event.workflow]
            progress.status = Status.SUBMITTING
            progress.attempt = event.attempt
            progress.edited = progress.withdrawing = False
            progress.nodes = event.nodes
        case Submitted():
            progress = state.workflows[event.workflow]
            progress.status = Status.QUEUED
            progress.native_id = event.native_id
            progress.reason = ""
        case Started():
            progress = state.workflows[event.workflow]
            progress.status = Status.RUNNING
            progress.started = event.time
            progress.nodes = event.nodes
            if progress.began is None:
                progress.began = event.time
        case Ended():
            progress = state.workflows[event.workflow]
            progress.status = _OUTCOMES.get(event.state, Status.FAILED)
            progress.ended = event.time
            progress.outcome = event.state
            progress.exit_code = event.exit_code
            progress.reason = event.reason
            progress.peak_memory = event.peak_memory
            if event.state is JobState.NODE_FAILED and len(progress.nodes) == 1:
                progress.failed_nodes += progress.nodes
            state.charge += Charge(event.core_hours, event.node_hours)
            progress.excused += event.state is JobState.ALLOCATION_ENDED
            if _was_withdrawn(progress):
                progress.excused += 1
                progress.reason = "its job was withdrawn"
                _try_again(progress)
        case SubmitRefused():
            progress = state.workflows[event.workflow]
            progress.status = Status.FAILED
            progress.ended = event.time
            progress.outcome = None
            progress.reason = event.reason
        case Retrying():
            progress = state.workflows[event.workflow]
            progress.status = Status.PENDING
            progress.attempt = event.attempt
            progress.qos, progress.walltime = event.qos, event.walltime
            progress.memory = event.memory
            progress.reason = event.reason
            progress.native_id = progress.started = progress.ended = None
            progress.nodes = ()
            progress.left_out = False
        case LeftOut():
            progress = state.workflows[event.workflow]
            progress.status = Status.SKIPPED
            progress.reason = event.reason
            progress.left_out = True
        case Skipped():
            progress = state.workflows[event.workflow]
            progress.status = Status.SKIPPED
            progress.reason = f"{event.because} did not complete"
        case CancelRequested():
            state.workflows[event.workflow].cancelling = True
        case Withdrawing():
            state.workflows[event.workflow].withdrawing = True
        case Cancelled():
            progress = state.workflows[event.workflow]
            progress.status = Status.CANCELLED
            progress.reason = event.reason
        case Reused():
            progress = state.workflows[event.workflow]
            progress.status = Status.COMPLETED
            progress.reason = "its outputs are there, and newer than its inputs"
        case CampaignStarted():
            state.started = event.time
        case CampaignResumed():
            state.ended = None
            if event.retry_failed:
                for progress in state.workflows.values():
                    _try_again(progress)
        case Replanned():
            state.ended = None
        case CampaignEnded():
            state.ended = event.time
        case _:
            raise TypeError(f"unknown event {event!r}")
