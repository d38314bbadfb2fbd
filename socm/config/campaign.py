"""Campaign files: TOML campaigns of typed workflows, and YAML DAGs of stages."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from socm.config.cluster import load_cluster
from socm.config.schema import (
    CampaignSection,
    ResourcesSection,
    Scalar,
    WorkflowSection,
    read_section,
    snake,
)
from socm.config.source import Key, Source, read
from socm.errors import ConfigError, Problem, did_you_mean
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.workflows import WORKFLOW_TYPES
from socm.workflows.base import Options, local_path

DEFAULT_CLUSTER = "tiger3"
GROUPS = {
    "ml-null-tests": "null tests are not available in this version",
}
"""Sections that hold workflow sections, and why they cannot be used yet."""
_STAGE = "stage"
_COMMON = frozenset(WorkflowSection.model_fields)


@dataclass(frozen=True, kw_only=True)
class LoadedCampaign:
    """A campaign file, resolved.

    Parameters
    ----------
    campaign, cluster
        What to do, and where.
    execution_schema
        ``"remote"``, ``"local"`` or ``"batch"``; `None` where the file does not say.
    warnings
        What a run would stumble over, or what was assumed.
    """

    campaign: Campaign
    cluster: Cluster
    execution_schema: str | None
    warnings: tuple[str, ...]


def load_campaign(path: Path, *, cluster: str | None = None) -> LoadedCampaign:
    """Load a campaign from a TOML or YAML file.

    A file with ``stages`` is a DAG; any other holds sections of workflow types.

    Parameters
    ----------
    path
        Of the campaign file.
    cluster
        Name or file of a cluster to use instead of the one that the file names.

    Raises
    ------
    ConfigError
        With every problem in the file.
    """
    return _CampaignReader(read(path), path, cluster).load()


class _CampaignReader:
    def __init__(self, source: Source, path: Path, cluster: str | None) -> None:
        self._source = source
        self._folder = path.parent
        self._stem = path.stem
        self._override = cluster
        self._problems: list[Problem] = []
        self._warnings: list[str] = []
        self._undefined: set[str] = set()
        self._shared_memory: list[str] = []
        self._missing: dict[str, None] = {}

    def load(self) -> LoadedCampaign:
        data = self._source.data
        stages = data.get("stages")
        body = data.get("campaign", {})
        if "campaign" not in data and stages is None:
            known = ["campaign", "stages"]
            hints = (did_you_mean(name, known) for name in data)
            hint = next((h for h in hints if h), "begin with [campaign]")
            raise ConfigError(self._source.problem((), "there is no campaign section", hint))
        if not isinstance(body, Mapping):
            raise ConfigError(self._source.problem(("campaign",), "campaign is a table"))
        own = {k: v for k, v in body.items() if snake(k) in CampaignSection.model_fields}
        sections = {k: v for k, v in body.items() if k not in own}
        section = read_section(CampaignSection, own, self._source, ("campaign",), self._problems)
        cluster = self._cluster(own.get("resource"))
        if section is None or cluster is None:
            # Go on with what is known, to tell of every problem at once.
            section = section or CampaignSection()
            cluster = cluster or load_cluster(DEFAULT_CLUSTER)
        if stages is None:
            self._refuse_strangers(data, {"campaign"})
            workflows = [*self._typed_workflows(sections, section, cluster)]
        else:
            self._refuse_unknown_sections(sections)
            workflows = [*self._stages(stages, section, cluster)]
        if not workflows and not self._problems:
            self._problem(("campaign",), "there are no workflows in this campaign")
        budget = self._budget(section, cluster)
        campaign = None
        if not self._problems:
            try:
                campaign = Campaign.of(
                    section.name or self._stem,
                    workflows,
                    deadline=section.deadline,
                    budget=budget,
                )
            except ConfigError as error:
                self._problems += [replace(p, file=self._source.file) for p in error.problems]
        if campaign is None or self._problems:
            end = sys.maxsize  # what has no line comes last
            raise ConfigError(
                *sorted(self._problems, key=lambda p: (p.line or end, p.column or end))
            )
        return LoadedCampaign(
            campaign=replace(campaign, policy=section.policy),
            cluster=cluster,
            execution_schema=section.execution_schema,
            warnings=tuple(self._all_warnings()),
        )

    def _problem(self, key: Key, message: str, hint: str | None = None) -> None:
        self._problems.append(self._source.problem(key, message, hint))

    # The campaign itself

    def _cluster(self, resource: object) -> Cluster | None:
        if self._override is not None:
            return load_cluster(self._override)
        if resource is None:
            self._warnings.append(f"no resource is named: taking {DEFAULT_CLUSTER}")
            return load_cluster(DEFAULT_CLUSTER)
        if not isinstance(resource, str):
            return None  # the campaign section's own problem
        try:
            return load_cluster(resource, folder=self._folder)
        except ConfigError as error:
            self._problems += [
                p if p.file else self._source.problem(("campaign", "resource"), p.message, p.hint)
                for p in error.problems
            ]
            return None

    def _budget(self, section: CampaignSection, cluster: Cluster) -> Budget:
        cores, nodes = section.requested_resources, section.resources.nodes
        per_node = section.resources.cores_per_node
        have = sorted({p.cores for p in cluster.partitions})
        if per_node is not None and per_node not in have:
            self._warnings.append(
                f"cores-per-node is {per_node}, but nodes of {cluster.name} have "
                f"{' or '.join(map(str, have))}: the cluster's figure counts"
            )
        if cores is not None and nodes is not None and cores > nodes * max(have):
            self._problem(
                ("campaign", "requested_resources"),
                f"requested_resources = {cores} cores are more than {nodes} nodes of "
                f"{max(have)} cores have",
                "leave one of them out",
            )
        return Budget(cores=cores, nodes=nodes)

    def _refuse_strangers(self, data: Mapping[str, object], known: set[str]) -> None:
        for name in data:
            if name not in known:
                self._problem(
                    (name,),
                    f"unknown section [{name}]",
                    did_you_mean(name, known) or f"did you mean [campaign.{name}]?",
                )

    def _refuse_unknown_sections(self, sections: Mapping[str, object]) -> None:
        known = [
            *(n.replace("_", "-") for n in CampaignSection.model_fields),
            *(n for n in WORKFLOW_TYPES if n != _STAGE),
            *GROUPS,
        ]
        for name in sections:
            if name in GROUPS:
                value = sections[name]
                inner = (
                    [n for n, v in value.items() if isinstance(v, Mapping)]
                    if isinstance(value, Mapping)
                    else []
                )
                tests = [n for n in inner if n not in ("resources", "environment")]
                for test in tests or [None]:
                    key = ("campaign", name) if test is None else ("campaign", name, test)
                    self._problem(key, f"[{'.'.join(map(str, key))}]: {GROUPS[name]}")
            else:
                self._problem(
                    ("campaign", name),
                    f"unknown key {name!r} in campaign",
                    did_you_mean(name, known) or f"known are {', '.join(sorted(known))}",
                )

    # Workflows

    def _typed_workflows(
        self, sections: Mapping[str, object], campaign: CampaignSection, cluster: Cluster
    ) -> Iterator[Workflow]:
        """Read the sections ``[campaign.<type>]``, each one workflow or several."""
        types = {n: s for n, s in sections.items() if n in WORKFLOW_TYPES and n != _STAGE}
        self._refuse_unknown_sections({n: s for n, s in sections.items() if n not in types})
        drafts: list[tuple[str, Key, Mapping[str, object]]] = []
        for kind, value in types.items():
            several = isinstance(value, list)
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                key: Key = ("campaign", kind, index) if several else ("campaign", kind)
                if isinstance(item, Mapping):
                    drafts.append((kind, key, item))
                else:
                    self._problem(key, f"[campaign.{kind}] is a table, not {item!r}")
        unnamed = Counter(kind for kind, _, item in drafts if "name" not in item)
        numbers: Counter[str] = Counter()
        named: list[tuple[str, str, Key, Mapping[str, object]]] = []
        for kind, key, item in drafts:
            if "name" in item:
                name = str(item["name"])
            else:
                numbers[kind] += 1
                name = f"{kind}-{numbers[kind]}" if unnamed[kind] > 1 else kind
            named.append((name, kind, key, item))
        by_kind: dict[str, list[str]] = {}
        for name, kind, _, _ in named:
            by_kind.setdefault(kind, []).append(name)
        names = {name for name, *_ in named}
        for name, kind, key, item in named:
            workflow = self._workflow(name, kind, key, item, campaign, cluster)
            self._check_depends(item, key, name, names | set(by_kind))
            if workflow is not None:
                depends = [
                    other
                    for d in workflow.depends
                    for other in ([d] if d in names else by_kind.get(d, [d]))
                    if other != name or d == name
                ]
                yield replace(workflow, depends=tuple(dict.fromkeys(depends)))

    def _stages(
        self, stages: object, campaign: CampaignSection, cluster: Cluster
    ) -> Iterator[Workflow]:
        """Read the ``stages`` of a DAG."""
        if not isinstance(stages, Mapping):
            self._problem(("stages",), "stages is a table of stages by name")
            return
        for name, item in stages.items():
            key: Key = ("stages", name)
            if not isinstance(item, Mapping):
                self._problem(key, f"stages.{name} is a table, not {item!r}")
            elif "name" in item:
                self._problem((*key, "name"), "the name of a stage is its key")
            else:
                self._check_depends(item, key, name, set(stages))
                if workflow := self._workflow(name, _STAGE, key, item, campaign, cluster):
                    yield workflow

    def _check_depends(
        self, item: Mapping[str, object], key: Key, name: str, known: set[str]
    ) -> None:
        """Complain of dependencies that nothing is called by."""
        for index, other in enumerate(_names(item.get("depends"))):
            if other not in known:
                self._problem(
                    (*key, "depends", index),
                    f"{name!r} depends on {other!r}, which is not in the campaign",
                    did_you_mean(other, known - {name}),
                )

    def _workflow(
        self,
        name: str,
        kind: str,
        key: Key,
        item: Mapping[str, object],
        campaign: CampaignSection,
        cluster: Cluster,
    ) -> Workflow | None:
        """Read one workflow: what all of them have, and the options of its type."""
        workflow_type = WORKFLOW_TYPES[kind]
        common: dict[str, object] = {k: v for k, v in item.items() if snake(k) in _COMMON}
        common["name"] = name
        if common.get("depends") is None or isinstance(common["depends"], str):
            common["depends"] = _names(common.get("depends"))
        options = {k: v for k, v in item.items() if snake(k) not in _COMMON}
        before = len(self._problems)
        section = read_section(WorkflowSection, common, self._source, key, self._problems)
        read_options = read_section(
            workflow_type.options,
            options,
            self._source,
            key,
            self._problems,
            also_known=tuple(k.replace("_", "-") for k in sorted(_COMMON)),
        )
        if section is None or read_options is None or len(self._problems) > before:
            return None
        base = self._base(section, campaign)
        expanded = self._expand_options(read_options, base)
        for lack in workflow_type.lacks(expanded):
            self._warnings.append(f"{name}: {lack} is not given; a run would need it")
        inputs = workflow_type.inputs(expanded)
        self._missing.update(dict.fromkeys(f for f in inputs if not Path(f).exists()))
        return Workflow(
            name=name,
            kind=kind,
            command=workflow_type.command(expanded),
            request=self._request(name, key, section.resources, cluster),
            depends=section.depends,
            environment={
                variable: self._expand(_text(value))
                for variable, value in {**campaign.environment, **section.environment}.items()
            },
            directory=str(base) if section.base_path or campaign.base_path else None,
            inputs=inputs,
            description=section.description or section.note,
        )

    def _base(self, section: WorkflowSection, campaign: CampaignSection) -> Path:
        """Return what relative paths of a workflow are relative to."""
        base = section.base_path or campaign.base_path
        if base is None:
            return self._folder.absolute()
        return (self._folder / local_path(self._expand(base))).absolute()

    def _expand_options(self, options: Options, base: Path) -> Options:
        """Put in environment variables; make the script's path a whole one."""
        values = {n: self._expand_all(v) for n, v in options if n in options.model_fields_set}
        if isinstance(script := values.get("script"), str):
            values["script"] = str(base / script)
        return options.model_copy(update=values)

    def _expand_all(self, value: object) -> object:
        if isinstance(value, str):
            return self._expand(value)
        if isinstance(value, tuple):
            return tuple(self._expand_all(v) for v in value)
        if isinstance(value, list):
            return [self._expand_all(v) for v in value]
        if isinstance(value, dict):
            return {k: self._expand_all(v) for k, v in value.items()}
        return value

    def _expand(self, text: str) -> str:
        """Replace ``$VAR`` and ``${VAR}`` by their values, and ``$$`` by a dollar."""

        def value(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name = match[1] or match[2]
            if name not in os.environ:
                self._undefined.add(name)
            return os.environ.get(name, match[0])

        return re.sub(r"\$\$|\$(\w+)|\$\{(\w+)\}", value, text)

    def _request(
        self, name: str, key: Key, section: ResourcesSection, cluster: Cluster
    ) -> ResourceRequest:
        """Resolve a request: whatever way its memory is given, it is for the whole workflow."""
        resources = (*key, "resources")
        ways = ("memory", "memory_per_rank", "memory_per_cpu", "memory_per_node")
        given = [way for way in ways if getattr(section, way) is not None]
        if len(given) > 1:
            listed = " and ".join(way.replace("_", "-") for way in given)
            self._problem(resources, f"{name}: {listed} are both given", "keep one of them")
        if section.walltime is not None and section.walltime < section.runtime:
            self._problem(
                (*resources, "walltime"),
                f"{name}: walltime is shorter than runtime, so it would be killed",
                "give a longer walltime, or leave it out",
            )
        ranks, threads = section.ranks, section.threads
        request = ResourceRequest(
            **section.model_dump(exclude=set(ways)),
            memory=section.memory or 0,
        )
        if section.memory_per_rank is not None:
            return replace(request, memory=section.memory_per_rank * ranks)
        if section.memory_per_cpu is not None:
            return replace(request, memory=section.memory_per_cpu * ranks * threads)
        if section.memory_per_node is not None:
            # A node full of its ranks holds so much; where nodes differ, the larger total.
            fits = [n for p in cluster.partitions if (n := p.ranks_per_node(request))]
            per_node = min([ranks, *fits])
            return replace(request, memory=-(-section.memory_per_node * ranks // per_node))
        if section.memory is None:
            self._shared_memory.append(name)
            share = min(
                p.memory * request.cores(p.threads_per_core) // p.cores for p in cluster.partitions
            )
            return replace(request, memory=share * ranks)
        return request

    def _all_warnings(self) -> Iterator[str]:
        yield from self._warnings
        if self._shared_memory:
            yield (
                f"memory is not given for {_listed(self._shared_memory)}: "
                "taken as the cores' share of a node"
            )
        if self._undefined:
            unset = _listed([f"${name}" for name in sorted(self._undefined)])
            yield f"not set in the environment: {unset}"
        if self._missing:
            yield f"not found here, and a run would need: {_listed(list(self._missing))}"


def _names(value: object) -> list[str]:
    """Read the names in a list, or in a text with commas.

    Examples
    --------
    >>> _names("map, spectrum"), _names(["map"]), _names(None)
    (['map', 'spectrum'], ['map'], [])
    """
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(names: list[str], most: int = 5) -> str:
    """List names, but not more than a person wants to read.

    Examples
    --------
    >>> _listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
