"""An interrupt ends every command with 130, whatever was going on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from test_cli import ROOT, SMALL_CLUSTER, TWO_STAGES

PLACES = {
    "a weak reference's callback": "x = Thing(); r = weakref.ref(x, interrupt); del x",
    "a finaliser": "Thing.__del__ = interrupt; Thing()",
    "the garbage collector": "gc.callbacks.append(interrupt); gc.collect(); gc.callbacks.clear()",
    "a library that catches everything": "with contextlib.suppress(BaseException): interrupt()",
    "C that calls Python": (
        "libc = ctypes.CDLL(None)\n"
        "    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)\n"
        "    libc.qsort((ctypes.c_int * 2)(2, 1), 2, 4, kind(interrupt))"
    ),
    "a database": (
        "base = sqlite3.connect(':memory:')\n"
        "    base.create_function('stop', 0, interrupt)\n"
        "    with contextlib.suppress(sqlite3.Error): base.execute('select stop()').fetchall()"
    ),
    "clean-up that is in no hurry": (
        "try: interrupt()\n    finally: time.sleep(0.3); print('clean', flush=True)"
    ),
    "a lock, while another thread has the signal": (
        "main = f'/proc/self/task/{threading.main_thread().native_id}/stat'\n"
        "    def other():\n"
        "        while open(main).read().split()[2] != 'S': pass\n"
        "        interrupt(); time.sleep(20); os._exit(1)\n"
        "    threading.Thread(target=other, daemon=True).start()\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        "    lock = threading.Lock()\n"
        "    for _ in range(2): lock.acquire()"
    ),
    "exit": "atexit.register(interrupt); return 0",
    "exit, after an interrupt": "atexit.register(interrupt); interrupt()",
    "exit, as the last threads end": (
        "threading.Thread(target=lambda: (threading.main_thread().join(), interrupt(),\n"
        "        time.sleep(9))).start()\n    return 0"
    ),
}
PROGRAM = """
import atexit, contextlib, ctypes, gc, os, signal, sqlite3, sys, threading, time, weakref
from types import SimpleNamespace
import socm.cli

class Thing: pass

def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    return 0

def command_line(arguments):
    {place}
    until = time.monotonic() + 5
    while time.monotonic() < until:
        pass  # the work that goes on where nobody heard the interrupt
    print("to its end", flush=True)
    return 0

sys.modules["socm.cli.app"] = SimpleNamespace(command_line=command_line)
socm.cli.main()
"""
WATCHED = """
import os, signal, sys

name, number, *arguments = sys.argv[1:]
number = int(number)

def watch(frame, event, argument):
    global number
    if event == "call" and name in ("any", frame.f_code.co_name):
        number -= 1
        if number == 0:
            sys.setprofile(None)
            os.kill(os.getpid(), signal.SIGINT)

import socm.cli
sys.argv[1:] = arguments
sys.setprofile(watch)
socm.cli.main()
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    (tmp_path / "bench.toml").write_text(SMALL_CLUSTER)
    path = tmp_path / "two.yaml"
    path.write_text(TWO_STAGES.format(deadline="3h"))
    return path


def listening() -> None:
    """Hear interrupts, which a process in the background of a script does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        preexec_fn=listening,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("place", PLACES)
def test_no_place_swallows_an_interrupt(place: str) -> None:
    done = ended(PROGRAM.format(place=PLACES[place]))
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert done.stdout == ("clean\n" if "clean" in place else "")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("any", number) for number in (30, 1000, 10_000, 50_000, 100_000, 200_000)),
        ("cb", 1),  # the callback of an import's lock
        ("cb", 200),
        ("command_line", 1),
        ("simulate", 1),
        ("write_json", 1),
    ],
)
def test_a_command_is_interrupted_wherever_it_is(
    campaign: Path, tmp_path: Path, name: str, number: int
) -> None:
    output = tmp_path / "result.json"
    done = ended(WATCHED, name, number, "simulate", campaign, "--output", output)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert not output.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.toml", "two.yaml"]


def test_a_process_that_ignores_interrupts_still_does(campaign: Path) -> None:
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{WATCHED}"
    done = ended(ignoring, "any", 10_000, "simulate", campaign, "-n", "5")
    assert done.returncode == 0


def begun(*arguments: object) -> subprocess.Popen[str]:
    """A command, as a shell in a terminal starts it: in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "socm", *map(str, arguments)],
        cwd=ROOT,
        preexec_fn=listening,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(sign: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not sign():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_simulation_in_many_processes_is_interrupted(campaign: Path) -> None:
    with begun("simulate", campaign, "-n", "900000", "--processes", "3") as process:
        pool = psutil.Process(process.pid)
        wait_for(lambda: len(pool.children(recursive=True)) > 2, process)
        family = pool.children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate()[1] == "interrupted\n"
        assert process.returncode == 130
    assert not psutil.wait_procs(family, timeout=60)[1], "processes are left behind"


def hard(folder: Path) -> Path:
    """A campaign whose proof takes far longer than a test."""
    chance = random.Random(3)
    (folder / "three.toml").write_text(SMALL_CLUSTER.replace("28", "3").replace("112", "20"))
    stages = []
    for k in range(60):
        ranks, threads = chance.choice([1, 2, 3]), chance.randint(3, 11)
        runtime = chance.randint(99, 999)
        request = f"ranks: {ranks}, threads: {threads}, memory: 9M, runtime: {runtime}"
        before = f"depends: [s{chance.randrange(k)}], " if k > 8 and k % 2 else ""
        stages.append(f"  s{k}: {{executable: x, {before}resources: {{{request}}}}}\n")
    path = folder / "hard.yaml"
    path.write_text("campaign: {resource: three.toml}\nstages:\n" + "".join(stages))
    return path


def test_a_proof_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver in C++ has a way of its own with interrupts: it stops, and says what it has."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with begun("plan", hard(tmp_path), "--prove", "--time-limit", "100000") as process:
        solver = psutil.Process(process.pid)
        wait_for(lambda: solver.num_threads() > 8, process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate()[1] == "interrupted\n"
        assert process.returncode == 130
