"""What the attempts of a run have been charged, worked out from its journal once more."""

from __future__ import annotations

from collections.abc import Iterator

from socm.engine.backend import Job
from socm.engine.events import Ended, Event, Started


class Charges:
    """The core-hours of attempts that are over, by the starts and ends in the journal."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, int], Job] = {}
        self._begun: dict[tuple[str, int], float] = {}
        self._hours: dict[tuple[str, int], float] = {}

    @property
    def total(self) -> float:
        """Core-hours of all attempts that are over."""
        return sum(self._hours.values())

    def take(self, job: Job) -> None:
        """Take note of a job that the cluster accepted."""
        self._jobs[job.workflow.name, job.attempt] = job

    def hear(self, event: Event) -> Iterator[str]:
        """Take note of a line of the journal; yield that it charges another amount."""
        if isinstance(event, Started):
            self._begun[event.workflow, event.attempt] = event.time
        elif isinstance(event, Ended):
            attempt = event.workflow, event.attempt
            begun, job = self._begun.get(attempt), self._jobs.get(attempt)
            ran = 0.0 if begun is None else event.time - begun
            hours = 0.0 if job is None else core_hours(job, ran)
            self._hours[attempt] = hours
            if abs(event.core_hours - hours) > 1e-6:
                yield f"{event.workflow} is charged {event.core_hours} core-hours, not {hours}"


def core_hours(job: Job, seconds: float) -> float:
    """Return the core-hours of a job for some seconds; every QOS charges what it has."""
    return job.cores * seconds / 3600
