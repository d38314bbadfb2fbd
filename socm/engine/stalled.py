"""Why nothing will ever happen again in a campaign, and workflows remain: what waits for what."""

from __future__ import annotations

from collections.abc import Iterable

from socm.engine.attempts import Attempts
from socm.engine.gates import Gates
from socm.engine.state import CampaignState


def why_stalled(
    names: Iterable[str], gates: Gates, attempts: Attempts, state: CampaignState
) -> str:
    """Say for each workflow that is not over what it waits for."""
    lines = []
    for name in names:
        parents, before = gates.parents[name], gates.before[name]
        if name in attempts:
            status = state.workflows[name].status.value
            lines.append(f"{name} is {status}; the cluster never reports its end")
        elif parents:
            lines.append(f"{name} waits for {', '.join(sorted(parents))}")
        elif before:
            lines.append(f"{name} waits for the nodes or limits of {', '.join(sorted(before))}")
        else:
            lines.append(f"{name} waits for the budget")
    return "nothing runs and nothing may start:\n" + "\n".join(f"  {line}" for line in lines)
