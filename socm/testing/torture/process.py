"""One process that carries a run on, in a world: its backend, its journal, its user."""

from __future__ import annotations

import math
from collections.abc import Sequence

from socm.engine.backend import Job, JobUpdate
from socm.engine.events import Event, JobState
from socm.engine.requests import Requests
from socm.engine.state import CampaignState
from socm.errors import BackendUnavailable, RunError, SubmitError
from socm.testing.torture.world import LATEST, News, Record, World

PATIENCE = 60
"""Seconds after which a call that hangs is given up."""


class Killed(BaseException):
    """The end of a process, as by SIGKILL: nothing of it is cleaned up."""


class Process:
    """The backend of one process; what it knows dies with it.

    Parameters
    ----------
    world
        What it lives in.
    not_before
        The time of the run, by its journal, when the process is started.
    """

    def __init__(self, world: World, not_before: float) -> None:
        self._world = world
        step = world.choices.number(20_000) - 10_000 if world.happens("clock steps") else 0
        # A clock that was set back does not set back the time of a run.
        self._ahead = max(step, not_before - world.time)
        self._followed: dict[str, tuple[Job, Record | None]] = {}  # by name: ids are used again
        self._told: dict[str, int] = {}  # how much news of each
        self._latest: dict[str, float] = {}
        self._again: list[JobUpdate] = []

    def now(self) -> float:
        """Seconds since the campaign's start, by the clock of this process."""
        return self._world.time + self._ahead

    def submit(self, job: Job) -> str:
        """Submit a job; see `Backend.submit`."""
        world = self._world
        world.ask(job)
        self._reach()
        if world.happens("refused for now"):
            world.note(f"{job.name}: refused for now")
            raise SubmitError("submit limit", transient=True)
        if world.happens("refused"):
            world.note(f"{job.name}: refused")
            raise SubmitError("invalid account", transient=False)
        if world.happens("no answer"):
            world.note(f"{job.name}: no answer, and it was not taken")
            raise BackendUnavailable("no answer")
        if world.happens("arrives late"):
            world.note(f"{job.name}: is on its way")
            world.send(job)
            self._die("killed while submitting")
            raise BackendUnavailable("no answer")
        record = world.accept(job)
        self._die("killed while submitting")
        if world.happens("taken without an answer"):
            world.note(f"{job.name}: no answer, although it was taken")
            raise BackendUnavailable("no answer")
        self._follow(job, record)
        return record.native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job of an earlier process; see `Backend.attach`."""
        self._follow(job, self._world.named(job.name))

    def find(self, job: Job) -> str | None:
        """Return the id of a job by its name; see `Backend.find`."""
        self._reach()
        if job.name in self._world.in_flight or self._world.happens("cannot tell"):
            raise BackendUnavailable("cannot tell")
        record = self._world.named(job.name)
        return record.native_id if record else None

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; see `Backend.cancel`."""
        world, record = self._world, self._asked_to_end(native_id)
        if record is not None and record.is_live:
            if record.state is JobState.RUNNING and world.choices.chance(0.5):
                delay = 1 + world.choices.number(30)
                world.at(world.time + delay, lambda: world.end(record, JobState.CANCELLED))
            else:
                world.end(record, JobState.CANCELLED)
        if world.happens("cancellation not answered"):
            raise BackendUnavailable("no answer")

    def withdraw(self, native_id: str) -> None:
        """Ask for the end of a job that waits; see `Backend.withdraw`."""
        world, record = self._world, self._asked_to_end(native_id)
        waits = record is not None and record.state is JobState.QUEUED
        if record is not None and (waits or world.happens("withdrawn as it begins")):
            world.end(record, JobState.CANCELLED)
        if world.happens("cancellation not answered"):
            raise BackendUnavailable("no answer")

    def _asked_to_end(self, native_id: str) -> Record | None:
        """Return the job whose end is asked for, if that is heard."""
        self._reach()
        if self._world.happens("cancellation unheard"):
            raise BackendUnavailable("no answer")
        records = (record for _, record in self._followed.values())
        return next((r for r in records if r and r.native_id == native_id), None)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates; see `Backend.wait`."""
        world = self._world
        self._die("killed while waiting")
        if world.happens("job table lost"):
            world.lose_jobs()
        while True:
            updates = self._news()
            if updates or self.now() >= until:
                return updates
            moment = min(world.next_time, world.away_until if self._away else math.inf)
            if moment == until == math.inf:
                return []
            world.advance(min(moment, until - self._ahead))

    @property
    def _away(self) -> bool:
        return self._world.away_until > self._world.time

    def _reach(self) -> None:
        """Reach the controller, or not."""
        world = self._world
        if world.happens("away"):
            world.away_until = world.time + 1 + world.choices.number(LATEST)
            world.note("the controller is away")
        if world.happens("hangs"):
            world.note("the controller hangs")
            world.advance(world.time + PATIENCE)
            raise BackendUnavailable("timed out")
        if self._away:
            raise BackendUnavailable("the controller is away")

    def _die(self, how: str) -> None:
        if self._world.happens(how):
            self._world.note(how)
            raise Killed

    def _follow(self, job: Job, record: Record | None) -> None:
        self._followed[job.name] = (job, record)
        self._told.setdefault(job.name, 0)

    def _news(self) -> list[JobUpdate]:
        """Return what the cluster tells just now."""
        updates, self._again = self._again, []
        if self._away:
            return updates
        for name, (job, record) in [*self._followed.items()]:
            if record is None:
                updates.append(self._update(job, JobState.NODE_FAILED, self.now()))
                del self._followed[name]
                continue
            for news in record.news[self._told[name] :]:
                if news.told > self._world.time:
                    break
                self._told[name] += 1
                moment = news.time + self._ahead
                updates.append(self._update(job, news.state, moment, news))
                if news.state.final:
                    del self._followed[name]
        if updates and self._world.happens("told twice"):
            self._again = [u for u in updates if u.state.final]
        return updates

    def _update(
        self, job: Job, state: JobState, moment: float, news: News | None = None
    ) -> JobUpdate:
        # What ran before the campaign began, by this clock, began with it.
        moment = max(self._latest.get(job.name, 0.0), min(max(moment, 0.0), self.now()))
        self._latest[job.name] = moment
        if news is None:
            return JobUpdate(job=job, state=state, time=moment)
        code, nodes = news.exit_code, news.nodes
        return JobUpdate(job=job, state=state, time=moment, exit_code=code, nodes=nodes)


class Notebook:
    """The journal of a run: it outlives its processes, and is where most of them die."""

    def __init__(self, world: World) -> None:
        self.events: list[Event] = []
        self._world = world

    def write(self, event: Event) -> None:
        """Write an event, unless the process dies before."""
        world = self._world
        if world.happens("killed before a line"):
            world.note(f"killed before {type(event).__name__}")
            raise Killed
        if world.happens("disk full"):
            world.note(f"the disk is full for {type(event).__name__}")
            raise RunError("no space left on device")
        self.events.append(event)
        world.hear(event)
        if world.happens("killed after a line"):
            world.note("killed")
            raise Killed


class User:
    """Asks for this and that while a process carries the run on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cancel: frozenset[str] = frozenset()
        self._paused_until = 0.0

    def __call__(self, state: CampaignState) -> Requests:
        """Return what the user asks now."""
        world = self._world
        if world.happens("pause"):
            self._paused_until = world.time + world.choices.number(100)
        if world.happens("cancel"):
            name = world.choices.pick([*state.workflows])
            world.note(f"the user cancels {name}")
            self._cancel |= {name}
        return Requests(
            stop=world.happens("stop"),
            pause=world.time < self._paused_until,
            cancel=self._cancel,
        )
