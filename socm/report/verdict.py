"""Verdicts and facts: every word that a plan or a simulation is judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from socm.model.allocation import AllocationPlan, AnyPlan
from socm.model.charge import Charge, hours_in_words
from socm.model.outcome import Simulation, quantile
from socm.model.placement import peak
from socm.model.plan import Plan
from socm.units import (
    HOUR,
    format_core_hours,
    format_count,
    format_duration,
    format_walltime,
)
from socm.words import count, listed

if TYPE_CHECKING:
    from socm.planner.bounds.proof import Proof

SURE = 0.9
"""From this probability on, a deadline is said to hold."""


def plan_verdict(plan: AnyPlan) -> str:
    """Say whether a plan meets its deadline, in one line.

    Bound, makespan and deadline stand side by side where it does not.
    """
    deadline, makespan = plan.campaign.deadline, plan.makespan
    if deadline is None:
        return f"Done after {format_duration(makespan)}; no deadline is given."
    if plan.feasible:
        return (
            f"In time: done after {format_duration(makespan)}, "
            f"{before(deadline - makespan)} the deadline of {format_duration(deadline)}."
        )
    why = (
        "no plan can meet it on this cluster and budget"
        if plan.provably_late
        else "a better plan might exist, but none was found"
    )
    return (
        f"Late: done after {format_duration(makespan)}, {format_duration(makespan - deadline)} "
        f"after the deadline; {why} (lower bound {format_duration(plan.lower_bound)}, "
        f"makespan {format_duration(makespan)}, deadline {format_duration(deadline)})."
    )


def proof_verdict(proof: Proof) -> str:
    """Say what is proved of a plan, in one line."""
    time = format_duration(proof.seconds)
    bound = f"no plan ends before {format_duration(proof.bound)} ({_gap(proof.plan)})"
    if proof.status == "optimal":
        return f"Proved optimal by {_BY[proof.plan.proved_by]} in {time}: no plan is shorter."
    if proof.status == "too large":
        from socm.planner.bounds.proof import MOST

        return (
            f"Too large for CP-SAT, which takes up to {format_count(MOST)} workflows × QOS; "
            f"by {_BY['bounds']}, {bound}."
        )
    return f"CP-SAT proved in {time}: {bound}."


_BY = {"bounds": "our lower bounds", "CP-SAT": "CP-SAT"}


def _gap(plan: AnyPlan) -> str:
    """Say how far a plan may be from the best."""
    if plan.optimal:
        return "proved optimal"
    return "gap < 0.1 %" if plan.gap < 0.0005 else f"gap {plan.gap:.1%}"


def simulation_verdict(simulation: Simulation) -> str:
    """Say whether a simulated campaign meets its deadline, with what probability, in one line."""
    deadline, makespan = simulation.plan.campaign.deadline, simulation.exact.makespan
    if not simulation.exact.completed:
        outcomes = simulation.exact.workflows
        if failed := [w.name for w in outcomes if w.status == "failed"]:
            return f"Not completed: {listed(failed)} failed."
        left_out = listed(w.name for w in outcomes if w.status != "completed")
        return f"Not completed: the budget of hours has no room for {left_out}."
    if deadline is None:
        return f"Done after {format_duration(makespan)}; no deadline is given."
    probability = simulation.probability
    share = f"P {_probability(probability)}" if probability is not None else ""
    if simulation.feasible:
        if probability is None:
            sure = "In time if runtimes are as expected"
        elif probability >= SURE:
            sure = f"In time, {share}"
        elif probability >= 0.5:
            sure = f"In time if runtimes are as expected, {share}"
        else:
            sure = f"In time only if runtimes are as expected, {share}"
    else:
        sure = f"Late, {share} to be in time" if share else "Late"
    return (
        f"{sure}: done after {format_duration(makespan)}, {before(deadline - makespan)} the "
        f"deadline of {format_duration(deadline)}; no queue wait is assumed."
    )


def before(seconds: float) -> str:
    """Write how far before or after a deadline.

    Examples
    --------
    >>> before(3600), before(-60), before(0)
    ('1 h before', '1 min after', 'just at')
    """
    if round(seconds) == 0:
        return "just at"
    return f"{format_duration(abs(seconds))} {'before' if seconds > 0 else 'after'}"


def plan_facts(plan: AnyPlan) -> Iterator[tuple[str, str]]:
    """Yield the facts of a plan, each with its name."""
    yield "lower bound", f"{format_duration(plan.lower_bound)} ({_gap(plan)})"
    yield "nodes", f"{format_count(plan.peak_nodes)} at the peak"
    if isinstance(plan, AllocationPlan):
        yield from _allocation_facts(plan)
    yield "core-hours", format_core_hours(plan.core_hours)
    if round(plan.charged_core_hours) != round(plan.core_hours):
        yield "charged", f"{format_core_hours(plan.charged_core_hours)} core-hours"
    yield "budget", budget_in_words(plan)
    yield from _charged_facts(plan)
    yield from _counted_facts(plan)
    yield from maintenance_facts(plan)


def _allocation_facts(plan: AllocationPlan) -> Iterator[tuple[str, str]]:
    """Yield what is requested, and how much of it the workflows use."""
    for number, a in enumerate(plan.allocations, 1):
        which = f" {number}" if len(plan.allocations) > 1 else ""
        qos = f" in {a.qos}" if a.qos else ""
        yield (
            f"allocation{which}",
            f"{count(a.nodes, 'whole node')} of {a.partition}{qos} for "
            f"{format_walltime(a.walltime)}; used from {format_walltime(a.start)} to "
            f"{format_walltime(a.finish)}",
        )
    if plan.allocations:
        used = sum(w.cores * w.duration for w in plan.workflows) / HOUR / plan.core_hours
        yield "node-hours", f"{format_core_hours(plan.node_hours)}, of which {used:.0%} are used"


def _charged_facts(plan: AnyPlan) -> Iterator[tuple[str, str]]:
    """Yield what is charged of a budget of hours, in all and at any time."""
    budget = plan.campaign.budget
    if budget.hours is None:
        return
    total = Charge(plan.charged_core_hours, plan.charged_node_hours).of(budget)
    text = f"{hours_in_words(total, budget)} in all"
    if isinstance(plan, Plan):
        most = hours_in_words(plan.most_charged.of(budget), budget)
        text += f"; at most {most} with the walltimes of what is in the queue"
    yield "of that", text


def maintenance_facts(plan: AnyPlan) -> Iterator[tuple[str, str]]:
    """Yield when which nodes are under maintenance, as far as the plan knows of it."""
    for number, ((start, finish), closed) in enumerate(plan.maintenance.items()):
        whole = {r.partition for r in closed if r.node is None}
        nodes = Counter(r.partition for r in closed)
        names = [p if p in whole else f"{p}, {count(k, 'node')}" for p, k in nodes.items()]
        if whole >= {p.name for p in plan.cluster.partitions}:
            names = ["all nodes"]
        text = f"{format_walltime(start)} to {format_walltime(finish)}: {listed(names)}"
        yield ("" if number else "maintenance"), text


def _counted_facts(plan: AnyPlan) -> Iterator[tuple[str, str]]:
    """Yield how much of each counted resource is in use, at the most."""
    workflows = plan.campaign.workflows

    def peak_of(name: str) -> str:
        return format_count(
            peak(plan.workflows, lambda w: workflows[w.name].request.uses.get(name, 0))
        )

    limits = plan.campaign.limits.items()
    if parts := [f"{peak_of(name)} of {format_count(most)} {name}" for name, most in limits]:
        yield "limits", f"{', '.join(parts)} at the peak"


def budget_in_words(plan: AnyPlan) -> str:
    """Say how much a campaign may use at once."""
    budget = plan.campaign.budget
    parts = [
        f"{format_count(amount)} {what}"
        for amount, what in ((budget.cores, "cores"), (budget.nodes, "nodes"))
        if amount is not None
    ]
    if budget.hours is not None:
        parts.append(hours_in_words(budget.hours, budget))
    return ", ".join(parts) or "the whole cluster"


def simulation_facts(simulation: Simulation) -> Iterator[tuple[str, str]]:
    """Yield the facts of a simulation, each with its name."""
    plan = simulation.plan
    exact = simulation.exact.makespan
    planned = format_duration(plan.makespan)
    yield (
        "planned",
        planned + (" (in time)" if plan.feasible else " (late)") * bool(plan.campaign.deadline),
    )
    difference = "as planned" if exact == plan.makespan else _difference(exact - plan.makespan)
    yield "simulated", f"{format_duration(exact)}, exact runtimes ({difference})"
    if simulation.makespans:
        low, middle, high = (quantile(simulation.makespans, q) for q in (0.05, 0.5, 0.95))
        text = (
            f"median {format_duration(middle or 0)}; 90 % between "
            f"{format_duration(low or 0)} and {format_duration(high or 0)}"
        )
        if lost := simulation.replications - len(simulation.makespans):
            what = "a workflow fails" if simulation.lost else "workflows are left out"
            text += f"; {what} in {lost} of {simulation.replications}"
        yield "random runs", text
    if simulation.probability is not None and simulation.probability_interval is not None:
        low_p, high_p = simulation.probability_interval
        yield (
            "P(deadline)",
            f"{simulation.probability:.1%} (95 % interval {low_p:.1%} to {high_p:.1%}; "
            f"{simulation.replications} replications, seed {simulation.seed})",
        )
    if simulation.lost:
        worst = max(simulation.lost, key=lambda name: simulation.lost[name])
        share = simulation.lost[worst]
        others = len(simulation.lost) - 1
        yield (
            "at risk",
            f"{worst} exceeds its walltime on every attempt in {share:.1%} of the replications"
            + (f"; so do {others} others, less often" if others else ""),
        )
    yield (
        "utilisation",
        f"{simulation.utilisation:.1%} of {format_count(simulation.available_cores)} cores",
    )
    yield "core-hours", format_core_hours(simulation.exact.core_seconds / HOUR)
    if plan.campaign.budget.hours is not None:
        yield "budget", budget_in_words(plan)
        yield from _charged_facts(plan)
    yield from maintenance_facts(plan)
    yield "assumed", _assumed(simulation)


def _difference(seconds: float) -> str:
    sooner = "sooner" if seconds < 0 else "later"
    return f"{format_duration(abs(seconds))} {sooner} than planned"


def _assumed(simulation: Simulation) -> str:
    spread = simulation.assumptions.get("spread")
    text = "jobs start as soon as nodes are free; no failures, no preemption"
    if isinstance(spread, dict) and simulation.makespans:
        low, high = spread["min"], spread["max"]
        sigma = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        timeouts = simulation.timeouts
        expected = format_count(timeouts) if timeouts >= 10 else f"{timeouts:.2g}"
        text += (
            f"; runtimes lognormal, sigma {sigma}; {expected} timeouts expected, "
            "retried where a longer walltime is allowed"
        )
    return text


def _probability(share: float) -> str:
    """Write a probability; no sample shows that something is certain or impossible.

    Examples
    --------
    >>> _probability(0.624), _probability(1.0), _probability(0.0)
    ('= 62 %', '> 99 %', '< 1 %')
    """
    percent = round(share * 100)
    return "> 99 %" if percent == 100 else "< 1 %" if percent == 0 else f"= {percent} %"
