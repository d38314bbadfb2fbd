"""How well release rules hold a plan: ``python -m benchmarks.release``.

Beside the rules of the engine, which open gates that are fixed when a run begins, it tries rules
that look at all that runs whenever something happens. They are slow, and tell what can be gained.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from statistics import fmean

import numpy as np

from benchmarks import instances
from benchmarks.table import show
from sim.backend import SimBackend
from sim.stochastic import runtime_factors
from socm.engine.backend import Job
from socm.engine.driver import run_plan
from socm.engine.events import JobState
from socm.engine.journal import MemoryJournal
from socm.engine.release import RELEASES, Gate, Release, hand_over_or_due
from socm.engine.retry import RetryPolicy
from socm.model.campaign import Budget, Campaign, ResourceRequest
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.placement import Placement, PlannedWorkflow
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.bounds import heads_and_tails
from socm.planner.capacity import Capacity
from socm.planner.instance import Indexer, instance_of
from socm.units import HOUR

Runtimes = Mapping[str, float]
"""Seconds that each workflow really takes."""
Rule = Callable[[Plan, Runtimes], float]
"""Carries a plan out in an emulated cluster; returns when it was done."""


def driven(release: Release) -> Rule:
    """Return the rule that drives a plan with fixed gates, as `socm` does."""

    def rule(plan: Plan, runtimes: Runtimes) -> float:
        backend = SimBackend(plan.cluster, lambda job: runtimes[job.workflow.name])
        state = run_plan(plan, backend, MemoryJournal(), release=release)
        assert state.ended is not None
        assert all(p.outcome is JobState.COMPLETED for p in state.workflows.values())
        return state.ended

    return rule


# Rules that look at what runs


@dataclass
class Live:
    """What a rule may know: what waits (in the order of the plan) and what is on the cluster.

    A workflow that waits or runs is described as the plan does, with the start and finish that
    are expected now.
    """

    plan: Plan
    waiting: dict[str, PlannedWorkflow]
    running: dict[str, PlannedWorkflow] = field(default_factory=dict)
    queued: dict[str, PlannedWorkflow] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    now: float = 0.0
    wake: float = math.inf  # when the rule wants to be asked again, come what may

    def ready(self) -> Iterator[PlannedWorkflow]:
        """Yield those whose dependencies are met."""
        workflows = self.plan.campaign.workflows
        for w in [*self.waiting.values()]:
            if self.over.issuperset(workflows[w.name].depends):
                yield w


Choice = Callable[[Live], Iterable[PlannedWorkflow]]
"""Yields those to submit now, each on the nodes that it is to have."""


def live(make: Callable[[Plan], Choice]) -> Rule:
    """Return the rule that asks a choice whenever something has happened."""

    def rule(plan: Plan, runtimes: Runtimes) -> float:
        backend = SimBackend(plan.cluster, lambda job: runtimes[job.workflow.name])
        choose = make(plan)
        now = Live(plan, {w.name: w for w in plan.workflows})
        priority = {w.name: k for k, w in enumerate(plan.workflows)}
        attempts: dict[str, int] = defaultdict(lambda: 1)
        while now.waiting or now.queued or now.running:
            for w in choose(now):
                del now.waiting[w.name]
                now.queued[w.name] = w
                backend.submit(_job(plan, w, attempts[w.name], priority[w.name]))
            updates = backend.wait(now.wake)
            now.now = backend.now()
            for update in updates:
                name = update.job.workflow.name
                if update.state is JobState.RUNNING:
                    w = now.queued.pop(name)
                    start = math.ceil(now.now)
                    now.running[name] = replace(w, start=start, finish=start + w.duration)
                elif update.state is JobState.COMPLETED:
                    del now.running[name]
                    now.over.add(name)
                else:
                    w = now.running.pop(name)
                    again = RetryPolicy().after(update, plan.cluster)
                    assert again is not None
                    attempts[name] = again.attempt
                    # It takes longer than its limit was; how much longer nobody knows.
                    finish = w.start + math.ceil(w.walltime)
                    w = replace(w, qos=again.qos, walltime=again.walltime, finish=finish)
                    now.waiting = dict(
                        sorted([*now.waiting.items(), (name, w)], key=lambda x: priority[x[0]])
                    )
        return now.now

    return rule


def _job(plan: Plan, w: PlannedWorkflow, attempt: int, priority: int) -> Job:
    workflow = plan.campaign.workflows[w.name]
    return Job(
        name=f"{w.name}-{attempt}",
        workflow=workflow,
        attempt=attempt,
        partition=w.partition,
        qos=w.qos,
        walltime=w.walltime,
        demand=plan.demand(w),
        cores=w.cores,
        placements=w.placements,
        priority=priority,
    )


class _Room:
    """What the cluster has left from now on, if all that runs ends as expected."""

    def __init__(self, state: Live) -> None:
        plan = self._plan = state.plan
        self.now = math.ceil(state.now)
        begun = []
        for w in (*state.running.values(), *state.queued.values()):
            # What is overdue is expected to end any moment.
            start = min(w.start, self.now)
            begun.append(replace(w, start=start, finish=max(start + w.duration, self.now + 1)))
        self._partitions = [p.name for p in plan.cluster.partitions]
        self._indexer = Indexer(plan.campaign, plan.cluster)
        self._capacity = Capacity(
            instance_of(
                plan.campaign,
                plan.cluster,
                {w.name: (_mode(plan, w),) for w in plan.workflows},
                start=self.now,
                fixed=begun,
            )
        )
        self.finish = {w.name: w.finish for w in begun}

    def place(self, w: PlannedWorkflow, ready: int) -> PlannedWorkflow:
        """Place a workflow at its earliest start."""
        mode = self._indexer.indexed(_mode(self._plan, w))
        start, _, node_ranks = self._capacity.earliest(mode, ready)
        self._capacity.allocate(mode, node_ranks, start)
        self.finish[w.name] = finish = start + w.duration
        placements = tuple(Placement(w.partition, node, ranks) for node, ranks in node_ranks)
        return replace(w, start=start, finish=finish, placements=placements)


def _critical_path(campaign: Campaign) -> int:
    """Return the seconds of the longest chain."""
    runtime = {w.name: w.request.runtime for w in campaign.workflows.values()}
    head, tail = heads_and_tails(campaign, runtime)
    return max(head[name] + runtime[name] + tail[name] for name in runtime)


@cache
def _admitted(cluster: Cluster, request: ResourceRequest, partition: str) -> Mode:
    modes, _ = cluster.admit(request)
    return next(o for o in modes if o.partition.name == partition)


def _mode(plan: Plan, w: PlannedWorkflow) -> Mode:
    """Return how a workflow runs: where it was planned, for as long as is expected now."""
    mode = _admitted(plan.cluster, plan.campaign.workflows[w.name].request, w.partition)
    return replace(mode, qos=plan.cluster.by_qos[w.qos or ""], duration=w.duration)


def replan(depth: float = math.inf, *, by_rank: bool = False) -> Callable[[Plan], Choice]:
    """Place what waits anew, in the order of the plan; submit what may start now.

    Parameters
    ----------
    depth
        How many of those that wait are placed.
    by_rank
        Place by upward rank, as HEFT does, instead of by planned start.
    """

    def choose(state: Live) -> Iterator[PlannedWorkflow]:
        room = _Room(state)
        workflows = state.plan.campaign.workflows
        waiting = [*state.waiting.values()]
        if by_rank:
            waiting.sort(key=lambda w: -w.upward_rank)
        for k, w in enumerate(waiting):
            if k >= depth:
                return
            parents = [p for p in workflows[w.name].depends if p not in state.over]
            if any(p not in room.finish for p in parents):
                continue  # it waits for one that was not placed
            ready = max((room.finish[p] for p in parents), default=room.now)
            placed = room.place(w, ready)
            if placed.start == room.now:
                yield placed

    return lambda plan: choose


def renewed(release: Release, every: float) -> Callable[[Plan], Choice]:
    """Open gates; but plan what waits anew, by rank, after each such share of the campaign."""

    def make(plan: Plan) -> Choice:
        gates = release(plan)
        planned_at = 0

        def choose(state: Live) -> Iterator[PlannedWorkflow]:
            nonlocal gates, planned_at
            if len(state.over) - planned_at >= every * len(plan.workflows):
                planned_at = len(state.over)
                gates = release(_plan_anew(state))
            state.wake = math.inf
            budget = plan.campaign.budget.cores or math.inf
            used = sum(w.cores for w in (*state.queued.values(), *state.running.values()))
            for w in state.ready():
                opens = _opens(gates[w.name], state)
                if opens > state.now:
                    state.wake = min(state.wake, opens)
                elif used + w.cores <= budget:
                    used += w.cores
                    yield w
                else:
                    break

        return choose

    return make


def _plan_anew(state: Live) -> Plan:
    room = _Room(state)
    workflows = state.plan.campaign.workflows
    placed = []
    for w in sorted(state.waiting.values(), key=lambda w: -w.upward_rank):
        ready = max((room.finish.get(p, room.now) for p in workflows[w.name].depends), default=0)
        placed.append(room.earliest(w, max(ready, room.now)))
        room.take(placed[-1])
    placed.sort(key=lambda w: (w.start, -w.upward_rank))
    state.waiting = {w.name: w for w in placed}
    going = [
        replace(w, finish=room.finish[w.name])
        for w in (*state.running.values(), *state.queued.values())
    ]
    return replace(state.plan, workflows=(*sorted(going, key=lambda w: w.start), *placed))


def _opens(gate: Gate, state: Live) -> float:
    met = gate.after <= state.over
    return gate.not_before if met else max(gate.due, gate.not_before)


def _by_rank(release: Release) -> Rule:
    """Of two that wait on the cluster, the one of higher rank first."""

    def rule(plan: Plan, runtimes: Runtimes) -> float:
        gates = release(plan)
        ranked = sorted(plan.workflows, key=lambda w: -w.upward_rank)
        return driven(lambda _: gates)(replace(plan, workflows=tuple(ranked)), runtimes)

    return rule


def due_at(share: float) -> Release:
    """Hand-over, or this share of the planned start."""

    def release(plan: Plan) -> dict[str, Gate]:
        gates = hand_over_or_due(plan)
        return {name: replace(gate, due=share * gate.due) for name, gate in gates.items()}

    return release


RULES: dict[str, Rule] = {name: driven(release) for name, release in RELEASES.items()}
TRIED: dict[str, Rule] = {
    "same, by rank": _by_rank(hand_over_or_due),
    "due at 0.9": driven(due_at(0.9)),
    "renewed at tenths": live(renewed(hand_over_or_due, 0.1)),
    "replan": live(replan()),
    "replan, by rank": live(replan(by_rank=True)),
    "replan 20, by rank": live(replan(20, by_rank=True)),
}
"""Rules that the engine does not have, for comparison; some take a thousand times as long."""
REFERENCE = "hand-over-or-due"


# Campaigns

SHAPES = (instances.layered, instances.random_dag, instances.fork_join, instances.independent)
LIMITS = ("none", "jobs", "qos", "budget")


def random_case(seed: int) -> tuple[Campaign, Cluster]:
    """Return a random campaign on a cluster of a size to match, one of four with each limit."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 101))
    shape = SHAPES[seed % len(SHAPES)](n, rng)
    if rng.random() < 0.5:
        requests = instances.draw_mixed(n, rng)
    else:
        requests = instances.draw_real(n, rng, scale=int(rng.choice([1, 4, 16])))
    campaign = instances.campaign_of(f"random {seed}", shape, requests)
    # The cluster is as large as makes its cores last so many times the critical path.
    longest = _critical_path(campaign)
    cores = [r.ranks * r.threads for r in requests]
    area = sum(c * r.runtime for c, r in zip(cores, requests, strict=True))
    load = float(rng.choice([0.7, 1, 2, 4]))
    wanted = math.ceil(area / (load * longest * instances.CORES))
    needed = max(_fewest_nodes(campaign))
    nodes = max(wanted, needed)
    cluster = instances.cluster_of(nodes)
    share = max(max(cores), round(0.6 * nodes * instances.CORES))
    match LIMITS[seed // len(SHAPES) % len(LIMITS)]:
        case "jobs":
            cluster = replace(cluster, qos=(Qos(name="all", running_jobs=max(2, n // 8)),))
        case "qos":
            short = Qos(name="short", walltime=4 * HOUR, running_jobs=max(2, n // 8))
            cluster = replace(cluster, qos=(short, Qos(name="long", cores=share)))
        case "budget":
            campaign = replace(campaign, budget=Budget(cores=share))
    return campaign, cluster


def _fewest_nodes(campaign: Campaign) -> Iterator[int]:
    (partition,) = instances.cluster_of(1).partitions
    for w in campaign.workflows.values():
        yield -(-w.request.ranks // partition.ranks_per_node(w.request))


# Measurement


def measure(
    rules: Mapping[str, Rule],
    plans: list[Plan],
    runtimes: Callable[[Plan, int], Runtimes],
    replications: int,
) -> list[tuple[object, ...]]:
    """Return a row per rule: how its makespans compare with the planned, and with each other."""
    ratios: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for plan in plans:
        for k in range(replications):
            true = runtimes(plan, k)
            for name, rule in rules.items():
                begin = time.process_time()
                ratios[name].append(rule(plan, true) / plan.makespan)
                seconds[name] += time.process_time() - begin
    rows: list[tuple[object, ...]] = []
    for name, mine in ratios.items():
        # The sum of so many whole seconds and of the same in another order may differ.
        late = fmean(ratio > 1 + 1e-9 for ratio in mine)
        p95 = float(np.quantile(mine, 0.95))
        against = [m / r for m, r in zip(mine, ratios[REFERENCE], strict=True)]
        each = 1000 * seconds[name] / len(mine)
        rows.append(
            (name, fmean(mine), p95, max(mine), f"{late:.0%}", fmean(against), f"{each:.0f}")
        )
    return rows


def exact(plan: Plan, replication: int) -> Runtimes:
    """Return the runtimes as planned."""
    return {w.name: float(w.duration) for w in plan.workflows}


def noisy(plan: Plan, replication: int) -> Runtimes:
    """Draw lognormal runtimes; one in fifty is longer than its limit, and is tried again."""
    factors = runtime_factors(plan, seed=1, replication=replication)
    return {
        name: float(plan.by_name[name].duration * factor)
        for name, factor in zip(plan.campaign.workflows, factors, strict=True)
    }


def cut(plan: Plan, replication: int) -> Runtimes:
    """Draw lognormal runtimes, the longest cut at the limit: no timeouts."""
    drawn = noisy(plan, replication)
    return {name: min(t, plan.by_name[name].walltime) for name, t in drawn.items()}


def plan_of(campaign: Campaign, cluster: Cluster, factor: float | None) -> Plan:
    """Plan a campaign, with walltimes of so many times the runtime if a factor is given."""
    if factor is not None:
        workflows = {
            name: replace(w, request=replace(w.request, walltime=round(factor * w.request.runtime)))
            for name, w in campaign.workflows.items()
        }
        campaign = replace(campaign, workflows=workflows)
    return plan_campaign(campaign, cluster)


def main() -> None:
    """Print a table per set of campaigns and kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=112, help="random ones")
    parser.add_argument("--replications", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="also the rules of this script")
    parser.add_argument("--walltime", type=float, metavar="FACTOR", help="to ask for, × runtime")
    args = parser.parse_args()
    rules = RULES | TRIED if args.all else RULES
    sets = {
        f"{args.campaigns} random campaigns": [
            plan_of(*random_case(seed), args.walltime) for seed in range(args.campaigns)
        ],
        "quality instances": [
            plan_of(i.campaign, i.cluster, args.walltime) for i in instances.quality_instances()
        ],
    }
    worlds: tuple[tuple[str, Callable[[Plan, int], Runtimes], int], ...] = (
        ("exact runtimes", exact, 1),
        ("σ = 0.2, cut at the walltime", cut, args.replications),
        ("σ = 0.2, with timeouts and retries", noisy, args.replications),
    )
    header = ("rule", "mean", "p95", "max", "later", f"/ {REFERENCE}", "ms each")
    for name, plans in sets.items():
        for world, runtimes, replications in worlds:
            title = f"{name}, {world}: makespan over the planned"
            show(title, header, measure(rules, plans, runtimes, replications))


if __name__ == "__main__":
    main()
