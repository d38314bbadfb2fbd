"""Processes killed at random: ``python -m benchmarks.chaos [--kills N] [--executor local|slurm]``.

Campaigns run for real while the process that carries them on is killed, again and again, and
resumed. Each workflow writes into a ledger when it starts and when it ends. Afterwards each must
have run exactly once, after what it depends on, and socm must say so.

On SLURM this needs a cluster; ``--executor slurm`` starts one on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from socm.cli.app import command_line

ROOT = Path(__file__).parent.parent
PATIENCE = 300.0
"""Seconds in which a run has to end once nobody kills its processes any more."""
WORKFLOWS = 6


def main() -> None:
    """Kill until there were so many kills; print what came of it, exit with 1 if not all well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--executor", choices=["local", "slurm"], default="local")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, counts, broken = time.monotonic(), Counter[str](), list[str]()
    with _cluster(asked.executor) as cluster:
        number = asked.seed
        while counts["kills"] < asked.kills:
            with tempfile.TemporaryDirectory() as folder:
                found = _run(Path(folder), number, asked.executor, cluster, counts)
            broken += [f"seed {number}: {what}" for what in found]
            number += 1
    print(*broken, sep="\n")
    print(
        f"{asked.executor}: {counts['kills']} kills in {counts['runs']} runs of "
        f"{WORKFLOWS} workflows, {time.monotonic() - began:.0f} s: {len(broken)} faults"
    )
    sys.exit(1 if broken else 0)


@contextlib.contextmanager
def _cluster(executor: str) -> Iterator[Path | None]:
    """Start a cluster where one is needed; yield its description."""
    if executor == "local":
        yield None
        return
    sys.path.insert(0, str(ROOT / "tests" / "slurm"))
    from mini_slurm import MiniSlurm
    from slurm_conf import Nodes

    lines = ["PartitionName=cpu Nodes=n[1-2] Default=YES MaxTime=1-00:00:00"]
    with MiniSlurm(nodes=(Nodes(prefix="n", count=2, cores=16, memory=64000),), lines=lines) as up:
        os.environ["SLURM_CONF"] = str(up.conf)
        with tempfile.TemporaryDirectory() as folder:
            described = Path(folder) / "cluster.toml"
            described.write_text(
                'name = "mini"\n[[partitions]]\nname = "cpu"\nnodes = 2\ncores-per-node = 16\n'
                'memory-per-node = "64000M"\nwalltime = "1d"\n'
            )
            yield described


def _run(
    folder: Path, seed: int, executor: str, cluster: Path | None, counts: Counter[str]
) -> list[str]:
    """Carry out one campaign, and kill what carries it on; return what went wrong."""
    choices = random.Random(seed)
    depends = {
        f"w{k}": sorted(
            {f"w{choices.randrange(k)}" for _ in range(choices.randrange(3))} if k else ()
        )
        for k in range(WORKFLOWS)
    }
    ledger = folder / "ledger"
    campaign = folder / "campaign.yaml"
    campaign.write_text(_campaign(depends, choices, ledger, executor))
    arguments = ["run", str(campaign), "--yes", "--executor", executor, "--run-dir", "run"]
    arguments += ["--cluster", str(cluster)] if cluster else []
    arguments += ["--poll-interval", "0.3"] if executor == "slurm" else []
    counts["runs"] += 1
    for _ in range(choices.randrange(4, 12)):
        process = _start(folder, arguments)
        time.sleep(choices.random() * choices.choice([0.3, 1.0, 3.0]))
        os.kill(process, signal.SIGKILL)
        _, code = os.waitpid(process, 0)
        if os.WIFEXITED(code):
            break  # it was at its end already
        counts["kills"] += 1
        if (folder / "run" / "run.json").exists():
            arguments = ["resume", "run"]
        else:
            shutil.rmtree(folder / "run", ignore_errors=True)  # it had not become a run yet
    process = _start(folder, arguments)
    until = time.monotonic() + PATIENCE
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return ["it does not end"]
        time.sleep(0.05)
    return [*_faults(folder, depends, ledger)]


def _campaign(
    depends: dict[str, list[str]], choices: random.Random, ledger: Path, executor: str
) -> str:
    stages = {}
    for name, others in depends.items():
        line = f"echo {name} starts >> {ledger}; sleep {choices.random():.2f}"
        stages[name] = {
            "executable": f"sh -c '{line}; echo {name} ends >> {ledger}'",
            "depends": others,
            "resources": {"ranks": 1, "threads": 1, "memory": "50M", "runtime": "5s"},
        }
    schema = "local" if executor == "local" else "remote"
    return json.dumps({"campaign": {"execution_schema": schema}, "stages": stages})


def _start(folder: Path, arguments: list[str]) -> int:
    """Start a process of socm by a fork, which saves the time of the imports; return its id."""
    process = os.fork()
    if process:
        return process
    os.chdir(folder)
    os.setsid()
    with open("output", "a") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    code = 70
    try:
        code = command_line(arguments)
    finally:
        os._exit(code)


def _faults(folder: Path, depends: dict[str, list[str]], ledger: Path) -> Iterator[str]:
    """Yield what went wrong, by the ledger and by what socm says."""
    said = (folder / "output").read_text()[-2000:]
    if not ledger.exists():
        yield f"nothing ran: {said}"
        return
    lines = ledger.read_text().splitlines()
    for name, others in depends.items():
        for what in ("starts", "ends"):
            if (times := lines.count(f"{name} {what}")) != 1:
                yield f"{name} {what} {times} times"
        for other in others:
            if f"{other} ends" not in lines[: lines.index(f"{name} starts")]:
                yield f"{name} starts before {other} ends"
    journal = (folder / "run" / "journal.jsonl").read_text().splitlines()
    ends = Counter(e["workflow"] for e in map(json.loads, journal) if e["event"] == "Ended")
    if ends != dict.fromkeys(depends, 1):
        yield f"socm says that so many attempts ended: {dict(ends)}"
    if json.loads(journal[-1])["event"] != "CampaignEnded":
        yield f"the run has not ended: {said}"


if __name__ == "__main__":
    main()
