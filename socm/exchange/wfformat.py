"""Read WfFormat, in which the WfCommons project describes workflows and their executions.

Up to version 1.2 everything is in ``workflow.jobs``, then in ``workflow.tasks``; from 1.5 on it is
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

from socm.errors import ConfigError
from socm.exchange.campaign_file import (
    CampaignFile,
    escaped,
    resources_section,
    workflow_names,
)
from socm.exchange.reader import Reader
from socm.exchange.source import Document
from socm.exchange.wfformat_order import Order
from socm.model.campaign import ResourceRequest
from socm.model.cluster import Cluster
from socm.words import count, listed

_MEGABYTE = 1024**2


def read(document: Document, cluster: Cluster, runtime: int | None) -> CampaignFile:
    """Make a campaign from a WfFormat instance.

    Parameters
    ----------
    cluster
        Not used.
    runtime
        Seconds of each task without a record; if `None`, such tasks are a problem.

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
        self._order: list[str] = []

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
        listed_files = specification.get("files")
        order = Order(
            tasks,
            listed_files if isinstance(listed_files, list) else [],
            lambda key, message, hint: self._complain(place + key, message, hint),
        )
        parents = order.parents
        self._order = order.notes
        stages = {
            names[key]: self._stage(names[key], task, records.get(key, {}))
            | ({"depends": [names[p] for p in parents[key]]} if parents[key] else {})
            for key, task in tasks.items()
        }
        if self._untimed and self._runtime is None:
            self._complain(
                "workflow",
                f"no runtime is recorded for {listed(self._untimed)}",
                "--runtime sets it for all of these",
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
            **self._command(record.get("command"), task),
            "resources": resources_section(request, memory=bool(bytes_used)),
        }

    def _number(self, name: str, record: Mapping[str, object], *keys: str) -> float | None:
        """Return the number under the first of the keys that exists."""
        key = next((k for k in keys if record.get(k) is not None), None)
        if key is None:
            return None
        value = record[key]
        # Beyond a petasecond or an exabyte, it is not a measurement.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
            self._complain(name, f"{key} should be a number of at least 0, not {value!r}")
            return 1
        return value

    def _command(self, recorded: object, task: Mapping[str, object]) -> dict[str, object]:
        command = _mapping(recorded)
        program = _text(command.get("program", recorded))  # some recorders write a text
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
        section: dict[str, object] = {
            "name": _text(data.get("name")) or Path(self.document.file).name.split(".")[0]
        }
        if description := _text(data.get("description")):
            section["description"] = description
        own = _mapping(data.get("socm"))
        keys = ("deadline", "requested_resources", "resources", "policy", "limits")
        return section | {key: own[key] for key in keys if key in own}

    def _notes(self, *, own: bool) -> Iterator[str]:
        if own and not +self._lacking and not self._untimed:
            return
        if self._untimed:
            yield f"--runtime is assumed for {listed(self._untimed)}, without a record"
        yield from self._order
        yield (
            "runtimes are those recorded on other machines, rounded up to whole seconds; cores of "
            "the cluster are assumed to be as fast"
        )
        for what, meaning in (
            ("cores", "cores are not recorded for {}: assuming one each"),
            ("memory", "memory is not recorded for {}: not given here"),
            ("command", "no command is recorded for {}: `true` takes its place"),
            ("words", "the command of {} is a part of a shell script, kept as one word"),
        ):
            if number := self._lacking[what]:
                yield meaning.format(count(number, "task"))
        yield (
            "left out: sizes of files, machines, and records of processors, reading and writing; "
            "commands are as recorded: check that they can run before you run them"
        )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _ordered(stage: Mapping[str, object]) -> dict[str, object]:
    """Put the resources last, as people write them."""
    return {k: v for k, v in stage.items() if k != "resources"} | {"resources": stage["resources"]}
