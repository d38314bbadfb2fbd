"""Plans and simulations as JSON: two documents whose keys are contracts.

Within a version keys may be added; none is removed or means something else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from socm.errors import ConfigError, InvalidPlan, Problem
from socm.model.allocation import Allocation
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.outcome import Simulation
from socm.model.plan import Placement, Plan, PlannedWorkflow, Reservation

PLAN_SCHEMA = "socm.plan/1"
SIMULATION_SCHEMA = "socm.simulation/1"


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON data: all that is needed to carry it out."""
    return {
        "schema": PLAN_SCHEMA,
        "campaign": asdict(plan.campaign),
        "cluster": asdict(plan.cluster),
        "fingerprint": plan.campaign.fingerprint,
        "policy": plan.campaign.policy,
        "shape": plan.shape,
        "start_s": plan.start,
        "deadline_s": plan.campaign.deadline,
        "makespan_s": plan.makespan,
        "lower_bound_s": plan.lower_bound,
        "gap": plan.gap,
        "certificate": {
            "bound_s": plan.lower_bound,
            "by": plan.proved_by,
            "optimal": plan.optimal,
        },
        "feasible": plan.feasible,
        "nodes": plan.peak_nodes,
        "core_hours": plan.core_hours,
        "node_hours": plan.node_hours,
        "charged_core_hours": plan.charged_core_hours,
        "critical_path": list(plan.critical_path),
        "reservations": [asdict(r) for r in plan.reservations],
        "warnings": list(plan.warnings),
        "allocations": [
            {
                "partition": a.partition,
                "qos": a.qos,
                "nodes": a.nodes,
                "start_s": a.start,
                "finish_s": a.finish,
                "walltime_s": a.walltime,
            }
            for a in plan.allocations
        ],
        "workflows": [_planned(plan, w) for w in plan.workflows],
    }


def _planned(plan: Plan, w: PlannedWorkflow) -> dict[str, Any]:
    workflow = plan.campaign.workflows[w.name]
    return {
        "name": w.name,
        "kind": workflow.kind,
        "start_s": w.start,
        "finish_s": w.finish,
        "runtime_s": w.duration,
        "walltime_s": w.walltime,
        "partition": w.partition,
        "qos": w.qos,
        "ranks": workflow.request.ranks,
        "threads": w.threads,
        "memory_mb": workflow.request.memory,
        "gpus": workflow.request.gpus,
        "exclusive": w.exclusive,
        "cores": w.cores,
        "upward_rank_s": w.rank,
        "fixed": w.fixed,
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
        "core_hours": simulation.exact.core_seconds / 3600,
        "utilisation": simulation.utilisation,
        "timeouts": simulation.timeouts,
        "critical_path": list(simulation.exact.critical),
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
        "mean": sum(makespans) / len(makespans) if makespans else None,
        "p05": quantile(makespans, 0.05),
        "p50": quantile(makespans, 0.5),
        "p95": quantile(makespans, 0.95),
        "max": max(makespans, default=None),
    }


def quantile(values: Any, share: float) -> float | None:
    """Return a quantile by linear interpolation; `None` of nothing.

    Examples
    --------
    >>> quantile([1, 2, 4], 0.75), quantile([], 0.5)
    (3.0, None)
    """
    if not len(values):
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


_Seconds = Annotated[int, Field(ge=0, le=10**12)]


class _PlacementEntry(BaseModel):
    partition: str
    node: int
    ranks: int


class _PlannedEntry(BaseModel):
    name: str
    start_s: _Seconds
    finish_s: _Seconds
    walltime_s: _Seconds
    partition: str
    qos: str | None
    threads: Annotated[int, Field(ge=1)]
    exclusive: bool
    cores: int
    upward_rank_s: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    fixed: bool = False
    placements: tuple[_PlacementEntry, ...]


class _AllocationEntry(BaseModel):
    partition: str
    qos: str | None
    nodes: Annotated[int, Field(ge=1)]
    start_s: _Seconds
    finish_s: _Seconds
    walltime_s: _Seconds


class _Certificate(BaseModel):
    by: Literal["bounds", "CP-SAT"] = "bounds"


class _PlanFile(BaseModel):
    campaign: Campaign
    cluster: Cluster
    shape: Literal["jobs", "allocation"] = "jobs"
    allocations: tuple[_AllocationEntry, ...] = ()
    start_s: _Seconds = 0
    lower_bound_s: _Seconds
    certificate: _Certificate = _Certificate()
    fingerprint: str
    reservations: tuple[Reservation, ...] = ()
    warnings: tuple[str, ...] = ()
    workflows: tuple[_PlannedEntry, ...]


def read_plan(path: Path) -> Plan:
    """Read a plan from a file, and prove it.

    Raises
    ------
    ConfigError
        If the file is not a plan, is of another version, or was changed by hand.
    InvalidPlan
        If the plan breaks a dependency, a capacity or a limit.
    """
    file = str(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        message = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise ConfigError(Problem(file=file, message=message)) from error
    except json.JSONDecodeError as error:
        problem = Problem(file=file, line=error.lineno, column=error.colno, message=error.msg)
        raise ConfigError(problem) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(Problem(file=file, message=f"is not JSON: {error}")) from error
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if schema != PLAN_SCHEMA:
        problem = Problem(
            file=file,
            message=f"is not a plan: its schema is {schema!r}, not {PLAN_SCHEMA!r}",
            hint="`socm plan CAMPAIGN --output plan.json` makes one",
        )
        raise ConfigError(problem)
    try:
        plan = _plan(data)
    except ValidationError as error:
        problems = [
            Problem(file=file, message=f"{'.'.join(map(str, e['loc']))}: {e['msg']}")
            for e in error.errors()
        ]
        raise ConfigError(*problems) from error
    except ConfigError as error:
        problems = [Problem(file=file, message=p.message, hint=p.hint) for p in error.problems]
        raise ConfigError(*problems) from error
    if plan.campaign.fingerprint != data["fingerprint"]:
        problem = Problem(
            file=file,
            message="its campaign was changed after it was planned",
            hint="plan the changed campaign anew with `socm plan`",
        )
        raise ConfigError(problem)
    try:
        plan.check()
    except InvalidPlan as error:
        raise InvalidPlan(f"{file}: {violation}" for violation in error.violations) from None
    return plan


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _plan(data: Any) -> Plan:
    file = _PlanFile.model_validate(data)
    return Plan(
        campaign=file.campaign,
        cluster=file.cluster,
        workflows=tuple(
            PlannedWorkflow(
                name=w.name,
                partition=w.partition,
                qos=w.qos,
                placements=tuple(Placement(p.partition, p.node, p.ranks) for p in w.placements),
                threads=w.threads,
                exclusive=w.exclusive,
                cores=w.cores,
                start=w.start_s,
                finish=w.finish_s,
                walltime=w.walltime_s,
                rank=w.upward_rank_s,
                fixed=w.fixed,
            )
            for w in file.workflows
        ),
        lower_bound=file.lower_bound_s,
        start=file.start_s,
        reservations=file.reservations,
        shape=file.shape,
        allocations=tuple(
            Allocation(
                partition=a.partition,
                qos=a.qos,
                nodes=a.nodes,
                start=a.start_s,
                finish=a.finish_s,
                walltime=a.walltime_s,
            )
            for a in file.allocations
        ),
        warnings=file.warnings,
        proved_by=file.certificate.by,
    )
