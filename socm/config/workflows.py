"""The workflows of a campaign file: sections of workflow types, and stages of a DAG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from socm.config.findings import BUILT_IN, Findings
from socm.config.reading import read_section
from socm.config.schema import (
    CampaignSection,
    ResourcesSection,
    Scalar,
    WorkflowSection,
)
from socm.config.settings import ResourceDefaults, Settings
from socm.config.toml_positions import Key
from socm.config.variables import Variables
from socm.errors import ConfigError, did_you_mean
from socm.model.campaign import ResourceRequest, Workflow
from socm.model.cluster import WALLTIME_FACTOR, Cluster
from socm.spelling import kebab, snake
from socm.workflows import WORKFLOW_TYPES, Context, groups_of
from socm.workflows.base import Once, local_path

STAGE = "stage"
_COMMON = frozenset(WorkflowSection.model_fields)


class _Draft(NamedTuple):
    """A section that is to be a workflow."""

    name: str
    kind: str
    groups: tuple[str, ...]
    key: Key
    data: Mapping[str, object]


@dataclass(kw_only=True)
class WorkflowReader:
    """Reads workflows in the light of their campaign.

    Parameters
    ----------
    findings
        Takes what is wrong, and what is to be told.
    campaign, cluster, settings
        What their defaults depend on.
    folder
        Of the campaign file.
    assume_splits
        Whether splits may be taken as present where observations cannot be read.
    """

    findings: Findings
    campaign: CampaignSection
    cluster: Cluster
    settings: Settings
    folder: Path
    assume_splits: bool = False
    _once: Once = field(default_factory=Once)

    def typed(self, sections: Mapping[str, object]) -> Iterator[Workflow]:
        """Read sections ``[campaign.<type>]`` and ``[campaign.<group>.<type>]``."""
        drafts = [*self._drafts(sections)]
        expanded = [(draft, self._workflows(draft)) for draft in drafts]
        taken: dict[str, Key] = {}
        members: dict[str, list[str]] = {}
        for draft, workflows in expanded:
            for workflow in workflows or ():
                if workflow.name in taken:
                    message = f"two workflows are called {workflow.name!r}"
                    self.findings.problem(draft.key, message, "give one of the sections a name")
                taken[workflow.name] = draft.key
            for name in (draft.name, draft.kind, *draft.groups):
                # A section whose options are wrong is not unknown for that.
                names = [draft.name] if workflows is None else [w.name for w in workflows]
                members.setdefault(name, []).extend(names)
        for draft, workflows in expanded:
            self._check_depends(draft, taken.keys() | members.keys())
            for workflow in workflows or ():
                depends = [
                    other
                    for d in workflow.depends
                    for other in ([d] if d in taken else members.get(d, [d]))
                    if other != workflow.name or d == workflow.name
                ]
                yield replace(workflow, depends=tuple(dict.fromkeys(depends)))

    def stages(self, stages: object) -> Iterator[Workflow]:
        """Read the ``stages`` of a DAG."""
        if not isinstance(stages, Mapping):
            self.findings.problem(("stages",), "stages is a table of stages by name")
            return
        known = set(stages)
        for name, item in stages.items():
            key: Key = ("stages", name)
            if not isinstance(item, Mapping):
                self.findings.problem(key, f"stages.{name} is a table, not {item!r}")
            elif "name" in item:
                self.findings.problem((*key, "name"), "the name of a stage is its key")
            else:
                draft = _Draft(name, STAGE, (), key, item)
                self._check_depends(draft, known)
                yield from self._workflows(draft) or ()

    # Sections

    def _drafts(self, sections: Mapping[str, object]) -> Iterator[_Draft]:
        """Name each section: as it says, else like its type, numbered where there are several."""
        found = [*self._sections(sections, ("campaign",), (), {})]
        unnamed = Counter(kind for kind, _, _, item in found if "name" not in item)
        numbers: Counter[str] = Counter()
        for kind, groups, key, item in found:
            if "name" in item:
                name = str(item["name"])
            else:
                numbers[kind] += 1
                last = kind.rpartition(".")[2]
                name = f"{last}-{numbers[kind]}" if unnamed[kind] > 1 else last
            yield _Draft(name, kind, groups, key, item)

    def _sections(
        self,
        sections: Mapping[str, object],
        key: Key,
        groups: tuple[str, ...],
        inherited: Mapping[str, object],
    ) -> Iterator[tuple[str, tuple[str, ...], Key, Mapping[str, object]]]:
        """Yield type, groups, key and content of each section; a member's own keys win."""
        for name, value in sections.items():
            kind = ".".join((*groups, name))
            if kind in self._groups and isinstance(value, Mapping):
                yield from self._group(kind, value, (*key, name), groups, inherited)
            elif kind in WORKFLOW_TYPES and kind != STAGE:
                several = isinstance(value, list)
                for index, item in enumerate(value if isinstance(value, list) else [value]):
                    place: Key = (*key, name, index) if several else (*key, name)
                    if isinstance(item, Mapping):
                        yield kind, groups, place, _inherit(inherited, item)
                    else:
                        dotted = ".".join(map(str, (*key, name)))
                        self.findings.problem(place, f"[{dotted}] is a table, not {item!r}")
            else:
                self.refuse({name: value}, key, groups)

    def _group(
        self,
        group: str,
        value: Mapping[str, object],
        key: Key,
        groups: tuple[str, ...],
        inherited: Mapping[str, object],
    ) -> Iterator[tuple[str, tuple[str, ...], Key, Mapping[str, object]]]:
        members = self._groups[group]
        mine = {n: v for n, v in value.items() if n in members}
        shared = _inherit(inherited, {n: v for n, v in value.items() if n not in mine})
        for name, item in [*shared.items()]:
            if isinstance(item, Mapping) and name not in ("resources", "environment"):
                hint = did_you_mean(name, members) or f"known are {', '.join(members)}"
                self.findings.problem((*key, name), f"unknown section {name!r} in {group}", hint)
                del shared[name]
        if not mine:
            self.findings.problem(key, f"[{'.'.join(map(str, key))}] has none of its sections")
        knows = {
            name: _COMMON | WORKFLOW_TYPES[f"{group}.{name}"].options.model_fields.keys()
            for name in mine
        }
        for name, item in mine.items():
            # What is only for others of the group is not for this one.
            others = {field for other in knows.values() for field in other} - knows[name]
            fitting = {n: v for n, v in shared.items() if snake(n) not in others}
            yield from self._sections({name: item}, key, (*groups, group), fitting)

    def refuse(
        self,
        sections: Mapping[str, object],
        key: Key = ("campaign",),
        groups: tuple[str, ...] = (),
    ) -> None:
        """Complain of keys that are neither the campaign's own nor sections of workflows."""
        known = [
            *(kebab(n) for n in CampaignSection.model_fields),
            *(n for n in WORKFLOW_TYPES if n != STAGE and "." not in n),
            *self._groups,
        ]
        for name in sections:
            if name in self._groups or name in WORKFLOW_TYPES:
                message = f"[campaign.{name}] and stages do not go together"
                self.findings.problem((*key, name), message, "make it a stage")
                continue
            where = ".".join(("campaign", *groups))
            hint = did_you_mean(name, known) or f"known are {', '.join(sorted(known))}"
            self.findings.problem((*key, name), f"unknown key {name!r} in {where}", hint)

    def _check_depends(self, draft: _Draft, known: set[str]) -> None:
        """Complain of dependencies that nothing is called by."""
        for index, other in enumerate(_names(draft.data.get("depends"))):
            if other not in known:
                self.findings.problem(
                    (*draft.key, "depends", index),
                    f"{draft.name!r} depends on {other!r}, which is not in the campaign",
                    did_you_mean(other, known - {draft.name}),
                )

    # One section

    def _workflows(self, draft: _Draft) -> Sequence[Workflow] | None:
        """Read what all sections have, and the options of the type; `None` if either is wrong."""
        findings, (name, kind, _, key, item) = self.findings, draft
        workflow_type = WORKFLOW_TYPES[kind]
        common: dict[str, object] = {k: v for k, v in item.items() if snake(k) in _COMMON}
        common["name"] = name
        if common.get("depends") is None or isinstance(common["depends"], str):
            common["depends"] = _names(common.get("depends"))
        options = {k: v for k, v in item.items() if snake(k) not in _COMMON}
        before = len(findings.problems)
        section = read_section(
            WorkflowSection,
            common,
            findings.source,
            key,
            findings.problems,
            written_at=lambda place: self._written_at(draft, place),
        )
        read_options = read_section(
            workflow_type.options,
            options,
            findings.source,
            key,
            findings.problems,
            also_known=tuple(kebab(k) for k in sorted(_COMMON)),
            written_at=lambda place: self._written_at(draft, place),
        )
        if section is None or read_options is None or len(findings.problems) > before:
            return None
        variables = Variables()
        base = self._base(section, variables)
        given = {
            n: variables.expand(v) for n, v in read_options if n in read_options.model_fields_set
        }
        expanded = read_options.model_copy(update=given).under(base)
        environment = {**self.campaign.environment, **section.environment}
        workflow = Workflow(
            name=name,
            kind=kind,
            request=self._request(name, key, section.resources),
            depends=section.depends,
            priority=section.priority,
            environment={k: variables.text(_text(value)) for k, value in environment.items()},
            modules=(*self.campaign.modules, *section.modules),
            setup=(*self.campaign.setup, *section.setup),
            launcher=section.launcher or self.campaign.launcher,
            outputs=tuple(variables.text(path) for path in section.outputs),
            skip_if_outputs_exist=section.skip_if_outputs_exist,
            directory=str(base) if section.base_path or self.campaign.base_path else None,
            description=section.description or section.note,
            unset=tuple(variables.unset),
        )
        findings.not_set(variables.unset)
        context = Context(
            section=workflow,
            named="name" in item,
            base=base,
            cluster=self.cluster,
            assume=self.assume_splits,
            once=self._once,
            warn=lambda message: findings.warn_of(name, message),
            tell=lambda message: findings.tell(f"{name}: {message}"),
        )
        try:
            workflows = workflow_type.expand(expanded, context)
        except ConfigError as error:
            for p in error.problems:
                place = self._written_at(draft, (*key, p.subject) if p.subject else key)
                mine = place[: len(key)] == key
                findings.problem(place, f"{name}: {p.message}" if mine else p.message, p.hint)
            return None
        for made in workflows:
            findings.needs(made.inputs)
        return workflows

    def _written_at(self, draft: _Draft, place: Key) -> Key:
        """Return where a value of a section is in the file: there, or in a group around it."""
        positions = self.findings.source.positions
        rest = place[len(draft.key) :]
        homes = [draft.key, *(draft.key[: 1 + n] for n in range(len(draft.groups), 0, -1))]
        places = [(*home, *rest) for home in homes]
        return next((p for p in places if rest and p in positions), place)

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        return groups_of(WORKFLOW_TYPES)

    def _base(self, section: WorkflowSection, variables: Variables) -> Path:
        """Return the folder that relative paths of a workflow start from."""
        base = section.base_path or self.campaign.base_path
        if base is None:
            return self.folder.absolute()
        return (self.folder / local_path(variables.text(base))).absolute()

    def _request(self, name: str, key: Key, section: ResourcesSection) -> ResourceRequest:
        """Resolve a request: whatever way its memory is given, it is for the whole workflow."""
        findings, resources = self.findings, (*key, "resources")
        ways = ("memory", "memory_per_rank", "memory_per_cpu", "memory_per_node")
        given = [way for way in ways if getattr(section, way) is not None]
        if len(given) > 1:
            both = " and ".join(kebab(way) for way in given)
            findings.problem(resources, f"{name}: {both} are both given", "keep one of them")
        if section.walltime is not None and section.walltime < section.runtime:
            findings.problem(
                (*resources, "walltime"),
                f"{name}: walltime is shorter than runtime, so it would be killed",
                "give a longer walltime, or leave it out",
            )
        values = {k: v for k, v in section if k not in ways}
        outside: dict[str, str] = {}
        for default in ResourceDefaults.model_fields:
            said = default in section.model_fields_set
            setting = self.settings.over("resources", default)
            if setting is None and not said:
                setting = self.settings.under("resources", default)
            if setting is not None:
                values[default], outside[default] = setting.value, setting.origin
        request = ResourceRequest(**values, memory=section.memory or 0)
        request = replace(request, memory=self._memory(name, section, request))
        if findings.explain:
            origins = {k: self._origin(resources, k) for k in section.model_fields_set} | outside
            self._show(name, request, origins, given)
        return request

    def _memory(self, name: str, section: ResourcesSection, request: ResourceRequest) -> int:
        """Return the MB of the whole workflow, in whichever way they are given."""
        ranks = request.ranks
        if section.memory_per_rank is not None:
            return section.memory_per_rank * ranks
        if section.memory_per_cpu is not None:
            return section.memory_per_cpu * ranks * request.threads
        if section.memory_per_node is not None:
            # A node full of its ranks holds so much; where nodes differ, the larger total.
            fits = [n for p in self.cluster.partitions if (n := p.ranks_per_node(request))]
            return -(-section.memory_per_node * ranks // min([ranks, *fits]))
        if section.memory is not None:
            return section.memory
        self.findings.without_memory(name)
        share = min(
            p.memory * request.cores(p.threads_per_core) // p.cores
            for p in self.cluster.partitions
            if p.name == request.partition or request.partition not in self.cluster.by_partition
        )
        return share * ranks

    def _origin(self, resources: Key, name: str) -> str:
        """Return file and line of a key of ``resources``."""
        source = self.findings.source
        place = source.problem((*resources, kebab(name)), "")
        other = source.problem((*resources, name), "")
        return f"{source.file}:{max(place.line or 1, other.line or 1)}"

    def _show(
        self, name: str, request: ResourceRequest, origins: Mapping[str, str], given: list[str]
    ) -> None:
        """Note what each key of ``resources`` came to, and why."""
        memory = f"{origins[given[0]]} ({kebab(given[0])})" if given else "share of a node"
        why = {
            **origins,
            "memory": origins["memory"] if given == ["memory"] else memory,
            "walltime": origins.get("walltime", f"{WALLTIME_FACTOR:g} × runtime, by the planner"),
        }
        for each in (
            "ranks", "threads", "cpus", "memory", "gpus", "runtime", "walltime", "spread",
            "partition", "qos", "account",
        ):  # fmt: skip
            value = getattr(request, each)
            self.findings.resolve(name, each, value, why.get(each, BUILT_IN))


def _inherit(shared: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Put a member's own keys over those it shares; tables within are merged key by key."""
    merged = dict(shared)
    spelled = {snake(name): name for name in shared}
    for name, value in own.items():
        old = merged.pop(spelled.get(snake(name), name), None)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _inherit(old, value)
        merged[name] = value
    return merged


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
