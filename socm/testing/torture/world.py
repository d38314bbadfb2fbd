"""A world that a seed decides: its cluster, its faults, and the ledger of what truly happened."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count

from sim.scheduler import Running, Scheduler
from socm.engine.backend import Job
from socm.engine.events import (
    CampaignResumed,
    CancelRequested,
    Event,
    JobState,
    Reused,
)
from socm.errors import SubmitError
from socm.model.campaign import Workflow
from socm.model.plan import Plan
from socm.testing.torture.charges import Charges, core_hours
from socm.testing.torture.choices import Choices
from socm.testing.torture.faults import FAULTS

LATEST = 300
"""The most seconds by which something is late."""


@dataclass(eq=False)
class Record:
    """What truly became of one job that the cluster took."""

    job: Job
    native_id: str
    state: JobState = JobState.QUEUED
    news: list[News] = field(default_factory=list)
    turn: int = 0  # counts its starts and ends, so that what was due for an earlier one is void
    nodes: tuple[str, ...] = ()  # on which it runs
    budget: float = math.inf  # of nodes, when it was submitted

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return not self.state.final


@dataclass(frozen=True)
class News:
    """A state that a job reached; the cluster tells it from `told` on."""

    state: JobState
    time: float
    told: float
    exit_code: int | None = None
    nodes: tuple[str, ...] = ()


class World:
    """A cluster on which everything happens that the contract of `Backend` allows.

    It outlives the processes that carry the run on. All times are whole seconds, so that sums of
    them are exact.

    Parameters
    ----------
    plan
        What is to be carried out.
    choices
        Decide what happens.
    """

    def __init__(self, plan: Plan, choices: Choices) -> None:
        self.plan = plan
        self.choices = choices
        self.time = 0.0
        self.healthy = False
        self.away_until = 0.0
        self.still_until = 0.0  # until then the queue stands still
        self.broken: list[str] = []
        self.happened: list[tuple[float, str]] = []
        self.faults = Counter[str]()
        self.completed: dict[str, Job | None] = {}
        self.unwanted: set[str] = set()  # the journal says that they are to be cancelled
        self.cancelled: set[str] = set()  # by others
        self.in_flight: set[str] = set()  # names of jobs that are on their way to the cluster
        # Each story has some kinds of fault only: where all happen at once, some hide others.
        self._possible = {kind for kind in FAULTS if choices.chance(0.4)}
        self._outputs: dict[str, bool] = {}  # whether they exist, by workflow
        self._accepted = Counter[str]()
        self.charges = Charges()
        self._records: list[Record] = []  # that the cluster remembers
        self._marks: dict[str, Record] = {}  # that have started, by name
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers, self._ids = count(), count(1)
        self._scheduler = Scheduler(plan.cluster)

    def happens(self, fault: str) -> bool:
        """Whether a fault happens now."""
        if self.healthy or fault not in self._possible:
            return False
        happens = self.choices.chance(FAULTS[fault])
        self.faults[fault] += happens
        return happens

    def note(self, what: str) -> None:
        """Add to the story."""
        self.happened.append((self.time, what))

    def break_promise(self, what: str) -> None:
        """Note that something happened which never may."""
        self.broken.append(what)
        self.note(f"BROKEN: {what}")

    # Time

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something when a time has come."""
        heappush(self._agenda, (time, next(self._numbers), action))

    @property
    def next_time(self) -> float:
        """When something happens next; infinite if nothing does."""
        return self._agenda[0][0] if self._agenda else math.inf

    def advance(self, until: float) -> None:
        """Let time pass."""
        while self._agenda and self._agenda[0][0] <= until:
            self.time, _, action = heappop(self._agenda)
            action()
            while self._agenda and self._agenda[0][0] == self.time:
                heappop(self._agenda)[2]()
            self._start_jobs()
        self.time = max(self.time, until)

    # Jobs

    @property
    def live(self) -> list[Record]:
        """The jobs that wait or run."""
        return [record for record in self._records if record.is_live]

    def named(self, name: str) -> Record | None:
        """Return the job of a name: by the mark of its start, or as the cluster remembers it."""
        waiting = (r for r in self._records if r.job.name == name)
        return self._marks.get(name) or next(waiting, None)

    def reusable(self, workflow: Workflow) -> bool:
        """Whether the outputs of a workflow exist, and make it unnecessary to run it."""
        if workflow.name not in self._outputs:
            self._outputs[workflow.name] = self.happens("outputs exist")
        return self._outputs[workflow.name]

    def edit(self, plan: Plan) -> None:
        """Carry the campaign on by another plan: every job that is there is one of it."""
        self.plan = plan
        for record in self.live:
            workflow = record.job.workflow
            if workflow != plan.campaign.workflows.get(workflow.name):
                self.break_promise(f"{record.job.name} is still there as it was before an edit")

    def ask(self, job: Job) -> None:
        """Take note of a job that a process submits, whether it arrives or not."""
        name = job.workflow.name
        if name in self.unwanted:
            self.break_promise(f"{name} was submitted after it had been cancelled")
        if job.workflow != self.plan.campaign.workflows[name]:
            self.break_promise(f"{name} was submitted as it was before an edit")

    def accept(self, job: Job) -> Record:
        """Take a job into the queue.

        Raises
        ------
        SubmitError
            If it never fits.
        """
        if self.happens("other nodes"):
            job = self._elsewhere(job)
        self._scheduler.submit(job)
        self._check(job)
        budget = self.plan.campaign.budget.nodes
        record = Record(job, str(next(self._ids)), budget=math.inf if budget is None else budget)
        self._records.append(record)
        self._accepted[job.name] += 1
        self.charges.take(job)
        self.note(f"{job.name}: the cluster takes it as job {record.native_id}")
        if self.happens("held"):
            self._scheduler.withdraw(job.name)
            self.note(f"{job.name}: is held")
            self._later(lambda: self._queue_again(record))
        if self.happens("queue stands still"):
            self.note("the queue stands still")
            self.still_until = self.time + 1 + self.choices.number(LATEST)
            self.at(self.still_until, lambda: None)
        if self.happens("cancelled by others"):
            self._later(lambda: self._cancel(record))
        self.at(self.time, lambda: None)  # the controller looks at its queue
        return record

    def send(self, job: Job) -> None:
        """Let a job arrive later, whatever has become of the process that sent it."""
        self.in_flight.add(job.name)

        def arrive() -> None:
            self.in_flight.remove(job.name)
            if self.choices.chance(0.7):
                with contextlib.suppress(SubmitError):
                    self.accept(job)
            else:
                self.note(f"{job.name}: never arrives")

        self._later(arrive)

    def end(self, record: Record, state: JobState) -> None:
        """End a job that waits or runs."""
        if not record.is_live:
            return
        self._take_off(record, state)
        name = record.job.workflow.name
        if state is JobState.COMPLETED:
            if name in self.completed:
                self.break_promise(f"{name} completed twice")
            self.completed[name] = record.job
        self.note(f"{record.job.name}: {state.value}")
        self._tell(record, state, 0 if state is JobState.COMPLETED else None)
        self.at(self.time, lambda: None)

    def _cancel(self, record: Record) -> None:
        """End a job as somebody else may do."""
        if record.is_live:
            self.cancelled.add(record.job.workflow.name)
            self.end(record, JobState.CANCELLED)

    def lose_jobs(self) -> None:
        """Start the cluster anew: it remembers no job, and counts its ids from one again.

        What jobs have left on the disk stays: the mark of their start, and how they ended.
        """
        self.note("the cluster loses its table of jobs")
        for record in self._records:
            if record.job.name not in self._marks:
                self._accepted[record.job.name] = 0  # it never ran, never will, and nobody knows
            self.end(record, JobState.NODE_FAILED)
        self._records.clear()
        self._ids = count(1)

    def _check(self, job: Job) -> None:
        """Hold a job that the cluster takes to what the engine promises."""
        name, live = job.workflow.name, [r.job for r in self.live]
        if self._accepted[job.name]:
            self.break_promise(f"{job.name} was submitted twice")
        if any(other.workflow.name == name for other in live):
            self.break_promise(f"{name} has two jobs at once")
        if name in self.completed:
            self.break_promise(f"{name} was submitted after it had completed")
        for parent in job.workflow.depends:
            if parent not in self.completed:
                self.break_promise(f"{name} was submitted before {parent} had completed")
        qos, budget = self.plan.cluster.by_qos[job.qos or ""], self.plan.campaign.budget
        together = [*live, job]
        peers = [other for other in together if other.qos == job.qos]
        for used, most, what in (
            (len(peers), qos.running_jobs, f"jobs of QOS {job.qos}"),
            (sum(other.cores for other in peers), qos.cores, f"cores of QOS {job.qos}"),
            (sum(other.cores for other in together), budget.cores, "cores of the budget"),
        ):
            if most is not None and used > most:
                self.break_promise(f"{job.name} makes it {used} of {most} {what}")
        if budget.core_hours is not None:
            held = sum(core_hours(other, other.walltime) for other in together)
            hours = self.charges.total + held
            if hours > budget.core_hours + 1e-5:
                self.break_promise(f"{job.name} makes it {hours:.3f} core-hours of the budget")
        for what, most in self.plan.campaign.limits.items():
            amount = job.workflow.request.uses.get(what, 0)
            used = sum(other.workflow.request.uses.get(what, 0) for other in together)
            if amount and used > most:
                self.break_promise(f"{job.name} makes it {used} of {most} {what}")

    def _elsewhere(self, job: Job) -> Job:
        """Return a job that is to start on other nodes than planned, if those are free."""
        size = self.plan.cluster.by_partition[job.partition].nodes
        by = self.choices.number(size - 1)
        placements = (p._replace(node=(p.node + by) % size) for p in job.placements)
        return replace(job, placements=tuple(placements))

    def _check_nodes(self, record: Record) -> None:
        """Hold the nodes that are in use, by whatever jobs, to the budgets of those jobs."""
        running = [r for r in self.live if r.state is JobState.RUNNING]
        used = len({node for r in running for node in r.nodes})
        most = max(r.budget for r in running)
        if used > most:
            self.break_promise(f"{record.job.name} makes it {used} of {most} nodes of the budget")

    def _later(self, action: Callable[[], None]) -> None:
        self.at(self.time + 1 + self.choices.number(LATEST), action)

    def _queue_again(self, record: Record) -> None:
        if record.state is JobState.QUEUED:
            self._scheduler.submit(record.job)

    def _take_off(self, record: Record, state: JobState) -> None:
        """Take a job off its nodes, or off the queue."""
        if record.state is JobState.RUNNING:
            self._scheduler.release(record.job.name)
        else:
            self._scheduler.withdraw(record.job.name)
        record.turn += 1
        record.state = state

    def _start_jobs(self) -> None:
        if self.time >= self.still_until:
            for running in self._scheduler.start(self.time):
                self._start(running)

    def _start(self, running: Running) -> None:
        job = running.job
        record = next(r for r in self.live if r.job is job)
        record.state = JobState.RUNNING
        record.turn += 1
        self._marks[job.name] = record
        record.nodes = running.nodes
        self.note(f"{job.name}: runs on {', '.join(running.nodes)}")
        self._check_nodes(record)
        if not any(news.state is JobState.RUNNING for news in record.news):
            self._tell(record, JobState.RUNNING, nodes=running.nodes)
        runtime = job.workflow.request.runtime
        if self.happens("slow"):
            runtime += self.choices.number(3 * runtime)
        state = JobState.COMPLETED if runtime <= job.walltime else JobState.TIMEOUT
        end = self.time + min(runtime, job.walltime)
        for fault, outcome in (
            ("fails", JobState.FAILED),
            ("out of memory", JobState.OUT_OF_MEMORY),
            ("node fails", JobState.NODE_FAILED),
            ("preempted", JobState.PREEMPTED),
            ("requeued", JobState.QUEUED),
        ):
            if self.happens(fault):
                state, end = outcome, self.time + self.choices.number(runtime)
        if self.happens("suspended"):
            end += self.choices.number(LATEST)
        turn = record.turn

        def finish() -> None:
            if record.turn != turn:
                return
            if state is JobState.QUEUED:
                self._requeue(record)
            else:
                self.end(record, state)

        self.at(end, finish)

    def _requeue(self, record: Record) -> None:
        self.note(f"{record.job.name}: is requeued")
        record.budget = math.inf  # where it starts again the cluster has chosen by itself
        self._take_off(record, JobState.QUEUED)
        self._scheduler.submit(record.job)

    def _tell(
        self,
        record: Record,
        state: JobState,
        exit_code: int | None = None,
        nodes: tuple[str, ...] = (),
    ) -> None:
        told = self.time + (self.choices.number(LATEST) if self.happens("told late") else 0)
        told = max(told, record.news[-1].told if record.news else told)
        record.news.append(News(state, self.time, told, exit_code, nodes))
        self.at(told, lambda: None)

    def hear(self, event: Event) -> None:
        """Take note of what a run has written into its journal, and so has promised."""
        self.note(f"journal: {event}")
        for fault in self.charges.hear(event):
            self.break_promise(fault)
        if isinstance(event, CancelRequested):
            self.unwanted.add(event.workflow)
        elif isinstance(event, Reused):
            self.completed[event.workflow] = None
        elif isinstance(event, CampaignResumed) and event.retry_failed:
            self.unwanted.clear()
