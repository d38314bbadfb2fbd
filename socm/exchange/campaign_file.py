"""Campaign files as text: DAGs of stages in YAML, for people to read and edit."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath

from socm.config.writing import comment_text, yaml_text
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.units import duration_text, memory_text

WIDTH = 100
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class CampaignFile:
    """The content of a campaign file, in its own keys and units.

    Parameters
    ----------
    campaign
        The ``campaign`` section.
    stages
        Each stage's section by its name.
    head
        Origin of the file, for the comment on top.
    notes
        Assumptions and omissions, one sentence each.

    Examples
    --------
    >>> split = {"executable": "split", "resources": {"runtime": "1h30m"}}
    >>> print(CampaignFile(campaign={"name": "pair"}, stages={"split": split}).text, end="")
    campaign:
      name: pair
    <BLANKLINE>
    stages:
      split:
        executable: split
        resources: {runtime: 1h30m}
    """

    campaign: Mapping[str, object] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, object]]
    head: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The file."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        if self.head:
            yield from _comment(self.head)
        if self.notes:
            yield from ("#", "# Assumptions and omissions:")
            for note in self.notes:
                yield from _comment(note, "- ")
        if self.head or self.notes:
            yield ""
        if self.campaign:
            yield from ("campaign:", *_entries(self.campaign, "  "), "")
        yield "stages:"
        for index, (name, stage) in enumerate(self.stages.items()):
            if index:
                yield ""
            yield f"  {yaml_text(name)}:"
            yield from _entries(stage, "    ")


def campaign_file(campaign: Campaign) -> CampaignFile:
    """Return a campaign as a file; its cluster is for the reader to add."""
    return CampaignFile(
        campaign=campaign_section(campaign),
        stages={w.name: stage_section(w) for w in campaign.workflows.values()},
    )


def campaign_section(campaign: Campaign) -> dict[str, object]:
    """Return the ``campaign`` section; only values that differ from the defaults."""
    section: dict[str, object] = {"name": campaign.name}
    if campaign.deadline is not None:
        section["deadline"] = duration_text(campaign.deadline)
    if campaign.budget.cores is not None:
        section["requested_resources"] = campaign.budget.cores
    if campaign.budget.nodes is not None:
        section["resources"] = {"nodes": campaign.budget.nodes}
    if campaign.budget.core_hours is not None:
        section["budget"] = {"core-hours": campaign.budget.core_hours}
    if campaign.budget.node_hours is not None:
        section["budget"] = {"node-hours": campaign.budget.node_hours}
    if campaign.limits:
        section["limits"] = dict(campaign.limits)
    if campaign.policy != "time":
        section["policy"] = campaign.policy
    return section


def stage_section(workflow: Workflow) -> dict[str, object]:
    """Return the section of a workflow, whatever its type, as a stage that runs its command.

    Examples
    --------
    >>> request = ResourceRequest(ranks=4, memory=2048, runtime=90)
    >>> stage_section(Workflow(name="map", command=("echo", "$5"), request=request))
    {'executable': 'echo', 'script-args': ['$$5'], 'resources': {'ranks': 4, 'memory': '2G', \
'runtime': '1m30s'}}
    """
    section: dict[str, object] = {
        **_command(workflow),
        "depends": list(workflow.depends),
        "priority": workflow.priority,
        "environment": {k: escaped(v) for k, v in workflow.environment.items()},
        "base-path": escaped(workflow.directory or ""),
        "description": workflow.description,
    }
    section = {key: value for key, value in section.items() if value}
    return {**section, "resources": resources_section(workflow.request)}


def _command(workflow: Workflow) -> dict[str, object]:
    """Split an argument vector into interpreter, script and arguments where that is possible."""
    command = [escaped(word) for word in workflow.command] or ["true"]
    script = escaped(workflow.inputs[0]) if len(workflow.inputs) == 1 else ""
    whole = script.startswith("/") and str(PurePosixPath(script)) == script
    if workflow.kind == "stage" and whole and script in command:
        at = command.index(script)
        first = {"executable": shlex.join(command[:at]), "script": script}
    else:
        at = 0
        first = {"executable": shlex.quote(command[0])}
    arguments = command[at + 1 :]
    # The scheme is removed from `script-args`, and from nothing else.
    key = "extra-args" if any(a.startswith("file://") for a in arguments) else "script-args"
    return {**first, key: arguments}


def resources_section(request: ResourceRequest, *, memory: bool = True) -> dict[str, object]:
    """Return the ``resources`` of a request; only values that differ from the defaults.

    Parameters
    ----------
    memory
        Whether it is known; without it, a stage gets its cores' share of a node.
    """
    section: dict[str, object] = {}
    for each in fields(request):
        value = getattr(request, each.name)
        if each.name == "memory":
            if request.whole_memory:
                section["memory"] = 0
            elif memory and value:  # 0 would be all of a node
                section["memory"] = memory_text(value)
        elif each.name == "uses":
            if value:
                section["uses"] = dict(value)
        elif each.name == "whole_memory":
            continue
        elif value != each.default:
            is_time = each.name in ("runtime", "walltime")
            section[each.name] = duration_text(value) if is_time else value
    return section


def escaped(text: str) -> str:
    """Double the dollars of a text, so that no variable is replaced in it."""
    return text.replace("$", "$$")


def workflow_names(texts: Iterable[str]) -> list[str]:
    """Return valid names of workflows: valid texts as they are, others with few changes.

    Examples
    --------
    >>> workflow_names(["map", "maps/night 1", "", "map", "maps_night_1"])
    ['map', 'maps_night_1-2', 'task', 'map-2', 'maps_night_1']
    """
    wanted = list(texts)
    taken = {text for text in wanted if _NAME.fullmatch(text)}
    first = set(taken)
    numbers: Counter[str] = Counter()
    names = []
    for text in wanted:
        name = text
        if text in first:
            first.remove(text)
        else:
            base = re.sub(r"[^A-Za-z0-9_.+@-]+", "_", text).lstrip(".+@-")[:190] or "task"
            name = base
            while name in taken:
                numbers[base] += 1
                name = f"{base}-{numbers[base] + 1}"
            taken.add(name)
        names.append(name)
    return names


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_text(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return yaml_text(value)


def _entries(section: Mapping[str, object], indent: str) -> Iterator[str]:
    """Write each entry on one line, or on several if it is too long."""
    for key, value in section.items():
        line = f"{indent}{yaml_text(key)}: {_flow(value)}"
        if len(line) <= WIDTH or not value or not isinstance(value, Mapping | list | tuple):
            yield line
            continue
        yield f"{indent}{yaml_text(key)}:"
        if isinstance(value, Mapping):
            yield from _entries(value, f"{indent}  ")
        else:
            yield from (f"{indent}  - {_flow(item)}" for item in value)


def _comment(text: str, first: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        comment_text(text),
        WIDTH,
        initial_indent=f"# {first}",
        subsequent_indent="# " + " " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
