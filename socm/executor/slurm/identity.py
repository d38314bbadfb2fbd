"""Which of the jobs that SLURM lists is ours: not by its id alone, for ids are used again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from socm.executor.folder import Start
from socm.executor.slurm.answers import Seen, epoch, is_id

SKEW = 5.0
"""Seconds by which the clock of a node and that of the controller may differ."""


@dataclass
class Identity:
    """What a job is known by, and what SLURM has said of it.

    Its name is unique to run, workflow and attempt. An administrator may change it, but not the
    path of the script. The accounting has no paths: there a job with another name is ours if it was
    submitted in the same second, or if it had our id when our script began.

    Parameters
    ----------
    native_id
        The id under which it is followed. There may be several jobs of a name, if one that was
        thought lost arrived late: then the one whose script has begun is followed.
    name, script
        What it was called when it was submitted, and the path of its script.
    start
        Who has begun to run the script, and when.
    first_submitted, submitted
        When it was submitted, as SLURM wrote it first and last.
    misses
        How many answers in a row have missed it.
    withdrawn
        Whether SLURM was asked to cancel it.

    Examples
    --------
    >>> from socm.engine.events import JobState
    >>> ours = Identity("17", "maps-a-1", "/runs/maps/jobs/a/1/script.sh")
    >>> thesis = Seen(state=JobState.RUNNING, name="thesis", script="/home/thesis.sh")
    >>> ours.among({"17": thesis, "18": Seen(state=JobState.RUNNING, name="maps-a-1")}).keys()
    dict_keys(['18'])
    """

    native_id: str
    name: str
    script: str
    start: Start | None = None
    first_submitted: str = ""
    submitted: str = ""
    misses: int = 0
    withdrawn: bool = False

    @property
    def starter(self) -> str | None:
        """The id of the job that has begun to run the script."""
        return self.start.native_id if self.start and is_id(self.start.native_id) else None

    def among(self, listed: Mapping[str, Seen]) -> dict[str, Seen]:
        """Return those of the jobs that squeue lists that are ours, by id."""
        return {i: seen for i, seen in listed.items() if self._is(seen)}

    def of(self, records: Iterable[Seen]) -> list[Seen]:
        """Return those of the records that sacct has of the id that are ours."""
        return [r for r in records if self._is(r) or self._was(r)]

    def was_requeued(self, seen: Seen) -> bool:
        """Whether a job was put back into the queue after its script had begun."""
        submitted = epoch(seen.submitted)
        if self.start is None or self.starter != self.native_id or submitted is None:
            return False
        # SLURM gives a job that it requeues a new time of submission.
        changed = self.first_submitted not in ("", seen.submitted)
        return submitted > self.start.time + (-SKEW if changed else SKEW)

    def _is(self, seen: Seen) -> bool:
        return seen.name == self.name or seen.script == self.script

    def _was(self, record: Seen) -> bool:
        if record.submitted == self.submitted != "":
            return True
        submitted, end = epoch(record.submitted), record.end
        if self.start is None or self.starter != self.native_id or submitted is None:
            return False
        return submitted - SKEW <= self.start.time and (
            end is None or self.start.time <= end + SKEW
        )
