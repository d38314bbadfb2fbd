"""The contract of a backend: the emulator and this machine keep it, and who breaks it is caught."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from strategies import pairs

from sim.backend import SimBackend
from socm.engine.backend import Job, JobUpdate
from socm.engine.driver import run_plan
from socm.engine.events import JobState
from socm.executor.folder import make_run_folder
from socm.executor.local import LocalExecutor
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.machine import this_machine
from socm.model.partition import Partition
from socm.planner import plan_campaign
from socm.testing import SCENARIOS, Watched, check_backend
from socm.testing.backend import LONG, Bench

CLUSTER = Cluster(name="c", partitions=(Partition(name="cpu", nodes=2, cores=4, memory=4000),))
WITHOUT_FAILURES = [name for name in SCENARIOS if name != "fails"]


def as_expected(job: Job) -> float:
    return float(job.workflow.request.runtime)


class Emulated(SimBackend):
    """An emulated cluster whose jobs take as long as expected."""

    def __init__(self) -> None:
        super().__init__(CLUSTER, as_expected)


@pytest.mark.parametrize("scenario", WITHOUT_FAILURES)
def test_the_emulator_keeps_the_contract(scenario: str) -> None:
    emulated = Emulated()  # its cluster is gone when it is
    check_backend(lambda: emulated, CLUSTER, scenarios=[scenario], patience=LONG)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_this_machine_keeps_the_contract(scenario: str, tmp_path: Path) -> None:
    make_run_folder(tmp_path)
    began, machine = time.time(), this_machine()
    check_backend(lambda: LocalExecutor(tmp_path, machine, began), machine, scenarios=[scenario])


@given(pairs(most=8))
def test_a_driver_may_drive_what_is_watched(pair: tuple[Campaign, Cluster]) -> None:
    """Whatever is planned: retries, limits and reservations keep to the contract, too."""
    plan = plan_campaign(*pair)

    def twice_as_long(job: Job) -> float:
        return 2 * as_expected(job)

    for runtime in (as_expected, twice_as_long):
        run_plan(plan, Watched(SimBackend.for_plan(plan, runtime)))


class Broken(Emulated):
    """Changes what the emulator reports."""

    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return updates

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        while updates := super().wait(until):
            if changed := self.changed([*updates]):
                return changed
        return []


def doubled(state: JobState) -> type[Broken]:
    class Twice(Broken):
        def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
            return [u for update in updates for u in (update,) * (1 + (update.state is state))]

    return Twice


def followed_by(state: JobState) -> type[Broken]:
    """After each end another state of the job is reported."""

    class More(Broken):
        def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
            return updates + [replace(u, state=state) for u in updates if u.state.final]

    return More


def without(state: JobState) -> type[Broken]:
    class Less(Broken):
        def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
            return [u for u in updates if u.state is not state]

    return Less


def at(state: JobState, seconds: float) -> type[Broken]:
    class Wrong(Broken):
        def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
            return [replace(u, time=u.time + seconds) if u.state is state else u for u in updates]

    return Wrong


class Strangers(Broken):
    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return updates + [replace(u, job=replace(u.job, name="other")) for u in updates]


class Confused(Broken):
    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return [replace(u, job=replace(u.job, attempt=7)) for u in updates]


class SaysItCompleted(Broken):
    """As PSI/J says of what it does not find."""

    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return [replace(u, state=JobState.COMPLETED) if u.state.final else u for u in updates]


class NoExitCode(Broken):
    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return [replace(u, exit_code=None) for u in updates]


class QueuedLate(Broken):
    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return updates + [
            replace(u, state=JobState.QUEUED) for u in updates if u.state is JobState.RUNNING
        ]


class BackInTime(Emulated):
    def now(self) -> float:
        return super().now() if self._updates else 10 - super().now()


class Impatient(Emulated):
    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        return super().wait(min(until, self.now() + 0.5))


class GivesUp(Emulated):
    """Returns for good as soon as it is asked to wait for ever."""

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        return [] if until == math.inf else super().wait(until)


class Oversleeps(Emulated):
    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        return super().wait(until + 10 * LONG)


class Fidgets(Emulated):
    """Reports of what never was."""

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        updates = super().wait(until)
        return updates or [
            JobUpdate(job=job, state=JobState.CANCELLED, time=self.now())
            for job in [*self._jobs.values()][:1]
        ]


class ForgetsNames(Emulated):
    def find(self, job: Job) -> str | None:
        return None


class ForgetsTheDead(Emulated):
    def find(self, job: Job) -> str | None:
        return super().find(job) if job.name in self._running else None


class FindsAnything(Emulated):
    def find(self, job: Job) -> str | None:
        return job.name


class SameId(Emulated):
    def submit(self, job: Job) -> str:
        super().submit(job)
        return "1"

    def cancel(self, native_id: str) -> None:
        for name in [*self._jobs]:
            super().cancel(name)


class NoId(Emulated):
    def submit(self, job: Job) -> str:
        super().submit(job)
        return ""


class NeverCancels(Emulated):
    def cancel(self, native_id: str) -> None:
        pass


class CancelsAll(Emulated):
    def cancel(self, native_id: str) -> None:
        for name in [*self._jobs]:
            super().cancel(name)


class WithdrawsWhatRuns(Emulated):
    def withdraw(self, native_id: str) -> None:
        self.cancel(native_id)


class NeverWithdraws(Emulated):
    def withdraw(self, native_id: str) -> None:
        pass


class CancelsTheKnown(Emulated):
    def cancel(self, native_id: str) -> None:
        assert native_id in self._jobs, f"no job {native_id}"
        super().cancel(native_id)


class CancelsOnce(Emulated):
    def cancel(self, native_id: str) -> None:
        assert native_id not in self.cancelled, "it was cancelled before"
        self.cancelled.append(native_id)
        super().cancel(native_id)

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[str] = []


class HasMoreNodes(SimBackend):
    """Starts jobs on nodes that the cluster does not have."""

    def __init__(self) -> None:
        [partition] = CLUSTER.partitions
        super().__init__(replace(CLUSTER, partitions=(replace(partition, nodes=9),)), as_expected)


class NoLimits(Broken):
    def changed(self, updates: list[JobUpdate]) -> list[JobUpdate]:
        return [
            replace(u, state=JobState.COMPLETED) if u.state is JobState.TIMEOUT else u
            for u in updates
        ]


class LosesTheAttached(Emulated):
    """Nothing is reported of jobs that another process had submitted."""

    def attach(self, job: Job, native_id: str) -> None:
        del self._jobs[native_id]
        self._running.discard(native_id)
        self._updates = [u for u in self._updates if u.job != job]


class ForgetsThatItRan(Emulated):
    """Of an attached job only the end is reported."""

    def attach(self, job: Job, native_id: str) -> None:
        pass


class CompletesTheUnknown(Emulated):
    def attach(self, job: Job, native_id: str) -> None:
        if native_id in self._jobs:
            return
        self._report(job, JobState.RUNNING)
        self._report(job, JobState.COMPLETED)


RUNNING, COMPLETED = JobState.RUNNING, JobState.COMPLETED


@pytest.mark.parametrize(
    ("broken", "scenario", "rule"),
    [
        (Strangers, "completes", "neither submitted nor attached"),
        (Confused, "completes", "of another job of that name"),
        (doubled(RUNNING), "completes", "RUNNING at .* after RUNNING"),
        (doubled(COMPLETED), "completes", "COMPLETED at .* after COMPLETED"),
        (followed_by(RUNNING), "completes", "RUNNING at .* after COMPLETED"),
        (followed_by(JobState.FAILED), "completes", "FAILED at .* after COMPLETED"),
        (QueuedLate, "completes", "QUEUED at .* after RUNNING"),
        (without(RUNNING), "completes", "it was never RUNNING"),
        (without(COMPLETED), "completes", "not COMPLETED in 600 s"),
        (at(COMPLETED, -5), "completes", "COMPLETED at -4.0 s, after RUNNING at 0.0 s"),
        (at(COMPLETED, 5), "completes", "in the future"),
        (NoExitCode, "completes", "has exit code None"),
        (BackInTime, "waits", "time went back"),
        (Impatient, "waits", "returned without updates at"),
        (Oversleeps, "waits", r"wait\(1.0\) returned at"),
        (Oversleeps, "cancels_what_runs", "nothing was to be reported"),
        (Fidgets, "cancels_what_runs", "nothing was to be reported"),
        (Fidgets, "completes", "CANCELLED at .* after COMPLETED"),
        (ForgetsNames, "cancels_what_runs", "but None was found"),
        (ForgetsNames, "cancels_what_waits", "but None was found"),
        (ForgetsTheDead, "completes", "a job that is over was not found"),
        (FindsAnything, "knows_what_is_not_there", "found that was never submitted"),
        (SameId, "cancels_what_waits", "another job has id 1"),
        (NoId, "completes", "its native id is empty"),
        (NeverCancels, "cancels_what_runs", "COMPLETED, not CANCELLED"),
        (NeverCancels, "cancels_what_waits", "not CANCELLED"),
        (CancelsAll, "cancels_what_waits", "another job was cancelled"),
        (WithdrawsWhatRuns, "withdraws_what_waits", "a job that has begun was withdrawn"),
        (NeverWithdraws, "withdraws_what_waits", "waits.*: not CANCELLED"),
        (CancelsTheKnown, "knows_what_is_not_there", "no job 99999999"),
        (CancelsOnce, "cancels_what_runs", "it was cancelled before"),
        (HasMoreNodes, "cancels_what_waits", "nothing was to be reported"),
        (NoLimits, "times_out", "COMPLETED, not TIMEOUT"),
        (SaysItCompleted, "cancels_what_runs", "COMPLETED, not CANCELLED"),
        (LosesTheAttached, "attaches", "never reported"),
        (ForgetsThatItRan, "attaches", "never RUNNING"),
        (CompletesTheUnknown, "knows_what_is_not_there", "COMPLETED, not FAILED"),
    ],
)  # fmt: skip
def test_who_breaks_a_rule_is_told_which(
    broken: Callable[[], Any], scenario: str, rule: str
) -> None:
    backend = broken()
    with pytest.raises(AssertionError, match=rule):
        check_backend(lambda: backend, CLUSTER, scenarios=[scenario], patience=LONG)


def test_who_waits_for_ever_hears_of_every_job() -> None:
    backend, bench = Watched(GivesUp()), Bench(Emulated, CLUSTER, LONG)
    assert not backend.wait()
    backend.submit(bench.job("a", "true"))
    with pytest.raises(AssertionError, match=r"wait\(\) returned without updates, .* check-a-"):
        backend.wait()


def test_failures_are_not_successes() -> None:
    """The emulator cannot let a job fail, so it does not pass for one that can."""
    emulated = Emulated()
    with pytest.raises(AssertionError, match="COMPLETED, not FAILED"):
        check_backend(lambda: emulated, CLUSTER, scenarios=["fails"], patience=LONG)
