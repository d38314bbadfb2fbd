"""Campaigns inside of allocations on a real SLURM, and what becomes of them."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from carrying import ROOT, SOCM
from mini_slurm import MiniSlurm

from socm.engine.events import Ended, JobState
from socm.engine.journal import read_journal
from socm.engine.run import Run

SMALL = "resources: {memory: 1G, runtime: 1m}"


@dataclass
class Inside:
    """What is run inside of allocations, and its folder."""

    slurm: MiniSlurm
    folder: Path
    jobs: list[str] = field(default_factory=list)

    def write(self, stages: str, **campaign: object) -> Path:
        path = self.folder / "campaign.yaml"
        head = json.dumps({"name": "inside", **campaign})
        path.write_text(f"campaign: {head}\nstages:\n{stages}")
        return path

    def allocate(self, *command: object, nodes: int = 2, minutes: int = 10) -> str:
        """Submit an allocation in which a command of socm runs; return its id."""
        socm = " ".join(map(str, [*SOCM, *command]))
        script = f"#!/bin/bash\ncd {self.folder}\nexport PYTHONPATH={ROOT}\n{socm}\necho code $?\n"
        path = self.folder / f"allocation-{len(self.jobs)}.sh"
        path.write_text(script)
        job = self.slurm.run(
            "sbatch", "--parsable", f"--nodes={nodes}", "--exclusive", "--mem=0",
            f"--time={minutes}", f"--output={path}.out", str(path),
        ).strip()  # fmt: skip
        self.jobs.append(job)
        return job

    def printed(self, number: int = -1) -> str:
        if not self.jobs:
            return ""
        number %= len(self.jobs)
        path = self.folder / f"allocation-{number}.sh.out"
        return path.read_text() if path.exists() else ""

    def over(self, job: str) -> bool:
        state = self.slurm.run("squeue", "-h", "-j", job, "-o", "%T", check=False).strip()
        return state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")

    def wait(self, job: str, seconds: float = 180) -> str:
        """Wait until an allocation is over; return what was printed in it."""
        until = time.monotonic() + seconds
        while not self.over(job):
            assert time.monotonic() < until, self.printed()
            time.sleep(0.1)
        return self.printed()

    def wait_for(self, ready: Callable[[], bool]) -> None:
        self.slurm.wait_for(ready, self.printed())

    def states(self, run: str = "run") -> dict[str, str]:
        state = Run(self.folder / run).state()
        return {name: progress.status.value for name, progress in state.workflows.items()}

    def ends(self, run: str = "run") -> Counter[tuple[str, JobState]]:
        events = read_journal(self.folder / run / "journal.jsonl")
        return Counter((e.workflow, e.state) for e in events if isinstance(e, Ended))

    def stdout(self, workflow: str, attempt: int = 1) -> str:
        path = self.folder / "run" / "jobs" / workflow / str(attempt) / "stdout"
        return path.read_text() if path.exists() else ""

    def hold(self) -> str:
        """Hold an allocation in which nothing runs, as salloc does; return its id."""
        job = self.slurm.run(
            "sbatch", "--parsable", "--nodes=2", "--exclusive", "--mem=0", "--time=10",
            "--output=/dev/null", "--wrap=sleep 600",
        ).strip()  # fmt: skip
        self.jobs.append(job)
        state = ("squeue", "-h", "-j", job, "-o", "%T")
        self.wait_for(lambda: self.slurm.run(*state).strip() == "RUNNING")
        return job

    def start_in(self, job: str, *command: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*SOCM, *map(str, command)],
            cwd=self.folder,
            env={**self.slurm.env, "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": job},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def lines(self, run: str = "run") -> int:
        path = self.folder / run / "journal.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0
