"""The executor for SLURM and the driver in a SLURM that misbehaves; a seed decides how."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake_slurm import FakeJob, FakeSlurm

from socm.engine.driver import run_plan
from socm.engine.edits import Edit, prepare
from socm.engine.events import (
    CampaignStarted,
    CancelRequested,
    Ended,
    Event,
    JobState,
    Replanned,
    Submitted,
    Submitting,
    Withdrawing,
)
from socm.engine.journal import MemoryJournal
from socm.engine.requests import Requests
from socm.engine.state import CampaignState
from socm.executor.folder import make_run_folder
from socm.executor.slurm.executor import SlurmExecutor
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.planner import plan_campaign
from socm.testing.torture.choices import Choices

CLUSTER = Cluster(name="fake", partitions=(Partition(name="cpu", nodes=4, cores=16, memory=64000),))
EDGES = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}
PLAN = plan_campaign(
    Campaign.of(
        "fake",
        [
            Workflow(
                name=name,
                command=("true",),
                depends=depends,
                request=ResourceRequest(runtime=100, memory=100),
            )
            for name, depends in EDGES.items()
        ],
    ),
    CLUSTER,
)
LIVES, DAYS = 40, 20
KILLS = ("TIMEOUT", "PREEMPTED", "REQUEUED", "CANCELLED")


class Killed(BaseException):
    """The end of a process, as by SIGKILL."""


def kill() -> None:
    raise Killed


@dataclass
class Journal:
    """A journal at whose lines the process may be killed."""

    slurm: FakeSlurm
    events: list[Event]

    def write(self, event: Event) -> None:
        if self.slurm.happens("socm killed"):
            raise Killed
        self.events.append(event)
        self.slurm.note(f"journal: {event}")
        if self.slurm.happens("socm killed"):
            raise Killed


def carry_out(slurm: FakeSlurm, run: Path, plan: Plan) -> tuple[CampaignState, list[Event]]:
    """Carry a plan out, with a new process whenever one is killed."""
    make_run_folder(run)
    epoch, events, cancel = slurm.clock.now, list[Event](), set[str]()
    edits = False

    def requests(state: CampaignState) -> Requests:
        if slurm.happens("user cancels"):
            cancel.add(slurm.choices.pick([*state.workflows]))
        if slurm.clock.now > epoch + DAYS * 86400:
            slurm.break_promise("it never ends")
            raise Killed
        nonlocal edits
        edits = edits or slurm.happens("user edits")  # and stops the process before
        return Requests(cancel=frozenset(cancel), stop=edits)

    def edit() -> Plan:
        """Edit a workflow that has no job yet, or whose job waits as far as the run knows."""
        found = CampaignState.of(plan, events).workflows.items()
        names = [n for n, p in found if p.status.can_be_edited or p.status.can_be_withdrawn]
        before = plan.campaign.workflows
        if not names:
            return plan
        name = slurm.choices.pick(names)
        slurm.note(f"the user edits {name}")
        edited = replace(before[name], command=("true", str(len(events))))
        campaign = replace(plan.campaign, workflows={**before, name: edited})
        new = prepare(
            Edit(plan, campaign, frozenset({name})),
            backend,
            journal,
            lambda campaign, now, kept: plan_campaign(campaign, CLUSTER, start=now, fixed=kept),
            events=[*events],
            job_prefix="fake",
            requests=lambda state: replace(requests(state), stop=False),
        )
        if new.plan is None:
            return plan
        fingerprint, changed = new.plan.campaign.fingerprint, tuple(new.edit.changed)
        event = Replanned(
            time=new.time, fingerprint=fingerprint, plan="plan-2.json", edited=changed
        )
        with suppress(Killed):
            journal.write(event)
        return new.plan if event in events else plan

    slurm.dies = kill
    for life in range(LIVES + 2):
        slurm.healthy = life >= LIVES
        journal = Journal(slurm, events)
        backend = SlurmExecutor(run, plan.cluster, epoch)
        try:
            if edits:
                plan, edits = edit(), False
            state = run_plan(
                plan, backend, journal, job_prefix="fake", events=[*events], requests=requests
            )
        except Killed:
            slurm.note("socm is dead")
            slurm.advance(slurm.clock.now + slurm.choices.number(2000))
        else:
            if state.ended is not None:
                return state, events
            slurm.note("socm is stopped")
        if slurm.broken:
            break
    slurm.break_promise("it needs ever more processes")
    return CampaignState.of(plan, events), events


def compare(slurm: FakeSlurm, events: list[Event]) -> None:
    """Hold what was said to what was."""
    jobs = defaultdict[str, list[FakeJob]](list)
    for job in slurm.ours:
        jobs[job.key].append(job)
    asked = (CancelRequested, Withdrawing)
    withdrawn = {event.workflow for event in events if isinstance(event, asked)}
    for event in events:
        if not isinstance(event, Ended):
            continue
        key = f"{event.workflow}.{event.attempt}"
        fates = set[str]().union(*(job.fates for job in jobs[key]))
        said = event.state
        well = any(job.well for job in jobs[key])
        # Where SLURM itself does not know it any more, a lost job is all that can be said.
        lost = {"NODE_FAIL", "LOST"} | ({*KILLS} if slurm.blind else set())
        true = {
            JobState.COMPLETED: well,
            JobState.FAILED: bool(fates & {"FAILED", "OUT_OF_MEMORY"}),
            JobState.OUT_OF_MEMORY: "OUT_OF_MEMORY" in fates,
            # A suspended job looks as if it had used its walltime up.
            JobState.TIMEOUT: "TIMEOUT" in fates or (slurm.blind and bool(fates & lost)),
            JobState.NODE_FAILED: bool(fates & lost),
            JobState.PREEMPTED: bool(fates & {"PREEMPTED", "REQUEUED"}),
            JobState.CANCELLED: "CANCELLED" in fates or event.workflow in withdrawn,
        }[said]
        if not true or (well and said is not JobState.COMPLETED):
            slurm.break_promise(f"{key} is said to be {event}, but it was {fates}")


def tell(choices: Choices) -> FakeSlurm:
    slurm = FakeSlurm(choices)
    with TemporaryDirectory() as folder, slurm.instead():
        _, events = carry_out(slurm, Path(folder) / "run", PLAN)
        compare(slurm, events)
    return slurm


@pytest.mark.parametrize("block", range(3))
def test_whatever_slurm_does_what_is_said_is_what_was(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        slurm = tell(Choices(random.Random(seed)))
        assert not slurm.broken, "\n".join([f"seed {seed}", *slurm.story])


# One thing at a time


class World:
    """A SLURM in which nothing happens but what a test lets happen."""

    def __init__(self, folder: Path) -> None:
        self.slurm = FakeSlurm(Choices([]))
        self.run = folder / "run"
        self.events: list[Event] = []
        self.began = self.slurm.clock.now
        self.backend: SlurmExecutor | None = None
        make_run_folder(self.run)

    def job(self, name: str, attempt: int = 1) -> FakeJob:
        """Return the job of a workflow."""
        return next(job for job in self.slurm.ours if job.key == f"{name}.{attempt}")

    def carry_out(
        self, *names: str, until: float = 1e6, budget: Budget | None = None
    ) -> dict[str, str]:
        """Carry out some workflows, as a new process would each time; "b<a" depends on a."""
        edges = {name[0]: tuple(name[2:]) for name in names}
        work = [replace(PLAN.campaign.workflows[n], depends=d) for n, d in edges.items()]
        plan = plan_campaign(Campaign.of("fake", work, budget=budget), CLUSTER)
        self.backend = SlurmExecutor(self.run, CLUSTER, self.began)
        journal = MemoryJournal()
        state = run_plan(
            plan,
            self.backend,
            journal,
            job_prefix="fake",
            events=[*self.events],
            requests=lambda state: Requests(stop=self.slurm.clock.now > self.began + until),
        )
        self.events += journal.events
        assert not self.slurm.broken, self.slurm.story
        return {name: progress.status.value for name, progress in state.workflows.items()}

    def ends(self, name: str) -> list[tuple[JobState, str]]:
        """Return how the attempts of a workflow ended."""
        return [
            (e.state, e.reason) for e in self.events if isinstance(e, Ended) and e.workflow == name
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with world.slurm.instead():
        yield world


def test_a_stranger_who_got_our_id_is_neither_followed_nor_cancelled(world: World) -> None:
    """SLURM has lost its jobs, and counts anew; who asks for the end of ours ends nobody else's."""
    slurm = world.slurm
    slurm.planned["a.1"] = ("COMPLETED", 5000)

    def lose() -> None:
        slurm.lose_table()
        slurm.count_from(1)
        for _ in range(5):
            slurm.add_stranger()
        assert world.job("a").native_id in {job.native_id for job in slurm.strangers}

    slurm.later(100, lose)
    assert world.carry_out("a", until=105) == {"a": "running"}
    assert world.backend is not None
    world.backend.cancel(world.job("a").native_id)
    slurm.planned["a.2"] = ("COMPLETED", 10)
    assert world.carry_out("a") == {"a": "completed"}
    assert all(job.is_open for job in slurm.strangers)
    assert [state for state, _ in world.ends("a")] == [JobState.NODE_FAILED, JobState.COMPLETED]


