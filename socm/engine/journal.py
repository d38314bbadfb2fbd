"""Where events are kept, in the order in which they happened."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from socm.engine.events import KINDS, Event
from socm.errors import RunError


class Journal(Protocol):
    """Takes events; one is safe once `write` has returned."""

    def write(self, event: Event) -> None:
        """Keep an event."""
        ...


class MemoryJournal:
    """A journal that lives as long as its process: for simulations.

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
        """Keep an event."""
        self.events.append(event)


class FileJournal:
    """A journal in a file, one event a line; what it had before is in `events`.

    A line counts once its end is on the disk. What a crash left of a last line is taken away: its
    event was never acted on.

    Parameters
    ----------
    path
        Of the file; made if it is not there. Whoever opens it holds the lock of its folder.

    Raises
    ------
    RunError
        If the file cannot be read or written, or holds what is no event.

    Examples
    --------
    >>> import tempfile
    >>> from socm.engine.events import CampaignEnded
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "journal.jsonl")
    ...     journal = FileJournal(path)
    ...     journal.write(CampaignEnded(time=3600.0))
    ...     journal.close()
    ...     print(path.read_text().strip())
    ...     read_journal(path)
    {"event": "CampaignEnded", "time": 3600.0}
    [CampaignEnded(time=3600.0)]
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.events = read_journal(path) if path.exists() else []
        try:
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - as long as the run
            whole = path.read_bytes().rfind(b"\n") + 1
            os.truncate(path, whole)
        except OSError as error:
            raise _cannot_write(path, error) from error
        self._size = whole

    def write(self, event: Event) -> None:
        """Keep an event; it is on the disk when this returns."""
        line = (json.dumps(event_to_json(event)) + "\n").encode()
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, os.strerror(28))  # the rest did not fit
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # else whoever opens it next takes the rest away
                os.truncate(self._path, self._size)
            raise _cannot_write(self._path, error) from error
        self._size += len(line)
        self.events.append(event)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _cannot_write(path: Path, error: OSError) -> RunError:
    reason = (error.strerror or str(error)).lower()
    return RunError(
        f"{path} cannot be written: {reason}",
        hint="jobs that were submitted run on; mend the disk, then `socm resume` takes over",
    )


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal; a last line that is not whole is left out.

    Raises
    ------
    RunError
        If the file cannot be read, or holds what is no event.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RunError(f"{path} cannot be read: {reason}") from error
    found = []
    for number, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            found.append(event_from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            message = f"{path}:{number}: this is no event of a run: {line[:60]!r}"
            raise RunError(message, hint="the journal was changed by something else") from error
    return found


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON data."""
    data: dict[str, Any] = {"event": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        data[field.name] = value.value if isinstance(value, Enum) else value
    return data


def event_from_json(data: Any) -> Event:
    """Return the event that JSON data holds; raises if it holds none."""
    from pydantic import TypeAdapter

    kind, values = data["event"], {k: v for k, v in data.items() if k != "event"}
    return _adapter(TypeAdapter, kind).validate_python(values)  # type: ignore[no-any-return]


@cache
def _adapter(adapter: Any, kind: str) -> Any:
    return adapter(KINDS[kind])
