"""The simulation tests: they pass, they can be repeated, and they notice a driver with a fault."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socm.cli.app import command_line
from socm.engine import edits, state
from socm.engine.attempts import Attempts, same_again
from socm.engine.backend import Job, JobUpdate
from socm.engine.cancellations import Cancellations
from socm.engine.driver import _Driver
from socm.engine.events import CancelRequested, Event, JobState, Skipped, Submitting
from socm.engine.gates import Gates
from socm.engine.journal import FileJournal, event_to_json
from socm.engine.limits import NOTHING, InUse
from socm.engine.state import Status, apply
from socm.model.plan import Plan
from socm.testing import Watched
from socm.testing.torture import Choices, Process, Story, World, shorten, shortest, tell, torture
from socm.testing.torture import story as story_module
from socm.testing.torture.faults import FAULTS
from socm.testing.torture.process import Killed


def first_failure(most: int = 5000) -> Story | None:
    """Return the story of the first seed that fails."""
    stories = map(tell, range(most))
    return next((story for story in stories if story.broken), None)


def test_no_promise_is_broken_whatever_goes_wrong() -> None:
    accounts = [*torture(range(1000))]
    assert [seed for account in accounts for seed in account.failed] == []
    assert sum(account.passed for account in accounts) == 1000
    for fault in FAULTS:
        assert any(account.faults[fault] for account in accounts), f"never happened: {fault}"


def test_a_seed_decides_everything() -> None:
    assert [tell(seed) for seed in range(40)] == [tell(seed) for seed in range(40)]


def believe_in_silence(self: Attempts) -> list[str]:
    """Take every submission without an answer for one that did not arrive."""
    names = [*self._unanswered]
    for name in names:
        del self._unanswered[name]
        job = self._jobs[name]
        self._forget(name)
        self._record(same_again(job, 0.0, "not looked for"))
    return names


UPDATE, RECORD = Attempts.update, _Driver._record  # noqa: SLF001 - to be spoilt
FULL_FOR, BEGIN = InUse.full_for, _Driver.__init__


def believe_in_success(self: Attempts, update: JobUpdate) -> bool:
    """Take every job that is over for one that completed."""
    final = update.state.final
    return UPDATE(self, replace(update, state=JobState.COMPLETED) if final else update)


def forget_to_write(event_type: type[Event]) -> Callable[[_Driver, Event], None]:
    """Return what records events, but for one type of them, which it only applies."""

    def record(self: _Driver, event: Event) -> None:
        if isinstance(event, event_type):
            apply(self._state, event)
        else:
            RECORD(self, event)

    return record


def forget_charges(self: _Driver, plan: Plan, *arguments: Any, **more: Any) -> None:
    """Count only what this process is charged."""
    BEGIN(self, plan, *arguments, **more)
    self._in_use._charged = NOTHING  # noqa: SLF001 - spoilt


def do_nothing(*_: object) -> None:
    """Do nothing."""


FAULTY: dict[str, tuple[object, str, Any]] = {
    "does not look for what had no answer": (Attempts, "look_up", believe_in_silence),
    "writes no line before it submits": (_Driver, "_record", forget_to_write(Submitting)),
    "forgets to write that something is skipped": (_Driver, "_record", forget_to_write(Skipped)),
    "forgets to write what the user wants": (_Driver, "_record", forget_to_write(CancelRequested)),
    "does not pick up where it ended": (_Driver, "_pick_up", do_nothing),
    "ignores the limits of a QOS": (
        InUse,
        "full_for",
        lambda self, job: {limited for limited in FULL_FOR(self, job) if limited.what == "uses"},
    ),
    "ignores counted resources": (
        InUse,
        "full_for",
        lambda self, job: {limited for limited in FULL_FOR(self, job) if limited.what != "uses"},
    ),
    "ignores the budget": (InUse, "budget_admits", lambda self, job: True),
    "leaves out nothing": (InUse, "beyond_hours", lambda self, job: None),
    "charges nothing": (InUse, "charge", lambda self, job, seconds: NOTHING),
    "forgets what earlier processes were charged": (_Driver, "__init__", forget_charges),
    "sends no job to the node that it shares": (InUse, "pins", lambda self, job: ()),
    "never counts a job as over": (InUse, "remove", do_nothing),
    "does not wait for what a workflow depends on": (
        Gates,
        "start",
        lambda self, now: [self.open(name) for name in self.position],
    ),
    "skips nothing": (_Driver, "_skip", do_nothing),
    "does not retry": (_Driver, "_settle", lambda self, name: None),
    "believes that everything completed": (
        Attempts,
        "update",
        believe_in_success,
    ),
    "takes edits of jobs that are there": (
        Status,
        "can_be_edited",
        property(lambda self: self is not Status.COMPLETED),
    ),
    "edits jobs that wait where they are": (edits, "withdraw", lambda *args, **more: True),
    "takes what it withdraws for cancelled": (state, "_was_withdrawn", lambda progress: False),
    "never cancels": (Cancellations, "carry_out", lambda self: ()),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_driver_with_a_fault_does_not_pass(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead = FAULTY[fault]
    monkeypatch.setattr(owner, name, instead)
    assert first_failure() is not None


def test_the_story_of_a_failure_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "look_up", believe_in_silence)
    story = first_failure()
    assert story is not None
    short = shorten(story)
    assert short.broken
    assert len(short.choices) < len(story.choices)
    assert len(short.plan.workflows) == 1
    assert "BROKEN: run-w0-1 was submitted twice" in "\n".join(short.lines())


@given(st.lists(st.integers(0, 9), max_size=30))
def test_what_is_shortened_still_fails(made: list[int]) -> None:
    def fails(tried: Sequence[int]) -> bool:
        return sum(tried) >= 10

    short = shortest(made, fails)
    assert fails(short) == fails(made)
    assert len(short) <= len(made)
    if fails(made):
        assert sum(short) == 10, "no number can be made less"


@given(st.integers(0, 2**32), st.lists(st.integers(0, 9), max_size=20))
def test_choices_are_repeated_by_their_record(seed: int, kinds: list[int]) -> None:
    def make(choices: Choices) -> list[object]:
        return [choices.chance(0.3) if k == 0 else choices.number(k) for k in kinds]

    first = Choices(random.Random(seed))
    made = make(first)
    assert make(Choices(first.made)) == made


def test_the_world_keeps_the_contract_of_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for jobs that are told twice, which a driver has to bear all the same."""

    class Kept(Watched):
        def __init__(self, world: World, not_before: float) -> None:
            super().__init__(Process(world, not_before))

        def submit(self, job: Job) -> str:
            self._ids = {}  # ids are used again when the cluster has lost its table of jobs
            return super().submit(job)

    monkeypatch.setattr(story_module, "Process", Kept)
    monkeypatch.setitem(FAULTS, "told twice", 0.0)
    for seed in range(200):
        assert not tell(seed).broken, seed