def test_a_job_of_ours_that_gets_the_id_of_another_one_of_ours_is_followed(world: World) -> None:
    slurm = world.slurm
    slurm.planned |= {"a.1": ("COMPLETED", 99), "b.1": ("COMPLETED", 99), "e.1": ("COMPLETED", 300)}
    slurm.planned["e.2"] = ("COMPLETED", 99)

    def lose() -> None:
        slurm.lose_table()
        slurm.count_from(int(world.job("e").native_id))

    slurm.later(99.1, lose)
    assert world.carry_out("a", "b<a", "e") == {
        "a": "completed",
        "b": "completed",
        "e": "completed",
    }
    assert world.job("b").native_id == world.job("e").native_id
    submitted = [e.native_id for e in world.events if isinstance(e, Submitted)]
    assert len(set(submitted)) == len(submitted) == 4


def test_a_renamed_job_is_followed_all_the_same(world: World) -> None:
    slurm = world.slurm
    slurm.planned["a.1"] = ("FAILED", 400)
    slurm.later(100, lambda: slurm.rename(world.job("a")))
    world.carry_out("a", until=150)
    slurm.advance(slurm.clock.now + 3000)  # squeue has forgotten it
    assert world.carry_out("a") == {"a": "failed"}
    assert world.ends("a") == [(JobState.FAILED, "exit code 3")]


