"""Check that each workflow is planned once, after those that it depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from socm.model.campaign import Campaign
from socm.model.plan import Plan


def missing_or_unknown(campaign: Campaign, names: Sequence[str]) -> Iterator[str]:
    """Yield the workflows that are not planned exactly once."""
    counts = Counter(names)
    for name in sorted(campaign.workflows.keys() - counts):
        yield f"{name}: is in the campaign and not in the plan"
    for name in sorted(counts.keys() - campaign.workflows):
        yield f"{name}: is in the plan and not in the campaign"
    for name in sorted(name for name, times in counts.items() if times > 1):
        yield f"{name}: is planned more than once"


def bad_times(plan: Plan) -> Iterator[str]:
    """Yield the workflows that end before they start, or start before the plan does."""
    for w in plan.workflows:
        if w.finish <= w.start:
            yield f"{w.name}: ends at {w.finish} s, before it starts at {w.start} s"
        if w.start < (0 if w.fixed else plan.start):
            yield f"{w.name}: starts at {w.start} s, before the plan at {plan.start} s"


def bad_order(plan: Plan) -> Iterator[str]:
    """Yield the workflows that start before one that they depend on ends; and a wrong order."""
    for w in plan.workflows:
        workflow = plan.campaign.workflows.get(w.name)
        for parent in workflow.depends if workflow else ():
            before = plan.by_name.get(parent)
            if before and before.finish > w.start:
                yield (
                    f"{w.name}: starts at {w.start} s, before {parent} ends at {before.finish} s"
                )
    starts = [w.start for w in plan.workflows]
    if starts != sorted(starts):
        yield "its workflows are not in the order of their starts"
