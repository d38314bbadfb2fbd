"""WfFormat, in which the WfCommons project describes workflows and how they ran: read.

Up to version 1.2 ``workflow.jobs`` held all there is, then ``workflow.tasks``; from 1.5 on it is
split into ``workflow.specification`` and ``workflow.execution``.

References
----------
T. Coleman et al., Future Gener. Comput. Syst. 128 (2022) 16,
https://doi.org/10.1016/j.future.2021.09.043; https://github.com/wfcommons/WfFormat
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from socm.config.findings import listed
from socm.errors import ConfigError
from socm.exchange.campaign_file import (
    CampaignFile,
    escaped,
    resources_section,
    workflow_names,
)
from socm.exchange.reader import Reader
from socm.exchange.source import Document
from socm.model.campaign import ResourceRequest
from socm.model.cluster import Cluster

_MEGABYTE = 1024**2


def read(document: Document, cluster: Cluster, runtime: int | None) -> CampaignFile:
    """Make a campaign of a WfFormat instance.

    Parameters
    ----------
    cluster
        Does not matter here.
    runtime
        Seconds of each task that has no record; without it such tasks are a problem.

    Raises
    ------
    ConfigError
        With every problem in the file.
    """
    return _Instance(document, runtime).read()


class _Instance(Reader):
    def __init__(self, document: Document, runtime: int | None) -> None:
        super().__init__(document)
        self._runtime = runtime
        self._lacking: Counter[str] = Counter()
        self._untimed: list[str] = []

    def read(self) -> CampaignFile:
        data = self.document.data
        workflow = _mapping(data.get("workflow"))
        specification = _mapping(workflow.get("specification"))
        place = "workflow.specification.tasks"
        tasks = self._tasks(specification.get("tasks"), place) if specification else {}
        execution = _mapping(workflow.get("execution"))
        records = self._tasks(execution.get("tasks", []), "workflow.execution.tasks")
        if not specification:  # before 1.5 one list held both; before 1.3 it was called jobs
            key = "tasks" if "tasks" in workflow else "jobs"
            place = f"workflow.{key}"
            tasks = records = self._tasks(workflow.get(key), place)
        if not tasks and not self.problems:
            self._complain(place, "there are no tasks")
        titles = [_text(task.get("name")) or key for key, task in tasks.items()]
        labels = titles if len(set(titles)) == len(titles) else list(tasks)
        names = dict(zip(tasks, workflow_names(labels), strict=True))
        parents = self._parents(tasks, place)
        stages = {
            names[key]: self._stage(names[key], task, records.get(key, {}))
            | ({"depends": [names[p] for p in parents[key]]} if parents[key] else {})
            for key, task in tasks.items()
        }
        if self._untimed and self._runtime is None:
            self._complain(
                "workflow",
                f"no runtime is recorded of {listed(self._untimed)}",
                "give --runtime for these",
            )
        if self.problems:
            raise ConfigError(*self.problems)
        system = _mapping(data.get("runtimeSystem") or data.get("wms")).get("name")
        version = f"WfFormat {_text(data.get('schemaVersion')) or 'of no version'}"
        return CampaignFile(
            campaign=self._campaign(data),
            stages={name: _ordered(stage) for name, stage in stages.items()},
            head=f"From {Path(self.document.file).name}: {version}"
            + (f", recorded by {_text(system)}." if system else "."),
            notes=tuple(self._notes(own=system == "socm")),
        )

    def _complain(self, place: str, message: str, hint: str | None = None) -> None:
        self.problem((), f"{place}: {message}", hint)

    def _tasks(self, value: object, place: str) -> dict[str, Mapping[str, object]]:
        """Read a list of tasks by their ids."""
        if not isinstance(value, list):
            self._complain(place, "is not a list of tasks")
            return {}
        tasks: dict[str, Mapping[str, object]] = {}
        for index, task in enumerate(value):
            key = _text(_mapping(task).get("id")) or _text(_mapping(task).get("name"))
            if not isinstance(task, Mapping) or not key:
                self._complain(f"{place}[{index}]", "is not a task with an id")
                continue
            if key in tasks:  # up to 1.4 ids were not always unique, names were
                key = _text(task.get("name")) or key
            if key in tasks:
                self._complain(f"{place}[{index}]", f"there are two tasks {key!r}")
            tasks[key] = task
        return tasks

    def _parents(
        self, tasks: Mapping[str, Mapping[str, object]], place: str
    ) -> dict[str, list[str]]:
        """Gather dependencies, from whichever end they are told; up to 1.4 they were names."""
        known = {_text(task.get("name")): key for key, task in tasks.items()}
        known |= {key: key for key in tasks}
        parents: dict[str, dict[str, None]] = {key: {} for key in tasks}
        for index, (key, task) in enumerate(tasks.items()):
            for end in ("parents", "children"):
                others = task.get(end) or []
                for other in others if isinstance(others, list) else [others]:
                    there = known.get(_text(other) or "")
                    if there is None:
                        message = f"{other!r} is not the id of a task"
                        self._complain(f"{place}[{index}].{end}", message)
                    elif end == "parents":
                        parents[key][there] = None
                    else:
                        parents[there][key] = None
        return {key: list(found) for key, found in parents.items()}

    def _stage(
        self, name: str, task: Mapping[str, object], record: Mapping[str, object]
    ) -> dict[str, object]:
        own = _mapping(task.get("socm"))
        if "resources" in own:
            return {key: value for key, value in own.items() if key != "depends"}
        seconds = self._number(name, record, "runtimeInSeconds", "runtime")
        if seconds is None:
            self._untimed.append(name)
            seconds = self._runtime
        cores = self._number(name, record, "coreCount", "cores")
        self._lacking["cores"] += cores is None
        bytes_used = self._number(name, record, "memoryInBytes")
        if bytes_used is None and (kilobytes := self._number(name, record, "memory")):
            bytes_used = kilobytes * 1000  # up to 1.3
        self._lacking["memory"] += not bytes_used
        request = ResourceRequest(
            threads=max(1, math.ceil(cores or 1)),
            memory=math.ceil((bytes_used or 0) / _MEGABYTE),
            runtime=max(1, math.ceil(seconds or 1)),
        )
        return {
            **self._command(_mapping(record.get("command")), task),
            "resources": resources_section(request, memory=bool(bytes_used)),
        }

    def _number(self, name: str, record: Mapping[str, object], *keys: str) -> float | None:
        """Read a number under the first of the keys that is there."""
        key = next((k for k in keys if record.get(k) is not None), None)
        if key is None:
            return None
        value = record[key]
        # Beyond a petasecond, or an exabyte, it is no measurement.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
            self._complain(name, f"{key} should be a number of at least 0, not {value!r}")
            return 1
        return value

    def _command(
        self, command: Mapping[str, object], task: Mapping[str, object]
    ) -> dict[str, object]:
        program = _text(command.get("program"))
        if not program:
            self._lacking["command"] += 1
            return {"executable": "true"}
        given = command.get("arguments", task.get("arguments"))
        arguments = [escaped(str(a)) for a in given] if isinstance(given, list) else []
        if not arguments and re.fullmatch(r"[\w./+=:,@-]+(?: +[\w./+=:,@-]+)+", program):
            return {"executable": program}  # a whole command line
        shell = re.search(r"\s", program) is not None
        self._lacking["words"] += shell
        program = shlex.quote(escaped(program))
        return {"executable": program, **({"script-args": arguments} if arguments else {})}

    def _campaign(self, data: Mapping[str, object]) -> dict[str, object]:
        told: dict[str, object] = {
            "name": _text(data.get("name")) or Path(self.document.file).name.split(".")[0]
        }
        if description := _text(data.get("description")):
            told["description"] = description
        own = _mapping(data.get("socm"))
        keys = ("deadline", "requested_resources", "resources", "policy")
        return told | {key: own[key] for key in keys if key in own}

    def _notes(self, *, own: bool) -> Iterator[str]:
        if own and not +self._lacking and not self._untimed:
            return
        if self._untimed:
            yield f"--runtime is taken for {listed(self._untimed)}, of which none is recorded"
        yield (
            "runtimes are those recorded, rounded up to whole seconds, on the machines of then; "
            "cores of the cluster count as equally fast"
        )
        for what, meaning in (
            ("cores", "cores are not recorded of {}: one each"),
            ("memory", "memory is not recorded of {}: not given"),
            ("command", "no command is recorded of {}: `true` stands in its place"),
            ("words", "the command of {} is a piece of a shell script, kept as one word"),
        ):
            if count := self._lacking[what]:
                yield meaning.format("1 task" if count == 1 else f"{count} tasks")
        yield (
            "left out: files, machines, and what was recorded of processors, reading and writing; "
            "commands are as recorded: see to it that they can run before you run them"
        )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _ordered(stage: Mapping[str, object]) -> dict[str, object]:
    """Put the resources last, as people do."""
    return {k: v for k, v in stage.items() if k != "resources"} | {"resources": stage["resources"]}