@pytest.mark.parametrize("seconds", [3, 400])
def test_a_job_that_slurm_requeues_is_tried_again_as_another_attempt(
    world: World, seconds: int
) -> None:
    """Also if it has started again, and found that it had run, before anybody looked."""
    slurm = world.slurm
    slurm.planned |= {"a.1": ("REQUEUED", seconds), "a.2": ("COMPLETED", 10)}
    assert world.carry_out("a") == {"a": "completed"}
    assert world.ends("a") == [(JobState.PREEMPTED, "requeued by SLURM"), (JobState.COMPLETED, "")]


@pytest.mark.parametrize("accounting", [True, False])
def test_a_lost_table_of_jobs_is_as_a_failed_node(world: World, accounting: bool) -> None:
    slurm = world.slurm
    slurm.forbidden = not accounting
    slurm.planned |= {f"{name}.1": ("COMPLETED", 500) for name in "abc"}
    slurm.planned |= {f"{name}.2": ("COMPLETED", 10) for name in "abc"}
    slurm.later(100, slurm.lose_table)
    assert world.carry_out("a", "b", "c") == dict.fromkeys("abc", "completed")
    assert {world.ends(name)[0][0] for name in "abc"} == {JobState.NODE_FAILED}


@pytest.mark.parametrize("silence", ["forbidden", "away"])
def test_without_sacct_the_controller_and_the_result_still_tell(world: World, silence: str) -> None:
    slurm = world.slurm
    slurm.forbidden = silence == "forbidden"
    slurm.accounting_until = slurm.clock.now + 1e6
    slurm.planned |= {"a.1": ("FAILED", 30), "b.1": ("COMPLETED", 30), "c.1": ("CANCELLED", 30)}
    slurm.later(30, lambda: slurm.end(world.job("c"), "CANCELLED"))
    assert world.carry_out("a", "b", "c") == {"a": "failed", "b": "completed", "c": "cancelled"}
    assert slurm.clock.now < world.began + 300
    assert world.backend is not None
    assert world.backend.outage is not None
    assert "sacct" in world.backend.outage


