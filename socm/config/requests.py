"""Section ``resources``: what a workflow asks of a cluster, with its defaults and its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from socm.config.findings import BUILT_IN, Findings
from socm.config.sbatch import SbatchOptions
from socm.config.schema import ResourcesSection
from socm.config.settings import ResourceDefaults, Settings
from socm.config.toml_positions import Key
from socm.model.campaign import ResourceRequest, bad_uses
from socm.model.cluster import Cluster
from socm.model.mode import WALLTIME_FACTOR
from socm.spelling import kebab

_MEMORY = ("memory", "memory_per_rank", "memory_per_cpu", "memory_per_node")


@dataclass(frozen=True, kw_only=True)
class RequestReader:
    """Resolves requests.

    Parameters
    ----------
    findings
        Collects what is wrong, and the origin of each value.
    cluster, settings
        The sources of defaults.
    limits
        The counted resources of the campaign.
    """

    findings: Findings
    cluster: Cluster
    settings: Settings
    limits: Mapping[str, int]

    def read(self, name: str, key: Key, section: ResourcesSection) -> ResourceRequest:
        """Return the request of a workflow; its memory is that of all ranks together."""
        findings, resources = self.findings, (*key, "resources")
        given = [way for way in _MEMORY if getattr(section, way) is not None]
        if len(given) > 1:
            both = " and ".join(kebab(way) for way in given)
            findings.problem(resources, f"{name}: {both} are both given", "keep one of them")
        if section.walltime is not None and section.walltime < section.runtime:
            findings.problem(
                (*resources, "walltime"),
                f"{name}: walltime is shorter than runtime, so it would be killed",
                "give a longer walltime, or leave it out",
            )
        for used, message, hint in bad_uses(section.uses, self.limits):
            findings.problem((*resources, "uses", used), f"{name}: {message}", hint)
        values = {k: v for k, v in section if k not in (*_MEMORY, *SbatchOptions.model_fields)}
        outside: dict[str, str] = {}
        for default in ResourceDefaults.model_fields:
            setting = self.settings.over("resources", default)
            if setting is None and default not in section.model_fields_set:
                setting = self.settings.under("resources", default)
            if setting is not None:
                values[default], outside[default] = setting.value, setting.origin
        request = ResourceRequest(**values)
        if 0 in (section.memory, section.memory_per_node):
            request = replace(request, whole_memory=True)
        else:
            request = replace(request, memory=self._memory(name, section, request))
        if findings.explain:
            origins = {k: self._origin(resources, k) for k in section.model_fields_set} | outside
            self._explain(name, request, origins, given)
        return request

    def _memory(self, name: str, section: ResourcesSection, request: ResourceRequest) -> int:
        """Return the MB of the whole workflow, in whichever way they are given."""
        ranks = request.ranks
        if section.memory_per_rank is not None:
            return section.memory_per_rank * ranks
        if section.memory_per_cpu is not None:
            return section.memory_per_cpu * ranks * request.threads
        if section.memory_per_node is not None:
            # That is for a node full of ranks; where nodes differ, the larger total is safe.
            fits = [n for p in self.cluster.partitions if (n := p.ranks_per_node(request))]
            return -(-section.memory_per_node * ranks // min([ranks, *fits]))
        if section.memory is not None:
            return section.memory
        self.findings.without_memory(name)
        share = min(
            p.default_memory_per_core * request.cores(p.threads_per_core)
            if p.default_memory_per_core is not None
            else p.memory * request.cores(p.threads_per_core) // p.cores
            for p in self.cluster.partitions
            if p.name == request.partition or request.partition not in self.cluster.by_partition
        )
        return share * ranks

    def _origin(self, resources: Key, name: str) -> str:
        """Return file and line of a key of ``resources``."""
        source = self.findings.source
        lines = [source.problem((*resources, n), "").line or 1 for n in (name, kebab(name))]
        return f"{source.file}:{max(lines)}"

    def _explain(
        self,
        name: str,
        request: ResourceRequest,
        origins: Mapping[str, str],
        given: Sequence[str],
    ) -> None:
        """Note each value of ``resources`` and its origin."""
        memory = f"{origins[given[0]]} ({kebab(given[0])})" if given else "the cores' share"
        why = {
            "walltime": f"{WALLTIME_FACTOR:g} × runtime, by the planner",
            **origins,
            "memory": origins["memory"] if given == ["memory"] else memory,
        }
        for each in fields(request):
            if each.name == "whole_memory":
                continue  # the memory says so
            value = getattr(request, each.name)
            if each.name == "uses" and not value:
                continue  # few workflows have any
            self.findings.resolve(name, each.name, value, why.get(each.name, BUILT_IN))
