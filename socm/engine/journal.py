"""Where events are kept, in the order in which they happened."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from socm.engine.events import EVENT_TYPES, Event
from socm.errors import RunError
from socm.words import reason_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Journal(Protocol):
    """Where events are written; one is safe once `write` has returned."""

    def write(self, event: Event) -> None:
        """Write an event."""
        ...


class MemoryJournal:
    """A journal in memory, for simulations.

    Examples
    --------
    >>> from socm.engine.events import CampaignEnded
    >>> journal = MemoryJournal()
    >>> journal.write(CampaignEnded(time=3600.0))
    >>> journal.events
    [CampaignEnded(time=3600.0)]
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        """Write an event."""
        self.events.append(event)


class FileJournal:
    """A journal in a file, with one event in each line; `events` has all of them.

    An event counts once the end of its line is on the disk. A last line that a crash left
    incomplete is removed: its event was never acted on.

    Parameters
    ----------
    path
        Path of the file, which is made if it does not exist. The process that opens it holds the
        lock of the run.

    Raises
    ------
    RunError
        If the file cannot be read or written, or has a line that is not an event.

    Examples
    --------
    >>> import tempfile
    >>> from socm.engine.events import CampaignEnded
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "journal.jsonl")
    ...     with FileJournal(path) as journal:
    ...         journal.write(CampaignEnded(time=3600.0))
    ...     print(path.read_text().strip())
    ...     read_journal(path)
    {"event": "CampaignEnded", "time": 3600.0}
    [CampaignEnded(time=3600.0)]
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.events = read_journal(path)
        try:
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed with the journal
            content = path.read_bytes()
            self._size = content.rfind(b"\n") + 1
            if self._size < len(content):
                os.truncate(path, self._size)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, event: Event) -> None:
        """Write an event; it is on the disk when this returns."""
        line = (json.dumps(event_to_json(event)) + "\n").encode()
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, os.strerror(28))  # the rest did not fit
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # else it is removed when the file is opened next
                os.truncate(self._path, self._size)
            raise _cannot_write(self._path, error) from error
        self._size += len(line)
        self.events.append(event)


def _cannot_write(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path} cannot be written: {reason_of(error)}",
        hint="submitted jobs keep running; `socm resume` continues once the disk can be written",
    )


class JournalReader:
    """Reads the events of a journal, also while another process writes it.

    Parameters
    ----------
    path
        Path of the file; one that does not exist has no events.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = self._lines = 0

    def read(self) -> list[Event]:
        """Return the events since the last call; a line that is not complete is left out.

        Raises
        ------
        RunError
            If the file cannot be read, or has a line that is not an event.
        """
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"{self._path} cannot be read: {reason_of(error)}") from error
        *lines, rest = content.split(b"\n")
        self._offset += len(content) - len(rest)
        events = []
        for line in lines:
            self._lines += 1
            try:
                events.append(event_from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                where = f"{self._path}:{self._lines}"
                message = f"{where}: this is not an event of a run: {line[:60]!r}"
                raise RunError(message, hint="something else has changed the journal") from error
        return events


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal; see `JournalReader.read`."""
    return JournalReader(path).read()


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON data."""
    data: dict[str, Any] = {"event": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        data[field.name] = value.value if isinstance(value, Enum) else value
    return data


def event_from_json(data: Any) -> Event:
    """Return the event of JSON data.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is not an event.
    """
    values = dict(data)
    return _adapter(values.pop("event")).validate_python(values)


@cache
def _adapter(name: str) -> TypeAdapter[Event]:
    from pydantic import TypeAdapter  # a tenth of a second: not for simulations

    return TypeAdapter(EVENT_TYPES[name])
