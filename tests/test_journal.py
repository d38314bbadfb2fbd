"""What is in a journal is what happened, whatever became of its process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socm.engine.events import EVENT_TYPES, CampaignEnded, Ended, Event, JobState, Started
from socm.engine.journal import (
    FileJournal,
    JournalReader,
    event_from_json,
    event_to_json,
    read_journal,
)
from socm.errors import RunError

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "time": st.floats(0, 1e9),
    "fingerprint": st.text(),
    "workflow": st.text(),
    "job": st.text(),
    "native_id": st.text(),
    "reason": st.text(),
    "retry_failed": st.booleans(),
    "because": st.text(),
    "plan": st.text(),
    "nodes": st.lists(st.text(), max_size=3).map(tuple),
    "edited": st.lists(st.text(), max_size=3).map(tuple),
    "attempt": st.integers(1, 99),
    "walltime": st.integers(1, 10**9),
    "memory": st.integers(0, 10**9),
    "qos": st.none() | st.text(),
    "state": st.sampled_from(JobState),
    "exit_code": st.none() | st.integers(-255, 255),
    "peak_memory": st.none() | st.integers(0, 10**9),
    "core_hours": st.floats(0, 1e9),
    "node_hours": st.floats(0, 1e9),
}
EVENTS: st.SearchStrategy[Event] = st.sampled_from([*EVENT_TYPES.values()]).flatmap(
    lambda kind: st.fixed_dictionaries(
        {field.name: FIELDS[field.name] for field in fields(kind)}
    ).map(lambda values: kind(**values))
)


@given(EVENTS)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    assert event_from_json(event_to_json(event)) == event


@given(st.lists(EVENTS, max_size=5), st.data())
def test_of_a_torn_line_nothing_is_left_and_of_the_others_all(
    events: list[Event], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.jsonl")
        journal = FileJournal(path)
        for event in events:
            journal.write(event)
        journal.close()
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert read_journal(path) == events[:kept]
        journal = FileJournal(path)
        assert journal.events == events[:kept]
        journal.write(CampaignEnded(time=1.0))
        journal.close()
        assert read_journal(path) == [*events[:kept], CampaignEnded(time=1.0)]


@given(st.lists(EVENTS, min_size=1, max_size=5), st.data())
def test_a_journal_is_read_as_it_grows_and_each_line_once_it_is_whole(
    events: list[Event], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.jsonl")
        reader = JournalReader(path)
        assert reader.read() == []
        with FileJournal(path) as journal:
            for event in events:
                journal.write(event)
        whole = path.read_bytes()
        cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=5).map(sorted))
        found: list[Event] = []
        for cut in [*cuts, len(whole)]:
            path.write_bytes(whole[:cut])
            found += reader.read()
            assert found == events[: whole[:cut].count(b"\n")]


WRITTEN = [
    Started(time=1.0, workflow="a}", attempt=1),
    Ended(time=2.0, workflow='b"}', attempt=1, state=JobState.FAILED, reason="a\\ {}"),
]


@pytest.mark.parametrize("end", ["", "\n", "\0", "\0\0\n", "\n\0\0", "\0" * 5000])
def test_what_a_loss_of_power_leaves_of_the_last_line_is_removed(tmp_path: Path, end: str) -> None:
    path = tmp_path / "journal.jsonl"
    with FileJournal(path) as journal:
        for event in WRITTEN:
            journal.write(event)
        assert not journal.mended
    first, last = path.read_bytes().splitlines(keepends=True)
    for cut in range(len(last) - 1):
        torn = first + last[:cut] + end.encode()
        path.write_bytes(torn)
        assert read_journal(path) == WRITTEN[:1]
        assert path.read_bytes() == torn, "reading changes nothing"
        with FileJournal(path) as journal:
            assert journal.events == WRITTEN[:1]
            assert journal.mended == (torn != first)
            journal.write(WRITTEN[1])
        assert read_journal(path) == WRITTEN


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0][:-1] + lines[1], lines[2]],
        lambda lines: [lines[0], lines[1][:20] + b"\n", lines[2]],
        lambda lines: [lines[0], lines[1], lines[2][:-1] + lines[0]],
        lambda lines: [*lines, b"a note\n"],
        lambda lines: [*lines[:2], b"\0\0\n", lines[2]],
        lambda lines: [*lines[:2], lines[2].replace(b"time", b"tyme")],
        lambda lines: [*lines[:2], lines[2].replace(b"2.5", b'"2.5"')],
        lambda lines: [*lines[:2], lines[2].replace(b"2.5", b"NaN")],
        lambda lines: [*lines[:2], lines[2].replace(b"}", b', "more": 1}')],
        lambda lines: [*lines[:2], lines[2].replace(b"CampaignEnded", b"\xff")],
        lambda lines: [*lines[:2], b'{"event": ["Started"]}\n'],
        lambda lines: [*lines[:2], b"[" * 100_000 + b"\n"],
        lambda lines: [*lines[:2], b"x" * 3_000_000],
        lambda lines: [*lines[:2], lines[2].replace(b"\n", b"\x0b")],
        lambda lines: [*lines[:1], lines[1].replace(b"\n", b"\x0b"), lines[2][:-1]],
        lambda lines: [*lines[:2], b"\0" * 3_000_000 + b"\n"],
    ],
)
def test_what_was_torn_or_changed_anywhere_else_is_refused_and_kept(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    path = tmp_path / "journal.jsonl"
    with FileJournal(path) as journal:
        for event in (*WRITTEN, CampaignEnded(time=2.5)):
            journal.write(event)
    changed = b"".join(change(path.read_bytes().splitlines(keepends=True)))
    path.write_bytes(changed)
    for read in (read_journal, FileJournal):
        with pytest.raises(RunError, match="this is not an event of a run") as caught:
            read(path)
        assert "put back a copy" in str(caught.value.hint)
        assert len(str(caught.value)) < 400
    assert path.read_bytes() == changed


@pytest.mark.parametrize(
    ("make", "told"),
    [(Path.mkdir, "is a directory"), (os.mkfifo, "it is not a regular file")],
)
def test_a_journal_is_a_file(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    path = tmp_path / "journal.jsonl"
    make(path)
    for read in (read_journal, FileJournal):
        with pytest.raises(RunError, match=told):
            read(path)


def test_a_line_that_is_not_an_event_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = FileJournal(path)
    journal.write(Started(time=1.0, workflow="a", attempt=1))
    journal.close()
    path.write_text('{"event": "Exploded", "time": 1}\n' + path.read_text())
    with pytest.raises(RunError, match=r"journal\.jsonl:1: this is not an event of a run"):
        FileJournal(path)


def test_what_can_neither_be_written_nor_taken_back_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that has become read-only."""
    journal = FileJournal(tmp_path / "journal.jsonl")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        patch.setattr(os, "truncate", refuse)
        with pytest.raises(RunError, match="operation not permitted"):
            journal.write(CampaignEnded(time=1.0))
    journal.close()


def test_what_does_not_fit_on_the_disk_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FileJournal(tmp_path / "journal.jsonl")
    journal.write(Started(time=1.0, workflow="a", attempt=1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="no space left on device"):
            journal.write(Ended(time=2.0, workflow="a", attempt=1, state=JobState.TIMEOUT))
    journal.write(CampaignEnded(time=3.0))
    journal.close()
    assert read_journal(tmp_path / "journal.jsonl") == [
        Started(time=1.0, workflow="a", attempt=1),
        CampaignEnded(time=3.0),
    ]
