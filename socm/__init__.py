"""Campaigns of the Simons Observatory: one plan, one driver, two worlds.

A campaign file and a cluster file become a `Plan` by HEFT; `socm simulate` carries it out on an
emulated cluster, `socm run` on a real one.

Examples
--------
>>> import socm
>>> cluster = socm.Resource(name="bench", nodes=2, cores_per_node=8, memory_per_node=32_000)
>>> maps = [
...     socm.Workflow(name=band, request=socm.ResourceRequest(ranks=2, threads=4, runtime=3600))
...     for band in ("f090", "f150", "f220")
... ]
>>> plan = socm.plan_campaign(socm.Campaign.of("maps", maps), cluster)
>>> plan.makespan
7200

The same driver carries a plan out on an emulated cluster and on a real one:

>>> from sim.backend import SimBackend
>>> backend = SimBackend.for_plan(plan, lambda job: 3000)  # each takes 50 minutes
>>> socm.run_plan(plan, backend).ended
6000.0
"""

from __future__ import annotations

from importlib import import_module

from socm._version import __version__

TYPE_CHECKING = False  # `typing` takes longer to import than all of this

if TYPE_CHECKING:
    from socm.config import load_campaign, load_cluster
    from socm.engine.driver import run_plan
    from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
    from socm.model.cluster import Cluster
    from socm.model.partition import Partition
    from socm.model.plan import Plan
    from socm.model.qos import Qos
    from socm.planner import plan_campaign

# Imported when they are used, so that `socm --help` loads none of what they need.
_HOMES = {
    "Budget": "socm.model.campaign",
    "Campaign": "socm.model.campaign",
    "Cluster": "socm.model.cluster",
    "Partition": "socm.model.partition",
    "Plan": "socm.model.plan",
    "Qos": "socm.model.qos",
    "Resource": "socm.model.resource",
    "ResourceRequest": "socm.model.campaign",
    "Workflow": "socm.model.campaign",
    "load_campaign": "socm.config",
    "load_cluster": "socm.config",
    "plan_campaign": "socm.planner",
    "run_plan": "socm.engine.driver",
}

__all__ = [
    "Budget",
    "Campaign",
    "Cluster",
    "Partition",
    "Plan",
    "Qos",
    "Resource",
    "ResourceRequest",
    "Workflow",
    "__version__",
    "load_campaign",
    "load_cluster",
    "plan_campaign",
    "run_plan",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'socm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
