"""What is submitted when, what becomes of failures, and that the journal says it all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from builders import job, plan_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import noisy, pairs, share, simulate

from socm.engine.attempts import LOOK_UP_DELAY
from socm.engine.backend import Job, JobUpdate
from socm.engine.driver import run_plan
from socm.engine.events import (
    CampaignEnded,
    CampaignStarted,
    Ended,
    Event,
    JobState,
    Retrying,
    Skipped,
    Started,
    SubmitRefused,
    Submitted,
    Submitting,
)
from socm.engine.journal import MemoryJournal
from socm.engine.refused import LONG_PAUSE, MANY, PAUSE
from socm.engine.release import RELEASES, Release, eager, hand_over, hand_over_or_due, timed
from socm.engine.requests import Poll, Requests
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState, Status, apply
from socm.errors import BackendUnavailable, Stalled, SubmitError
from socm.model.campaign import Budget, Campaign
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign

# States

STATES = [*JobState]


def test_no_state_comes_before_itself_and_none_both_ways() -> None:
    for a, b in product(STATES, STATES):
        assert not (a < b and b < a)
        assert not (a is b and a < b)


def test_the_order_of_states_is_transitive() -> None:
    for a, b, c in product(STATES, STATES, STATES):
        assert not (a < b and b < c) or a < c


def test_queued_is_first_running_before_all_that_is_final_and_final_before_nothing() -> None:
    final = {s for s in STATES if s.final}
    assert final == {*STATES} - {JobState.QUEUED, JobState.RUNNING}
    for a, b in product(STATES, STATES):
        first = a is JobState.QUEUED and b is not a
        second = a is JobState.RUNNING and b in final
        assert (a < b) == (first or second)


# A backend that does as it is told


class Scripted:
    """Runs each job at once and at the same time; the script says how an attempt goes.

    Parameters
    ----------
    script
        Seconds and final state of an attempt by its name; or an error to raise at submission.
        Left out: it completes after its planned time. `None`: nothing is ever heard of it.
    """

    def __init__(self, plan: Plan, script: dict[str, Any] | None = None) -> None:
        self.plan = plan
        self.script = script or {}
        self.time = 0.0
        self.pending: list[tuple[float, JobUpdate]] = []
        self.submitted: list[tuple[float, Job]] = []
        self.waits: list[float] = []
        self.told: dict[str, list[tuple[float, JobUpdate]]] = {}
        self.found: list[str] = []
        self.cancelled: list[str] = []

    def now(self) -> float:
        return self.time

    def submit(self, job: Job) -> str:
        fate = self.script.get(job.name)
        if isinstance(fate, list):  # one for each time that it is submitted
            fate = fate.pop(0)
        if isinstance(fate, Exception):
            raise fate
        self.submitted.append((self.time, job))
        if job.name in self.script and fate is None:
            return f"id-{job.name}"
        planned = self.plan.by_name[job.workflow.name].duration
        seconds, state = fate or (planned, JobState.COMPLETED)
        self.report(job, JobState.RUNNING, 0)
        self.report(job, state, seconds)
        return f"id-{job.name}"

    def report(self, job: Job, state: JobState, delay: float) -> None:
        time = self.time + delay
        code = {JobState.COMPLETED: 0, JobState.FAILED: 3}.get(state)
        update = JobUpdate(job=job, state=state, time=time, exit_code=code, reason="so it goes")
        self.pending.append((time, update))
        self.told.setdefault(f"id-{job.name}", []).append((time, update))

    def attach(self, job: Job, native_id: str) -> None:
        """Tell it all again, as clusters do."""
        assert native_id == f"id-{job.name}"
        mine = [u for u in self.pending if u[1].job.name != job.name]
        self.pending = mine + [(max(t, self.time), u) for t, u in self.told.get(native_id, [])]

    def find(self, job: Job) -> str | None:
        self.found.append(job.name)
        fate = self.script.get(f"find {job.name}")
        if isinstance(fate, list) and fate and isinstance(fate[0], Exception):
            raise fate.pop(0)
        return f"id-{job.name}" if job.name in self.names else None

    def cancel(self, native_id: str) -> None:
        self.cancelled.append(native_id)
        job = self.told[native_id][0][1].job
        self.pending = [u for u in self.pending if u[1].job.name != job.name]
        self.report(job, JobState.CANCELLED, 1)

    def wait(self, until: float = math.inf) -> Sequence[JobUpdate]:
        self.waits.append(until)
        self.pending.sort(key=lambda entry: entry[0])
        if not self.pending or self.pending[0][0] > until:
            if until < math.inf:
                self.time = max(self.time, until)
            return []
        self.time = self.pending[0][0]
        due = [update for time, update in self.pending if time == self.time]
        self.pending = [entry for entry in self.pending if entry[0] > self.time]
        return due

    @property
    def names(self) -> list[str]:
        return [job.name for _, job in self.submitted]


def run(
    plan: Plan, release: Release = eager, retry: RetryPolicy | None = None, **script: Any
) -> tuple[CampaignState, Scripted, list[Event]]:
    """Drive a plan; the script names attempts as ``a_1``."""
    backend = Scripted(plan, {f"run-{k.replace('_', '-')}": v for k, v in script.items()})
    journal = MemoryJournal()
    state = run_plan(plan, backend, journal, release=release, retry=retry, job_prefix="run")
    return state, backend, journal.events


def statuses(state: CampaignState) -> dict[str, str]:
    return {name: progress.status.value for name, progress in state.workflows.items()}


FAILS = (5.0, JobState.FAILED)
CHAIN = plan_of([job("a"), job("b", "a"), job("c", "b"), job("other")])


def test_all_that_happens_is_in_the_journal_in_order() -> None:
    plan = plan_of([job("a", minutes=1)])
    state, _, events = run(plan)
    assert events == [
        CampaignStarted(time=0.0, fingerprint=plan.campaign.fingerprint),
        Submitting(time=0.0, workflow="a", attempt=1, job="run-a-1"),
        Submitted(time=0.0, workflow="a", attempt=1, native_id="id-run-a-1"),
        Started(time=0.0, workflow="a", attempt=1),
        Ended(
            time=60.0,
            workflow="a",
            attempt=1,
            state=JobState.COMPLETED,
            exit_code=0,
            reason="so it goes",
            core_hours=1 / 60,
            node_hours=1 / 240,
        ),
        CampaignEnded(time=60.0),
    ]
    assert (state.started, state.ended) == (0.0, 60.0)


def test_the_intent_to_submit_is_written_before_the_act() -> None:
    plan, journal = plan_of([job("a")]), MemoryJournal()
    backend = Scripted(plan, {"run-a-1": RuntimeError()})
    with pytest.raises(RuntimeError):
        run_plan(plan, backend, journal, job_prefix="run")
    assert isinstance(journal.events[-1], Submitting)


def test_a_submission_without_an_answer_is_looked_for_before_it_is_tried_again() -> None:
    silent = BackendUnavailable("no answer")
    plan = plan_of([job("a")])
    backend = Scripted(plan, {"run-a-1": [silent, None], "find run-a-1": [silent, silent]})
    journal = MemoryJournal()
    done = (60.0, JobState.COMPLETED)
    backend.script["run-a-1"] = [silent, done]
    state = run_plan(plan, backend, journal, job_prefix="run")
    assert backend.found == ["run-a-1"] * 3
    assert backend.submitted[0][0] == 3 * LOOK_UP_DELAY
    assert statuses(state) == {"a": "completed"}
    assert [type(e) for e in journal.events[1:4]] == [Submitting, Retrying, Submitting]
    assert {e.attempt for e in journal.events if isinstance(e, Submitting)} == {1}
    [again] = [e for e in journal.events if isinstance(e, Retrying)]
    assert again.reason == "it was not submitted: no answer"


def test_a_submission_without_an_answer_that_was_taken_is_not_tried_again() -> None:
    plan = plan_of([job("a")])

    class Deaf(Scripted):
        def submit(self, job: Job) -> str:
            super().submit(job)
            raise BackendUnavailable("no answer")

    backend = Deaf(plan)
    state = run_plan(plan, backend, job_prefix="run")
    assert backend.names == ["run-a-1"]
    assert statuses(state) == {"a": "completed"}


class Killed(BaseException):
    """What happens to a process."""


class KilledAt:
    """A journal whose process dies before or after it has written an event."""

    def __init__(self, events: list[Event], number: int, *, before: bool) -> None:
        self.events = events
        self.number = number
        self.before = before

    def write(self, event: Event) -> None:
        last = len(self.events) == self.number
        if last and self.before:
            raise Killed
        self.events.append(event)
        if last:
            raise Killed


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_killed_at_any_event_a_run_goes_on_and_submits_nothing_twice(
    release: Release, before: bool
) -> None:
    plan = plan_of([job("a"), job("b", "a"), job("c", "b"), job("d"), job("e", "d")])
    script = {
        "run-a-1": (5.0, JobState.TIMEOUT),
        "run-d-1": (3.0, JobState.FAILED),
        "run-b-1": (1.0, JobState.NODE_FAILED),
    }
    whole = MemoryJournal()
    run_plan(plan, Scripted(plan, script), whole, release=release, job_prefix="run")
    for number in range(len(whole.events)):
        backend, events = Scripted(plan, script), list[Event]()
        journal = KilledAt(events, number, before=before)
        with pytest.raises(Killed):
            run_plan(plan, backend, journal, release=release, job_prefix="run")
        second = MemoryJournal()
        state = run_plan(plan, backend, second, release=release, job_prefix="run", events=events)
        assert statuses(state) == {
            "a": "completed",
            "b": "completed",
            "c": "completed",
            "d": "failed",
            "e": "skipped",
        }
        assert len(set(backend.names)) == len(backend.names)
        assert {"run-a-2", "run-b-2", "run-c-1"} <= set(backend.names)
        assert CampaignState.of(plan, [*events, *second.events]) == state


def test_those_that_failed_get_another_attempt_if_that_is_asked_for() -> None:
    plan = plan_of([job("a"), job("b", "a"), job("c")])
    backend = Scripted(plan, {"run-a-1": FAILS})
    journal = MemoryJournal()
    run_plan(plan, backend, journal, job_prefix="run")
    state = run_plan(plan, backend, job_prefix="run", events=journal.events, retry_failed=True)
    assert backend.names == ["run-a-1", "run-c-1", "run-a-2", "run-b-1"]
    assert set(statuses(state).values()) == {"completed"}


def test_the_first_failure_may_end_it_all() -> None:
    plan = plan_of([job("a"), job("b"), job("c", "b"), job("d", "c")], cores=2)
    state = run_plan(plan, Scripted(plan, {"run-a-1": FAILS}), fail_fast=True, job_prefix="run")
    assert statuses(state) == {"a": "failed", "b": "completed", "c": "skipped", "d": "skipped"}


def test_a_cancellation_is_not_a_failure_that_ends_it_all() -> None:
    plan = plan_of([job("a"), job("b", "a"), job("c"), job("d", "c")])
    backend = Scripted(plan)
    requests = asks(backend, 30.0, "a")
    state = run_plan(plan, backend, fail_fast=True, job_prefix="run", requests=requests)
    assert statuses(state) == {"a": "cancelled", "b": "skipped", "c": "completed", "d": "completed"}


def asks(
    backend: Scripted, time: float, *cancel: str, stop: bool = False, pause: bool = False
) -> Poll:
    """Return requests that are made once a time has come; a pause is asked for from the start."""

    def poll(state: CampaignState) -> Requests:
        come = backend.time >= time
        return Requests(stop=stop and come, pause=pause, cancel=frozenset(cancel if come else ()))

    return poll


def test_what_is_cancelled_is_ended_and_what_waits_for_it_is_skipped() -> None:
    backend = Scripted(CHAIN)
    requests = asks(backend, 30.0, "a", "other")
    state = run_plan(CHAIN, backend, job_prefix="run", requests=requests)
    assert backend.cancelled == ["id-run-a-1", "id-run-other-1"]
    assert statuses(state) == {
        "a": "cancelled",
        "b": "skipped",
        "c": "skipped",
        "other": "cancelled",
    }
    backend = Scripted(CHAIN)
    state = run_plan(CHAIN, backend, job_prefix="run", requests=asks(backend, 30.0, "b"))
    assert backend.cancelled == []
    assert statuses(state)["b"] == "cancelled"
    assert statuses(state)["c"] == "skipped"


def test_one_that_is_stopped_leaves_what_it_submitted_and_goes_on_later() -> None:
    backend, journal = Scripted(CHAIN), MemoryJournal()
    requests = asks(backend, 30.0, stop=True)
    state = run_plan(CHAIN, backend, journal, job_prefix="run", requests=requests)
    assert statuses(state)["a"] == "running"
    assert not isinstance(journal.events[-1], CampaignEnded)
    assert backend.cancelled == []
    state = run_plan(CHAIN, backend, job_prefix="run", events=journal.events)
    assert set(statuses(state).values()) == {"completed"}
    assert len(backend.names) == 4


def test_one_that_is_paused_submits_nothing_until_it_is_stopped() -> None:
    backend = Scripted(CHAIN)
    requests = asks(backend, 5.0, stop=True, pause=True)
    state = run_plan(CHAIN, backend, job_prefix="run", requests=requests)
    assert backend.names == []
    assert backend.time >= 5.0
    assert set(statuses(state).values()) == {"pending"}


def test_what_is_there_already_is_not_made_again() -> None:
    first = replace(job("a"), skip_if_outputs_exist=True, outputs=("map.fits",))
    plan = plan_of([first, job("b", "a")])
    backend = Scripted(plan)
    state = run_plan(plan, backend, job_prefix="run", reusable=lambda workflow: True)
    assert backend.names == ["run-b-1"]
    assert set(statuses(state).values()) == {"completed"}


def test_a_job_asks_for_what_was_planned() -> None:
    plan = plan_of(
        [job("a", ranks=3, threads=2, memory=90)], Qos(name="day", walltime=86400), nodes=2
    )
    _, backend, _ = run(plan)
    [(_, sent)] = backend.submitted
    planned = plan.by_name["a"]
    assert sent.workflow is plan.campaign.workflows["a"]
    assert (sent.partition, sent.qos, sent.walltime) == ("cpu", "day", planned.walltime)
    assert sent.demand == Demand(ranks=3, threads=2, gpus=0, memory=90)
    assert (sent.cores, sent.placements) == (6, planned.placements)


def test_what_may_go_at_once_is_submitted_in_the_order_of_the_plan() -> None:
    plan = plan_of([job("short", minutes=1), job("long"), job("middle", minutes=5)])
    _, backend, _ = run(plan)
    assert backend.names == ["run-long-1", "run-middle-1", "run-short-1"]
    assert [sent.priority for _, sent in backend.submitted] == [0, 1, 2]


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_those_that_depend_on_a_failed_workflow_are_skipped_and_say_on_which(
    release: Release,
) -> None:
    state, backend, events = run(CHAIN, release, a_1=FAILS)
    assert statuses(state) == {"a": "failed", "b": "skipped", "c": "skipped", "other": "completed"}
    assert [(e.workflow, e.because) for e in events if isinstance(e, Skipped)] == [
        ("b", "a"),
        ("c", "b"),
    ]
    assert state.workflows["c"].reason == "b did not complete"
    assert sorted(backend.names) == ["run-a-1", "run-other-1"]


def test_a_workflow_with_two_failed_parents_is_skipped_once() -> None:
    plan = plan_of([job("a"), job("b"), job("c", "a", "b"), job("d", "c")])
    state, _, events = run(plan, a_1=FAILS, b_1=(7.0, JobState.FAILED))
    skipped = [e.workflow for e in events if isinstance(e, Skipped)]
    assert sorted(skipped) == ["c", "d"]
    assert statuses(state)["d"] == "skipped"
    assert isinstance(events[-1], CampaignEnded)


def test_the_failure_of_the_first_of_a_very_long_chain_skips_all_of_it() -> None:
    names = [f"w{k}" for k in range(3000)]
    workflows = [job(name, *names[max(0, k - 1) : k]) for k, name in enumerate(names)]
    state, _, _ = run(plan_of(workflows), w0_1=FAILS)
    assert sum(p.status is Status.SKIPPED for p in state.workflows.values()) == 2999


def test_who_takes_over_from_a_skipped_workflow_may_go() -> None:
    """Its place is free, for it will never be used."""
    plan = plan_of([job("a", threads=4), job("b", "a", threads=4), job("c", threads=4, minutes=1)])
    assert plan.by_name["c"].start == 1200
    state, backend, _ = run(plan, hand_over, a_1=FAILS)
    assert statuses(state)["c"] == "completed"
    assert backend.submitted[-1][0] == 5.0


def test_behind_a_skipped_workflow_one_waits_for_those_whose_place_that_would_have_had() -> None:
    """Planned one after the other on a node: without the third the last follows the second."""
    plan = plan_of(
        [
            job("a", threads=4),
            job("long", threads=4, minutes=15),
            job("b", "a", threads=4),
            job("last", threads=4, minutes=5),
        ]
    )
    assert [w.name for w in plan.workflows] == ["a", "long", "b", "last"]
    state, backend, _ = run(plan, hand_over, a_1=FAILS)
    assert statuses(state)["b"] == "skipped"
    times = {sent.workflow.name: time for time, sent in backend.submitted}
    assert times == {"a": 0.0, "long": 5.0, "last": 905.0}


def test_the_rest_goes_on_after_a_refusal_for_good() -> None:
    state, _, events = run(CHAIN, a_1=SubmitError("account expired", transient=False))
    assert statuses(state) == {"a": "failed", "b": "skipped", "c": "skipped", "other": "completed"}
    assert state.workflows["a"].reason == "account expired"
    assert [e.reason for e in events if isinstance(e, SubmitRefused)] == ["account expired"]


def test_a_refusal_for_now_is_tried_again_later_as_the_same_attempt() -> None:
    busy = SubmitError("too many jobs", transient=True)
    state, backend, events = run(CHAIN, a_1=[busy, busy, (1.0, JobState.COMPLETED)])
    assert statuses(state)["c"] == "completed"
    assert state.workflows["a"].attempt == 1
    times = [time for time, sent in backend.submitted if sent.workflow.name == "a"]
    assert times == [2 * PAUSE]
    assert [e.reason for e in events if isinstance(e, Retrying)] == ["too many jobs"] * 2


def test_what_is_refused_for_now_waits_as_long_as_it_takes() -> None:
    """A limit on submissions, a partition that is drained: for a day, if need be."""
    busy = SubmitError("too many jobs", transient=True)
    state, backend, events = run(
        plan_of([job("a")]), a_1=[busy] * 300 + [(1.0, JobState.COMPLETED)]
    )
    assert statuses(state) == {"a": "completed"}
    [(time, _)] = backend.submitted
    assert time == MANY * PAUSE + (300 - MANY) * LONG_PAUSE
    assert len([e for e in events if isinstance(e, Retrying)]) == 300


@pytest.mark.parametrize("limit", [1, 3])
def test_of_many_that_would_be_refused_one_is_tried_and_none_is_forgotten(limit: int) -> None:
    """The cluster admits so many jobs at once; other partitions and QOS are not held back."""
    qos = (Qos(name="small", walltime=660), Qos(name="large", walltime=86400))
    plan = plan_of([job(f"w{k:02}") for k in range(30)] + [job("long", minutes=15)], *qos, cores=99)

    class Limited(Scripted):
        asked = 0

        def submit(self, job: Job) -> str:
            self.asked += 1
            open_ones = {u.job.name for _, u in self.pending if u.job.qos == job.qos}
            if len(open_ones) >= limit:
                raise SubmitError("QOSMaxSubmitJobPerUserLimit", transient=True)
            return super().submit(job)

    backend = Limited(plan)
    state = run_plan(plan, backend, job_prefix="run")
    assert set(statuses(state).values()) == {"completed"}
    assert {sent.workflow.name: time for time, sent in backend.submitted}["long"] == 0.0
    # Besides those that are accepted, one after each end of a job, and one in each pause.
    assert backend.asked <= 31 + 31 + backend.time / PAUSE


def test_one_that_is_always_refused_does_not_hold_back_the_others_for_good() -> None:
    plan = plan_of([job(f"w{k:02}") for k in range(20)], cores=99)
    refused = [SubmitError("no", transient=True)] * 50 + [(1.0, JobState.COMPLETED)]
    names = [w.name for w in plan.workflows][:15]
    state, backend, _ = run(plan, **{f"{name}_1": [*refused] for name in names})
    assert set(statuses(state).values()) == {"completed"}
    first = [time for time, sent in backend.submitted if sent.workflow.name not in names]
    assert max(first) <= MANY * PAUSE + 5 * LONG_PAUSE  # each of the others was tried once


class Unheard(Scripted):
    """Does not hear some submissions, and cannot tell that for a while.

    Parameters
    ----------
    hears
        Whether it answers a submission, by its number and time.
    can_tell
        The time from which on it can tell that there is no such job.
    """

    def __init__(self, plan: Plan, hears: Callable[[int, float], bool], *, can_tell: float) -> None:
        super().__init__(plan)
        self.asked: list[tuple[float, str]] = []
        self._hears, self._can_tell = hears, can_tell

    def submit(self, job: Job) -> str:
        self.asked.append((self.time, job.workflow.name))
        if not self._hears(len(self.asked), self.time):
            raise BackendUnavailable("no answer")
        return super().submit(job)

    def find(self, job: Job) -> str | None:
        if self.time < self._can_tell:
            raise BackendUnavailable("cannot tell")
        return None


def test_where_nobody_answers_few_are_tried() -> None:
    """To ask for each of a thousand workflows would take hours, and each would be in doubt."""
    plan = plan_of([job(f"w{k:02}") for k in range(20)], cores=99)
    backend = Unheard(plan, lambda number, time: time >= 200.0, can_tell=200.0)
    state = run_plan(plan, backend, job_prefix="run")
    assert set(statuses(state).values()) == {"completed"}
    assert [time for time, _ in backend.asked if time < 200.0] == [0.0, 10.0, 30.0, 70.0, 150.0]
    assert len(backend.asked) == 20 + 5


def test_one_of_which_nobody_can_tell_does_not_hold_back_the_others() -> None:
    """It may be there, so it counts; what depends on it waits."""
    plan = plan_of([job(name) for name in "abcde"] + [job("f", "a")], cores=20, nodes=1)
    first = plan.workflows[0].name
    backend = Unheard(plan, lambda number, time: number > 1, can_tell=10_000.0)
    state = run_plan(plan, backend, job_prefix="run")
    assert set(statuses(state).values()) == {"completed"}
    others = [entry for entry in backend.asked[1:] if entry[1] not in (first, "f")]
    assert [time for time, _ in others] == [LOOK_UP_DELAY] * 4
    again = [time for time, name in backend.asked if name == first]
    assert again == [0.0, 10_000.0]


def test_time_passes_while_one_is_in_doubt_and_another_was_refused() -> None:
    plan = plan_of([job(name) for name in "ab"], Qos(name="x", walltime=86400), nodes=2)
    first, second = (f"run-{w.name}-1" for w in plan.workflows)
    done, silent = (1.0, JobState.COMPLETED), BackendUnavailable("no answer")
    busy = SubmitError("busy", transient=True)
    script = {first: [busy, busy, done], second: [silent, done], f"find {second}": [silent] * 99}
    backend = Scripted(plan, script)
    assert set(statuses(run_plan(plan, backend, job_prefix="run")).values()) == {"completed"}
    assert len(backend.waits) < 120


# Retries


def test_after_a_node_failure_the_same_is_tried_again() -> None:
    state, backend, _ = run(CHAIN, a_1=(5.0, JobState.NODE_FAILED))
    first, *_, again = (sent for _, sent in backend.submitted if sent.workflow.name == "a")
    assert again == replace(first, name="run-a-2", attempt=2)
    assert state.workflows["a"].status is Status.COMPLETED
    assert state.workflows["a"].attempt == 2
    assert statuses(state)["c"] == "completed"


def test_after_a_timeout_a_longer_limit_is_asked_for_in_the_next_qos() -> None:
    plan = plan_of(
        [job("a", minutes=50)], Qos(name="short", walltime=4500), Qos(name="long", walltime=9000)
    )
    assert plan.by_name["a"].qos == "short"
    state, backend, _ = run(plan, a_1=(4500.0, JobState.TIMEOUT))
    assert [(sent.qos, sent.walltime) for _, sent in backend.submitted] == [
        ("short", 4500),
        ("long", 6780),
    ]
    assert state.workflows["a"].qos == "long"


def test_after_running_out_of_memory_more_is_asked_for() -> None:
    plan = plan_of([job("a", memory=200)])
    _, backend, _ = run(plan, a_1=(5.0, JobState.OUT_OF_MEMORY))
    assert [sent.demand.memory for _, sent in backend.submitted] == [200, 300]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_any_other_failure_is_not_tried_again(state: JobState) -> None:
    found, backend, _ = run(CHAIN, a_1=(5.0, state))
    assert backend.names.count("run-a-2") == 0
    cancelled = state is JobState.CANCELLED
    assert found.workflows["a"].status is (Status.CANCELLED if cancelled else Status.FAILED)
    assert found.workflows["a"].outcome is state


def test_when_attempts_are_used_up_the_workflow_has_failed() -> None:
    broken = (5.0, JobState.NODE_FAILED)
    state, backend, _ = run(CHAIN, a_1=broken, a_2=broken, a_3=broken)
    assert [name for name in backend.names if "-a-" in name] == ["run-a-1", "run-a-2", "run-a-3"]
    assert statuses(state)["b"] == "skipped"
    once, _, _ = run(CHAIN, retry=RetryPolicy(attempts=1), a_1=broken)
    assert once.workflows["a"].attempt == 1


# Limits


def test_no_more_jobs_are_submitted_than_a_qos_lets_run_and_others_go_on() -> None:
    one, two = Qos(name="one", running_jobs=1), Qos(name="two", cores=2)
    plan = plan_of(
        [
            job("a", qos="one", minutes=20),
            job("b", qos="one", minutes=10),
            job("c", qos="two", minutes=15),
            job("d", qos="two", minutes=10),
            job("e", qos="two", minutes=5),
        ],
        one,
        two,
        cores=8,
    )
    _, backend, _ = run(plan, release=eager)
    sent = {sent.workflow.name: time for time, sent in backend.submitted}
    assert sent == {"a": 0.0, "c": 0.0, "d": 0.0, "e": 600.0, "b": 1200.0}


def test_no_more_cores_are_submitted_than_the_budget_has_and_nobody_overtakes() -> None:
    """Beside three cores of four there is no room for two; one would fit, but waits its turn."""
    plan = plan_of(
        [
            job("a", threads=3, minutes=30, memory=400),
            job("b", threads=2, minutes=20, memory=400),
            job("c", minutes=10, memory=400),
        ],
        budget=Budget(cores=4),
    )
    _, backend, _ = run(plan, eager, a_1=(100.0, JobState.COMPLETED))
    times = [(sent.workflow.name, time) for time, sent in backend.submitted]
    assert times == [("a", 0.0), ("b", 100.0), ("c", 100.0)]


def test_a_job_that_waits_in_the_queue_counts_against_the_budget() -> None:
    plan = plan_of([job("a", threads=4), job("b", threads=4)], nodes=2, budget=Budget(cores=4))
    with pytest.raises(Stalled, match="b waits for the budget"):
        run(plan, a_1=None)


# What backends do


def test_what_can_never_go_on_is_said_with_what_waits_for_what() -> None:
    plan = plan_of([job("a", threads=4), job("b", "a"), job("c", threads=4, minutes=1)])
    with pytest.raises(Stalled) as caught:
        run(plan, hand_over, a_1=None)
    text = str(caught.value)
    assert "a is queued; the cluster never reports its end" in text
    assert "b waits for a" in text
    assert "c waits for the nodes or limits of a" in text


@pytest.mark.parametrize("late", [JobState.QUEUED, JobState.RUNNING, JobState.COMPLETED])
def test_what_is_reported_after_the_end_of_a_job_changes_nothing(late: JobState) -> None:
    """Polls and callbacks may cross: a state is news only if it comes after the one before."""
    plan = plan_of([job("a", minutes=1), job("b", minutes=5)])

    class Repeating(Scripted):
        def submit(self, job: Job) -> str:
            native_id = super().submit(job)
            if job.workflow.name == "a":
                self.report(job, late, 90)
            return native_id

    journal = MemoryJournal()
    state = run_plan(plan, Repeating(plan), journal, release=eager, job_prefix="run")
    assert statuses(state) == {"a": "completed", "b": "completed"}
    of_a = [e for e in journal.events if isinstance(e, Started | Ended) and e.workflow == "a"]
    assert [type(e) for e in of_a] == [Started, Ended]


def test_what_an_earlier_attempt_reports_late_is_not_taken_for_the_present_one() -> None:
    plan = plan_of([job("a", minutes=1)])

    class Haunted(Scripted):
        def submit(self, job: Job) -> str:
            native_id = super().submit(job)
            if job.attempt == 1:
                self.report(job, JobState.COMPLETED, 10)
            return native_id

    backend = Haunted(plan, {"run-a-1": (5.0, JobState.NODE_FAILED)})
    journal = MemoryJournal()
    state = run_plan(plan, backend, journal, release=eager, job_prefix="run")
    assert state.workflows["a"].ended == 65.0
    assert [e.attempt for e in journal.events if isinstance(e, Ended)] == [1, 2]


def test_a_job_that_is_over_before_it_was_seen_running_is_over() -> None:
    plan = plan_of([job("a")])

    class Blind(Scripted):
        def report(self, job: Job, state: JobState, delay: float) -> None:
            if state is not JobState.RUNNING:
                super().report(job, state, delay)

    state = run_plan(plan, Blind(plan), MemoryJournal(), job_prefix="run")
    assert statuses(state) == {"a": "completed"}


@pytest.mark.parametrize("release", [timed, hand_over_or_due])
def test_the_driver_never_waits_beyond_the_next_time_at_which_somebody_may_go(
    release: Release,
) -> None:
    plan = plan_of([job("a", threads=4, minutes=10), job("b", threads=4)])
    _, backend, _ = run(plan, release, a_1=(700.0, JobState.COMPLETED))
    assert backend.waits.count(600) >= 1
    # Due at 600, for this backend has room for any number.
    assert backend.submitted[1][0] == 600


def test_an_empty_campaign_is_over_at_once() -> None:
    state, backend, events = run(plan_of([]))
    assert [type(e) for e in events] == [CampaignStarted, CampaignEnded]
    assert backend.submitted == []
    assert state.workflows == {}


# State


@share(0.4)
@given(pairs(), st.integers(0, 2**32), st.sampled_from([eager, timed, hand_over, hand_over_or_due]))
def test_the_state_is_what_the_events_add_up_to(
    pair: tuple[Campaign, Cluster], seed: int, release: Release
) -> None:
    plan = plan_campaign(*pair)
    world = simulate(plan, noisy(plan, seed), release)
    assert CampaignState.of(plan, world.events) == world.state
    times = [e.time for e in world.events]
    assert times == sorted(times)


def applied(*events: Event) -> CampaignState:
    return CampaignState.of(CHAIN, events)


def test_a_new_state_has_everything_pending_with_what_was_planned() -> None:
    state = CampaignState.of(CHAIN)
    assert set(statuses(state).values()) == {"pending"}
    assert [p.walltime for p in state.workflows.values()] == [w.walltime for w in CHAIN.workflows]


def test_a_retry_forgets_the_attempt_but_not_when_the_workflow_began() -> None:
    again = Retrying(
        time=9.0, workflow="a", attempt=2, qos=None, walltime=60, memory=5, reason="node failed"
    )
    state = applied(
        Submitting(time=0.0, workflow="a", attempt=1, job="run-a-1"),
        Submitted(time=0.0, workflow="a", attempt=1, native_id="17"),
        Started(time=1.0, workflow="a", attempt=1),
        Ended(time=9.0, workflow="a", attempt=1, state=JobState.NODE_FAILED),
        again,
    )
    a = state.workflows["a"]
    assert (a.status, a.attempt, a.walltime, a.memory) == (Status.PENDING, 2, 60, 5)
    assert (a.native_id, a.started, a.ended) == (None, None, None)
    assert a.outcome is JobState.NODE_FAILED
    apply(state, Started(time=20.0, workflow="a", attempt=2))
    assert (a.began, a.started) == (1.0, 20.0)


def test_an_unknown_event_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match="unknown event"):
        apply(CampaignState.of(CHAIN), Event(time=0.0))


def test_the_final_states_of_a_workflow_are_four() -> None:
    open_states = {Status.PENDING, Status.SUBMITTING, Status.QUEUED, Status.RUNNING}
    assert {s for s in Status if not s.final} == open_states


@share(0.5)
@given(pairs(most=15), st.data())
def test_whatever_fails_exactly_its_descendants_are_skipped(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    plan = plan_campaign(*pair)
    failing = data.draw(st.sets(st.sampled_from(sorted(plan.campaign.workflows))))
    backend = Scripted(plan, {f"run-{name}-1": FAILS for name in failing})
    release = data.draw(st.sampled_from(list(RELEASES.values())))
    state = run_plan(plan, backend, MemoryJournal(), release=release, job_prefix="run")
    wanted: dict[str, str] = {}
    for name in plan.campaign.order:
        parents = plan.campaign.workflows[name].depends
        if any(wanted[parent] != "completed" for parent in parents):
            wanted[name] = "skipped"
        else:
            wanted[name] = "failed" if name in failing else "completed"
    assert statuses(state) == wanted
