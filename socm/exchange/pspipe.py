"""The pipelines of PSpipe: modules that run one after another in one allocation.

References
----------
https://github.com/simonsobs/PSpipe (``pspipe/run.py`` and ``project/*/yaml/pipeline_*.yml``)
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from socm.config.toml_positions import Key
from socm.errors import ConfigError
from socm.exchange.batch import array_tasks, settings, taken
from socm.exchange.campaign_file import CampaignFile, resources_section, workflow_names
from socm.exchange.reader import LIMIT_NOTE, Reader, limited
from socm.exchange.source import Document
from socm.model.campaign import ResourceRequest
from socm.model.cluster import Cluster
from socm.words import listed

CLUSTER = "perlmutter"
"""The cluster whose cpus PSpipe's pipelines count: its runner assumes 256 of them per node."""
CPUS = 256
ROOT = "$PSPIPE_ROOT"
"""The variable for the folder of PSpipe."""
_PLACEHOLDER = "__pspipe_root__"
_KNOWN = frozenset(
    ("slurm", "kwargs", "script_file", "cmd", "matrix", "minimal_needed_time", "duration")
)
_KNOWN_SLURM = frozenset(("nodes", "ntasks", "cpus_per_task", "time", "array"))
_KNOWN_EVERYWHERE = frozenset(("time", "array", "precmd"))
_TASK = re.compile(r"\$(?:SLURM_ARRAY_TASK_ID\b|\{SLURM_ARRAY_TASK_ID\})")
_KNOWN_TOP = frozenset(("pipeline", "slurm", "config_file", "product_dir", "script_base_dir"))

Module = Mapping[str, object]


class _Copy(NamedTuple):
    """A module for one task of the arrays that there are.

    Parameters
    ----------
    run
        The task of the array of all modules, which has a pipeline of its own.
    tasks
        That task, and that of the module's own array, as far as there are any.
    """

    module: str
    run: str | None
    tasks: tuple[str, ...]


def read(document: Document, cluster: Cluster, runtime: int | None) -> CampaignFile:
    """Make a campaign from a PSpipe pipeline.

    Parameters
    ----------
    cluster
        Whose partitions and QOS may be asked for; cpus are those of Perlmutter.
    runtime
        Seconds of each module without a time; if `None`, such modules are a problem.

    Raises
    ------
    ConfigError
        With every problem in the file.
    """
    return _Pipeline(document, cluster, runtime).read()


