"""The seam between the two worlds: what a cluster, emulated or real, must be able to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from socm.engine.events import JobState
from socm.model.campaign import Workflow
from socm.model.plan import Placement


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
    ranks, threads, gpus
        Processes, and physical cores and GPUs of each.
    memory
        MB of all ranks.
    exclusive
        Whether its nodes are to be its own.
    placements
        Where the plan has it. Nodes of a plan are virtual: honour them where that is possible.
    priority
        Its place in the plan; of two jobs that wait, the smaller goes first.
    """

    name: str
    workflow: Workflow
    attempt: int
    partition: str
    qos: str | None
    walltime: int
    ranks: int
    threads: int
    gpus: int
    memory: int
    exclusive: bool
    placements: tuple[Placement, ...]
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUpdate:
    """What a backend reports of a job: a state it has reached, and when.

    `peak_memory` is the most MB that it had in use, where that was measured.
    """

    job: Job
    state: JobState
    time: float
    exit_code: int | None = None
    reason: str = ""
    peak_memory: int | None = None


class Backend(Protocol):
    """A cluster that takes jobs. It owns time: whoever drives it never reads a clock."""

    def now(self) -> float:
        """Seconds since the campaign's start."""
        ...

    def submit(self, job: Job) -> str:
        """Hand in a job and return its native id, or raise `SubmitError`."""
        ...

    def attach(self, job: Job, native_id: str) -> None:
        """Track a job that was submitted in an earlier life."""
        ...

    def find(self, job: Job) -> str | None:
        """Return the native id of a job by its name; `None` proves that there is none.

        Raises `BackendUnavailable` where that cannot be told: never submit on that.
        """
        ...

    def cancel(self, native_id: str) -> None:
        """End a job."""
        ...

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates, but not beyond `until`.

        Returns no updates when it got to `until` without any; or, when `until` is infinite, when
        none will ever come.
        """
        ...
