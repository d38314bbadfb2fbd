"""Where events are kept, in the order in which they happened."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

from socm.engine.events import EVENT_TYPES, Event, Replanned
from socm.errors import RunError
from socm.files import open_regular
from socm.garbage import no_collection
from socm.words import reason_of

LONGEST = 1024**2
"""Most bytes of a line; events have a few hundred."""
_PLAN = re.compile(r"plan-[0-9]+\.json")
_RESTORE = "something else has changed the file: put back a copy, or begin a new run"
MENDED = (
    "the last line of the journal was not written whole, as after a loss of power: it was removed, "
    "and what it said is found out anew"
)


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

    An event counts once the end of its line is on the disk. A last line that a crash or a loss of
    power left incomplete is removed: its event was never acted on.

    Parameters
    ----------
    path
        Path of the file, which is made if it does not exist. The process that opens it holds the
        lock of the run.

    Attributes
    ----------
    mended
        Whether such a line was removed.

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
        reader = JournalReader(path)
        self.events = reader.read()
        self.mended = reader.torn
        self._size = reader.offset
        try:
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed with the journal
            if self.mended:
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

    @property
    def latest(self) -> float:
        """The latest time of an event, in seconds since the campaign's start."""
        return max((event.time for event in self.events), default=0.0)

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

    Attributes
    ----------
    offset, lines
        Bytes and lines that were read so far.
    torn
        Whether something follows: a line that was not written whole, or is not yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.offset = self.lines = 0
        self.torn = False

    def read(self) -> list[Event]:
        """Return the events since the last call; a line that is not complete is left out.

        Raises
        ------
        RunError
            If the file cannot be read, or has a line that is not an event.
        """
        events: list[Event] = []
        try:
            with open_regular(self._path) as file, no_collection():  # it may have a million
                file.seek(self.offset)
                while (line := file.readline(LONGEST)).endswith(b"\n"):
                    event = _event(line)
                    if event is None:
                        break
                    events.append(event)
                    self.offset += len(line)
                    self.lines += 1
                tail = line + file.read(LONGEST)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"{self._path} cannot be read: {reason_of(error)}") from error
        self.torn = bool(tail)
        if tail and not _is_torn(tail):
            raise self._not_an_event(line)
        return events

    def _not_an_event(self, line: bytes) -> RunError:
        shown = line[:60].decode(errors="replace")
        return RunError(
            f"{self._path}:{self.lines + 1}: this is not an event of a run: {shown!r}",
            hint=_RESTORE,
        )


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal; see `JournalReader.read`."""
    return JournalReader(path).read()


def last_plan(path: Path) -> str | None:
    """Return the name of the last plan that a journal names; `None` if it names none.

    Raises
    ------
    RunError
        If it cannot be read, or names what is no plan of a run.
    """
    name = None
    try:
        with open_regular(path) as file:
            while line := file.readline(LONGEST):
                if line.startswith(_BEGIN + b"Replanned"):
                    event = _event(line)
                    name = event.plan if isinstance(event, Replanned) else name
    except FileNotFoundError:
        pass
    except OSError as error:
        raise RunError(f"{path} cannot be read: {reason_of(error)}") from error
    if name is not None and not _PLAN.fullmatch(name):
        raise RunError(f"{path}: no run has a plan {name[:60]!r}", hint=_RESTORE)
    return name


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
    return _reader(values.pop("event").encode())(json.dumps(values))


_BEGIN = b'{"event": "'
"""How each line begins."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|$)')


def _event(line: bytes) -> Event | None:
    """Return the event of a line; `None` if it is none."""
    try:
        if line.startswith(_BEGIN) and (end := line.find(b'", ', len(_BEGIN))) > 0:
            return _reader(line[len(_BEGIN) : end])(b"{" + line[end + 3 :])
        return event_from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@cache
def _reader(name: bytes) -> Callable[[str | bytes], Event]:
    """Return what reads the JSON of a type of event without its name; it looks at each value."""
    from pydantic import TypeAdapter  # a tenth of a second: not for simulations

    adapter: TypeAdapter[Event] = TypeAdapter(EVENT_TYPES[name.decode()])
    return adapter.validator.validate_json


def _is_torn(tail: bytes) -> bool:
    r"""Whether the end of a journal is one line that was not written whole.

    A loss of power may leave a file that has grown, with zeros in place of what was written; and
    an end of line after the rest. A whole line ends with its only brace.

    Examples
    --------
    >>> _is_torn(b'{"event": "Started", "ti\n'), _is_torn(b"\0\0\0\n")
    (True, True)
    >>> _is_torn(b'{"event": "Started"}{"event": "CampaignEnded"}\n'), _is_torn(b"mine\n")
    (False, False)
    """
    text = tail.rstrip(b"\0\r\n")
    if len(tail) > LONGEST or b"\n" in text or not _BEGIN.startswith(text[: len(_BEGIN)]):
        return False
    braces = _STRING.sub(b"", text)
    return b"\0" in tail or b"}" not in braces.removesuffix(b"" if b"\n" in tail else b"}")
