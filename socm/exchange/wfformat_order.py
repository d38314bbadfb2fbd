"""In which order the tasks of a WfFormat instance run: by their parents, and by their files.

Some recorders leave ``parents`` empty, or name a parent by a name that several tasks have. Then
files tell: who reads what another task writes comes after it.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from socm.words import count, listed

Task = Mapping[str, object]
Before = dict[str, dict[str, None]]
"""The tasks before each task; a dictionary, as their order is kept."""


class Order:
    """The order of the tasks of an instance.

    Parameters
    ----------
    tasks
        Each task by its key.
    files
        The list of files of an instance, which has one from version 1.5 on.
    complain
        Takes a task's index and the key in it, or two empty texts; what is wrong; and a hint.

    Attributes
    ----------
    parents
        The keys of the tasks that each task depends on.
    notes
        What was concluded from files.

    Examples
    --------
    >>> trim = {"files": [{"link": "output", "name": "cut"}]}
    >>> align = {"files": [{"link": "input", "name": "cut"}], "parents": []}
    >>> order = Order({"trim": trim, "align": align}, (), print)
    >>> order.parents, order.notes
    ({'trim': [], 'align': ['trim']}, ['1 task depends on those that write the files it reads'])
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        files: Iterable[object],
        complain: Callable[[str, str, str | None], None],
    ) -> None:
        self._tasks, self._complain = tasks, complain
        self._files = _Files(tasks, files)
        self.notes: list[str] = []
        given = self._given()
        self.parents = {key: [*before] for key, before in self._with_files(given).items()}

    def _given(self) -> Before:
        """Return the order that is given, from whichever end; up to 1.4 by names."""
        named: dict[str, list[str]] = defaultdict(list)
        for key, task in self._tasks.items():
            named[str(task.get("name") or key)].append(key)
        before: Before = {key: {} for key in self._tasks}
        shared: dict[str, None] = {}
        for index, (key, task) in enumerate(self._tasks.items()):
            for end in ("parents", "children"):
                for other in map(str, _items(task.get(end))):
                    meant = [other] if other in self._tasks else named.get(other, [])
                    if not meant:
                        message = f"{other!r} is not the id of a task"
                        self._complain(f"[{index}].{end}", message, None)
                    if len(meant) > 1:
                        shared[other] = None
                        tied = self._files.tied(key, meant, after=end == "children")
                        meant = tied or [one for one in meant if one != key]
                    for one in meant:
                        if end == "parents":
                            before[key][one] = None
                        else:
                            before[one][key] = None
        if shared:
            self.notes.append(
                f"a parent or a child is named as several tasks are ({listed(shared)}): those are "
                "meant that share a file with it, or all if none does"
            )
        return before

    def _with_files(self, given: Before) -> Before:
        """Add the order that files tell, where it does not contradict the order that is given."""
        before = {key: given[key] | dict.fromkeys(self._files.before(key)) for key in given}
        if _cycle(before):
            if _cycle(given):
                return given  # a problem of the campaign, and told as one
            for key, others in before.items():
                after = _after(key, given)
                before[key] = {one: None for one in others if one not in after}
            if cycle := _cycle(before):
                links = [
                    f"{later} reads {file!r} of {one}"
                    if (file := self._files.before(later).get(one))
                    else f"{later} has the parent {one}"
                    for one, later in pairwise(cycle)
                ]
                message = f"tasks wait for each other's files: {', '.join(links)}"
                self._complain("", message, "`parents` can say which of them comes first")
        if late := sum(before[key].keys() > given[key].keys() for key in given):
            depend = "depends" if late == 1 else "depend"
            read = "it reads" if late == 1 else "they read"
            self.notes.append(
                f"{count(late, 'task')} {depend} on those that write the files {read}"
            )
        return before


class _Files:
    """Who writes what a task reads.

    A file is known by its folder and its name; where the folder is not given, by its name alone.
    """

    def __init__(self, tasks: Mapping[str, Task], files: Iterable[object]) -> None:
        self._names: dict[str, str] = {}  # by ids
        entries = [e for task in tasks.values() for e in _items(task.get("files"))]
        for entry in (*files, *entries):
            if isinstance(entry, Mapping) and (name := _path(entry)) and entry.get("id"):
                self._names[str(entry["id"])] = name
        self._reads = {key: [*self._of(task, "input")] for key, task in tasks.items()}
        self._writers: dict[str, dict[str, None]] = defaultdict(dict)
        self._anywhere: dict[str, dict[str, None]] = defaultdict(dict)
        for key, task in tasks.items():
            for file in self._of(task, "output"):
                self._writers[file][key] = None
                self._anywhere[posixpath.basename(file)][key] = None

    def _of(self, task: Task, link: str) -> Iterator[str]:
        """Give the files that a task reads or writes."""
        here = [f for f in _items(task.get("files")) if isinstance(f, Mapping)]
        for file in [f for f in here if f.get("link") == link] + _items(task.get(f"{link}Files")):
            name = _path(file) if isinstance(file, Mapping) else ""
            identity = str(file.get("id") or "") if isinstance(file, Mapping) else str(file)
            if whole := name or self._names.get(identity, identity):
                yield posixpath.normpath(whole)

    def before(self, task: str) -> dict[str, str]:
        """Return the other tasks that write what a task reads, each with such a file."""
        found: dict[str, str] = {}
        for file in self._reads[task]:
            writers = self._writers.get(file, {})
            if "/" not in file:
                writers = self._anywhere.get(file, {})
            elif not writers:
                writers = self._writers.get(posixpath.basename(file), {})
            for writer in writers:
                if writer != task:
                    found.setdefault(writer, file)
        return found

    def tied(self, task: str, others: Iterable[str], *, after: bool) -> list[str]:
        """Return which of some tasks share files with one: those before it, or those after it."""
        if after:
            return [one for one in others if one != task and task in self.before(one)]
        before = self.before(task)
        return [one for one in others if one in before]


def _path(file: Mapping[str, object]) -> str:
    """Return the path of a file: its name in its folder, if that is given.

    Examples
    --------
    >>> _path({"name": "a.fits", "path": "/maps/"}), _path({"name": "a.fits"}), _path({"id": "7"})
    ('/maps/a.fits', 'a.fits', '')
    >>> _path({"name": "a.fits", "path": "/maps/a.fits"}), _path({"path": "/maps/a.fits"})
    ('/maps/a.fits', '/maps/a.fits')
    """
    name, folder = str(file.get("name") or ""), str(file.get("path") or "")
    whole = not name or posixpath.basename(folder) == posixpath.basename(name)
    return folder if whole and folder else posixpath.join(folder, name)


def _cycle(before: Before) -> list[str]:
    """Return tasks each of which is before the next one, the first one again at the end; or none.

    Examples
    --------
    >>> _cycle({"a": {"b": None}, "b": {"a": None}}), _cycle({"a": {}})
    (['a', 'b', 'a'], [])
    """
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        return [*error.args[1]]
    return []


def _after(task: str, before: Before) -> set[str]:
    """Return all tasks that come after one."""
    children: dict[str, list[str]] = defaultdict(list)
    for key, others in before.items():
        for one in others:
            children[one].append(key)
    found: set[str] = set()
    left = [task]
    while left:
        new = [child for child in children[left.pop()] if child not in found]
        found.update(new)
        left += new
    return found


def _items(value: object) -> list[object]:
    """Return a list, of one item if it is not a list, and of none if there is nothing."""
    if isinstance(value, list | tuple):
        return [*value]
    return [] if value is None or value == "" else [value]
