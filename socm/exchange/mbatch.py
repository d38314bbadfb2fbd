"""The pipelines of simonsobs/mbatch: stages with scripts, options, dependencies and sizes.

References
----------
https://github.com/simonsobs/mbatch (its README, ``example/example.yml`` and ``mbatch/mbatch.py``);
options become arguments as by the package argunparse
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from socm.errors import ConfigError, did_you_mean
from socm.exchange.batch import settings, taken
from socm.exchange.campaign_file import CampaignFile, resources_section, workflow_names
from socm.exchange.reader import LIMIT_NOTE, Reader, limited
from socm.exchange.source import Document
from socm.model.campaign import ResourceRequest
from socm.model.cluster import Cluster
from socm.units import MINUTE
from socm.words import listed

DEFAULT_WALLTIME = 15 * MINUTE
"""Seconds of a stage that gives no walltime, as mbatch documents it."""
_KNOWN = frozenset(("exec", "script", "depends", "globals", "options", "arg", "parallel"))
_KNOWN_PARALLEL = frozenset(("nproc", "threads", "memory_gb", "min_threads", "walltime"))


def read(document: Document, cluster: Cluster, runtime: int | None) -> CampaignFile:
    """Make a campaign from an mbatch pipeline.

    Parameters
    ----------
    cluster
        The cluster whose nodes a stage without `threads` fills.
    runtime
        Seconds of each stage without a walltime; if `None`, mbatch's default walltime counts.

    Raises
    ------
    ConfigError
        With every problem in the file.
    """
    return _Pipeline(document, cluster, runtime).read()


class _Pipeline(Reader):
    def __init__(self, document: Document, cluster: Cluster, runtime: int | None) -> None:
        super().__init__(document)
        self._cores = max(partition.cores for partition in cluster.partitions)
        self._cluster = cluster
        self._runtime = runtime
        self._project = Path(document.file).name.split(".")[0] or "campaign"
        self._globals = self.mapping(("globals",), document.data.get("globals"))
        self._sections = {
            name: self.mapping(("stages", name), section)
            for name, section in self.mapping(("stages",), document.data.get("stages")).items()
        }
        self._left_out: dict[str, None] = {}
        self._limited: list[str] = []
        self._untimed: list[str] = []
        self._whole_nodes: list[str] = []
        self._by_memory: list[str] = []

    def read(self) -> CampaignFile:
        copies = {name: [*self._copies(name)] for name in self._sections}
        labels = [label for made in copies.values() for label, _ in made]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            self.problem(("stages",), f"two stages would have the name {listed(twice)}")
        names = dict(zip(labels, workflow_names(labels), strict=True))
        stages = {}
        for name, section in self._sections.items():
            parents = [names[x] for parent in self._parents(name) for x, _ in copies[parent]]
            for label, argument in copies[name]:
                stage = {
                    **self._command(name, label, argument),
                    "depends": list(dict.fromkeys(parents)),
                }
                stage = {key: value for key, value in stage.items() if value}
                stages[names[label]] = stage | {"resources": self._resources(name, label)}
            self._leave_out(section, _KNOWN, " of stages")
        if not stages and not self.problems:
            self.problem(("stages",), "there are no stages")
        known = {"stages", "globals", "root_dir"} | taken(self.document.data, self._cluster)
        self._leave_out(self.document.data, frozenset(known))
        if self.problems:
            raise ConfigError(*dict.fromkeys(self.problems))
        return CampaignFile(
            campaign={"name": self._project, "base-path": "."},
            stages=stages,
            head=f"From {Path(self.document.file).name}, a pipeline of mbatch.",
            notes=tuple(self._notes()),
        )

    def _leave_out(
        self, section: Mapping[str, object], known: frozenset[str], where: str = ""
    ) -> None:
        self._left_out |= dict.fromkeys(f"{key}{where}" for key in section if key not in known)

    def _copies(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield each copy of a stage, as many as ``arg`` has values: its name and the value."""
        value = self._sections[name].get("arg")
        texts = self.texts(("stages", name, "arg"), value)
        if isinstance(value, list):
            yield from ((f"{name}_{text}", text) for text in texts)
        else:
            yield name, "".join(texts)

    def _parents(self, name: str) -> Iterator[str]:
        place = ("stages", name, "depends")
        for parent in self.texts(place, self._sections[name].get("depends")):
            if parent in self._sections:
                yield parent
            else:
                message = f"{name!r} depends on {parent!r}, which is not a stage"
                self.problem(place, message, did_you_mean(parent, self._sections))

    def _command(self, name: str, label: str, argument: str) -> dict[str, object]:
        section = self._sections[name]
        for key in ("exec", "script"):
            if not isinstance(section.get(key), str):
                self.problem(("stages", name), f"stage {name!r} lacks {key!r}")
        options = self._options(name)
        short = [
            f"-{key}" if value is True else f"-{key}={value}"
            for key, value in options.items()
            if len(key) == 1
        ]
        long = {key: value for key, value in options.items() if len(key) > 1}
        root = str(self.document.data.get("root_dir") or ".")
        return {
            "executable": section.get("exec"),
            "script": section.get("script"),
            "script-args": [*short, argument] if argument else short,
            "script-kwargs": {
                **{key: _value(value) for key, value in long.items() if value is not True},
                "output-dir": str(PurePosixPath(root, self._project, label)),
            },
            "script-flags": [key for key, value in long.items() if value is True],
        }

    def _options(self, name: str) -> dict[str, object]:
        """Return the stage's own options, and those of its globals."""
        section = self._sections[name]
        options = dict(self.mapping(("stages", name, "options"), section.get("options")))
        place = ("stages", name, "globals")
        for key in self.texts(place, section.get("globals")):
            if key in options:
                self.problem(place, f"{key!r} is both a global and an option of {name!r}")
            elif key not in self._globals:
                message = f"{key!r} is not among the globals"
                self.problem(place, message, did_you_mean(key, self._globals))
            else:
                options[key] = self._globals[key]
        return {k: v for k, v in options.items() if v is not None and v is not False}

    def _resources(self, name: str, label: str) -> dict[str, object]:
        place = ("stages", name, "parallel")
        parallel = self.mapping(place, self._sections[name].get("parallel"))
        own = settings(parallel, self._cluster)
        self._leave_out(parallel, _KNOWN_PARALLEL | taken(parallel, self._cluster), " of parallel")
        ranks = self.count((*place, "nproc"), parallel.get("nproc")) or 1
        gigabytes = self.amount((*place, "memory_gb"), parallel.get("memory_gb"))
        key = "threads" if gigabytes is None else "min_threads"
        threads = self.count((*place, key), parallel.get(key))
        if gigabytes is not None:
            self._by_memory.append(label)
        elif threads is None:
            self._whole_nodes.append(label)
            threads = self._cores
        request = ResourceRequest(
            ranks=ranks,
            threads=threads or 1,
            memory=math.ceil((gigabytes or 0) * 1024) * ranks,
            runtime=self._runtime or 1,
        )
        limit = self.limit((*place, "walltime"), parallel.get("walltime"))
        if limit is not None:
            self._limited.append(label)
        elif self._runtime is None:
            self._untimed.append(label)
            limit = DEFAULT_WALLTIME
        request = request if limit is None else limited(request, limit)
        section = resources_section(request, memory=gigabytes is not None)
        return {**section, **settings(self.document.data, self._cluster), **own}

    def _notes(self) -> Iterator[str]:
        for labels, sentence in (
            (self._limited, LIMIT_NOTE),
            (
                self._untimed,
                "no walltime is given for {}: assuming mbatch's 15 minutes, and a runtime of 10 "
                "minutes",
            ),
            (
                self._whole_nodes,
                f"no threads are given for {{}}: assuming {self._cores}, all cores of a node of "
                f"{self._cluster.name}",
            ),
            (
                self._by_memory,
                "memory_gb is memory here and min_threads is threads; mbatch adds threads to get "
                "the memory: {}",
            ),
        ):
            if labels:
                yield sentence.format(listed(labels))
        yield (
            f"the project is {self._project!r}, after the file's name; each stage has the "
            "--output-dir that mbatch gives it, but the folders are for you to make"
        )
        if twice := self.document.twice:
            yield f"given twice, the last one counts: {listed(twice)}"
        if self._left_out:
            yield f"left out: {', '.join(self._left_out)}"


def _value(value: object) -> object:
    return value if isinstance(value, str | int | float) else str(value)
