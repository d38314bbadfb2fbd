"""A plan on the emulated cluster: once with exact runtimes, then in random replications."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import fsum

from sim.allocations import run_in_allocations
from sim.backend import SimBackend
from sim.stochastic import runtime_factors
from sim.workers import spread
from socm.engine.backend import Job
from socm.engine.driver import run_plan
from socm.engine.events import Ended, Event, JobState, Started
from socm.engine.journal import MemoryJournal
from socm.engine.release import RELEASES, Gate
from socm.engine.state import Status
from socm.errors import ConfigError, Problem
from socm.model.allocation import AllocationPlan, AnyPlan, of_steps
from socm.model.outcome import Outcome, Simulation, WorkflowOutcome
from socm.model.plan import Plan

DEFAULT_RELEASE = "hand-over-or-due"
PATIENCE = 2.0
"""Seconds of replications for which it is not worth starting other processes."""
CHUNK = 4
"""Number of replications that are sent to another process at once."""


def simulate(
    made: AnyPlan,
    *,
    replications: int = 200,
    seed: int = 0,
    release: str = DEFAULT_RELEASE,
    processes: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Simulation:
    """Simulate a plan: an exact run, and replications with random runtimes.

    Parameters
    ----------
    replications
        Number of replications.
    seed
        The same seed gives the same runtimes, whatever the other arguments are.
    release
        Name of the release rule.
    processes
        The most processes to use. With more than one, a script needs the usual
        ``if __name__ == "__main__"``.
    progress
        Called with the number of replications that are done.

    Raises
    ------
    ConfigError
        If the plan is of a campaign that has begun.
    Stalled
        If a replication stops before every workflow is in a final state.
    """
    plan = made if isinstance(made, Plan) else of_steps(made)
    allocations = None if isinstance(made, Plan) else made
    if any(w.fixed for w in plan.workflows):
        message = "a plan of a campaign that has begun cannot be simulated in this version"
        raise ConfigError(Problem(message=message))
    gates = RELEASES[release](plan)
    world = _World(plan, gates, seed, allocations)
    exact = replay(plan, gates, allocations=allocations)
    outcomes = []
    for outcome in _replications(world, replications, processes):
        outcomes.append(outcome)
        progress(len(outcomes))
    critical = Counter(name for outcome in outcomes for name in outcome.critical_chain)
    finishes: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        for w in outcome.workflows:
            if w.status == "completed" and w.finish is not None:
                finishes[w.name].append(w.finish)
    lost = Counter(w.name for o in outcomes for w in o.workflows if w.status == "failed")
    deadline = made.campaign.deadline
    return Simulation(
        # What is shown of it are its steps; deadline and budget are those of the campaign.
        plan=replace(plan, campaign=made.campaign, warnings=made.warnings),
        exact=exact,
        makespans=tuple(outcome.makespan for outcome in outcomes if outcome.completed),
        replications=len(outcomes),
        in_time=tuple(outcome.meets(deadline) for outcome in outcomes),
        criticality={
            name: critical[name] / len(outcomes) for name in plan.campaign.workflows if outcomes
        },
        finishes=finishes,
        lost={name: count / len(outcomes) for name, count in lost.items()},
        timeouts=sum(o.timeouts for o in outcomes) / len(outcomes) if outcomes else 0.0,
        seed=seed,
        assumptions=_assumptions(made, release),
    )


def replay(
    plan: Plan,
    gates: Mapping[str, Gate],
    factors: Mapping[str, float] | None = None,
    *,
    allocations: AllocationPlan | None = None,
) -> Outcome:
    """Run a plan once; each runtime is the planned one times its factor.

    Parameters
    ----------
    allocations
        In which its workflows are steps; without them, each is a job.
    """

    def runtime(job: Job) -> float:
        planned = plan.by_name[job.workflow.name].duration
        return planned if factors is None else planned * factors[job.workflow.name]

    journal = MemoryJournal()
    if allocations is None:
        backend = SimBackend.for_plan(plan, runtime)
        state = run_plan(plan, backend, journal, release=lambda _: gates)
    else:
        state = run_in_allocations(allocations, plan, gates, runtime, journal)
    spans = list(_spans(journal.events))
    cores = {w.name: w.cores for w in plan.workflows}
    workflows = tuple(
        WorkflowOutcome(
            name=w.name,
            status=_ending(state.workflows[w.name].status),
            start=state.workflows[w.name].began,
            finish=state.workflows[w.name].ended,
            attempts=state.workflows[w.name].attempt,
        )
        for w in plan.workflows
    )
    return Outcome(
        workflows=workflows,
        makespan=max((end for _, _, end, _ in spans), default=float(plan.start)),
        core_seconds=fsum(cores[name] * (end - start) for name, start, end, _ in spans),
        timeouts=sum(how is JobState.TIMEOUT for *_, how in spans),
        critical_chain=_critical_chain(plan, gates, workflows),
    )


def _ending(status: Status) -> str:
    """Return a final status in words: what no allocation has completed has failed."""
    return (status if status.final else Status.FAILED).value


def _spans(events: Iterable[Event]) -> Iterator[tuple[str, float, float, JobState]]:
    """Yield for each attempt that ran its workflow, its start, its end and its final state."""
    started: dict[str, float] = {}
    for event in events:
        if isinstance(event, Started):
            started[event.workflow] = event.time
        elif isinstance(event, Ended) and event.workflow in started:
            yield event.workflow, started.pop(event.workflow), event.time, event.state


def _critical_chain(
    plan: Plan, gates: Mapping[str, Gate], workflows: Iterable[WorkflowOutcome]
) -> tuple[str, ...]:
    """Return the critical chain of a run, from its start to its end.

    It is found backwards: before each workflow comes one that ended when it started.
    """
    ran = {w.name: (w.start, w.finish) for w in workflows if w.finish is not None}
    if not ran:
        return ()
    ending: dict[float | None, list[str]] = defaultdict(list)
    for name, (_, finish) in ran.items():
        ending[finish].append(name)
    chain = [max(ran, key=lambda name: ran[name][1] or 0.0)]
    # A workflow that ends when another starts came before it, so the walk ends.
    while before := ending.get(ran[chain[-1]][0]):
        last = chain[-1]
        # Preferably a dependency, then one whose nodes or limits it took over, then any.
        depends = plan.campaign.workflows[last].depends
        chain.append(
            next(
                (
                    name
                    for group in (depends, gates[last].after)
                    for name in before
                    if name in group
                ),
                before[0],
            )
        )
    return tuple(reversed(chain))


@dataclass(frozen=True)
class _World:
    """What is replicated: sent to each process once, not with each chunk."""

    plan: Plan
    gates: Mapping[str, Gate]
    seed: int
    allocations: AllocationPlan | None


def _replications(world: _World, count: int, processes: int) -> Iterator[Outcome]:
    """Yield the outcomes in order, from other processes, too, if it would take long."""
    _prepare(world)
    began = time.perf_counter()
    done = 0
    workers = min(processes, count)
    while done < count:
        yield _replication(done)
        done += 1
        left = (time.perf_counter() - began) / done * (count - done)
        if workers > 1 and left > PATIENCE:
            break
    if done == count:
        return
    chunks = (range(first, min(first + CHUNK, count)) for first in range(done, count, CHUNK))
    for outcomes in spread(_chunk, chunks, workers, prepare=_prepare, arguments=(world,)):
        yield from outcomes


_replicated: _World | None = None
"""What this process replicates."""


def _prepare(world: _World) -> None:
    global _replicated
    _replicated = world


def _chunk(numbers: range) -> list[Outcome]:
    return [_replication(number) for number in numbers]


def _replication(number: int) -> Outcome:
    assert _replicated is not None
    world = _replicated
    factors = runtime_factors(world.plan, world.seed, number).tolist()
    by_name = dict(zip(world.plan.campaign.workflows, factors, strict=True))
    return replay(world.plan, world.gates, by_name, allocations=world.allocations)


def _assumptions(plan: AnyPlan, release: str) -> dict[str, object]:
    """Return the assumptions of a simulation, for its document."""
    spreads = sorted({w.request.spread for w in plan.campaign.workflows.values()})
    return {
        "runtimes": "lognormal around the expected runtime",
        "spread": {"min": spreads[0], "max": spreads[-1]} if spreads else None,
        "queue_wait_s": 0,
        "failures": "none but timeouts, retried where a longer walltime is allowed",
        "release": release,
    }
