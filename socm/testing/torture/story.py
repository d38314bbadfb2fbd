"""The story of one run in a world, and whether all promises were kept in it."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from socm.engine.driver import run_plan
from socm.engine.edits import prepare
from socm.engine.events import Ended, Replanned, Started
from socm.engine.state import CampaignState, Progress, Status
from socm.errors import ConfigError, Infeasible, InvalidPlan, RunError, Stalled
from socm.model.plan import Plan
from socm.planner import plan_campaign
from socm.planner.effort import NONE
from socm.testing.torture.choices import Choices, shortest
from socm.testing.torture.process import Killed, Notebook, Process, User
from socm.testing.torture.scene import draw_edit, draw_plan
from socm.testing.torture.world import World

SCENE = 20
"""Number of seeds in a row whose stories have the same plan, which takes longer than the rest."""
FAULTY_LIVES = 30
"""The most processes that a run needs before the world becomes well."""
MOST_LIVES = 60
"""The most processes that a run may need."""


@dataclass(frozen=True)
class Story:
    """What happened to a run, and what should not have.

    Parameters
    ----------
    scene, choices
        The record that repeats it.
    plan
        What was to be carried out.
    happened
        Times of the world, and what happened then.
    broken
        The promises that were broken; none in a good story.
    lives
        Number of processes that it took.
    faults
        How often each fault happened.
    """

    scene: tuple[int, ...]
    choices: tuple[int, ...]
    plan: Plan
    happened: tuple[tuple[float, str], ...]
    broken: tuple[str, ...]
    lives: int
    faults: Counter[str]

    def lines(self) -> Iterator[str]:
        """Tell it, line by line."""
        campaign = self.plan.campaign
        yield f"{self.plan.cluster}"
        yield f"{campaign.budget}, limits {dict(campaign.limits)}, {campaign.retries} retries"
        for w in self.plan.workflows:
            workflow = campaign.workflows[w.name]
            after = f", after {', '.join(workflow.depends)}" if workflow.depends else ""
            yield f"{w.start:6d} s  {w.name}: {workflow.request}{after}"
        for time, what in self.happened:
            yield f"{time:6.0f} s  {what}"
        for what in self.broken:
            yield f"BROKEN: {what}"


def tell(seed: int) -> Story:
    """Tell the story of a seed."""
    return _tell(_scene(seed // SCENE), random.Random(seed))


@lru_cache(maxsize=1)
def _scene(number: int) -> tuple[tuple[int, ...], Plan]:
    choices = Choices(random.Random(number))
    plan = draw_plan(choices)
    return tuple(choices.made), plan


def shorten(story: Story) -> Story:
    """Return the shortest story found in which a promise is broken as well."""
    scene, made = [*story.scene], [*story.choices]
    for _ in range(2):
        scene = shortest(scene, partial(_fails, made=made), most=300)
        made = shortest(made, partial(_fails, scene))
    return _retold(scene, made)


def _fails(scene: Sequence[int], made: Sequence[int]) -> bool:
    return bool(_retold(scene, made).broken)


def _retold(scene: Sequence[int], choices: Sequence[int]) -> Story:
    return _tell((tuple(scene), draw_plan(Choices(scene))), choices)


def _tell(scene: tuple[tuple[int, ...], Plan], source: random.Random | Sequence[int]) -> Story:
    made, plan = scene
    choices = Choices(source)
    world = World(plan, choices)
    run = _Run(world)
    try:
        run.carry_out()
    except Stalled as error:
        world.break_promise(f"it stalled: {error}")
    except Exception:
        world.break_promise(traceback.format_exc())
    return Story(
        scene=made,
        choices=tuple(choices.made),
        plan=plan,
        happened=tuple(world.happened),
        broken=tuple(world.broken),
        lives=run.lives,
        faults=world.faults,
    )


class _Run:
    """A run, carried on by one process after the other."""

    def __init__(self, world: World) -> None:
        self.lives = 0
        self._world = world
        self._journal = Notebook(world)
        self._attended = world.choices.chance(0.3)
        self._fail_fast = world.choices.chance(0.1)
        self._user: User | None = None

    def carry_out(self) -> None:
        """Carry the run on until it has ended, and look at how it did."""
        world = self._world
        state = self._to_its_end(retry_failed=False)
        if state is not None and world.choices.chance(0.2):
            world.note("the user retries what failed")
            state = self._to_its_end(retry_failed=True)
        if state is None:
            world.break_promise(f"it has not ended after {self.lives} processes")
            return
        for what in self._faults(state):
            world.break_promise(what)

    def _to_its_end(self, *, retry_failed: bool) -> CampaignState | None:
        world = self._world
        for _ in range(MOST_LIVES):
            if self.lives > FAULTY_LIVES:
                world.healthy = True
            begun = len(self._journal.events)
            try:
                state = self._live(retry_failed=retry_failed)
            except (Killed, RunError):
                state = None
            if state is not None and state.ended is not None:
                return state
            retry_failed = retry_failed and len(self._journal.events) == begun
            world.note("a new process resumes the run")
            world.advance(world.time + world.choices.number(200))
        return None

    def _edit(self, process: Process) -> None:
        """Edit the campaign, as far as it can be edited, before it goes on."""
        world, events = self._world, self._journal.events
        plan = world.plan
        state = CampaignState.of(plan, events)
        status = {name: progress.status for name, progress in state.workflows.items()}
        names = [n for n, s in status.items() if s.can_be_edited or s.can_be_withdrawn]
        try:
            new = prepare(
                draw_edit(world.choices, plan, names),
                process,
                self._journal,
                lambda campaign, now, kept: plan_campaign(
                    campaign, plan.cluster, start=now, fixed=kept, effort=NONE
                ),
                events=[*events],
                job_prefix="run",
                requests=self._user,
            )
        except (ConfigError, Infeasible, InvalidPlan):
            return
        if new.plan is None:
            return
        event = Replanned(
            time=new.time,
            fingerprint=new.plan.campaign.fingerprint,
            plan="edited.json",
            edited=tuple(sorted(new.edit.changed)),
        )
        try:
            self._journal.write(event)
        finally:
            if event in events:
                world.edit(new.plan)

    def _live(self, *, retry_failed: bool) -> CampaignState:
        self.lives += 1
        world, events = self._world, self._journal.events
        process = Process(world, max((e.time for e in events), default=0.0))
        self._user = User(world) if self._attended else None
        if events and world.happens("edited"):
            self._edit(process)
        return run_plan(
            world.plan,
            process,
            self._journal,
            job_prefix="run",
            events=[*events],
            retry_failed=retry_failed,
            fail_fast=self._fail_fast,
            reusable=world.reusable,
            requests=self._user,
        )

    def _faults(self, state: CampaignState) -> Iterator[str]:
        """Yield what is wrong at the end of a run."""
        world = self._world
        for name, progress in state.workflows.items():
            status = progress.status
            if not status.final:
                yield f"{name} is {status.value} at the end"
            if (status is Status.COMPLETED) != (name in world.completed):
                yield f"{name} is said to be {status.value}, which is not so"
            if status is Status.CANCELLED and name not in world.unwanted | world.cancelled:
                yield f"{name} was cancelled, and nobody wanted that"
            parents = world.plan.campaign.workflows[name].depends
            orphan = any(state.workflows[p].status is not Status.COMPLETED for p in parents)
            if status is Status.SKIPPED and progress.left_out:
                yield from self._faults_of_left_out(name, progress)
            elif status is Status.SKIPPED and not orphan and not self._fail_fast:
                yield f"{name} was skipped, although all that it depends on completed"
        yield from (f"{r.job.name} is left behind" for r in world.live)
        yield from (f"{name} is still on its way" for name in sorted(world.in_flight))
        if CampaignState.of(world.plan, self._journal.events) != state:
            yield "the events of the journal do not add up to the state"
        yield from self._faults_of_times()
        world.healthy = True
        before = [*self._journal.events]
        if self._live(retry_failed=False) != state or self._journal.events != before:
            yield "to resume it once more changed something"

    def _faults_of_left_out(self, name: str, progress: Progress) -> Iterator[str]:
        """Yield that the budget of hours had room for what was left out."""
        plan = self._world.plan
        most = plan.campaign.budget.core_hours or 0.0
        asked = plan.by_name[name].cores * progress.walltime / 3600
        if self._world.charges.total + asked <= most - 1e-5:
            yield f"{name} was left out, and the budget has room for it"

    def _faults_of_times(self) -> Iterator[str]:
        begun, started = self._journal.events[0].time, dict[str, float]()
        for event in self._journal.events:
            if event.time < begun:
                yield f"before the campaign's start: {event}"
            if isinstance(event, Started):
                started[event.workflow] = event.time
            elif isinstance(event, Ended) and event.time < started.pop(event.workflow, 0.0):
                yield f"ended before it started: {event}"
