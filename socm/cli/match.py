"""``socm clusters match``: which clusters can hold a campaign, how, and why the others cannot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from socm.config import LoadedCampaign, builtin_clusters, load_campaign, load_cluster
from socm.errors import ConfigError
from socm.model.campaign import Campaign
from socm.model.cluster import Cluster
from socm.model.plan import Plan
from socm.planner import plan_campaign
from socm.units import format_walltime
from socm.words import count, listed


def match_document(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """Try a campaign on clusters; return what each comes to as JSON data.

    Parameters
    ----------
    names
        Of clusters, or their files; if empty all that are known, and the campaign's own.

    Raises
    ------
    ConfigError
        If the campaign is wrong whatever the cluster, or a cluster that is named is wrong.
    """
    loaded, refused = _load(file, names)
    if not loaded:
        raise next(iter(refused.values()))
    shared = [w for w in loaded[0].warnings if all(w in other.warnings for other in loaded)]
    return {
        "schema": "socm.match/1",
        "campaign": loaded[0].campaign.name,
        "deadline_s": loaded[0].campaign.deadline,
        "warnings": shared,
        "clusters": [
            *(_match(each, [w for w in each.warnings if w not in shared]) for each in loaded),
            *(_refusal(name, error) for name, error in refused.items()),
        ],
    }


def _load(file: Path, names: Sequence[str]) -> tuple[list[LoadedCampaign], dict[str, ConfigError]]:
    """Load the campaign for each cluster; some problems are a cluster's, such as a budget."""
    loaded: list[LoadedCampaign] = []
    refused: dict[str, ConfigError] = {}
    own: ConfigError | None = None
    if not names:
        try:
            loaded.append(load_campaign(file))
        except ConfigError as error:
            own = error
    for name in names or builtin_clusters():
        cluster = load_cluster(name)
        if any(cluster == known.cluster for known in loaded):
            continue
        try:
            loaded.append(load_campaign(file, cluster=name))
        except ConfigError as error:
            refused[cluster.name] = error
    if own is not None and not loaded:
        raise own
    return loaded, refused


def _match(loaded: LoadedCampaign, warnings: Sequence[str]) -> dict[str, Any]:
    """Say how a cluster would hold a campaign, or why it cannot."""
    campaign, cluster = loaded.campaign, loaded.cluster
    if reasons := [*_reasons(campaign, cluster)]:
        return _described(cluster.name, None, reasons, warnings)
    plan = plan_campaign(campaign, cluster)
    return _described(cluster.name, plan, [], [*warnings, *plan.warnings])


def _refusal(name: str, error: ConfigError) -> dict[str, Any]:
    reasons = [{"reason": p.message, "where": [], "workflows": []} for p in error.problems]
    return _described(name, None, reasons, ())


def _described(
    name: str, plan: Plan | None, reasons: Sequence[dict[str, Any]], warnings: Sequence[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "fits": plan is not None,
        "feasible": plan is not None and plan.feasible,
        "makespan_s": plan and plan.makespan,
        "lower_bound_s": plan and plan.lower_bound,
        "nodes": plan and plan.peak_nodes,
        "core_hours": plan and plan.core_hours,
        "used": [*_used(plan)] if plan else [],
        "reasons": [*reasons],
        "warnings": [*warnings],
    }


def _reasons(campaign: Campaign, cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Yield each reason once, with all workflows and all places that it holds for."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for workflow in campaign.workflows.values():
        options, why_not = cluster.admit(workflow.request, campaign.budget)
        for reason in () if options else why_not:
            where, colon, why = reason.partition(": ")
            names[(where, why) if colon else ("", reason)].append(workflow.name)
    places: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (where, why), who in names.items():
        places[why, tuple(who)].append(where)
    for (why, workflows), wheres in places.items():
        yield {"reason": why, "where": [w for w in wheres if w], "workflows": [*workflows]}


def _used(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield how many workflows use each partition and QOS, the most first."""
    used = Counter((w.partition, w.qos) for w in plan.workflows)
    for (partition, qos), number in used.most_common():
        yield {"partition": partition, "qos": qos, "workflows": number}


def match_table(document: dict[str, Any]) -> Table:
    """Return a table of what each cluster comes to."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("cluster", "holds it", "makespan", "deadline", "workflows"):
        table.add_column(column, justify="right" if column == "makespan" else "left")
    for match in document["clusters"]:
        fits, feasible = match["fits"], match["feasible"]
        has_deadline = fits and document["deadline_s"] is not None
        table.add_row(
            match["name"],
            "yes" if fits else "no",
            format_walltime(match["makespan_s"]) if fits else "-",
            ("met" if feasible else "missed") if has_deadline else "-",
            ", ".join(f"{use['workflows']} {_way(use, match)}" for use in match["used"]) or "-",
            style=None if feasible else "yellow" if fits else "red",
        )
    return table


def _way(use: dict[str, Any], match: dict[str, Any]) -> str:
    """Name a QOS, and its partition where several are used; or the partition alone."""
    if use["qos"] is None:
        return str(use["partition"])
    several = len({other["partition"] for other in match["used"]}) > 1
    return f"{use['qos']} on {use['partition']}" if several else str(use["qos"])


def reasons_in_words(match: dict[str, Any]) -> Iterator[str]:
    """Yield each reason, with some of the workflows that it holds for, and where."""
    for reason in match["reasons"]:
        names = reason["workflows"]
        who = listed(names)
        if len(names) > 1:
            who = f"{count(len(names), 'workflow')} ({who})"
        where = f" ({', '.join(reason['where'])})" if reason["where"] else ""
        yield f"{who + ': ' if names else ''}{reason['reason']}{where}"
