"""A small campaign carried out on a real SLURM, and what SLURM itself says of it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builders import TIGER
from mini_slurm import MiniSlurm

from socm.config.cluster import load_cluster
from socm.engine.driver import run_plan
from socm.engine.events import Event, Submitted
from socm.engine.journal import MemoryJournal
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState
from socm.executor.folder import make_run_folder
from socm.executor.slurm.executor import SlurmExecutor
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.planner import plan_campaign

MPIRUN = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}
"""What Open MPI needs where everything is run by root, on nodes that claim more than there is."""
SOCM = [sys.executable, "-m", "socm"]
ROOT = Path(__file__).parents[2]


PLAIN = Cluster(name="plain", partitions=(Partition(name="cpu", nodes=4, cores=16, memory=60000),))
"""Nodes of a cluster without accounting, and so without QOS."""


def plain_plan(*workflows: Workflow, nodes: int | None = None) -> Plan:
    """Plan workflows for that cluster, with a budget of nodes if one is given."""
    return plan_campaign(Campaign.of("plain", workflows, budget=Budget(nodes=nodes)), PLAIN)


def shell(name: str, script: str, *depends: str, **more: Any) -> Workflow:
    """Return a workflow that runs a line of shell."""
    request = {"runtime": 60, "memory": 200, **more.pop("request", {})}
    return Workflow(
        name=name,
        command=("sh", "-c", script),
        depends=depends,
        request=ResourceRequest(**request),
        **more,
    )


def world_on(slurm: MiniSlurm, folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a folder of its own on a cluster, for this process and those that it starts."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm.env[name])
    slurm.wait_until_idle()
    return World(slurm, folder / "run", f"t{secrets.token_hex(4)}")


@dataclass
class World:
    """A folder to run in, and the cluster to run on."""

    slurm: MiniSlurm
    folder: Path
    run_id: str
    events: list[Event] = field(default_factory=list)
    backend: SlurmExecutor | None = None

    def plan(self, *workflows: Workflow, **campaign: Any) -> Plan:
        campaign = {"name": "test", "workflows": {w.name: w for w in workflows}, **campaign}
        return plan_campaign(Campaign(**campaign), load_cluster(TIGER))

    def carry_out(
        self, *workflows: Workflow, plan: Plan | None = None, retry: RetryPolicy | None = None
    ) -> CampaignState:
        """Run to the end, in this process."""
        plan = plan or self.plan(*workflows)
        make_run_folder(self.folder)
        self.backend = SlurmExecutor(self.folder, plan.cluster, time.time(), poll_interval=1)
        journal = MemoryJournal()
        self.events = journal.events
        return run_plan(plan, self.backend, journal, job_prefix=self.run_id, retry=retry)

    def sacct(self, *columns: str) -> dict[str, list[str]]:
        """What sacct says of this run's jobs, by workflow and attempt: it is told a bit late."""
        wanted = sum(isinstance(event, Submitted) for event in self.events)
        found: dict[str, list[str]] = {}

        def all_over() -> bool:
            found.clear()
            names = ",".join(["JobName", "State", *columns])
            out = self.slurm.run("sacct", "-nPX", "-S", "now-1day", "-o", names)
            for name, *values in (line.split("|") for line in out.splitlines()):
                if name.startswith(f"{self.run_id}-"):
                    found[name.removeprefix(f"{self.run_id}-")] = values
            states = {values[0] for values in found.values()}
            return len(found) >= wanted and not states & {"PENDING", "RUNNING", "COMPLETING"}

        self.slurm.wait_for(all_over, "sacct")
        return found

    def job_of(self, workflow: str, attempt: int = 1) -> str:
        """Wait until a job is there; return its id."""
        found = ""

        def listed() -> bool:
            nonlocal found
            name = f"{self.run_id}-{workflow}-{attempt}"
            found = self.slurm.run("squeue", "-h", "-n", name, "-o", "%A").strip()
            return bool(found)

        self.slurm.wait_for(listed, f"a job of {workflow}")
        return found

    def running(self, workflow: str, attempt: int = 1) -> str:
        """Wait until a job's command has printed something; return the job's id."""
        mark = self.folder / "results" / f"{workflow}.{attempt}.started"
        printed = self.folder / "jobs" / workflow / str(attempt) / "stdout"
        self.slurm.wait_for(lambda: printed.exists() and printed.read_text() != "", workflow)
        return mark.read_text().split()[0]

    def time_out(self, job: str) -> None:
        """Let SLURM find a job's walltime over; it does not in the second of its start."""

        def taken() -> bool:
            try:
                self.slurm.run("scontrol", "update", f"jobid={job}", "EndTime=now")
            except RuntimeError:
                return False
            return True

        self.slurm.wait_for(taken, "scontrol")

    @contextmanager
    def meanwhile(self, action: Callable[[], object]) -> Iterator[None]:
        """Do something while a campaign goes on; what it raises is raised here."""
        raised: list[BaseException] = []

        def act() -> None:
            try:
                action()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        yield
        thread.join()
        if raised:
            raise raised[0]

    def socm(self, *arguments: str | Path, check: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SOCM, *map(str, arguments)],
            env={**self.slurm.env, "PYTHONPATH": str(ROOT)},
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=180,
            check=check,
        )

    def start_socm(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*SOCM, *map(str, arguments)],
            env={**self.slurm.env, "PYTHONPATH": str(ROOT)},
            cwd=self.folder.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def statuses(state: CampaignState) -> dict[str, str]:
    return {name: progress.status.value for name, progress in state.workflows.items()}


def kinds(events: Sequence[Event], workflow: str) -> list[str]:
    return [type(e).__name__ for e in events if getattr(e, "workflow", None) == workflow]
