"""Whether a backend keeps its contract; see `socm.engine.backend.Backend`."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from socm.engine.attempts import job_of
from socm.engine.backend import Backend, Job, JobUpdate
from socm.engine.events import JobState
from socm.engine.state import CampaignState
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.planner import plan_campaign

LONG = 600
"""Seconds that a job would take which is to be cancelled."""
UNKNOWN = "99999999"
"""A native id that no cluster has given to a job."""


class Watched:
    """A backend that holds another one to its contract while it is used.

    Whatever drives the other backend may drive this one instead, as `socm.engine.driver.run_plan`.

    Parameters
    ----------
    backend
        The backend to watch.
    patience
        Seconds by which `wait` may return too late, as on a busy machine.

    Raises
    ------
    AssertionError
        From the method that broke a rule.
    """

    def __init__(self, backend: Backend, *, patience: float = 0.0) -> None:
        self._backend = backend
        self._patience = patience
        self._time = -math.inf
        self._ids: dict[str, str] = {}  # of all jobs submitted or attached, by name
        self._jobs: dict[str, Job] = {}
        self._last: dict[str, JobUpdate] = {}
        self._ran: set[str] = set()

    @property
    def open(self) -> set[str]:
        """Names of the jobs whose final update has not come yet."""
        return {n for n in self._jobs if n not in self._last or not self._last[n].state.final}

    def now(self) -> float:
        """Seconds since the campaign's start."""
        now = self._backend.now()
        assert now >= self._time, f"time went back from {self._time} s to {now} s"
        self._time = now
        return now

    def submit(self, job: Job) -> str:
        """Submit a job and return its native id."""
        native_id = self._backend.submit(job)
        assert native_id, f"{job.name}: its native id is empty"
        assert native_id not in self._ids.values(), f"{job.name}: another job has id {native_id}"
        self._jobs[job.name], self._ids[job.name] = job, native_id
        return native_id

    def attach(self, job: Job, native_id: str) -> None:
        """Follow a job of an earlier process."""
        self._backend.attach(job, native_id)
        self._jobs[job.name], self._ids[job.name] = job, native_id

    def find(self, job: Job) -> str | None:
        """Return the native id of a job by its name."""
        found, known = self._backend.find(job), self._ids.get(job.name)
        if job.name in self.open:
            assert found == known, f"{job.name}: it has id {known}, but {found} was found"
        return found

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job."""
        self._backend.cancel(native_id)

    def withdraw(self, native_id: str) -> None:
        """Ask for the end of a job that waits."""
        self._backend.withdraw(native_id)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        """Let time pass to the next updates, but not beyond `until`."""
        before = self.now()
        updates = self._backend.wait(until)
        now = self.now()
        for update in updates:
            self._check(update, now)
        if not updates and until == math.inf:
            names = ", ".join(sorted(self.open))
            assert not names, f"wait() returned without updates, but there are jobs: {names}"
        elif not updates:
            assert now >= until, f"wait({until}) returned without updates at {now} s"
        if until < math.inf:
            latest = max(before, until) + self._patience
            assert now <= latest, f"wait({until}) returned at {now} s"
        return updates

    def _check(self, update: JobUpdate, now: float) -> None:
        name, state = update.job.name, update.state
        said = f"{name}: {state.name} at {update.time} s"
        assert name in self._jobs, f"{said}, but the job was neither submitted nor attached"
        assert update.job == self._jobs[name], f"{said}, but of another job of that name"
        last = self._last.get(name)
        if last is not None:
            after = f"{said}, after {last.state.name} at {last.time} s"
            assert last.state < state, after
            assert last.time <= update.time, after
        assert update.time <= now, f"{said}, which is in the future: it is {now} s"
        if state is JobState.RUNNING:
            self._ran.add(name)
        if state is JobState.COMPLETED:
            assert name in self._ran, f"{said}, but it was never RUNNING"
        self._last[name] = update


@dataclass(frozen=True)
class Bench:
    """A backend to check, with the jobs that are run for it.

    Parameters
    ----------
    connect
        Opens the backend.
    cluster
        What it runs on.
    patience
        Seconds in which what is expected has to happen.
    token
        Part of all names, so that they are new to the cluster.
    """

    connect: Callable[[], Backend]
    cluster: Cluster
    patience: float
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    def open(self) -> Watched:
        """Open the backend, as a new process would."""
        return Watched(self.connect(), patience=self.patience)

    def job(self, name: str, command: str, seconds: int = 1, *, whole: bool = False) -> Job:
        """Return a job that runs a line of shell.

        Parameters
        ----------
        seconds
            The time that it takes.
        whole
            Whether it fills the first partition of the cluster, so that nothing starts beside it.
        """
        partition = self.cluster.partitions[0]
        request = ResourceRequest(
            ranks=partition.nodes if whole else 1,
            threads=partition.cores if whole else 1,
            memory=0 if whole else 50,
            runtime=seconds,
            partition=partition.name,
        )
        workflow = Workflow(
            name=f"{name}-{self.token}", command=("sh", "-c", command), request=request
        )
        plan = plan_campaign(Campaign.of("check", [workflow]), self.cluster)
        progress = CampaignState.of(plan).workflows[workflow.name]
        return job_of(plan, workflow.name, progress, "check", 0)

    def wait_for(self, backend: Watched, job: Job, *states: JobState) -> list[JobUpdate]:
        """Wait until a job is in one of these states, or over; return its updates up to then."""
        wanted = " or ".join(state.name for state in states)
        end = backend.now() + self.patience
        found: list[JobUpdate] = []
        while not any(u.state in states or u.state.final for u in found):
            assert backend.now() < end, f"{job.name}: not {wanted} in {self.patience:g} s"
            found += [u for u in backend.wait(end) if u.job.name == job.name]
        assert found[-1].state in states, f"{job.name}: {found[-1].state.name}, not {wanted}"
        return found

    def hear_nothing(self, backend: Watched) -> None:
        """Let a second pass in which nothing is to be reported."""
        updates = backend.wait(backend.now() + 1)
        said = ", ".join(f"{u.job.name}: {u.state.name}" for u in updates)
        assert not updates, f"nothing was to be reported, but {said}"


def completes(bench: Bench) -> None:
    """A job runs and completes, is found afterwards, and is not cancelled any more."""
    backend, job = bench.open(), bench.job("completes", "sleep 1")
    native_id = backend.submit(job)
    code = bench.wait_for(backend, job, JobState.COMPLETED)[-1].exit_code
    assert code == 0, f"a job that completed has exit code {code}"
    assert not backend.wait(), "something was reported after all jobs were over"
    assert backend.find(job) == native_id, "a job that is over was not found"
    backend.cancel(native_id)
    bench.hear_nothing(backend)


def fails(bench: Bench) -> None:
    """A job whose command fails is reported as failed, with its exit code."""
    backend, job = bench.open(), bench.job("fails", "exit 3")
    backend.submit(job)
    code = bench.wait_for(backend, job, JobState.FAILED)[-1].exit_code
    assert code == 3, f"a job that ended with exit code 3 has {code}"


def times_out(bench: Bench) -> None:
    """A job that takes longer than its walltime is ended."""
    backend, job = bench.open(), bench.job("times-out", f"sleep {LONG}", LONG)
    backend.submit(replace(job, walltime=1))
    bench.wait_for(backend, job, JobState.TIMEOUT)


def cancels_what_runs(bench: Bench) -> None:
    """A job that runs is cancelled, by asking once or twice."""
    backend, job = bench.open(), bench.job("runs", f"sleep {LONG}", LONG)
    native_id = backend.submit(job)
    bench.wait_for(backend, job, JobState.RUNNING)
    assert backend.find(job) == native_id
    bench.hear_nothing(backend)
    backend.cancel(native_id)
    backend.cancel(native_id)
    bench.wait_for(backend, job, JobState.CANCELLED)
    backend.cancel(native_id)
    bench.hear_nothing(backend)


def cancels_what_waits(bench: Bench) -> None:
    """A job that waits for nodes is cancelled before it has started; what runs there runs on."""
    backend = bench.open()
    first, second = (bench.job(n, f"sleep {LONG}", LONG, whole=True) for n in ("first", "second"))
    first_id = backend.submit(first)
    bench.wait_for(backend, first, JobState.RUNNING)
    second_id = backend.submit(second)
    assert backend.find(second) == second_id
    bench.hear_nothing(backend)
    backend.cancel(second_id)
    states = [u.state for u in bench.wait_for(backend, second, JobState.CANCELLED)]
    assert JobState.RUNNING not in states, "a job started on nodes that were not free"
    assert first.name in backend.open, "another job was cancelled, too"
    bench.hear_nothing(backend)
    backend.cancel(first_id)
    bench.wait_for(backend, first, JobState.CANCELLED)


def withdraws_what_waits(bench: Bench) -> None:
    """A job that waits for nodes is withdrawn; one that runs is not, and runs on."""
    backend = bench.open()
    first, second = (bench.job(n, f"sleep {LONG}", LONG, whole=True) for n in ("begun", "waits"))
    first_id = backend.submit(first)
    bench.wait_for(backend, first, JobState.RUNNING)
    second_id = backend.submit(second)
    bench.hear_nothing(backend)
    for native_id in (first_id, second_id, second_id, UNKNOWN):
        backend.withdraw(native_id)
    states = [u.state for u in bench.wait_for(backend, second, JobState.CANCELLED)]
    assert JobState.RUNNING not in states, "a job started on nodes that were not free"
    backend.withdraw(second_id)
    bench.hear_nothing(backend)
    assert first.name in backend.open, "a job that has begun was withdrawn"
    backend.cancel(first_id)
    bench.wait_for(backend, first, JobState.CANCELLED)


def waits(bench: Bench) -> None:
    """`wait` returns at its time, or at once where nothing will ever be reported."""
    backend = bench.open()
    assert not backend.wait()
    bench.hear_nothing(backend)
    assert not backend.wait(backend.now() - 1)


def attaches(bench: Bench) -> None:
    """Jobs of a process that is gone are followed to their ends by another."""
    backend = bench.open()
    jobs = [bench.job("runs-on", "sleep 3", 3), bench.job("ends", "true")]
    ids = [backend.submit(job) for job in jobs]
    bench.wait_for(backend, jobs[0], JobState.RUNNING)
    if jobs[1].name not in backend.open:
        jobs.pop()
    del backend
    again = bench.open()
    for job, native_id in zip(jobs, ids, strict=False):
        again.attach(job, native_id)
    end = again.now() + bench.patience
    completed: set[str] = set()
    while again.open:
        assert again.now() < end, f"never reported: {', '.join(again.open)}"
        completed |= {u.job.name for u in again.wait(end) if u.state is JobState.COMPLETED}
    assert completed == {job.name for job in jobs}, "a job was attached, and did not complete"


def knows_what_is_not_there(bench: Bench) -> None:
    """A job that was never submitted is not found, nor cancelled, nor ever completed."""
    backend, job = bench.open(), bench.job("nowhere", "exit 3")
    assert backend.find(job) is None, "a job was found that was never submitted"
    backend.cancel(UNKNOWN)
    backend.attach(job, UNKNOWN)
    bench.wait_for(backend, job, JobState.FAILED, JobState.NODE_FAILED)


Scenario = Callable[[Bench], None]
SCENARIOS: Mapping[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        completes,
        fails,
        times_out,
        cancels_what_runs,
        cancels_what_waits,
        withdraws_what_waits,
        waits,
        attaches,
        knows_what_is_not_there,
    )
}
"""What is tried with a backend, by name."""


def check_backend(
    connect: Callable[[], Backend],
    cluster: Cluster,
    *,
    scenarios: Iterable[str] = SCENARIOS,
    patience: float = 120.0,
) -> None:
    """Run a few small jobs on a backend, and hold it to the contract of `Backend`.

    Time is the backend's own: an emulator is checked in no time, a real cluster in seconds.

    Parameters
    ----------
    connect
        Opens the backend anew, on the same cluster and for the same run, as another process would
        after a crash.
    cluster
        What the backend runs on. It has to be idle, and one scenario fills its first partition.
    scenarios
        Which of `SCENARIOS` to run. An emulator without failing jobs leaves `fails` out, a cluster
        whose shortest walltime is minutes leaves `times_out` out.
    patience
        Seconds in which a tiny job has to start, or to end.

    Raises
    ------
    AssertionError
        If the backend breaks a rule; says which.

    Examples
    --------
    A real backend for its own tests, one scenario after the other::

        @pytest.mark.parametrize("scenario", SCENARIOS)
        def test_the_contract(scenario, tmp_path):
            open_mine = lambda: MyExecutor(tmp_path, CLUSTER, time.time())
            check_backend(open_mine, CLUSTER, scenarios=[scenario])
    """
    for name in scenarios:
        SCENARIOS[name](Bench(connect, cluster, patience))
