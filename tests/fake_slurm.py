"""A SLURM in memory whose commands misbehave as those of real ones do; a seed decides how.

It stands for the one call by which `socm.executor.slurm.client` runs a command, and for the clock.
It knows what truly happened.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import pytest

from socm.executor import tracker
from socm.executor.slurm import client, executor, jobs
from socm.executor.slurm.answers import SEPARATOR
from socm.executor.slurm.client import Answer
from socm.testing.torture.choices import Choices

FAULTS = {
    # what is printed
    "banner": 0.3,
    "digits in the banner": 0.1,
    "noise on stderr": 0.3,
    "bytes that are no text": 0.1,
    "cut answer": 0.05,
    "empty answer": 0.05,
    # who does not answer
    "slow": 0.1,
    "killed": 0.05,
    "killed after it was taken": 0.1,
    "a wrapper hides the signal": 0.5,
    "controller away": 0.02,
    "controller hangs": 0.03,
    "accounting away": 0.02,
    "sacct forbidden": 0.1,
    "sacct refuses ranges": 0.3,
    "no words": 0.1,
    # what sbatch refuses
    "refused for now": 0.1,
    "denied for a moment": 0.05,
    "odd failure": 0.1,
    # what becomes of jobs
    "waits": 0.5,
    "fails": 0.15,
    "times out": 0.1,
    "out of memory": 0.05,
    "node fails": 0.1,
    "preempted": 0.1,
    "requeued": 0.1,
    "held": 0.1,
    "suspended": 0.1,
    "renamed": 0.1,
    "cancelled by others": 0.05,
    "ends without a word": 0.3,
    "table lost": 0.01,
    "ids again": 0.7,
    # what becomes of socm
    "socm killed": 0.02,
    "socm killed in sbatch": 0.05,
    "user cancels": 0.02,
    "user edits": 0.02,
}
"""What may happen, and how probable it is each time that it could."""
NOW = (
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
    "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "sbatch: error: Batch job submission failed: "
    "Required partition not available (inactive or drain)",
)
ODD = (
    "sbatch: error: Munge encode failed: no such file\n"
    "sbatch: error: Batch job submission failed: Protocol authentication error",
    "sbatch: error: Batch job submission failed: Unspecified error",
    "sbatch: fatal: Could not establish a configuration source",
)
DENIED = "sbatch: error: Batch job submission failed: Invalid account or account/partition"
AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
SILENT = "Batch job submission failed: Socket timed out on send/recv operation"
MIN_JOB_AGE = 300.0
WALLTIME = 180


class Clock:
    """Stands for the module `time`: it goes on when somebody sleeps."""

    def __init__(self, slurm: FakeSlurm, now: float) -> None:
        self._slurm = slurm
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - 1e9

    def sleep(self, seconds: float) -> None:
        self._slurm.advance(self.now + max(0.0, seconds))


@dataclass(eq=False)
class FakeJob:
    """A job that the controller took, and what truly became of it."""

    native_id: str
    name: str
    script: str
    submitted: float
    state: str = "PENDING"
    reason: str = "Priority"
    code: str = "0:0"
    ended: float | None = None
    began: float = 0.0
    running: bool = False  # its command
    well: bool = False  # its command has ended with 0
    fates: set[str] = field(default_factory=set)  # REQUEUED and LOST besides the states of SLURM
    turn: int = 0
    told: list[str] = field(default_factory=list)  # what the accounting has
    told_last: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.ended is None

    @property
    def is_ours(self) -> bool:
        return bool(self.script)

    @property
    def key(self) -> str:
        """Workflow and attempt."""
        return ".".join(Path(self.script).parts[-3:-1])


class FakeSlurm:
    """The cluster; `ours` and `strangers` are all jobs that it ever had.

    Parameters
    ----------
    choices
        Decide what happens.
    """

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.clock = Clock(self, 1_790_000_000.0)
        self.held = False  # whether whatever is submitted is held
        self.dying = False  # whether the next sbatch outlives its socm
        self.silent = ""  # a command that never answers
        self.planned: dict[str, tuple[str, int]] = {}  # what becomes of attempts, and when
        self.healthy = False
        self.jobs: dict[str, FakeJob] = {}  # what the controller has
        self.ours: list[FakeJob] = []
        self.strangers: list[FakeJob] = []
        self.records: list[FakeJob] = []  # what the accounting will have
        self.broken: list[str] = []
        self.story: list[str] = []
        self.orphans: dict[str, float] = {}  # scripts that an sbatch delivers whose socm was killed
        self._elsewhere: set[str] = set()  # those of them whose sbatch is on another host
        self.dies: Callable[[], None] | None = None
        self._possible = {kind for kind in FAULTS if choices.chance(0.3)}
        self.away_until = self.accounting_until = 0.0
        self._late: list[str] = []  # scripts that a controller that hangs has not read yet
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers, self._ids = count(), count(1 + choices.number(20))
        self.forbidden = self.happens("sacct forbidden")
        self.blind = self.forbidden  # at some time it did not keep what became of jobs
        self._denied = 0

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Let it stand for the real one."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (tracker, executor, jobs):
                patch.setattr(module, "time", self.clock)
            patch.setattr(client, "execute", self.execute)
            patch.setattr(executor, "sbatch_at_work", self.sbatch_at_work)
            yield

    def happens(self, fault: str) -> bool:
        if self.healthy or fault not in self._possible:
            return False
        return self.choices.chance(FAULTS[fault])

    def note(self, what: str) -> None:
        self.story.append(f"{self.clock.now - 1_790_000_000:7.0f} s  {what}")

    def break_promise(self, what: str) -> None:
        self.broken.append(what)
        self.note(f"BROKEN: {what}")

    # Time

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        heappush(self._agenda, (self.clock.now + seconds, next(self._numbers), action))

    def advance(self, until: float) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            time, _, action = heappop(self._agenda)
            self.clock.now = max(self.clock.now, time)
            action()
        self.clock.now = max(self.clock.now, until)

    # Commands

    def execute(self, command: Sequence[str], environment: Mapping[str, str]) -> Answer:
        """Run a command, as `socm.executor.slurm.client.execute` does."""
        assert environment.get("LC_ALL") == "C" or command[0] == "sbatch"
        if self.dies is not None and self.happens("socm killed"):
            self.dies()
        self.advance(self.clock.now + (30.0 if self.happens("slow") else 0.02))
        if self.happens("controller away"):
            self.away_until = self.clock.now + 1 + self.choices.number(900)
            self.note("the controller is away")
        if self.happens("accounting away"):
            self.accounting_until = self.clock.now + 1 + self.choices.number(2000)
            self.note("the accounting is away")
            self.blind = True
        if self.happens("table lost"):
            self.lose_table()
        if self.happens("killed"):
            return self._killed()
        if command[0] == self.silent:
            return Answer(1, "", AWAY)
        answer = {
            "sbatch": self._sbatch,
            "squeue": self._squeue,
            "sacct": self._sacct,
            "scancel": self._scancel,
        }[command[0]](command[1:])
        return self._spoiled(answer, command[0])

    def sbatch_at_work(self, script: Path) -> int | None:
        path = str(script)
        here = path not in self._elsewhere and self.orphans.get(path, 0.0) >= self.clock.now
        return 4711 if here else None

    @property
    def _away(self) -> bool:
        return self.away_until > self.clock.now

    def _killed(self) -> Answer:
        if self.happens("a wrapper hides the signal"):
            return Answer(137, "", "Killed")
        if self.choices.chance(0.5):
            raise subprocess.TimeoutExpired("command", 60)
        return Answer(-9, "", "")

    def _spoiled(self, answer: Answer, command: str) -> Answer:
        out, err = answer.out, answer.err
        if command in ("squeue", "sacct") and answer.code == 0:
            if self.happens("empty answer"):
                out = ""
            if self.happens("cut answer"):
                out = out[: self.choices.number(len(out))]
        if self.happens("banner"):
            out = f"Welcome | to the cluster\n17|RUNNING|None\n{out}see https://status\n"
        if self.happens("digits in the banner"):
            out = f"{self.choices.number(30)}\n{out}"
        if self.happens("bytes that are no text"):
            out, err = f"\ufffd\ufffd\n{out}", f"{err}\ufffd"
        if self.happens("noise on stderr"):
            err = f"{command}: warning: Socket timed out once\ninvalid account of the bank\n{err}"
        if answer.code and self.happens("no words"):
            err = ""
        return Answer(answer.code, out, err)

    def _sbatch(self, arguments: Sequence[str]) -> Answer:
        script = arguments[-1]
        os.utime(script, (self.clock.now, self.clock.now))
        if self._away:
            return Answer(1, "", f"sbatch: error: {AWAY}")
        if self.happens("refused for now"):
            return Answer(1, "", self.choices.pick(NOW))
        if self.happens("denied for a moment") and self._denied < 2:
            self._denied += 1
            return Answer(1, "", DENIED)
        self._denied = 0
        if self.happens("odd failure"):
            return Answer(1, "", self.choices.pick(ODD))
        if self.happens("controller hangs"):
            self.note(f"the controller hangs, {script} is on its way")
            self._late.append(script)
            self.away_until = self.clock.now + 10 + self.choices.number(300)
            self.later(self.away_until - self.clock.now, self._wake_up)
            return Answer(1, "", f"sbatch: error: {SILENT}")
        if self.dies is not None and (self.dying or self.happens("socm killed in sbatch")):
            seconds = 100 + self.choices.number(200)
            self.note(f"socm is killed, its sbatch goes on for {seconds} s with {script}")
            self.orphans[script] = self.clock.now + seconds
            if self.choices.chance(0.3):
                self._elsewhere.add(script)
            self.later(seconds, lambda: self._deliver(script))
            self.dies()
        job = self.accept(script)
        if self.happens("killed after it was taken"):
            return self._killed()
        return Answer(0, f"{job.native_id}\n", "")

    def _wake_up(self) -> None:
        while self._late:
            self.accept(self._late.pop())

    def _deliver(self, script: str) -> None:
        if self._away:
            self.note(f"{script} never arrives")
        else:
            self.accept(script)

    def _squeue(self, arguments: Sequence[str]) -> Answer:
        if self._away:
            return Answer(1, "", AWAY)
        name = arguments[arguments.index("-n") + 1] if "-n" in arguments else None
        listed = [
            job
            for job in self.jobs.values()
            if name in (None, job.name)
            and (job.ended is None or self.clock.now - job.ended < MIN_JOB_AGE)
        ]
        rows = [
            (
                j.native_id,
                j.state,
                _stamp(j.submitted),
                j.name,
                j.script or "(null)",
                "n1" if j.state == "RUNNING" else "",
                j.reason,
            )
            for j in listed
        ]
        return Answer(0, "".join(SEPARATOR.join(row) + "\n" for row in rows), "")

    def _sacct(self, arguments: Sequence[str]) -> Answer:
        if self.forbidden:
            return Answer(1, "", "sacct: error: Access/permission denied")
        if self.accounting_until > self.clock.now:
            return Answer(1, "", "sacct: error: Problem talking to the database: refused")
        if "-S" in arguments and self.happens("sacct refuses ranges"):
            return Answer(1, "", "sacct: error: Too wide of a date range in query")
        name = arguments[arguments.index("--name") + 1] if "--name" in arguments else None
        ids = arguments[arguments.index("-j") + 1].split(",") if "-j" in arguments else None
        lines = []
        for job in self.records:
            if (ids is None or job.native_id in ids) and name in (None, job.name):
                state = job.told[-1] if job.told else "PENDING"
                final = state not in ("PENDING", "RUNNING", "SUSPENDED")
                end = _stamp(job.ended) if final and job.ended else "Unknown"
                code = job.code if final else "0:0"
                row = (job.native_id, state, code, "", end, _stamp(job.submitted), job.name)
                lines.append(SEPARATOR.join(row))
                if state == "FAILED" and "OUT_OF_MEMORY" in job.fates:
                    row = (f"{job.native_id}.0", "OUT_OF_MEMORY", "0:125", "300M", end, end, "sh")
                    lines.append(SEPARATOR.join(row))
        return Answer(0, "".join(f"{line}\n" for line in lines), "")

    def _scancel(self, arguments: Sequence[str]) -> Answer:
        if self._away:
            return Answer(1, "", f"scancel: error: {AWAY}")
        only_waiting = "--state=PENDING" in arguments
        for native_id in arguments:
            job = self.jobs.get(native_id)
            if job is None or not job.is_open or (only_waiting and job.state != "PENDING"):
                continue
            if not job.is_ours:
                self.break_promise(f"a stranger's job {native_id} ({job.name}) was cancelled")
            self.note(f"{job.name}, job {native_id}: scancel")
            self.end(job, "CANCELLED", told="CANCELLED by 0")
        if self.happens("killed after it was taken"):
            return self._killed()
        return Answer(0, "", "")

    # Jobs

    def accept(self, script: str) -> FakeJob:
        folder = Path(script).parent
        name = next(
            line.partition("=")[2]
            for line in Path(script).read_text().splitlines()
            if line.startswith("#SBATCH --job-name=")
        )
        job = FakeJob(str(next(self._ids)), name, script, self.clock.now)
        self.note(f"{name}: taken as job {job.native_id}")
        twins = [j for j in self.ours if j.key == job.key and j.is_open]
        if twins and script not in self.orphans:
            self.break_promise(f"{folder} was submitted twice")
        self.ours.append(job)
        self._take(job)
        wait = self.choices.number(900) if self.happens("waits") else self.choices.number(5)
        if self.held or self.happens("held"):
            job.reason = "JobHeldAdmin"
            wait += 1000 + self.choices.number(5000)
        self.later(wait, lambda: self._start(job))
        if self.happens("cancelled by others"):
            delay = self.choices.number(wait + 400)
            self.later(delay, lambda: self.end(job, "CANCELLED", told="CANCELLED by 0"))
        if self.happens("renamed"):
            self.later(self.choices.number(wait + 300), lambda: self.rename(job))
        return job

    def count_from(self, number: int) -> None:
        """Give this id to the next job."""
        self._ids = count(number)

    def add_stranger(self) -> None:
        """Let the same user submit a job of something else, by hand."""
        job = FakeJob(str(next(self._ids)), "thesis | part 2", "", self.clock.now)
        self.note(f"a stranger's job {job.native_id}")
        job.state, job.reason = "RUNNING", "None"
        self.strangers.append(job)
        self._take(job)

    def _take(self, job: FakeJob) -> None:
        self.jobs[job.native_id] = job
        self.records.append(job)
        self._tell(job, job.state)

    def _tell(self, job: FakeJob, state: str) -> None:
        """Tell the accounting, which is always a bit late."""
        moment = max(self.clock.now, self.accounting_until, job.told_last) + self.choices.number(1)
        job.told_last = moment
        self.later(moment - self.clock.now, lambda: job.told.append(state))

    def rename(self, job: FakeJob) -> None:
        if job.is_open:
            job.name = "an administrator's | name"
            self.note(f"job {job.native_id} is renamed")

    def _is_current(self, job: FakeJob, turn: int) -> bool:
        return job.is_open and job.turn == turn and self.jobs.get(job.native_id) is job

    def _start(self, job: FakeJob) -> None:
        if not job.is_open or job.state != "PENDING" or self.jobs.get(job.native_id) is not job:
            return
        job.state, job.reason = "RUNNING", "None"
        job.turn += 1
        turn = job.turn
        self._tell(job, "RUNNING")
        started, _ = self._marks(job)
        try:
            with open(started, "x", encoding="utf-8") as file:
                file.write(f"{job.native_id} {self.clock.now} n1 n1\n")
        except FileExistsError:
            self.note(f"{job.name}: started already, job {job.native_id} does nothing")
            self.later(1, lambda: self.end(job, "FAILED", code="125:0"))
            return
        workflow = job.key.partition(".")[0]
        for other in self.ours:
            if other.key.partition(".")[0] == workflow and other.running:
                self.break_promise(f"two jobs of {workflow} run at once")
        job.running, job.began = True, self.clock.now
        self.note(f"{job.name}: runs as job {job.native_id}")
        fates = {
            "fails": "FAILED",
            "times out": "TIMEOUT",
            "out of memory": "OUT_OF_MEMORY",
            "node fails": "NODE_FAIL",
            "preempted": "PREEMPTED",
            "requeued": "REQUEUED",
        }
        fate = next((state for kind, state in fates.items() if self.happens(kind)), "COMPLETED")
        runtime = WALLTIME if fate == "TIMEOUT" else 1 + self.choices.number(WALLTIME - 10)
        fate, runtime = self.planned.get(job.key, (fate, runtime))
        if self.happens("suspended"):
            self.later(self.choices.number(runtime), lambda: self.suspend(job))
            runtime += 400
        self.later(runtime, lambda: self._finish(job, turn, fate))

    def _marks(self, job: FakeJob) -> tuple[Path, Path]:
        results = Path(job.script).parents[3] / "results"
        return results / f"{job.key}.started", results / f"{job.key}.json"

    def suspend(self, job: FakeJob) -> None:
        if job.is_open and job.state == "RUNNING":
            job.state = "SUSPENDED"
            self._tell(job, "SUSPENDED")

    def _finish(self, job: FakeJob, turn: int, fate: str) -> None:
        if not self._is_current(job, turn):
            return
        job.fates.add(fate)
        if fate in ("COMPLETED", "FAILED", "OUT_OF_MEMORY"):
            job.running = False
        if fate == "COMPLETED":
            job.well = True
            self._write_result(job, 0)
            self.end(job, "COMPLETED")
        elif fate == "FAILED":
            self._write_result(job, 3)
            self.end(job, "FAILED", code="3:0")
        elif fate == "OUT_OF_MEMORY":
            self._write_result(job, 1)
            self.end(job, "FAILED", code="1:0")
        elif fate == "REQUEUED":
            self.requeue(job)
        else:
            self.end(job, fate)

    def requeue(self, job: FakeJob) -> None:
        self.note(f"{job.name}: is requeued")
        self._kill_script(job)
        before = FakeJob(job.native_id, job.name, job.script, job.submitted, "REQUEUED")
        before.ended, before.told = self.clock.now, ["REQUEUED"]
        self.records.insert(self.records.index(job), before)
        job.submitted, job.state, job.reason = self.clock.now, "PENDING", "BeginTime"
        self._tell(job, "PENDING")
        self.later(10 + self.choices.number(200), lambda: self._start(job))

    def _kill_script(self, job: FakeJob) -> None:
        """End its command by a signal; its script may say so, or may be killed as well."""
        if job.running and not self.happens("ends without a word"):
            self._write_result(job, 143)
        job.running = False

    def _write_result(self, job: FakeJob, code: int) -> None:
        _, result = self._marks(job)
        well = int(code == 0)
        said = {"exit_code": code, "start": job.began, "end": self.clock.now}
        said |= {"node": "n1", "ranks_begun": 1, "ranks_well": well}
        temporary = result.with_suffix(".new")
        temporary.write_text(json.dumps(said))
        temporary.replace(result)

    def end(self, job: FakeJob, state: str, *, code: str = "0:0", told: str = "") -> None:
        """End a job, if it is not over."""
        if not job.is_open:
            return
        if state in ("CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL"):
            self._kill_script(job)
            job.fates.add(state)
        self.note(f"{job.name}, job {job.native_id}: {state} {code}")
        job.state, job.code, job.ended = state, code, self.clock.now
        job.reason = "None"
        self._tell(job, told or state)

    def lose_table(self) -> None:
        """Start the controller anew without its jobs: nodes end those that run."""
        self.note("the controller loses its table of jobs")
        self.blind = True
        for job in self.jobs.values():
            if job.is_open:
                job.fates.add("LOST")
                delay = self.choices.number(10)
                job.ended = math.nan  # the controller knows it no more; its node soon will not
                self.later(delay, lambda job=job: self._drop(job))  # type: ignore[misc]
        self.jobs.clear()
        if self.happens("ids again"):
            self.count_from(1)
            for _ in range(self.choices.number(8)):
                self.add_stranger()

    def _drop(self, job: FakeJob) -> None:
        if job.is_ours:
            self._kill_script(job)
        job.state, job.ended = "CANCELLED", self.clock.now
        self._tell(job, "CANCELLED")


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
