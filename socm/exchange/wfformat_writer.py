"""Write WfFormat, in which the WfCommons project describes workflows and their executions.

The version is 1.5, which apart from its number is a valid 1.6. The format has no place for the
request of a task that has not run. So each task has its section of the campaign file under the key
``socm`` (unknown keys are permitted), and the campaign that is read back is the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from socm._version import __version__
from socm.exchange.campaign_file import campaign_section, stage_section, workflow_names
from socm.model.campaign import Campaign
from socm.model.outcome import Outcome
from socm.model.plan import Plan

VERSION = "1.5"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Start of simulated executions: an emulated cluster has no calendar."""
_MEGABYTE = 1024**2


def instance(campaign: Campaign, execution: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Return a campaign as a WfFormat instance, with an execution or without one.

    Examples
    --------
    >>> from socm.model.campaign import ResourceRequest, Workflow
    >>> campaign = Campaign.of("one", [Workflow(name="a", request=ResourceRequest(runtime=60))])
    >>> instance(campaign)["workflow"]["specification"]["tasks"][0]["id"]
    'a'
    """
    ids = task_ids(campaign)
    return {
        "name": campaign.name or "campaign",
        "schemaVersion": VERSION,
        "runtimeSystem": {"name": "socm", "version": __version__},
        "workflow": {
            "specification": {
                "tasks": [
                    {
                        "name": w.name,
                        "id": ids[w.name],
                        "parents": [ids[p] for p in dict.fromkeys(w.depends)],
                        "children": [ids[c] for c in campaign.children[w.name]],
                        "socm": {k: v for k, v in stage_section(w).items() if k != "depends"},
                    }
                    for w in campaign.workflows.values()
                ]
            },
            **({} if execution is None else {"execution": execution}),
        },
        "socm": {k: v for k, v in campaign_section(campaign).items() if k != "name"},
    }


def execution(plan: Plan, outcome: Outcome) -> dict[str, object]:
    """Return the execution part: times of a simulation, on the nodes of the plan.

    A workflow that did not run has no record.
    """
    ids = task_ids(plan.campaign)
    partitions = plan.cluster.by_partition
    used = sorted({node for w in plan.workflows for node in w.nodes})
    return {
        "makespanInSeconds": outcome.makespan,
        "executedAt": _timestamp(plan.start),
        "tasks": [
            {"id": ids[w.name], **_record(plan, w.name), **_times(w.start, w.finish)}
            for w in outcome.workflows
            if w.start is not None and w.finish is not None
        ],
        "machines": [
            {
                "nodeName": _node_name(name, node),
                "system": "linux",
                "memoryInBytes": partitions[name].memory * _MEGABYTE,
                "cpu": {"coreCount": partitions[name].cores},
            }
            for name, node in used
        ],
    }


def task_ids(campaign: Campaign) -> dict[str, str]:
    """Return an id for each workflow: its name, with characters that ids may have."""
    wanted = [re.sub(r"[^0-9A-Za-z_.-]", "_", name) for name in campaign.workflows]
    return dict(zip(campaign.workflows, workflow_names(wanted), strict=True))


def _times(start: float, finish: float) -> dict[str, object]:
    return {"runtimeInSeconds": finish - start, "executedAt": _timestamp(start)}


def _record(plan: Plan, name: str) -> dict[str, object]:
    planned, workflow = plan.by_name[name], plan.campaign.workflows[name]
    command = workflow.command or ("true",)
    record: dict[str, object] = {
        "coreCount": workflow.request.ranks * planned.threads,
        "memoryInBytes": workflow.request.memory * _MEGABYTE,
        "machines": [_node_name(*node) for node in planned.nodes],
    }
    if command[0]:
        arguments = [word for word in command[1:] if word]  # the schema has no empty ones
        record["command"] = {"program": command[0], "arguments": arguments}
    return record


def _timestamp(seconds: float) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()


def _node_name(partition: str, node: int) -> str:
    return re.sub(r"[^0-9A-Za-z-]+", "-", f"{partition}-{node}").strip("-")