def test_without_squeue_sacct_still_tells(world: World) -> None:
    slurm = world.slurm
    slurm.planned |= {"a.1": ("FAILED", 30), "b.1": ("NODE_FAIL", 30), "b.2": ("COMPLETED", 30)}
    slurm.silent = "squeue"
    assert world.carry_out("a", "b") == {"a": "failed", "b": "completed"}
    assert world.ends("b")[0] == (JobState.NODE_FAILED, "NODE_FAIL")


@pytest.mark.parametrize("resumed", [False, True])
def test_who_was_to_share_a_node_waits_for_it_only_as_long_as_there_is_somebody_on_it(
    world: World, resumed: bool
) -> None:
    """The node is drained: once its jobs are over, any other one will do."""
    slurm, budget = world.slurm, Budget(nodes=1)
    slurm.planned |= {"a.1": ("COMPLETED", 300), "e.2": ("COMPLETED", 10)}
    drained = "ReqNodeNotAvail, UnavailableNodes:n1"

    def hold() -> None:
        slurm.held = True

    def drain() -> None:
        slurm.held = False
        world.job("e").reason = drained

    slurm.later(0.5, hold)
    slurm.later(100, drain)
    if resumed:
        assert world.carry_out("a", "e", budget=budget, until=150) == {
            "a": "running",
            "e": "queued",
        }
    assert world.carry_out("a", "e", budget=budget) == {"a": "completed", "e": "completed"}
    assert world.ends("e") == [(JobState.NODE_FAILED, drained), (JobState.COMPLETED, "")]
    scripts = [Path(job.script).read_text() for job in slurm.ours if job.key.startswith("e.")]
    assert ["#SBATCH --nodelist=n1\n" in script for script in scripts] == [True, False]


def test_why_a_job_is_held_or_suspended_is_told(world: World) -> None:
    slurm = world.slurm
    slurm.planned["a.1"] = ("COMPLETED", 1000)
    slurm.later(100, lambda: slurm.suspend(world.job("a")))
    world.carry_out("a", until=300)
    assert world.backend is not None
    assert world.backend.waiting() == {"a": "suspended"}
    job = world.job("a")
    assert world.backend.why_queued([job.native_id]) == {job.native_id: "suspended"}
    slurm.held = True
    world.events.clear()
    world.carry_out("b", until=400)
    assert world.backend.waiting() == {"b": "held by an administrator (JobHeldAdmin)"}


def test_of_two_jobs_of_a_name_the_one_that_has_begun_is_followed(world: World) -> None:
    """One was thought lost, and arrives late; the other one finds the mark, and is no failure."""
    slurm = world.slurm
    slurm.held = True
    slurm.planned["a.1"] = ("COMPLETED", 500)

    def arrive() -> None:
        slurm.held = False
        slurm.orphans[world.job("a").script] = 0.0
        slurm.accept(world.job("a").script)

    slurm.later(50, arrive)
    assert world.carry_out("a") == {"a": "completed"}
    first, second = slurm.ours
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")


def test_a_submission_without_an_answer_is_looked_for_while_an_sbatch_is_at_work(
    world: World,
) -> None:
    """That of a socm which was killed: it submits the job later."""
    slurm = world.slurm
    slurm.planned["a.1"] = ("COMPLETED", 10)

    def die() -> None:
        raise Killed

    slurm.dies, slurm.dying = die, True
    with pytest.raises(Killed):
        world.carry_out("a")
    world.events = [Submitting(time=0.0, workflow="a", attempt=1, job="fake-a-1")]
    world.events.insert(0, CampaignStarted(time=0.0, fingerprint=""))
    slurm.dies = None
    assert world.carry_out("a") == {"a": "completed"}
    assert len(slurm.ours) == 1
