"""The folder of a run may hold anything, and be seen from anywhere: what is said of it is true."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import job, plan_of
from test_cli import Done, socm

from socm.engine.events import (
    CampaignEnded,
    CampaignStarted,
    Ended,
    JobState,
    Replanned,
    Retrying,
    Skipped,
    Started,
    Submitted,
    Submitting,
)
from socm.engine.journal import FileJournal
from socm.engine.life import SILENCE, life_at, lock, show_sign
from socm.engine.run import Run, RunSettings
from socm.errors import RunError

PLAN = plan_of([job("a"), job("b", "a"), job("c")])
RUN = Path("socm-runs", "c-1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run that was left when one workflow had completed and another ran."""
    monkeypatch.chdir(tmp_path)
    run = Run.create(PLAN, RunSettings(executor="local", file="c.toml"), RUN)
    with FileJournal(run.journal) as journal:
        journal.write(CampaignStarted(time=0.0, fingerprint=PLAN.campaign.fingerprint))
        for name in ("a", "c"):
            native = f"{run.id}-{name}-1"
            journal.write(Submitting(time=0.0, workflow=name, attempt=1, job=native))
            journal.write(Submitted(time=0.5, workflow=name, attempt=1, native_id=native))
            journal.write(Started(time=1.0, workflow=name, attempt=1))
        journal.write(Ended(time=9.0, workflow="a", attempt=1, state=JobState.COMPLETED))
    return run


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let writing fail in mid-file, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 50_000], ids=["of the plan", "of what comes after it"])
@pytest.mark.parametrize("folder", [None, "new", "empty"])
def test_nothing_is_left_of_a_run_whose_folder_cannot_be_written_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, folder: str | None
) -> None:
    """So the same command works once there is space again."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    path = None if folder is None else Path(folder)
    settings = RunSettings(executor="local", file="c" * 60_000)
    with files_of_at_most(size), pytest.raises(RunError, match="cannot be written: file too large"):
        Run.create(PLAN, settings, path)
    assert [p for p in Path().rglob("*") if p.name not in ("empty", "socm-runs")] == []
    assert Path("empty").is_dir()
    first = Path("socm-runs", f"{PLAN.campaign.name}-1")
    assert Run.create(PLAN, settings, path).path == (path or first).absolute()


def one_sentence(done: Done) -> str:
    """Return what was told, if that is an error without a traceback."""
    assert done.returncode in (2, 5)
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


# Settings of a run


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", "{}", "\0" * 100, "[" * 100_000, '{"schema": "socm.run/0"}', "é"],
)
def test_a_run_that_cannot_be_used_is_told_and_passed_over(run: Run, content: str) -> None:
    for number in (0, 2):
        broken = Path("socm-runs", f"c-{number}")
        broken.mkdir()
        (broken / "run.json").write_text(content, encoding="latin-1")
    for verb in ("status", "resume", "cancel"):
        told = one_sentence(socm(verb, "c-2"))
        assert str(Path("socm-runs/c-2/run.json").absolute()) in told.replace("- ", "-")
    done = socm("status")
    assert done.returncode == 0
    assert (
        "c-1 (stopped): 1 completed" in " ".join(done.stdout.split())
        or "c-1 (stopped)" in done.stdout
    )
    assert done.stderr.count("warning: passed over: ") == 2
    document = json.loads(socm("status", "--json").stdout)
    assert document["run"] == "c-1"


ODD: list[Any] = [None, True, -1, 0, 1e300, 10**40, "", "x", "../x", "a\0", "\x1b[31m", [], {}, [1]]


def test_settings_of_any_kind_are_taken_or_refused_with_a_way_out(run: Run) -> None:
    path = run.path / "run.json"
    whole = json.loads(path.read_text())
    refused = 0
    for key in whole:
        for odd in [..., *ODD]:
            data = {k: odd if k == key else v for k, v in whole.items() if k != key or odd != ...}
            path.write_text(json.dumps(data))
            done = socm("status", "c-1")
            if done.returncode:
                refused += 1
                told = one_sentence(done)
                assert "run.json" in told
                assert "begin a new run" in told or "this version of socm" in told
    assert refused > 50


# Journals that do not belong to the plan


@pytest.mark.parametrize(
    "event",
    [
        Started(time=1.0, workflow="nowhere", attempt=1),
        Started(time=1.0, workflow="a\x1b[31m", attempt=1),
        Started(time=1e200, workflow="a", attempt=1),
        Started(time=1.0, workflow="a", attempt=0),
        Started(time=1.0, workflow="a", attempt=10**30),
        Ended(time=1.0, workflow="a", attempt=1, state=JobState.FAILED, exit_code=10**300),
        Ended(time=1.0, workflow="a", attempt=1, state=JobState.FAILED, peak_memory=10**300),
        Retrying(time=1.0, workflow="a", attempt=2, qos="none", walltime=60, memory=1, reason=""),
        Retrying(time=1.0, workflow="a", attempt=2, qos=None, walltime=0, memory=1, reason=""),
        Retrying(time=1.0, workflow="a", attempt=2, qos=None, walltime=60, memory=-1, reason=""),
    ],
)
def test_what_no_run_of_this_plan_has_is_named_by_every_verb(run: Run, event: Started) -> None:
    with FileJournal(run.journal) as journal:
        line = len(journal.events) + 1
        journal.write(event)
        journal.write(CampaignEnded(time=10.0))
    before = run.journal.read_bytes()
    for verb in (["status"], ["status", "--json"], ["logs", "a"], ["resume"], ["cancel"]):
        done = socm(*verb)
        told = one_sentence(done) if "--json" not in verb else done.stdout
        assert f"journal.jsonl:{line}: " in told
        assert "do not belong together" in told
        assert "\x1b" not in told
    assert run.journal.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["../../x/plan-2.json", "/plan-2.json", "plan.json", "", "plan-2.json"]
)
def test_a_plan_that_is_no_file_of_the_run_is_refused(run: Run, name: str) -> None:
    with FileJournal(run.journal) as journal:
        journal.write(Replanned(time=2.0, fingerprint="f", plan=name, edited=("a",)))
    for verb in ("status", "resume", "cancel"):
        told = one_sentence(socm(verb))
        assert "no run has a plan" in told or "plan-2.json: error: cannot be read" in told


def test_where_an_edit_replaces_the_plan_the_history_begins_anew(run: Run) -> None:
    history = run.history()
    assert history.state().workflows.keys() == {"a", "b", "c"}
    with FileJournal(run.journal) as journal:
        run.replan(plan_of([job("a"), job("c"), job("d")]), journal, ["d"], time=10.0)
    assert {n: p.status.value for n, p in history.state().workflows.items()} == {
        "a": "completed",
        "c": "running",
        "d": "pending",
    }
    with FileJournal(run.journal) as journal:
        journal.write(Skipped(time=11.0, workflow="d", because="c"))
        journal.write(Skipped(time=11.0, workflow="b", because="c"))
    assert history.state().workflows["d"].status.value == "skipped"


def mutants(content: bytes, count: int) -> Iterator[bytes]:
    """Yield a journal with a bit flipped, with lines lost, joined, doubled or cut."""
    rng = random.Random(3)
    for _ in range(count):
        lines = content.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                line = bytearray(lines[at])
                line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
                lines[at] = bytes(line)
            case 1:
                del lines[at]
            case 2:
                lines[at] = lines[at].rstrip(b"\n")
            case 3:
                lines.insert(at, rng.choice(lines))
            case 4:
                lines[at] = lines[at][: rng.randrange(len(lines[at]))] + b"\n"
            case 5:
                lines[at] = b"\0" * len(lines[at])
        yield b"".join(lines)


def test_a_damaged_journal_is_shown_or_refused_with_a_way_out(run: Run) -> None:
    outcomes = set()
    for content in mutants(run.journal.read_bytes(), 150):
        run.journal.write_bytes(content)
        done = socm("status", "c-1", "--json")
        outcomes.add(done.returncode)
        document = json.loads(done.stdout)
        if done.returncode:
            assert done.returncode == 5
            [error] = document["errors"]
            assert "journal.jsonl" in error["message"]
            assert "begin a new run" in error["hint"]
        assert done.stderr == ""
    assert outcomes == {0, 5}


def test_what_a_loss_of_power_left_is_removed_and_told(run: Run) -> None:
    whole = run.journal.read_bytes()
    run.journal.write_bytes(whole + b'{"event": "Ended", "tim\0\0\n')
    assert socm("status").returncode == 0
    done = socm("cancel", RUN, "b")
    assert "the last line of the journal was not written whole" in " ".join(done.stderr.split())
    assert run.journal.read_bytes().startswith(whole + b'{"event": ')


# Whether it is carried on


@contextlib.contextmanager
def another_process(path: Path) -> Iterator[None]:
    """Have the run carried on by another process of this machine."""
    code = (
        "import sys, time; from pathlib import Path; from socm.engine.life import lock\n"
        "with lock(Path(sys.argv[1]), 'c-1'): print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        process.communicate("")


def test_a_run_that_another_process_carries_on_is_running(run: Run) -> None:
    path = run.path / "lock"
    assert life_at(path) is None
    with another_process(path):
        os.chmod(path, 0o444)
        life = life_at(path)
        assert life is not None
        assert life.doubt is None
        document = json.loads(socm("status", "--json").stdout)
        assert document["state"] == "running"
        assert document["process"] == {"owner": life.owner, "verified": True}
        with (
            pytest.raises(RunError, match=f"c-1 is active: {life.owner} carries it on"),
            lock(path, "c-1"),
        ):
            pass
    assert life_at(path) is None
    document = json.loads(socm("status", "--json").stdout)
    assert (document["state"], document["process"]) == ("stopped", None)


def test_on_another_machine_the_signs_of_life_count(run: Run) -> None:
    """Its lock may not be seen from here, as on a disk without locks."""
    path = run.path / "lock"
    path.write_text("process 123 on login2\nabc\n")
    life = life_at(path)
    assert life is not None
    assert (life.id, life.owner) == ("abc", "process 123 on login2")
    shown = " ".join(socm("status").stdout.split())
    assert "c-1 (running)" in shown
    assert "Carried on by process 123 on login2, which cannot be verified from here" in shown
    document = json.loads(socm("status", "--json").stdout)
    assert document["process"] == {"owner": "process 123 on login2", "verified": False}
    told = one_sentence(socm("resume", "c-1"))
    assert "c-1 may be active: process 123 on login2 showed a sign of life" in told
    assert path.read_text() == "process 123 on login2\nabc\n"

    os.utime(path, (half := time.time() - SILENCE / 2, half))
    told, shown = one_sentence(socm("resume", "c-1")), " ".join(socm("status").stdout.split())
    still = r"(1 min|\d+ s)"  # a minute, less what this test has taken
    assert re.search(f"the run can be resumed here in {still}, 2 min after its last sign", told)
    assert re.search(f"without another one, the run can be resumed in {still}", shown)

    long_ago = time.time() - SILENCE - 1
    os.utime(path, (long_ago, long_ago))
    assert life_at(path) is None
    assert "c-1 (stopped)" in socm("status").stdout
    show_sign(path)
    assert life_at(path) is not None
    os.utime(path, (long_ago, long_ago))
    with lock(path, "c-1"):
        pass


def test_on_this_machine_a_process_that_left_its_lock_is_gone(run: Run) -> None:
    path = run.path / "lock"
    path.write_text(f"process 123 on {os.uname().nodename}\nabc\n")
    assert life_at(path) is None


def test_a_lock_that_cannot_be_read_is_a_doubt(run: Run) -> None:
    (run.path / "lock").mkdir()
    life = life_at(run.path / "lock")
    assert life is not None
    assert "is a directory" in str(life.doubt)
    assert "which cannot be verified from here" in " ".join(socm("status").stdout.split())


def test_of_a_journal_that_grows_only_what_is_new_is_read(run: Run) -> None:
    history = run.history()
    assert history.state().ended is None
    begun = run.journal.read_bytes()
    run.journal.write_bytes(b"x" * len(begun))  # it would be noticed if it were read again
    with run.journal.open("ab") as file:
        file.write(b'{"event": "CampaignEnded", "time": 10.0}\n')
    assert history.state().ended == 10.0
