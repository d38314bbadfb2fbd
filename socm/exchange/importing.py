"""Workflows of other systems: recognise the format, and make a campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from socm.config import load_campaign, load_cluster
from socm.config.campaign import DEFAULT_CLUSTER
from socm.errors import ConfigError, Problem, did_you_mean
from socm.exchange import mbatch, pspipe, wfformat
from socm.exchange.campaign_file import CampaignFile
from socm.exchange.others import other_data
from socm.exchange.source import Document, read_document
from socm.model.cluster import Cluster
from socm.units import duration_text

FORMATS: Mapping[str, Callable[[Document, Cluster, int | None], CampaignFile]] = {
    "wfformat": wfformat.read,
    "mbatch": mbatch.read,
    "pspipe": pspipe.read,
}
"""Formats that can be read, by name."""


def import_file(
    path: Path,
    kind: str | None = None,
    *,
    runtime: int | None = None,
    resource: str | None = None,
    deadline: int | None = None,
) -> CampaignFile:
    """Make a campaign file from a workflow of another system; `load_campaign` accepts it.

    Parameters
    ----------
    path
        The file of the workflow, compressed by gzip or not.
    kind
        One of `FORMATS`; recognised from the content if not given.
    runtime
        Seconds of each stage for which the file gives no time.
    resource
        Cluster to name in the campaign.
    deadline
        Deadline of the campaign, in seconds.

    Raises
    ------
    ConfigError
        With every problem in the file.
    """
    if kind is not None and kind not in FORMATS:
        hint = did_you_mean(kind, FORMATS) or f"known are {', '.join(FORMATS)}"
        raise ConfigError(Problem(message=f"unknown format {kind!r}", hint=hint))
    document = read_document(path)
    kind = kind or recognise(document)
    if resource is None and kind == "pspipe":
        resource = pspipe.CLUSTER
    made = FORMATS[kind](document, load_cluster(resource or DEFAULT_CLUSTER), runtime)
    first = {
        "name": made.campaign["name"],
        "description": made.campaign.get("description"),
        "deadline": made.campaign.get("deadline") if deadline is None else duration_text(deadline),
        "resource": resource,
    }
    campaign = {**first, **made.campaign, **first}  # these first, in this order
    campaign = {key: value for key, value in campaign.items() if value is not None}
    made = replace(made, campaign=campaign)
    _prove(made, document.file, resource)
    return made


def recognise(document: Document) -> str:
    """Return the format of a file, by its content.

    Examples
    --------
    >>> recognise(Document(file="p.yml", data={"pipeline": {"get_alms": None}}))
    'pspipe'

    Raises
    ------
    ConfigError
        If it is none of `FORMATS`.
    """
    data = document.data
    workflow, stages = data.get("workflow"), data.get("stages")
    if isinstance(workflow, Mapping) and workflow.keys() & {"specification", "tasks", "jobs"}:
        return "wfformat"
    if isinstance(data.get("pipeline"), Mapping):
        return "pspipe"
    if isinstance(stages, Mapping):
        sections = [s for s in stages.values() if isinstance(s, Mapping)]
        if any("exec" in s for s in sections):
            return "mbatch"
    if other := other_data(data):
        what, hint = other
        raise ConfigError(Problem(file=document.file, message=f"is {what}", hint=hint))
    hint = f"known are {', '.join(FORMATS)}; choose one with --from"
    if "campaign" in data or stages is not None:
        hint = "it may be a campaign already: try `socm validate`"
    elif str(data.get("schema")).startswith("socm.plan/"):
        hint = "it is a plan, which holds its campaign: `socm export` reads both"
    raise ConfigError(
        Problem(file=document.file, message="is not recognised as a workflow", hint=hint)
    )


def _prove(made: CampaignFile, file: str, resource: str | None) -> None:
    """Load the campaign; its problems are problems of the file that it was made from."""
    try:
        load_campaign("campaign.yaml", text=made.text, cluster=resource or DEFAULT_CLUSTER)
    except ConfigError as error:
        raise ConfigError(
            *(Problem(file=file, message=p.message, hint=p.hint) for p in error.problems)
        ) from error