class _Pipeline(Reader):
    def __init__(self, document: Document, cluster: Cluster, runtime: int | None) -> None:
        super().__init__(document)
        self._cluster = cluster
        self._runtime = runtime
        self._config = self._text("config_file")
        self._everywhere = self.mapping(("slurm",), document.data.get("slurm"))
        self._left_out: dict[str, None] = {}
        self._limited: list[str] = []
        self._untimed: list[str] = []
        # In its batch mode PSpipe submits all modules as one job, and this is what it asks for.
        self._together = self.limit(("slurm", "time"), self._everywhere.get("time"))
        self._shared: list[str] = []
        self._arrays: list[str] = []

    def read(self) -> CampaignFile:
        modules = dict(self._modules())
        copies = [*self._copies(modules)]
        # Slashes separate folders of scripts; names of workflows have none.
        labels = [".".join([c.module.replace("/", "."), *c.tasks]) for c in copies]
        stages: dict[str, dict[str, object]] = {}
        parents: list[str] = []
        latest: list[str] = []
        last: _Copy | None = None
        for name, copy in zip(workflow_names(labels), copies, strict=True):
            if last is None or copy.run != last.run:
                parents, latest = [], []  # each task of an array runs the whole pipeline
            elif copy.module != last.module:
                parents, latest = latest, []
            section = modules[copy.module]
            task = copy.tasks[-1] if copy.tasks else None
            stage = {
                **self._command(copy.module, section, task),
                "depends": parents,
                "environment": {} if task is None else {"SLURM_ARRAY_TASK_ID": task},
            }
            stage = {key: value for key, value in stage.items() if value}
            stages[name] = stage | {
                "resources": self._resources(name, copy.module, section, len(modules))
            }
            latest.append(name)
            last = copy
        for section in modules.values():
            self._leave_out(section, _KNOWN, " of modules")
        if not stages and not self.problems:
            self.problem(("pipeline",), "there are no modules")
        if self._untimed and self._runtime is None:
            message = f"neither time nor duration is given for {listed(self._untimed)}"
            self.problem(("pipeline",), message, "--runtime sets it for all of these")
        self._leave_out(self.document.data, _KNOWN_TOP)
        known = _KNOWN_EVERYWHERE | taken(self._everywhere, self._cluster)
        self._leave_out(self._everywhere, known, " of all in slurm")
        if self.problems:
            raise ConfigError(*dict.fromkeys(self.problems))
        base = self._text("product_dir")
        return CampaignFile(
            campaign={
                "name": Path(self.document.file).name.split(".")[0] or "campaign",
                **({"base-path": base} if base else {}),
                **({"setup": setup} if (setup := self._setup()) else {}),
            },
            stages=stages,
            head=f"From {Path(self.document.file).name}, a pipeline of PSpipe.",
            notes=tuple(self._notes()),
        )

    def _setup(self) -> list[str]:
        """Return the lines that are run before all modules."""
        lines = str(self._everywhere.get("precmd") or "").splitlines()
        return [_rooted(line.strip()) for line in lines if line.strip()]

    def _tasks(self, place: Key, value: object) -> list[str]:
        """Return the tasks of an array; none if there is no array."""
        if value is None:
            return []
        self._arrays.append(str(value))
        try:
            return array_tasks(str(value))
        except ValueError as error:
            self.problem((*place, "array"), str(error))
            return []

    def _copies(self, modules: Mapping[str, Module]) -> Iterator[_Copy]:
        """Yield each module, as often as arrays of all modules and of its own have tasks."""
        own: dict[str, list[str]] = {}
        for module, section in modules.items():
            place = ("pipeline", module, "slurm")
            slurm = self.mapping(place, section.get("slurm") or None)
            own[module] = self._tasks(place, slurm.get("array"))
        of_all: list[str | None] = [*self._tasks(("slurm",), self._everywhere.get("array"))]
        for run in of_all or [None]:
            for module in modules:
                of_module: list[str | None] = [*own[module]]
                for task in of_module or [None]:
                    yield _Copy(module, run, tuple(t for t in (run, task) if t is not None))

    def _text(self, key: str) -> str:
        value = self.document.data.get(key)
        if value is None or value is False:
            return ""
        if not isinstance(value, str):
            self.problem((key,), f"{key} is text, not {value!r}")
        return _rooted(str(value))

    def _leave_out(self, section: Module, known: frozenset[str], where: str = "") -> None:
        self._left_out |= dict.fromkeys(f"{key}{where}" for key in section if key not in known)

    def _modules(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules; one with a matrix once for each combination of its values."""
        for module, value in self.mapping(
            ("pipeline",), self.document.data.get("pipeline")
        ).items():
            section = self.mapping(("pipeline", module), value or None)
            place = ("pipeline", module, "matrix")
            matrix = self.mapping(place, section.get("matrix"))
            if not matrix:
                yield module, section
                continue
            values = [self.texts((*place, key), value) for key, value in matrix.items()]
            for combination in product(*values):
                chosen = dict(zip(matrix, combination, strict=True))
                kwargs = _filled(_joined(section.get("kwargs")), chosen)
                yield _filled(module, chosen), {**section, "kwargs": kwargs}

    def _command(self, module: str, section: Module, task: str | None) -> dict[str, object]:
        """Return what the runner calls: a command or a script, its arguments, the config file."""
        stage: dict[str, object]
        if command := section.get("cmd"):
            stage = {"executable": _rooted(_of_task(str(command), task))}
        else:
            script, suffix = posixpath.splitext(str(section.get("script_file") or module))
            path = posixpath.join(self._scripts, script + (suffix or ".py"))
            stage = {} if suffix else {"executable": "python -u"}
            stage["script"] = _rooted(path)
        try:
            arguments = shlex.split(_rooted(_of_task(_joined(section.get("kwargs")), task)))
        except ValueError:
            self.problem(("pipeline", module, "kwargs"), f"kwargs of {module}: an open quote")
            arguments = []
        return {**stage, "script-args": [*arguments, *([self._config] if self._config else [])]}

    @property
    def _scripts(self) -> str:
        """The folder of scripts; the runner's default depends on its project."""
        project = "data_analysis" if "/data_analysis/" in self._config else "ACT_DR6"
        return self._text("script_base_dir") or f"{ROOT}/project/{project}/python"

    def _resources(self, name: str, module: str, section: Module, number: int) -> dict[str, object]:
        place = ("pipeline", module, "slurm")
        slurm = self.mapping(place, section.get("slurm") or None)
        asked = settings({**self._everywhere, **slurm}, self._cluster)
        self._leave_out(slurm, _KNOWN_SLURM | taken(slurm, self._cluster), " of slurm")
        nodes = self.count((*place, "nodes"), slurm.get("nodes")) or 1
        tasks = self.count((*place, "ntasks"), slurm.get("ntasks")) or 1
        share = CPUS if tasks < nodes else max(1, nodes * CPUS // tasks)
        request = ResourceRequest(
            ranks=tasks,
            threads=self.count((*place, "cpus_per_task"), slurm.get("cpus_per_task")) or share,
            cpus="logical",
            runtime=self._runtime or 1,
        )
        took = self.limit(("pipeline", module, "duration"), section.get("duration"))
        needed = self.limit(
            ("pipeline", module, "minimal_needed_time"),
            section.get("minimal_needed_time") or slurm.get("time"),
        )
        if took is not None:
            request = replace(request, runtime=took)
        elif needed is not None:
            self._limited.append(name)
            request = limited(request, needed)
        elif self._together is not None:
            self._shared.append(name)
            share = max(1, limited(request, self._together).runtime // number)
            runtime = min(self._runtime or share, self._together)
            request = replace(request, runtime=runtime, walltime=self._together)
        else:
            self._untimed.append(name)
        return {**resources_section(request, memory=False), **asked}

    def _notes(self) -> Iterator[str]:
        yield "each module depends on the one before, as PSpipe runs them; not all may need to"
        if self._limited:
            yield LIMIT_NOTE.format(listed(self._limited))
        if self._shared:
            yield (
                f"time of all in slurm is the walltime of {listed(self._shared)}; "
                + (
                    "--runtime is their runtime"
                    if self._runtime
                    else "the runtime of each is its share of two thirds of it"
                )
            )
        if self._arrays:
            yield (
                f"each task of an array ({listed(self._arrays)}) has stages of its own, with "
                "SLURM_ARRAY_TASK_ID in their environment"
            )
            if "%" in "".join(self._arrays):
                yield "how many tasks of an array may run at once (%) is left out: see `limits`"
        if self._untimed:
            yield f"--runtime is assumed for {listed(self._untimed)}, without a time of their own"
        yield (
            f"cpus are logical, {CPUS} per node: a module without any has its tasks' share of its "
            "nodes; memory is not given"
        )
        text = str(self.document.data)
        if _PLACEHOLDER in text or ROOT in self._scripts:
            yield f"{ROOT} is the folder of PSpipe: set it before you run"
        if self._config:
            yield (
                "the config file is passed as it is, where PSpipe passes a copy in which the "
                "pipeline's variables are replaced"
            )
            if self._config[0] not in "$/":
                yield (
                    f"{self._config} was relative to the folder in which PSpipe was started, but "
                    "commands run in product_dir: write the absolute path"
                )
        if twice := self.document.twice:
            yield f"given twice, the last one counts: {listed(twice)}"
        if self._left_out:
            yield f"left out: {', '.join(self._left_out)}"


def _of_task(text: str, task: str | None) -> str:
    """Replace the number of the task in an array, as the shell of the job would."""
    return text if task is None else _TASK.sub(task, text)


def _rooted(text: str) -> str:
    return text.replace(_PLACEHOLDER, ROOT)


def _joined(kwargs: object) -> str:
    """Return arguments as one text, as the runner has them."""
    if isinstance(kwargs, Mapping):
        return " ".join(f"{k} {'' if v is None else v}".strip() for k, v in kwargs.items())
    return "" if kwargs is None else str(kwargs)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Replace ``{name}`` by values, and nothing else.

    Examples
    --------
    >>> _filled("fit_{mode}.{x.y}", {"mode": "TT"})
    'fit_TT.{x.y}'
    """
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)
