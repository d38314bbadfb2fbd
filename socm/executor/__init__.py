"""Executors: the backends that run real jobs, found by name.

Built in are ``slurm``, ``local`` and ``steps``, and by the names that PSI/J gives them its other
executors. Those of other packages register under the entry point ``socm.executors``.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from socm.engine.backend import Backend, Job
from socm.errors import ConfigError, Problem, did_you_mean
from socm.model.cluster import Cluster
from socm.model.machine import ALLOCATION, LOCAL
from socm.model.plan import Plan
from socm.registry import Registry
from socm.threads import restore_environment

if TYPE_CHECKING:
    from socm.engine.run import Run

STEPS = "steps"
"""The name of the executor that runs jobs as steps of the allocation in which socm runs."""


class Executor(Backend, Protocol):
    """A backend that runs real jobs: what is asked of it beyond the contract of a `Backend`.

    `outage` is what the cluster said when it last gave no answer, and `None` while it answers.
    `socm.executor.tracker.Tracker` has the common part of executors whose jobs leave files.
    """

    outage: str | None

    def __init__(
        self, run: Path, cluster: Cluster, epoch: float, *, poll_interval: float | None = None
    ) -> None: ...

    @classmethod
    def cluster_for(cls, named: str | None) -> str | None:
        """Return the cluster to plan a campaign for, where the user named this one or none."""
        ...

    @classmethod
    def why_not(cls, cluster: Cluster) -> str | None:
        """Say why what is planned for a cluster cannot run here: "not for this machine"."""
        ...

    def check(self, plan: Plan) -> None:
        """Ask the cluster, before anything is submitted, whether the plan can run there.

        Raises
        ------
        BackendUnavailable
            If the cluster cannot be reached from here.
        ConfigError
            If it is not the cluster of the plan, or would refuse one of its jobs at any time.
        SubmitError
            If no script of a job can hold what the plan asks for.
        """
        ...

    def write_script(self, job: Job) -> Path:
        """Write the script that would be submitted, and submit nothing; return its path."""
        ...

    def closes(self) -> float:
        """Return when the cluster ends, if it is an allocation that does; else infinity.

        Raises
        ------
        BackendUnavailable
            If that is not known.
        """
        ...

    def waiting(self) -> Mapping[str, str]:
        """Return why submitted workflows wait, by name, as far as it is known; asks nobody."""
        ...

    def why_queued(self, native_ids: Collection[str]) -> Mapping[str, str]:
        """Ask the cluster why jobs wait, by native id; they need not be attached.

        Raises
        ------
        BackendUnavailable
            If there was no answer.
        """
        ...


EXECUTORS = Registry[type[Executor]](
    "executor",
    {
        LOCAL: "socm.executor.local:LocalExecutor",
        "slurm": "socm.executor.slurm.executor:SlurmExecutor",
        STEPS: "socm.executor.steps:StepExecutor",
    },
    group="socm.executors",
)
"""The executors by name, apart from those of PSI/J."""


def executor_type(name: str) -> type[Executor]:
    """Return the executor of a name.

    Raises
    ------
    ConfigError
        If there is none, or it cannot be loaded.
    """
    if name in EXECUTORS:
        return EXECUTORS[name]
    from socm.executor.psij import psij_names, psij_type

    if name in psij_names():
        return psij_type(name)
    known = sorted({*EXECUTORS, *psij_names()})
    hint = did_you_mean(name, known) or f"known are {', '.join(known)}"
    raise ConfigError(Problem(message=f"unknown executor {name!r}", hint=hint))


def open_executor(
    run: Run, *, poll_interval: float | None = None, not_before: float = 0.0
) -> Executor:
    """Return the executor of a run.

    Parameters
    ----------
    not_before
        The latest time in the journal, in seconds since the campaign's start: the executor's time
        goes on from there, also where the clock of the machine was set back.
    poll_interval
        Seconds between two questions to the cluster, instead of what the run was started with.

    Raises
    ------
    ConfigError
        If the executor of the run is not known here.
    """
    settings = run.settings
    restore_environment()  # it is that of the jobs
    kind = executor_type(settings.executor)
    interval = poll_interval or settings.poll_interval
    epoch = min(run.epoch, time.time() - not_before)
    return kind(run.path, run.plan.cluster, epoch, poll_interval=interval)


def choose_executor(schema: str | None, cluster: str) -> tuple[str, str]:
    """Return the executor to use where none is named, and why.

    Parameters
    ----------
    schema
        The campaign's ``execution_schema``.
    cluster
        The name of the cluster that it is planned for.

    Raises
    ------
    ConfigError
        If nothing runs such a campaign.

    Examples
    --------
    >>> choose_executor("remote", "tiger3")
    ('slurm', 'as the campaign says')
    """
    if cluster == ALLOCATION:
        return STEPS, f"inside of job {os.environ.get('SLURM_JOB_ID', '')}"
    if schema == "batch" and cluster != LOCAL:
        return "slurm", "in allocations, as the campaign says"
    if LOCAL in (schema, cluster):
        return LOCAL, "as the campaign says" if schema else "for which it was planned"
    if schema == "remote":
        return "slurm", "as the campaign says"
    if default_schema() == LOCAL:
        return LOCAL, "there is no sbatch here"
    return "slurm", "sbatch is here"


def default_schema() -> Literal["local", "batch"] | None:
    """Return the ``execution_schema`` of campaigns that set none.

    ``"batch"`` inside of an allocation, else `None` if SLURM is here.
    """
    if shutil.which("sbatch") is None:
        return LOCAL
    return "batch" if os.environ.get("SLURM_JOB_ID") else None
