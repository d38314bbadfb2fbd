"""The workflows of a campaign file: what its sections become."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from socm.config.drafts import COMMON, Draft, DraftReader
from socm.config.findings import Findings
from socm.config.reading import read_section
from socm.config.requests import RequestReader
from socm.config.schema import CampaignSection, WorkflowSection
from socm.config.settings import Settings
from socm.config.toml_positions import Key
from socm.config.variables import Variables
from socm.errors import MOST_TOLD, ConfigError, did_you_mean
from socm.model.campaign import Workflow
from socm.model.cluster import Cluster
from socm.spelling import kebab, snake
from socm.workflows import WORKFLOW_TYPES, Context
from socm.workflows.base import Once, local_path, text_of


@dataclass(kw_only=True)
class WorkflowReader:
    """Reads the workflows of a campaign.

    Parameters
    ----------
    findings
        Collects problems, warnings and notes.
    campaign, cluster, settings
        The sources of defaults.
    folder
        The folder of the campaign file.
    assume_splits
        Whether to assume that splits exist where observations cannot be read.
    """

    findings: Findings
    campaign: CampaignSection
    cluster: Cluster
    settings: Settings
    folder: Path
    assume_splits: bool = False
    _once: Once = field(default_factory=Once)
    _claims: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _requests(self) -> RequestReader:
        return RequestReader(
            findings=self.findings,
            cluster=self.cluster,
            settings=self.settings,
            limits=self.campaign.limits,
        )

    def typed(self, sections: Mapping[str, object]) -> Iterator[Workflow]:
        """Yield the workflows of sections of workflow types.

        A dependency on a section, a type or a group is one on all of its workflows.
        """
        expanded = [(d, self._workflows(d)) for d in DraftReader(self.findings).typed(sections)]
        taken: dict[str, Key] = {}
        members: dict[str, list[str]] = {}
        for draft, workflows in expanded:
            for workflow in workflows or ():
                if workflow.name in taken:
                    message = f"two workflows are called {workflow.name!r}"
                    self.findings.problem(draft.key, message, "give one of the sections a name")
                taken[workflow.name] = draft.key
            for name in (draft.name, draft.kind, *draft.groups):
                # A section whose options are wrong still counts as known.
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
        """Yield the workflows of the ``stages`` of a DAG."""
        known = set(stages) if isinstance(stages, Mapping) else set()
        for draft in DraftReader(self.findings).stages(stages):
            self._check_depends(draft, known)
            yield from self._workflows(draft) or ()

    def _check_depends(self, draft: Draft, known: AbstractSet[str]) -> None:
        """Add a problem for each dependency that is not the name of anything."""
        for index, other in enumerate(draft.depends):
            if other not in known:
                few = len(self.findings.problems) < MOST_TOLD
                self.findings.problem(
                    (*draft.key, "depends", index),
                    f"{draft.name!r} depends on {other!r}, which is not in the campaign",
                    did_you_mean(other, sorted(known - {draft.name})) if few else None,
                )

    def _workflows(self, draft: Draft) -> Sequence[Workflow] | None:
        """Read the common keys and the options of the type; return `None` if any is wrong."""
        findings, (name, kind, _, key, item) = self.findings, draft
        positions = findings.source.positions
        workflow_type = WORKFLOW_TYPES[kind]
        common: dict[str, object] = {k: v for k, v in item.items() if snake(k) in COMMON}
        common["name"] = name
        if common.get("depends") is None or isinstance(common["depends"], str):
            common["depends"] = draft.depends
        options = {k: v for k, v in item.items() if snake(k) not in COMMON}
        before = len(findings.problems)
        section = read_section(
            WorkflowSection,
            common,
            findings.source,
            key,
            findings.problems,
            written_at=lambda place: draft.written_at(place, positions),
        )
        read_options = read_section(
            workflow_type.options,
            options,
            findings.source,
            key,
            findings.problems,
            also_known=tuple(kebab(k) for k in sorted(COMMON)),
            written_at=lambda place: draft.written_at(place, positions),
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
            request=self._requests.read(name, key, section.resources),
            options={**self.campaign.sbatch(), **section.resources.sbatch()},
            depends=section.depends,
            priority=section.priority,
            environment={k: variables.text(text_of(value)) for k, value in environment.items()},
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
            claim=lambda path: self._claim(path, name),
        )
        try:
            workflows = workflow_type.expand(expanded, context)
        except ConfigError as error:
            for p in error.problems:
                place = draft.written_at((*key, p.subject) if p.subject else key, positions)
                mine = place[: len(key)] == key
                findings.problem(place, f"{name}: {p.message}" if mine else p.message, p.hint)
            return None
        for made in workflows:
            findings.needs(made.inputs)
        return workflows

    def _claim(self, path: Path, name: str) -> str | None:
        """Note where a section writes, and return which other one does."""
        first = self._claims.setdefault(os.path.normpath(path), name)
        return None if first == name else first

    def _base(self, section: WorkflowSection, variables: Variables) -> Path:
        """Return the folder that relative paths of a workflow start from."""
        base = section.base_path or self.campaign.base_path
        if base is None:
            return self.folder.absolute()
        return (self.folder / local_path(variables.text(base))).absolute()
