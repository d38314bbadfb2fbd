"""What a failed workflow asks for next, by the cause of its failure."""

from __future__ import annotations

from dataclasses import dataclass

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState, Retrying
from socm.model.campaign import Budget
from socm.model.cluster import Cluster
from socm.model.mode import longest
from socm.model.qos import Qos
from socm.units import MINUTE, format_memory, format_walltime


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a workflow is tried, and how much more it asks for.

    Parameters
    ----------
    attempts
        The most attempts at one workflow.
    growth
        Factor on the walltime after a timeout, and on the memory after it ran out.
    """

    attempts: int = 3
    growth: float = 1.5

    def after(
        self,
        update: JobUpdate,
        cluster: Cluster,
        budget: Budget | None = None,
        *,
        excused: int = 0,
    ) -> Retrying | None:
        """Return the next attempt after a failed job, or `None` if there is none.

        After a failed node or a preemption it asks for the same; after a timeout for a longer
        walltime, in the next QOS if necessary; when out of memory for more memory, up to that of
        the node, and with the cores that SLURM gives it for that. Any other failure would come
        again. The end of an allocation is no failure.

        Parameters
        ----------
        excused
            How many of its attempts do not count.
        """
        job = update.job
        if update.state is JobState.ALLOCATION_ENDED:
            return _again(update, "the allocation ended: the same again")
        if job.attempt - excused >= self.attempts:
            return None
        match update.state:
            case JobState.NODE_FAILED | JobState.PREEMPTED:
                return _again(update, f"{update.state.value}: the same again")
            case JobState.TIMEOUT:
                return self._longer(update, cluster)
            case JobState.OUT_OF_MEMORY:
                return self._larger(update, cluster, budget)
            case _:
                return None

    def _longer(self, update: JobUpdate, cluster: Cluster) -> Retrying | None:
        job = update.job
        wanted = -(-round(job.walltime * self.growth) // MINUTE) * MINUTE
        qos, limit = _qos_for(job, wanted, cluster)
        if limit <= job.walltime:
            return None
        reason = f"timeout: walltime {format_walltime(limit)} instead of "
        return _again(
            update, reason + format_walltime(job.walltime), qos=qos or None, walltime=limit
        )

    def _larger(
        self, update: JobUpdate, cluster: Cluster, budget: Budget | None
    ) -> Retrying | None:
        job = update.job
        if job.demand.exclusive:
            return None  # it had all that there is
        asked = job.demand.memory
        wanted = round(max(asked, update.peak_memory or 0) * self.growth)
        memory = min(wanted, _most_memory(job, cluster, budget))
        if memory <= asked:
            return None
        reason = f"out of memory: {format_memory(memory)} instead of {format_memory(asked)}"
        return _again(update, reason, memory=memory)


def _again(
    update: JobUpdate,
    reason: str,
    *,
    qos: str | None = None,
    walltime: int | None = None,
    memory: int | None = None,
) -> Retrying:
    job = update.job
    return Retrying(
        time=update.time,
        workflow=job.workflow.name,
        attempt=job.attempt + 1,
        qos=qos or job.qos,
        walltime=walltime or job.walltime,
        memory=memory or job.demand.memory,
        reason=reason,
    )


def _most_memory(job: Job, cluster: Cluster, budget: Budget | None) -> int:
    """Return the most MB that a job can ask for on as many nodes as it has."""
    partition = cluster.by_partition[job.partition]
    qos = cluster.under(partition, cluster.by_qos[job.qos or ""])
    ranks, ranks_on_a_node = job.demand.ranks, max(p.ranks for p in job.placements)
    # The node with most of its ranks bounds the memory of each rank.
    most = partition.memory * ranks // ranks_on_a_node
    if partition.memory_per_core is None:
        return most
    # More memory takes more cores, up to those of the node and of what limits the cores of a job.
    threads = min(
        [
            partition.cores // ranks_on_a_node,
            *(
                limit.most // ranks
                for limit in qos.limits(partition, budget)
                if limit.what == "cores"
            ),
        ]
    )
    return min(most, partition.memory_per_core * max(threads, job.demand.threads) * ranks)


def _qos_for(job: Job, walltime: int, cluster: Cluster) -> tuple[str, int]:
    """Return the job's QOS if it allows the walltime, else the next that does, else the longest."""
    partition = cluster.by_partition[job.partition]
    account = job.workflow.request.account
    own = cluster.under(partition, cluster.by_qos[job.qos or ""])

    def limit(qos: Qos) -> int:
        """Return the most of the wanted walltime that a job may have here."""
        return int(min(walltime, longest(partition, qos)))

    def admits(qos: Qos) -> bool:
        alike = qos.usable_on(partition) and qos.exclusive == own.exclusive and not qos.on_request
        if cluster.why_account(account, partition, qos) is not None:
            return False
        if not qos.send:
            taken = cluster.taken_for(limit(qos), partition, account)
            if taken is None or taken.name != qos.name:
                return False
        return alike and not any(
            qos.refusals(partition, nodes=len(job.placements), cores=job.cores)
        )

    if job.workflow.request.qos is not None:
        return own.name, limit(own)  # the user chose it
    all_here = [cluster.under(partition, q) for q in cluster.qos_by_size]
    candidates = [own, *(q for q in all_here if q.name != own.name and admits(q))]
    best = max(candidates, key=limit)  # of equals the first: its own, then the smallest
    return best.name, limit(best)
