"""What a cluster, emulated or real, must be able to do: the seam between the two worlds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from socm.engine.events import JobState
from socm.model.campaign import Workflow
from socm.model.demand import Demand
from socm.model.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt at one workflow, as a backend receives it.

    Parameters
    ----------
    name
        Unique to run, workflow and attempt, so that after a crash the job can be found by it.
    workflow
        What to run.
    partition, qos, walltime
        To submit with.
    demand
        Its ranks, and what they need of nodes.
    cores
        Cores that count against limits: of the ranks, or of whole nodes where it is exclusive.
    placements
        Its nodes in the plan. They are virtual: a backend honours them where that is possible.
    priority
        Its position in the plan; of two jobs that wait, the one with the smaller starts first.
    duration
        Seconds that it is expected to take.
    nodes
        Names of real nodes that must be among its nodes.
    avoid
        Names of real nodes on which it failed before; a backend keeps it off them if it can.
    """

    name: str
    workflow: Workflow
    attempt: int
    partition: str
    qos: str | None
    walltime: int
    demand: Demand
    cores: int
    placements: tuple[Placement, ...]
    priority: int
    duration: int = 0
    nodes: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUpdate:
    """A state that a job has reached, and when, as a backend reports it.

    Parameters
    ----------
    time
        Seconds since the campaign's start.
    exit_code
        Of its command, where it ended by itself.
    reason
        Why it waits, or why it ended, in words.
    peak_memory
        The most MB that it had in use, where that was measured.
    nodes
        Names of the real nodes on which it runs, where they are known.
    """

    job: Job
    state: JobState
    time: float
    exit_code: int | None = None
    reason: str = ""
    peak_memory: int | None = None
    nodes: tuple[str, ...] = ()


class Backend(Protocol):
    """A cluster that runs jobs, and the contract between it and its driver.

    A backend owns time: its driver never reads a clock. The driver submits or attaches jobs, and
    `wait` reports what becomes of each. `socm.testing.check_backend` holds a backend to this.

    **What is reported**

    - Only jobs that were submitted to or attached to this object are reported, each as the `Job`
      that was handed in.
    - A job gets exactly one update with a final state, whatever becomes of it; a job that the
      cluster has lost is reported as failed, never as completed.
    - Before it, QUEUED and RUNNING are reported once at the most, in this order, and nothing
      comes after it. A job that the cluster starts again by itself is not reported again.
    - RUNNING is reported for each job that ran, in the same `wait` as its end if need be; with its
      nodes, if they are known. It has no more than its placements, `Job.nodes` among them. A
      job that can never have those, because one is not available, ends as one whose node failed.
    - The times of a job's updates never decrease, and none is later than `now`.
    - Where the cluster is an allocation, no job starts whose `Job.duration` ends after it; such a
      job ends as ALLOCATION_ENDED without having run, and so do jobs that the allocation ends.
    """

    def now(self) -> float:
        """Seconds since the campaign's start; it never goes back."""
        ...

    def submit(self, job: Job) -> str:
        """Submit a job and return its native id, which no other job has.

        Raises
        ------
        SubmitError
            If it was refused: there is no job.
        BackendUnavailable
            If there was no answer: there may be a job, and `find` has to tell.
        """
        ...

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job that an earlier process submitted, from now on as if submitted here.

        If it is over, its final update comes from one of the next calls of `wait`.
        """
        ...

    def find(self, job: Job) -> str | None:
        """Return the native id of a job by its name, whether it waits, runs or is over.

        `None` proves that there is no such job and that none will appear: it may be submitted.

        Raises
        ------
        BackendUnavailable
            If that cannot be told; nothing follows from it.
        """
        ...

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; `wait` reports it once the job is over.

        To ask twice is to ask once. A job that is over or unknown is left alone.

        Raises
        ------
        BackendUnavailable
            If there was no answer: the job is not cancelled, and has to be asked for again.
        """
        ...

    def withdraw(self, native_id: str) -> None:
        """Ask for the end of a job that waits; `wait` reports it as cancelled once it is over.

        A job that has begun is left alone; one that begins in this moment may be ended, too. Like
        `cancel` in everything else.
        """
        ...

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates, but not beyond `until`.

        Returns before `until` only with updates, and without any only at `until`; or at once if
        `until` is infinite and nothing is left to report. An outage of the cluster is not an
        error here: it passes like time.
        """
        ...
