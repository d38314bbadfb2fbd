"""Plans and simulations as JSON: two documents whose keys are contracts.

Within a version, keys may be added; none is removed or changes its meaning.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from math import fsum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from socm.errors import ConfigError, InvalidPlan, Problem
from socm.files import BY_PROGRAM, check_values, read_whole
from socm.misfits import misfits
from socm.model.allocation import Allocation, AllocationPlan, AnyPlan, inside, part
from socm.model.check import check_plan
from socm.model.entries import (
    AllocationEntry,
    PlanFile,
    WorkflowEntry,
    faults_of_campaign,
    faults_of_cluster,
    too_large,
)
from socm.model.outcome import Simulation, quantile
from socm.model.placement import PlannedWorkflow
from socm.model.plan import BasePlan, Plan
from socm.units import HOUR
from socm.words import reason_of

PLAN_SCHEMA = "socm.plan/1"
SIMULATION_SCHEMA = "socm.simulation/1"


def plan_document(plan: AnyPlan) -> dict[str, Any]:
    """Return a plan as JSON data: all that is needed to carry it out."""
    return {
        "schema": PLAN_SCHEMA,
        "campaign": asdict(plan.campaign),
        "cluster": asdict(plan.cluster),
        "fingerprint": plan.campaign.fingerprint,
        "policy": plan.campaign.policy,
        "shape": "jobs" if isinstance(plan, Plan) else "allocation",
        "start_s": plan.start,
        "deadline_s": plan.campaign.deadline,
        "makespan_s": plan.makespan,
        "lower_bound_s": plan.lower_bound,
        "gap": plan.gap,
        "certificate": {
            "bound_s": plan.lower_bound,
            "by": plan.proved_by if isinstance(plan, Plan) else "bounds",
            "optimal": plan.optimal,
        },
        "feasible": plan.feasible,
        "nodes": plan.peak_nodes,
        "core_hours": plan.core_hours,
        "node_hours": plan.node_hours,
        "charged_core_hours": plan.charged_core_hours,
        "charged_node_hours": plan.charged_node_hours,
        "critical_path": list(plan.critical_chain),
        "reservations": [asdict(r) for r in plan.reservations],
        "warnings": list(plan.warnings),
        "allocations": []
        if isinstance(plan, Plan)
        else [{**AllocationEntry.written(a), "finish_s": a.finish} for a in plan.allocations],
        "workflows": [_planned(plan, w) for w in plan.workflows],
    }


def _planned(plan: AnyPlan, w: PlannedWorkflow) -> dict[str, Any]:
    workflow = plan.campaign.workflows[w.name]
    return {
        **WorkflowEntry.written(w),
        "kind": workflow.kind,
        "runtime_s": w.duration,
        "ranks": workflow.request.ranks,
        "memory_mb": workflow.request.memory,
        "gpus": workflow.request.gpus,
        "depends": list(workflow.depends),
        "placements": [p._asdict() for p in w.placements],
    }


def simulation_document(simulation: Simulation) -> dict[str, Any]:
    """Return a simulation as JSON data."""
    plan = simulation.plan
    return {
        "schema": SIMULATION_SCHEMA,
        "campaign": plan.campaign.name,
        "cluster": plan.cluster.name,
        "fingerprint": plan.campaign.fingerprint,
        "deadline_s": plan.campaign.deadline,
        "feasible": simulation.feasible,
        "planned_feasible": plan.feasible,
        "planned_makespan_s": plan.makespan,
        "lower_bound_s": plan.lower_bound,
        "makespan_s": {"exact": simulation.exact.makespan, **_spread(simulation.makespans)},
        "probability": simulation.probability,
        "probability_interval": simulation.probability_interval,
        "replications": simulation.replications,
        "completed": len(simulation.makespans),
        "seed": simulation.seed,
        "assumptions": dict(simulation.assumptions),
        "core_hours": simulation.exact.core_seconds / HOUR,
        "utilisation": simulation.utilisation,
        "timeouts": simulation.timeouts,
        "critical_path": list(simulation.exact.critical_chain),
        "warnings": list(plan.warnings),
        "workflows": [
            {
                "name": w.name,
                "status": w.status,
                "start_s": w.start,
                "finish_s": w.finish,
                "planned_start_s": plan.by_name[w.name].start,
                "planned_finish_s": plan.by_name[w.name].finish,
                "attempts": w.attempts,
                "criticality": simulation.criticality.get(w.name),
                "lost": simulation.lost.get(w.name, 0.0) if simulation.replications else None,
                "finish_p05_s": quantile(simulation.finishes.get(w.name, ()), 0.05),
                "finish_p95_s": quantile(simulation.finishes.get(w.name, ()), 0.95),
            }
            for w in simulation.exact.workflows
        ],
    }


def _spread(makespans: tuple[float, ...]) -> dict[str, float | None]:
    return {
        "mean": fsum(makespans) / len(makespans) if makespans else None,
        "p05": quantile(makespans, 0.05),
        "p50": quantile(makespans, 0.5),
        "p95": quantile(makespans, 0.95),
        "max": max(makespans, default=None),
    }


def read_plan(path: Path) -> AnyPlan:
    """Read a plan from a file, and prove it.

    Raises
    ------
    ConfigError
        If the file is not a plan, is of another version, or was changed by hand.
    InvalidPlan
        If the plan breaks a dependency, a capacity or a limit.
    """
    try:
        plan = _plan(_file(_json(path)))
        check_plan(plan)
    except ConfigError as error:
        raise ConfigError(*(replace(p, file=str(path)) for p in error.problems)) from error
    except InvalidPlan as error:
        raise InvalidPlan(f"{path}: {violation}" for violation in error.violations) from None
    return plan


def _json(path: Path) -> Any:
    try:
        text = read_whole(path, BY_PROGRAM.size).decode()
        check_values(text, BY_PROGRAM.values)
        return json.loads(text, parse_constant=_not_a_number)
    except OSError as error:
        raise ConfigError(Problem(message=f"cannot be read: {reason_of(error)}")) from error
    except json.JSONDecodeError as error:
        problem = Problem(line=error.lineno, column=error.colno, message=error.msg)
        raise ConfigError(problem) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(Problem(message=f"is not JSON: {error}")) from error


def _not_a_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _file(data: Any) -> PlanFile:
    """Return what is read of a plan, if a campaign and a cluster file may say the same."""
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if schema != PLAN_SCHEMA:
        message = f"is not a plan: its schema is {schema!r}, not {PLAN_SCHEMA!r}"
        hint = "`socm plan CAMPAIGN --output plan.json` makes one"
        raise ConfigError(Problem(message=message, hint=hint))
    if too_large(data):
        raise ConfigError(Problem(message="has a number that is too large"))
    try:
        file = PlanFile.model_validate(data)
    except ValidationError as error:
        raise ConfigError(*_problems(error, data)) from error
    if file.campaign.fingerprint != file.fingerprint:
        message = "its campaign was changed after it was planned"
        hint = "plan the changed campaign again with `socm plan`"
        raise ConfigError(Problem(message=message, hint=hint))
    if faults := [*faults_of_campaign(file.campaign), *faults_of_cluster(file.cluster)]:
        raise ConfigError(*(Problem(message=fault) for fault in faults))
    return file


def _problems(error: ValidationError, data: object) -> Iterator[Problem]:
    """Yield what pydantic found, with the place of each in the file."""
    for found in misfits(error, data):
        place = ".".join(map(str, found["loc"]))
        yield Problem(message=f"{place}: {found['msg']}")


def _plan(file: PlanFile) -> AnyPlan:
    common = {field.name: getattr(file, field.name) for field in fields(BasePlan)}
    workflows = [PlannedWorkflow(**dict(entry)) for entry in file.workflows]
    if file.shape == "allocation":
        return AllocationPlan(**common, allocations=tuple(_allocations(file, workflows)))
    if file.allocations:
        raise InvalidPlan(["it has allocations, and each workflow is a job of its own"])
    return Plan(**common, workflows=tuple(workflows), proved_by=file.certificate.by)


def _allocations(file: PlanFile, workflows: Sequence[PlannedWorkflow]) -> Iterator[Allocation]:
    """Yield the allocations, each with the workflows that start while it is the last to start."""
    starts = [a.start for a in file.allocations]
    within: list[list[PlannedWorkflow]] = [[] for _ in starts]
    faults = []
    if starts != sorted(starts):
        faults.append("its allocations are not in the order of their starts")
    faults += [
        f"allocation {number}: there is no partition {a.partition!r}"
        for number, a in enumerate(file.allocations, 1)
        if a.partition not in file.cluster.by_partition
    ]
    for w in workflows:
        number = bisect_right(starts, w.start)
        if number == 0:
            faults.append(f"{w.name}: starts at {w.start} s, before any allocation")
        elif w.qos != file.allocations[number - 1].qos:
            qos = file.allocations[number - 1].qos
            faults.append(f"{w.name}: has QOS {w.qos}, its allocation {number} has QOS {qos}")
        else:
            within[number - 1].append(w)
    if faults:
        raise InvalidPlan(faults)
    for a, steps in zip(file.allocations, within, strict=True):
        plan = Plan(
            campaign=part(file.campaign, {w.name for w in steps}),
            cluster=inside(file.cluster, file.cluster.by_partition[a.partition], a.nodes),
            workflows=tuple(
                replace(w, qos=None, start=w.start - a.start, finish=w.finish - a.start)
                for w in steps
            ),
            lower_bound=0,
        )
        yield Allocation(**dict(a), plan=plan)
