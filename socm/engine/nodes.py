"""The real nodes that the jobs of a campaign have in use, of a budget of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from socm.engine.backend import Job

_Planned = tuple[str, int]
"""Name of the partition, and index in it."""


class NodesInUse:
    """Real nodes in use, and which planned ones they stand for.

    The nodes of a plan are virtual. While jobs are on a planned node, it is *bound* to the real
    node on which the first of them runs, and the others are submitted to that node. So a campaign
    has as many nodes as its plan, whatever else the cluster would choose.

    Parameters
    ----------
    most
        The budget of nodes.

    Examples
    --------
    >>> from socm.engine.backend import Job
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> from socm.model.demand import Demand
    >>> from socm.model.placement import Placement
    >>> def job(name, node):
    ...     workflow = Workflow(name=name, request=ResourceRequest(runtime=60))
    ...     return Job(name=name, workflow=workflow, attempt=1, partition="cpu", qos=None,
    ...                walltime=60, demand=Demand(), cores=1, priority=0,
    ...                placements=(Placement("cpu", node, 1),))
    >>> nodes = NodesInUse(most=1)
    >>> nodes.add(job("a", 0))
    >>> nodes.must_wait(job("b", 0)), nodes.admits(job("c", 1))
    (True, False)
    >>> nodes.place(job("a", 0), ["della-7"])
    >>> nodes.must_wait(job("b", 0)), nodes.admits(job("b", 0)), nodes.pins(job("b", 0))
    (False, True, ('della-7',))
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs = Counter[_Planned]()  # on each planned node
        self._bound: dict[_Planned, str] = {}
        self._in_use = Counter[str]()  # jobs on each real node, or submitted to it
        self._unknown = 0  # nodes that jobs wait for, wherever they will be
        self._of: dict[str, tuple[Sequence[str], int]] = {}  # what each job counts for

    def must_wait(self, job: Job) -> bool:
        """Whether a job must wait until it is known where those before it on its nodes run."""
        return any(node in self._jobs and node not in self._bound for node in _planned(job))

    def pins(self, job: Job) -> tuple[str, ...]:
        """Return the real nodes that a job is to be submitted to; more may be added."""
        return tuple(dict.fromkeys(self._bound[n] for n in _planned(job) if n in self._bound))

    def admits(self, job: Job) -> bool:
        """Whether the budget has room for a job, wherever the cluster starts what waits."""
        pins = self.pins(job)
        new = len(job.placements) - len(pins)
        return len(self._in_use.keys() | {*pins}) + self._unknown + new <= self._most

    def add(self, job: Job) -> None:
        """Count a job from now on."""
        self._jobs.update(_planned(job))
        self._count(job, job.nodes, len(job.placements) - len(job.nodes))

    def place(self, job: Job, nodes: Sequence[str]) -> None:
        """Take note of the nodes on which a job runs."""
        if not nodes:
            return  # not told: it counts for what it asked for
        self._forget(job)
        self._count(job, nodes, 0)
        planned = _planned(job)
        bound = {self._bound.get(node) for node in planned}
        new = [name for name in nodes if name not in bound] or [*nodes]
        for node in planned:
            if node not in self._bound:
                self._bound[node] = new.pop(0) if len(new) > 1 else new[0]

    def remove(self, job: Job) -> None:
        """Count a job no longer."""
        self._forget(job)
        for node in _planned(job):
            self._jobs[node] -= 1
            if not self._jobs[node]:
                del self._jobs[node]
                self._bound.pop(node, None)

    def _count(self, job: Job, nodes: Sequence[str], unknown: int) -> None:
        self._in_use.update(nodes)
        self._unknown += unknown
        self._of[job.name] = nodes, unknown

    def _forget(self, job: Job) -> None:
        nodes, unknown = self._of.pop(job.name)
        self._unknown -= unknown
        for name in nodes:
            self._in_use[name] -= 1
            if not self._in_use[name]:
                del self._in_use[name]


def _planned(job: Job) -> list[_Planned]:
    return [(p.partition, p.node) for p in job.placements]