class Disk:
    """A journal in a file, which the end of a process or of the power leaves torn."""

    def __init__(self, world: World, path: Path) -> None:
        self._world, self._path = world, path
        self._file = FileJournal(path)

    @property
    def events(self) -> list[Event]:
        return self._file.events

    def write(self, event: Event) -> None:
        world = self._world
        if world.happens("killed before a line") or world.happens("disk full"):
            line = json.dumps(event_to_json(event)).encode()
            kept = line[: world.choices.number(len(line) - 1)]
            tail = world.choices.pick([b"", b"\0" * 7, b"\n", b"\0\n"]) if kept else b""
            with self._path.open("ab") as file:
                file.write(kept + tail)
            self._open_again()
            raise Killed
        self._file.write(event)
        world.hear(event)
        if world.happens("killed after a line"):
            self._open_again()
            raise Killed

    def close(self) -> None:
        self._file.close()

    def _open_again(self) -> None:
        self._file.close()
        self._file = FileJournal(self._path)


def test_the_journal_on_the_disk_keeps_the_promises_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disks: list[Disk] = []

    def disk(world: World) -> Disk:
        disks.append(Disk(world, tmp_path / f"journal-{len(disks)}"))
        return disks[-1]

    monkeypatch.setattr(story_module, "Notebook", disk)
    monkeypatch.setattr("os.fsync", do_nothing)  # nobody takes the power away
    for seed in range(150):
        assert not tell(seed).broken, seed
        disks[-1].close()


def test_the_command_says_how_many_passed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["torture", "--seeds", "7:27", "--processes", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "20 passed, 0 failed"
    assert command_line(["torture", "--seeds", "7:27", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] == 20


def test_the_command_tells_what_failed_and_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attempts, "look_up", believe_in_silence)
    seed = next(seed for seed in range(5000) if tell(seed).broken)
    seeds = f"{max(0, seed - 1)}:{seed + 1}"
    assert command_line(["torture", "--seeds", seeds, "--processes", "1"]) == 1
    said = capsys.readouterr().out
    assert "was submitted twice" in said
    assert f"seed {seed} fails; `socm torture --seeds {seed}:{seed + 1}` tells it again" in said
    assert said.splitlines()[-1].endswith(" passed, 1 failed")


@pytest.mark.parametrize("seeds", ["", "7", "9:9", "9:7", "a:b", "-3:4"])
def test_what_is_not_a_range_of_seeds_is_refused(
    seeds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line(["torture", f"--seeds={seeds}"]) == 2
    assert "not a range of seeds" in capsys.readouterr().err
