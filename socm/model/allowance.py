"""What jobs may have: each of them, and all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["running_jobs", "submit_jobs", "cores"]
"""What is counted over all jobs: those that run, those that run or wait, or cores in use."""
KINDS: tuple[Kind, ...] = ("running_jobs", "submit_jobs", "cores")


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The limits of a QOS, of all jobs in a partition, or of all jobs of a user.

    Parameters
    ----------
    walltime
        Longest limit of a job in seconds.
    running_jobs, submit_jobs
        The most jobs that run at once, and that run or wait.
    cores
        The most cores of all jobs that run at once.
    cores_per_job, nodes_per_job
        The most that one job may ask for.
    """

    walltime: int | None = None
    running_jobs: int | None = None
    submit_jobs: int | None = None
    cores: int | None = None
    cores_per_job: int | None = None
    nodes_per_job: int | None = None

    def __post_init__(self) -> None:
        for what in LIMITS:
            limit = getattr(self, what)
            if limit is not None and not 1 <= limit <= 10**12:
                raise ValueError(f"{what} is out of range")


LIMITS = (
    "walltime", "running_jobs", "submit_jobs", "cores", "cores_per_job", "nodes_per_job",
)  # fmt: skip


class Owned(NamedTuple):
    """A limit over all jobs that count against it, and whose limit that is."""

    owner: str
    most: int
