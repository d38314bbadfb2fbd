"""What SLURM would refuse, asked before anything is submitted."""

from __future__ import annotations

from pathlib import Path

from socm.engine.attempts import first_attempts
from socm.engine.backend import Job
from socm.errors import ConfigError, Problem
from socm.executor.folder import JobFolder
from socm.executor.script import sbatch_options
from socm.executor.slurm.jobs import Slurm
from socm.executor.slurm.refusals import key_of
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.words import listed

_OF_EACH_JOB = {"job-name", "comment", "chdir", "output", "error"}
"""Options that differ from job to job, and to which SLURM does not object."""


def refuse_what_slurm_would(plan: Plan, cluster: Cluster, slurm: Slurm) -> None:
    """Ask SLURM about each distinct request of a plan; nothing is submitted.

    Only what would be refused at any time is a refusal. A job that SLURM would not take just now,
    such as one too many, waits in a run until it is taken.

    Raises
    ------
    BackendUnavailable
        If SLURM gave no answer.
    ConfigError
        With all refusals: SLURM's own words, the workflows, and the key that it is about.
    """
    requests: dict[tuple[str, ...], list[str]] = {}
    for job in first_attempts(plan):
        requests.setdefault(_request(job, cluster), []).append(job.workflow.name)
    problems = []
    for request, names in requests.items():
        if said := slurm.refusal_of(*request):
            problems.append(
                Problem(
                    file=plan.campaign.source,
                    message=f"SLURM refuses what is asked for {listed(names)}: {said}",
                    hint=f"look at {key_of(said)}",
                )
            )
    if problems:
        raise ConfigError(*problems)


def _request(job: Job, cluster: Cluster) -> tuple[str, ...]:
    options = sbatch_options(job, cluster, JobFolder(Path(), job.workflow.name, job.attempt))
    return tuple(
        f"--{name}" if value is None else f"--{name}={value}"
        for name, value in options
        if name not in _OF_EACH_JOB
    )
