"""Campaign files: TOML campaigns of typed workflows, and YAML DAGs of stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from socm.config.cluster import load_cluster
from socm.config.drafts import DraftReader
from socm.config.findings import BUILT_IN, Findings, Resolved
from socm.config.reading import read_section
from socm.config.sbatch import SbatchOptions
from socm.config.schema import BudgetSection, CampaignSection, HoursSection
from socm.config.settings import Setting, Settings, load_settings
from socm.config.source import parse, read
from socm.config.workflows import WorkflowReader
from socm.errors import ConfigError, did_you_mean
from socm.garbage import no_collection
from socm.model.campaign import Budget, Campaign, Schema, Workflow
from socm.model.cluster import Cluster
from socm.model.machine import ALLOCATION, HERE, LOCAL
from socm.spelling import kebab, snake
from socm.words import count, listed

DEFAULT_CLUSTER = "tiger3"


@dataclass(frozen=True, kw_only=True)
class LoadedCampaign:
    """A campaign file, resolved.

    Parameters
    ----------
    campaign, cluster
        What to do, and where.
    warnings
        What would keep a run from working, and what was assumed.
    notes
        Results of sections: the groups of null tests, and the number of maps.
    resolved
        Every value and its origin; empty unless `load_campaign` was asked to explain.
    """

    campaign: Campaign
    cluster: Cluster
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    resolved: tuple[Resolved, ...] = ()


def load_campaign(
    path: Path | str,
    *,
    text: str | None = None,
    cluster: str | None = None,
    policy: str | None = None,
    execution_schema: Schema | None = None,
    explain: bool = False,
    assume_splits: bool = False,
) -> LoadedCampaign:
    """Load a campaign from a TOML or YAML file.

    A file with ``stages`` is a DAG; any other holds sections of workflow types.

    Parameters
    ----------
    path
        The campaign file.
    text
        Its content, if that is not in the file yet.
    cluster, policy
        To use instead of those that the file names: a cluster's name or file, a policy's name.
    execution_schema
        Where to plan for if neither the campaign nor `cluster` says so; ``"local"`` is this
        machine, ``"batch"`` the allocation that this process is in.
    explain
        Whether `LoadedCampaign.resolved` lists the origin of each value.
    assume_splits
        Whether to assume that every split of a null test exists where the observations cannot be
        read; such a campaign can be planned and simulated, but not run.

    Raises
    ------
    ConfigError
        With every problem in the file.
    """
    path = Path(path)
    settings = load_settings()
    with no_collection():  # a long file makes a million objects
        source = read(path) if text is None else parse(path, text)
        findings = Findings(source=source, explain=explain)
        reader = _CampaignReader(
            findings=findings,
            settings=settings,
            path=path,
            override=cluster,
            policy=policy,
            default_schema=execution_schema,
            assume_splits=assume_splits,
        )
        return reader.load()


@dataclass(kw_only=True)
class _CampaignReader:
    findings: Findings
    settings: Settings
    path: Path
    override: str | None
    policy: str | None
    default_schema: Schema | None
    assume_splits: bool

    def load(self) -> LoadedCampaign:
        from socm.planner.policies import POLICIES  # NumPy comes with the planner

        findings, data = self.findings, self.findings.source.data
        if "campaign" not in data and "stages" not in data:
            hints = (did_you_mean(name, ["campaign", "stages"]) for name in data)
            hint = next((h for h in hints if h), "begin with [campaign]")
            findings.problem((next(iter(data)),), "there is no campaign section", hint)
            findings.raise_problems()
        body = data.get("campaign", {})
        if not isinstance(body, Mapping):
            findings.problem(("campaign",), "campaign is a table")
            findings.raise_problems()
            raise AssertionError("there was a problem to raise")
        own = {k: v for k, v in body.items() if snake(k) in CampaignSection.model_fields}
        sections = {k: v for k, v in body.items() if k not in own}
        section = self._section(own)
        cluster = self._cluster(section, own)
        if section is not None and section.policy not in POLICIES:
            findings.problem(("campaign", "policy"), *POLICIES.unknown(section.policy))
        # With a problem in either, go on with defaults: all problems are reported at once.
        workflows = self._workflows(
            data,
            sections,
            section or CampaignSection(),
            cluster or load_cluster(DEFAULT_CLUSTER),
        )
        if cluster is not None and cluster.name in HERE:
            workflows = self._without_a_queue(workflows, HERE[cluster.name])
        if not workflows and not findings.problems:
            # The last warning about a section is that it has no workflows.
            why = [*findings.warnings_of_sections()]
            message = "there are no workflows in this campaign"
            findings.problem(("campaign",), message, why[-1] if why else None)
        budget = Budget()
        if section is not None and cluster is not None:
            budget = self._budget(section, cluster)
        findings.raise_problems()
        assert section is not None
        assert cluster is not None
        return LoadedCampaign(
            campaign=self._campaign(section, workflows, budget),
            cluster=cluster,
            warnings=tuple(findings.warnings()),
            notes=tuple(findings.notes),
            resolved=tuple(findings.resolved),
        )

    def _campaign(
        self, section: CampaignSection, workflows: list[Workflow], budget: Budget
    ) -> Campaign:
        try:
            return Campaign.of(
                section.name or self.path.stem,
                workflows,
                deadline=section.deadline,
                budget=budget,
                limits=section.limits,
                policy=self.policy or section.policy,
                retries=section.retries,
                execution_schema=section.execution_schema,
                source=str(self.path.absolute()),
            )
        except ConfigError as error:
            key = "stages" if "stages" in self.findings.source.data else "campaign"
            for p in error.problems:
                subject = (key, p.subject or "", "depends")
                self.findings.problem(subject, p.message, p.hint)
            self.findings.raise_problems()
            raise

    def _without_a_queue(self, workflows: list[Workflow], here: str) -> list[Workflow]:
        """Drop partitions, QOS, accounts and options of sbatch, with a warning."""
        there = ("partition", "qos", "account")
        if any(getattr(w.request, what) for w in workflows for what in there):
            self.findings.warn(f"partitions, QOS and accounts are ignored {here}")
        if options := {name for w in workflows for name in w.options}:
            self.findings.warn(f"ignored {here}: {listed(sorted(options))}")
        nothing: dict[str, Any] = dict.fromkeys(there)
        return [replace(w, request=replace(w.request, **nothing), options={}) for w in workflows]

    def _section(self, own: Mapping[str, object]) -> CampaignSection | None:
        """Read the campaign's own keys, under the environment and over the user's file."""
        findings = self.findings
        section = read_section(
            CampaignSection, own, findings.source, ("campaign",), findings.problems
        )
        if section is None:
            return None
        spelled = {snake(name): name for name in own}
        update: dict[str, object] = {}
        for name in CampaignSection.model_fields:
            setting = self.settings.over("campaign", name)
            if setting is None and name in spelled:
                line = findings.source.problem(("campaign", spelled[name]), "").line
                setting = Setting(getattr(section, name), f"{findings.source.file}:{line}")
            setting = setting or self.settings.under("campaign", name)
            value = setting.value if setting else getattr(section, name)
            if name == "environment":
                under = self.settings.under("campaign", name)
                shared = under.value if under else {}
                assert isinstance(shared, dict)
                value = shared | section.environment
            if name == "resource" and self.override is not None:
                value, setting = self.override, Setting(self.override, "--cluster")
            update[name] = value
            if name == "name" and value is None:
                value, setting = self.path.stem, Setting(None, "the file's name")
            if name == "resource" and value is None:
                value = DEFAULT_CLUSTER
            if isinstance(value, BudgetSection | HoursSection):
                value = {kebab(k): v for k, v in value.model_dump(exclude_none=True).items()}
            if name in SbatchOptions.model_fields and not value:
                continue  # there are many, and few are given
            findings.resolve("campaign", name, value, setting.origin if setting else BUILT_IN)
        return section.model_copy(update=update)

    def _cluster(
        self, section: CampaignSection | None, own: Mapping[str, object]
    ) -> Cluster | None:
        resource = section.resource if section is not None else own.get("resource")
        schema = (section.execution_schema if section else None) or self.default_schema
        if LOCAL in (self.override, schema if self.override is None else None):
            named = own.get("resource")
            if named not in (None, LOCAL):
                self.findings.warn(f"planning for this machine, not for {named}")
            return load_cluster(LOCAL)
        if self.override is None and schema == self.default_schema == "batch":
            if own.get("resource") is not None:
                self.findings.warn(f"planning for this allocation, not for {own['resource']}")
            return load_cluster(ALLOCATION)
        if self.override is not None:
            return load_cluster(self.override)
        if resource is None:
            self.findings.warn(f"no resource is given: assuming {DEFAULT_CLUSTER}")
            return load_cluster(DEFAULT_CLUSTER)
        if not isinstance(resource, str):
            return None  # the campaign section's own problem
        folder = self.path.parent if own.get("resource") == resource else None
        try:
            return load_cluster(resource, folder=folder)
        except ConfigError as error:
            for p in error.problems:
                if p.file:
                    self.findings.problems.append(p)
                else:
                    self.findings.problem(("campaign", "resource"), p.message, p.hint)
            return None

    def _budget(self, section: CampaignSection, cluster: Cluster) -> Budget:
        cores, nodes = section.requested_resources, section.resources.nodes
        per_node = section.resources.cores_per_node
        have = sorted({p.cores for p in cluster.partitions})
        if per_node is not None and per_node not in have:
            self.findings.warn(
                f"cores-per-node is {per_node}, but nodes of {cluster.name} have "
                f"{' or '.join(map(str, have))}: the cluster's figure is used"
            )
        if cores is not None and nodes is not None and cores > nodes * max(have):
            self.findings.problem(
                ("campaign", "requested_resources"),
                f"requested_resources = {cores} cores are more than "
                f"{count(nodes, 'node')} of {max(have)} cores",
                "leave one of them out",
            )
        return Budget(cores=cores, nodes=nodes, **section.budget.model_dump())

    def _workflows(
        self,
        data: Mapping[str, object],
        sections: Mapping[str, object],
        section: CampaignSection,
        cluster: Cluster,
    ) -> list[Workflow]:
        reader = WorkflowReader(
            findings=self.findings,
            campaign=section,
            cluster=cluster,
            settings=self.settings,
            folder=self.path.parent,
            assume_splits=self.assume_splits,
        )
        if "stages" in data:
            DraftReader(self.findings).refuse(sections)
            return [*reader.stages(data["stages"])]
        for name in data:
            if name != "campaign":
                hint = did_you_mean(name, ["campaign"]) or f"did you mean [campaign.{name}]?"
                self.findings.problem((name,), f"unknown section [{name}]", hint)
        return [*reader.typed(sections)]
