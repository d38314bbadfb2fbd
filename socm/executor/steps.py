"""The executor that runs jobs as steps of the allocation in which socm runs.

The scripts run where socm runs, each under a supervisor, as those of this machine do; their ranks
are started by srun on the nodes that the pool gives them.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.errors import BackendUnavailable, ConfigError, Problem, RunError
from socm.executor.folder import Start
from socm.executor.local import LocalExecutor
from socm.executor.processes import MARK
from socm.executor.script import job_script, rank_command
from socm.executor.slurm.allocation import (
    Allocation,
    HeldNode,
    allocation_id,
    ask_allocation,
    end_steps,
    need_allocation,
)
from socm.executor.slurm.answers import node_names
from socm.executor.slurm.client import Client, slurm_environment
from socm.executor.tracker import Tracked
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.machine import ALLOCATION
from socm.model.partition import Partition
from socm.model.placement import Placement
from socm.model.plan import Plan
from socm.units import format_memory
from socm.words import count

ASK = 30.0
"""Seconds between two questions whether the allocation is still there, and until when."""
AGAIN = 2.0
"""Seconds before the end of a job is judged again that could not be."""
KILLED = 128
"""Exit codes from here on are of processes that a signal ended."""
SLACK = 5.0
"""Seconds by which clocks may differ."""


class StepExecutor(LocalExecutor):
    """Runs jobs as steps of the allocation that this process is in.

    The end of the allocation is no failure of what runs in it: that ends as ALLOCATION_ENDED, also
    where only the next process finds it, in another allocation.
    """

    def __init__(
        self, run: Path, cluster: Cluster, epoch: float, *, poll_interval: float | None = None
    ) -> None:
        super().__init__(run, cluster, epoch)
        self._client = Client()
        self._asked = -math.inf
        self._judge_again = 0.0
        self._known = Allocation(native_id="")
        self._cut: set[str] = set()  # by the end of an earlier allocation

    @classmethod
    def cluster_for(cls, named: str | None) -> str | None:
        """Return the allocation; see `Executor.cluster_for`."""
        return ALLOCATION

    @classmethod
    def why_not(cls, cluster: Cluster) -> str | None:
        """Say nothing: `check` asks SLURM; see `Executor.why_not`."""
        return None

    def check(self, plan: Plan) -> None:
        """Refuse a plan for which the allocation has not the nodes; see `Executor.check`."""
        _ = self._names

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The nodes of the allocation that stand for those of each partition, in their order.

        Raises
        ------
        BackendUnavailable
            If this is not inside of an allocation, or SLURM gives no answer.
        ConfigError
            If there are too few.
        """
        allocation = self._allocation()
        left: list[HeldNode] = [*allocation.nodes]
        found: dict[str, list[str]] = {}
        for partition in self.cluster.partitions:
            nodes = [node for node in left if node.holds(partition)][: partition.nodes]
            left = [node for node in left if node not in nodes]
            found[partition.name] = [node.name for node in nodes]
            if len(nodes) < partition.nodes:
                message = (
                    f"it was planned for {count(partition.nodes, 'node')} with {partition.cores} "
                    f"cores and {format_memory(partition.memory)}; allocation "
                    f"{allocation.native_id} has {len(nodes)} of these"
                )
                hint = "plan it again inside of this allocation, or ask for another one"
                raise ConfigError(Problem(message=message, hint=hint))
        return found

    def _allocation(self) -> Allocation:
        """Return the allocation as it was known half a minute ago or later.

        Raises
        ------
        BackendUnavailable
            If this is not inside of one, or nothing was ever known of it.
        """
        native_id = need_allocation()
        if time.monotonic() > self._asked + ASK:
            try:
                self._known = ask_allocation(self._client, native_id)
            except BackendUnavailable:
                if not self._known.native_id:
                    raise
            self._asked = time.monotonic()
        return self._known

    def closes(self) -> float:
        """Return when the allocation ends; see `Executor.closes`."""
        allocation = self._allocation()
        return self.now() if allocation.over else allocation.end - self.epoch

    def waiting(self) -> Mapping[str, str]:
        """Return why workflows wait, by name; see `Executor.waiting`."""
        return {t.job.workflow.name: t.reason or "no room yet" for t in self.queue}

    def script(self, job: Job) -> str:
        """Return the script of a job."""
        folder, partition = self.folder(job), self.cluster.by_partition[job.partition]
        launch = launch_lines(job, partition)
        return job_script(job, folder, launch=launch, result=folder.path / "end.json")

    def fit(self, job: Job) -> tuple[Placement, ...] | None:
        """Return where a job has room now, on its nodes in the plan if these have it."""
        names = self._names[job.partition]
        among = frozenset(names.index(name) for name in job.nodes if name in names)
        most = len(job.placements)
        return self.pool.fit(
            job.demand, job.partition, job.placements, most_nodes=most, among=among
        )

    def environment(self, job: Job, placements: tuple[Placement, ...]) -> Mapping[str, str]:
        """Return the environment of a job: nothing of the job around it but where it is.

        For a step, each node is named as often as it has ranks.
        """
        names = [self._names[p.partition][p.node] for p in placements]
        ranks = [p.ranks for p in placements]
        native_id, nodes = need_allocation(), str(len(names))
        repeated = [name for name, k in zip(names, ranks, strict=True) for _ in range(k)]
        environment = {
            **slurm_environment(os.environ, "sbatch"),
            "SLURM_JOB_ID": native_id,
            "SLURM_NNODES": nodes,
            "SLURM_JOB_NODELIST": ",".join(repeated),
        }
        if job.workflow.launcher == "srun":
            return environment
        cpus = job.demand.threads * self.cluster.by_partition[job.partition].threads_per_core
        return environment | {
            "SLURM_JOBID": native_id,
            "SLURM_JOB_NUM_NODES": nodes,
            "SLURM_JOB_NODELIST": ",".join(names),
            "SLURM_NODELIST": ",".join(names),
            "SLURM_TASKS_PER_NODE": ",".join(map(str, ranks)),
            "SLURM_NTASKS": str(sum(ranks)),
            "SLURM_NPROCS": str(sum(ranks)),
            "SLURM_CPUS_PER_TASK": str(cpus),
            "SRUN_CPUS_PER_TASK": str(cpus),
            "SLURM_OVERLAP": "1",
        }

    def memory_limit(self, demand: Demand) -> int:
        """Return no limit: the ranks are elsewhere, and SLURM sees to it there."""
        return 0

    def nodes_of(self, started: Start | None) -> tuple[str, ...]:
        """Return the names of the nodes of a job; see `Tracker.nodes_of`."""
        return tuple(dict.fromkeys(node_names(started.nodes))) if started else ()

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job of an earlier process, which may have run in another allocation.

        Raises
        ------
        RunError
            If it is still running there.
        BackendUnavailable
            If it cannot be told whether it is.
        """
        folder = self.folder(job)
        begun = folder.read_started()
        elsewhere = begun is not None and begun.native_id != allocation_id()
        if begun is None or not elsewhere or folder.result.exists():
            super().attach(job, native_id)
            return
        if not ask_allocation(self._client, begun.native_id).over:
            raise RunError(
                f"{job.workflow.name} runs in allocation {begun.native_id}, which has not ended",
                hint=f"resume inside of it; or `scancel {begun.native_id}` ends it, then resume",
            )
        self.take_over(job, native_id)
        self._cut.add(native_id)

    def poll(self) -> list[JobUpdate]:
        """Report which jobs are over, and start those for which there are room and time."""
        updates: list[JobUpdate] = []
        for native_id in [*self._cut]:
            self._cut.discard(native_id)
            tracked = self.tracked[native_id]
            updates += self.end(tracked, JobState.ALLOCATION_ENDED, "with its allocation")
        if self.queue and allocation_id() is not None:
            left = self.closes() - self.now()
            for tracked in [t for t in self.queue if t.job.duration > left]:
                self.queue.remove(tracked)
                updates += self.end(tracked, JobState.ALLOCATION_ENDED)
        return updates + super().poll()

    def end_badly(self, tracked: Tracked) -> list[JobUpdate]:
        """Report a job that failed, or that its allocation ended, once none of its steps is left.

        Without an answer nothing is reported.
        """
        if time.monotonic() < self._judge_again:
            return []
        try:
            cut, left = self._was_cut(tracked), self._end_steps(tracked)
        except BackendUnavailable as error:
            self.outage = error.message
            self._judge_again = time.monotonic() + AGAIN
            return []
        self.outage = None
        if left:
            self._judge_again = time.monotonic() + AGAIN
            return []
        if cut:
            return self.end(tracked, JobState.ALLOCATION_ENDED, "with its allocation")
        return super().end_badly(tracked)

    def _was_cut(self, tracked: Tracked) -> bool:
        """Whether it was the end of its allocation that ended a job."""
        result, begun = tracked.result, tracked.folder.read_started()
        if result is None or begun is None or result.state in ("timeout", "out of memory"):
            return False
        allocation = ask_allocation(self._client, begun.native_id)
        killed = result.exit_code >= KILLED or result.state == "cancelled"
        return result.end >= allocation.end - SLACK or (allocation.over and killed)

    def end_leftovers(self, tracked: Tracked) -> bool:
        """Ask for the end of what is left of a job, here or as a step."""
        try:
            return self._end_steps(tracked) or super().end_leftovers(tracked)
        except BackendUnavailable:
            return True

    def _end_steps(self, tracked: Tracked) -> bool:
        begun = tracked.folder.read_started()
        return begun is not None and end_steps(self._client, begun.native_id, tracked.native_id)


def launch_lines(job: Job, partition: Partition) -> Iterator[str]:
    """Yield the lines of a script that start the ranks, on the nodes that the environment names.

    A command that starts its ranks itself, or by mpirun, finds the variables of a job of its own.
    What it starts overlaps with other steps: SLURM does not keep it to its cores.
    """
    demand, command = job.demand, rank_command(job)
    cpus = demand.threads * partition.threads_per_core
    options = [f'--job-name="${MARK}"', "--kill-on-bad-exit=1", f"--cpus-per-task={cpus}"]
    if demand.gpus:
        options.append(f"--gpus-per-task={demand.gpus}")
    elif partition.gpus:
        options.append("--gres=none")
    if job.workflow.launcher == "mpirun":
        yield f"mpirun -n {demand.ranks} {command}"
    elif job.workflow.launcher == "none":
        kept = ("NTASKS", "NPROCS", "NNODES", "JOB_NUM_NODES", "JOB_NODELIST", "TASKS_PER_NODE")
        variables = (f'SLURM_{name}="$SLURM_{name}"' for name in kept)
        options += ["--nodes=1", "--ntasks=1", '--nodelist="${SLURM_JOB_NODELIST%%,*}"']
        yield f"srun {' '.join(options)} env {' '.join(variables)} {command}"
    else:
        # SLURM would round what each cpu gets up, and then the last one would find too little.
        each = max(1, demand.memory // (demand.ranks * cpus))
        options += [
            "--exact",
            f"--ntasks={demand.ranks}",
            '--nodes="$SLURM_NNODES"',
            "--distribution=arbitrary",
            '--nodelist="$SLURM_JOB_NODELIST"',
            f"--mem-per-cpu={each}M" if demand.memory else "--mem=0",
        ]
        yield f"srun {' '.join(options)} {command}"
