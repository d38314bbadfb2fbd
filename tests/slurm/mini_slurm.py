"""A private SLURM on this machine: real daemons, nodes that claim more than there is.

Needs the programs of Debian's packages slurmctld, slurmd, slurm-client and munge, for accounting
also slurmdbd and mariadb-server, and none of their services. All of it listens on 127.0.0.1 and
lives in one folder of /tmp. The daemons are children that are ended with their parent, whatever
ends it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from slurm_conf import FIRST_NODE_PORT, Nodes, write_configuration

_PROGRAMS = ("scontrol", "sbatch", "slurmctld", "slurmd", "munged")
_ACCOUNTING_PROGRAMS = ("sacctmgr", "slurmdbd", "mariadbd", "mariadb-install-db")
_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
_PATIENCE = 60.0  # seconds for a daemon to answer: long, for machines that have much else to do


def missing_programs(*, accounting: bool) -> list[str]:
    """List what has to be installed first."""
    wanted = _PROGRAMS + (_ACCOUNTING_PROGRAMS if accounting else ())
    return [program for program in wanted if not shutil.which(program, path=_PATH)]


@dataclass(kw_only=True)
class MiniSlurm:
    """A cluster to be started; as a context it is started and stopped.

    Parameters
    ----------
    nodes
        Of as many kinds as are wanted.
    lines
        More lines of slurm.conf; without a partition among them there is one, ``cpu``.
    settings
        Keys of slurm.conf to set or replace.
    accounting
        Whether there is a slurmdbd, and so QOS and sacct.
    sacctmgr
        Commands that fill its data base, such as ``add qos short set MaxWall=60``; ``{user}`` is
        who starts the cluster.
    """

    nodes: Sequence[Nodes] = (Nodes(),)
    lines: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    accounting: bool = False
    sacctmgr: Sequence[str] = ()
    name: str = "mini"

    def __post_init__(self) -> None:
        # Unix sockets allow 108 characters: pytest's own folders have too long names.
        self.folder = Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp"))
        self.conf = self.folder / "slurm.conf"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))},
            "PATH": _PATH,
            "SLURM_CONF": str(self.conf),
            "MYSQL_UNIX_PORT": str(self.folder / "mariadb.sock"),
        }
        self._user = pwd.getpwuid(os.getuid()).pw_name
        self._starter = ThreadPoolExecutor(1)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def node_names(self) -> list[str]:
        return [name for kind in self.nodes for name in kind.names]

    def run(self, *command: str, check: bool = True, text: str | None = None) -> str:
        """Run a command as a user of this cluster would; return what it prints."""
        done = subprocess.run(
            command, env=self.env, input=text, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Start all daemons, and wait until every node is idle."""
        write_configuration(
            self.folder,
            name=self.name,
            user=self._user,
            port=_free_ports(FIRST_NODE_PORT + len(self.node_names)),
            nodes=self.nodes,
            lines=self.lines,
            settings=self.settings,
            accounting=self.accounting,
        )
        self.launch("munged")
        self.wait_for((self.folder / "munge.sock").exists, "munged")
        if self.accounting:
            self._start_accounting()
        self.launch("slurmctld")
        for name in self.node_names:
            self.launch(name)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until jobs can start on every node."""
        self.wait_for(self._all_idle, "nodes")

    def stop(self) -> None:
        """End all daemons and jobs, and remove the folder."""
        for name in [*self.node_names, "slurmctld", "slurmdbd", "mariadbd", "munged"]:
            self.end(name)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self, name: str) -> None:
        """Start a daemon: ``slurmctld``, ``slurmdbd``, or the slurmd of a node by its name."""
        command = {
            "munged": [
                "munged", "--foreground", "--key-file", f"{self.folder}/munge/key",
                "--socket", f"{self.folder}/munge.sock", "--pid-file", f"{self.folder}/munge.pid",
                "--log-file", f"{self.folder}/munge.log",
                "--seed-file", f"{self.folder}/munge/seed",
            ],
            "mariadbd": ["mariadbd", *self._mariadb_options(), "--skip-networking",
                         "--socket", self.env["MYSQL_UNIX_PORT"]],
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D"],
        }.get(name) or ["slurmd", "-D", "-N", name]  # fmt: skip
        with (self.folder / f"{name}.out").open("ab") as output:
            # Even where this process is killed, its daemons end. What the kernel takes for their
            # parent is the thread that started them: it has to live as long as they may.
            self._daemons[name] = self._starter.submit(
                subprocess.Popen,
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            ).result()  # fmt: skip

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a daemon: SIGSTOP makes it hang, SIGCONT lets it go on."""
        self._daemons[name].send_signal(number)

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon, if it runs; it can be launched again."""
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        daemon.send_signal(signal.SIGCONT)
        daemon.send_signal(number)
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _start_accounting(self) -> None:
        for last in (False, True):  # on a busy machine it has failed once
            made = subprocess.run(
                ["mariadb-install-db", *self._mariadb_options(), "--skip-test-db",
                 "--auth-root-authentication-method=normal"],
                env=self.env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if made.returncode == 0:
                break
            if last:
                raise RuntimeError(f"mariadb-install-db: {(made.stdout + made.stderr)[-3000:]}")
            shutil.rmtree(self.folder / "db", ignore_errors=True)
        self.launch("mariadbd")
        self.wait_for(Path(self.env["MYSQL_UNIX_PORT"]).exists, "mariadbd")
        self.launch("slurmdbd")
        self.wait_for(lambda: self._answers("sacctmgr", "-n", "show", "cluster"), "slurmdbd")
        filled = (command.format(user=self._user) for command in self.sacctmgr)
        commands = [f"add cluster {self.name}", *filled, "quit"]
        # In one process: each call of its own takes a third of a second.
        self.run("sacctmgr", "-i", text="\n".join(commands) + "\n")

    def _mariadb_options(self) -> list[str]:
        return [
            "--no-defaults", f"--datadir={self.folder}/db", f"--user={self._user}",
            "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M", "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
            "--innodb-lock-wait-timeout=900", "--performance-schema=off",
            "--innodb-use-native-aio=0",  # of which a machine has only so much
        ]  # fmt: skip

    def _answers(self, *command: str) -> bool:
        done = subprocess.run(command, env=self.env, capture_output=True, check=False)
        return done.returncode == 0

    def _all_idle(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-o", "%N %T", check=False).split("\n")
        return {f"{name} idle" for name in self.node_names} <= set(states)

    def wait_for(self, ready: Callable[[], bool], what: str = "what was waited for") -> None:
        """Wait until something is so, or a daemon has ended.

        Raises
        ------
        RuntimeError
            With the end of the log of what has ended, or of slurmctld.
        """
        end = time.monotonic() + _PATIENCE
        while not ready():
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                logs = [self.folder / f"{name}.out" for name in ended or ["slurmctld"]]
                text = "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in logs)
                raise RuntimeError(f"{what}: not in {_PATIENCE:.0f} s\n{text}")
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """List all processes of this cluster: its daemons, and jobs, which outlive their slurmd."""
        mark = f"SLURM_CONF={self.conf}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return [pid for pid in found if pid != os.getpid()]


def _free_ports(count: int) -> int:
    """Return the first of so many free ports in a row, below those that clients are given."""
    for first in random.sample(range(20000, 32000 - count), 200):
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")
