"""What comes of files with mistakes: each is answered, soon and within bounds."""

from __future__ import annotations

import random
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from benchmarks.fuzz.commands import may_write, tell
from benchmarks.fuzz.kinds import KINDS, Kind
from socm.errors import SocmError

SLOW = 10
"""Seconds of work after which an answer is too late; six times that on a busy machine."""
COMMANDED = 0.3
"""Share of the files that a command line is given."""
MEMORY = 4
"""GB that a process may have."""


@dataclass
class Outcome:
    """What came of the files of a kind."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    memory: float = 0.0


def run(kind: str, count: int, seed: int) -> Outcome:
    """Read some files of a kind, in a process of its own."""
    limit = MEMORY * 1024**3
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _too_slow)
    with suppress(ImportError):  # without Numba
        import_module("socm.planner.compiled.serial")  # once, and longer than an answer may take
    outcome = Outcome()
    for number in range(count):
        signal.setitimer(signal.ITIMER_PROF, SLOW)
        signal.alarm(6 * SLOW)
        what, seconds = answer(KINDS[kind], random.Random(f"{seed} {kind} {number}"))
        outcome.slowest = max(outcome.slowest, seconds)
        outcome.counts[what if what in ("read", "refused") else "fault"] += 1
        if what not in ("read", "refused"):
            ending = "".join(what.splitlines()[-4:])  # the same fault is told once
            outcome.faults.setdefault(ending, f"{kind} {number} of seed {seed}: {what}")
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    outcome.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcome


def answer(kind: Kind, rng: random.Random) -> tuple[str, float]:
    """Write a file with mistakes and read it; say what came of it, and how many seconds it took."""
    with tempfile.TemporaryDirectory(prefix="socm-fuzz-") as name:
        folder = Path(name, "inner")
        folder.mkdir()
        kind.write(rng, folder)
        before = _content(Path(name))
        begin = time.process_time()
        may_change: set[str] = set()
        try:
            if kind.commands and rng.random() < COMMANDED:
                command = rng.choice(kind.commands)
                may_change = may_write(command)
                tell(command, folder, kind.name or next(folder.iterdir()).name)
            else:
                kind.read(folder)
            what = "read"
        except SocmError as error:
            what = "refused" if str(error) else "nothing is said"
        except (Exception, _TooSlow):
            what = traceback.format_exc()
        changed = {path for path, _ in before.items() ^ _content(Path(name)).items()}
        if any(may_change.isdisjoint(path.parts[1:2]) for path in changed):
            what = f"{changed} was written"
    return what, time.process_time() - begin


def _content(folder: Path) -> dict[Path, bytes]:
    """Return all files of a folder, by their path within it."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class _TooSlow(BaseException):
    """Nobody catches it on the way."""


def _too_slow(number: int, frame: object) -> None:
    raise _TooSlow
