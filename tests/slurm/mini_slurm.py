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
from dataclasses import dataclass, field
from pathlib import Path

_PROGRAMS = ("scontrol", "sbatch", "slurmctld", "slurmd", "munged")
_ACCOUNTING_PROGRAMS = ("sacctmgr", "slurmdbd", "mariadbd", "mariadb-install-db")
_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
_PATIENCE = 60.0  # seconds for a daemon to answer: long, for machines that have much else to do
_FIRST_NODE_PORT = 10


def missing_programs(*, accounting: bool) -> list[str]:
    """List what has to be installed first."""
    wanted = _PROGRAMS + (_ACCOUNTING_PROGRAMS if accounting else ())
    return [program for program in wanted if not shutil.which(program, path=_PATH)]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Nodes of one kind: ``n1``, ``n2`` and so on, and what each of them claims to have.

    Parameters
    ----------
    cores
        Physical cores of a node, all in one socket.
    options
        More of a node's line in slurm.conf.
    """

    prefix: str = "n"
    count: int = 2
    cores: int = 8
    threads_per_core: int = 1
    memory: int = 16000
    gpus: int = 0
    options: str = ""

    @property
    def names(self) -> list[str]:
        return [f"{self.prefix}{k}" for k in range(1, self.count + 1)]


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
        Commands that fill its data base, such as ``add qos short set MaxWall=60``.
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
        self._port = 0
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> MiniSlurm:
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
        self._port = _free_ports(_FIRST_NODE_PORT + len(self.node_names))
        self._write_configuration()
        self.launch("munged")
        self._wait_for((self.folder / "munge.sock").exists, "munged")
        if self.accounting:
            self._start_accounting()
        self.launch("slurmctld")
        for name in self.node_names:
            self.launch(name)
        self._wait_for(self._all_idle, "a node")

    def stop(self) -> None:
        """End all daemons and jobs, and remove the folder."""
        for name in [*self.node_names, "slurmctld", "slurmdbd", "mariadbd", "munged"]:
            self.end(name)
        for pid in self._leftovers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self, name: str) -> None:
        """Start a daemon: ``slurmctld``, ``slurmdbd``, or the slurmd of a node by its name."""
        command = {
            "munged": [
                "munged", "--foreground", "--key-file", f"{self.folder}/munge/key",
                "--socket", f"{self.folder}/munge.sock", "--pid-file", f"{self.folder}/munge.pid",
                "--log-file", f"{self.folder}/munge.log", "--seed-file", f"{self.folder}/munge/seed",
            ],
            "mariadbd": ["mariadbd", *self._mariadb_options(), "--skip-networking",
                         "--socket", self.env["MYSQL_UNIX_PORT"]],
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D"],
        }.get(name) or ["slurmd", "-D", "-N", name]  # fmt: skip
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                # Even where this process is killed, its daemons end.
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

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
        with (self.folder / "mariadb-install.out").open("wb") as output:
            subprocess.run(
                ["mariadb-install-db", *self._mariadb_options(), "--skip-test-db",
                 "--auth-root-authentication-method=normal"],
                env=self.env, stdout=output, stderr=output, check=True,
            )  # fmt: skip
        self.launch("mariadbd")
        self._wait_for(Path(self.env["MYSQL_UNIX_PORT"]).exists, "mariadbd")
        self.launch("slurmdbd")
        self._wait_for(lambda: self._answers("sacctmgr", "-n", "show", "cluster"), "slurmdbd")
        commands = [f"add cluster {self.name}", *self.sacctmgr, "quit"]
        # In one process: each call of its own takes a third of a second.
        self.run("sacctmgr", "-i", text="\n".join(commands) + "\n")

    def _mariadb_options(self) -> list[str]:
        return [
            "--no-defaults", f"--datadir={self.folder}/db", f"--user={self._user}",
            "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M", "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
            "--innodb-lock-wait-timeout=900", "--performance-schema=off",
        ]  # fmt: skip

    def _answers(self, *command: str) -> bool:
        done = subprocess.run(command, env=self.env, capture_output=True, check=False)
        return done.returncode == 0

    def _all_idle(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-o", "%N %T", check=False).split("\n")
        return {f"{name} idle" for name in self.node_names} <= set(states)

    def _wait_for(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                logs = [self.folder / f"{name}.out" for name in ended or ["slurmctld"]]
                text = "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in logs)
                raise RuntimeError(f"{what} does not come up\n{text}")
            time.sleep(0.05)

    def _leftovers(self) -> list[int]:
        """List the processes of this cluster's jobs, which outlive their slurmd."""
        mark = f"SLURM_CONF={self.conf}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return [pid for pid in found if pid != os.getpid()]

    def _write_configuration(self) -> None:
        folder, munge = self.folder, self.folder / "munge.sock"
        folder.chmod(0o755)
        for inner in ("munge", "state", "spool"):
            (folder / inner).mkdir(mode=0o700)
        for name in self.node_names:
            (folder / "spool" / name).mkdir()
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o600)
        settings = {
            "ClusterName": self.name,
            "SlurmctldHost": f"{socket.gethostname().split('.')[0]}(127.0.0.1)",
            "SlurmctldPort": self._port,
            "SlurmdPort": self._port + 1,
            "SlurmUser": self._user,
            "SlurmdUser": self._user,
            "AuthType": "auth/munge",
            # Its second part is also how long a requeued job waits.
            "AuthInfo": f"socket={munge},cred_expire=10",
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",  # loopback only
            "StateSaveLocation": folder / "state",
            "SlurmdSpoolDir": folder / "spool" / "%n",
            "SlurmctldPidFile": folder / "slurmctld.pid",
            "SlurmdPidFile": folder / "slurmd-%n.pid",
            "SlurmdParameters": "config_overrides",  # nodes may claim more than there is
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,sched_min_interval=0,"
            "bf_interval=1",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "ReturnToService": 2,
            "SlurmdTimeout": 15,
            "KillWait": 2,
            "GresTypes": "gpu",
            "AccountingStorageType": "accounting_storage/none",
        }
        if self.accounting:
            settings |= {
                "AccountingStorageType": "accounting_storage/slurmdbd",
                "AccountingStorageHost": "127.0.0.1",
                "AccountingStoragePort": self._port + 2,
                "AccountingStorageEnforce": "limits,qos",
                # Toward slurmdbd the commands do not look at AuthInfo.
                "AccountingStoragePass": munge,
            }
            dbd = folder / "slurmdbd.conf"
            dbd.write_text(
                f"AuthType=auth/munge\nAuthInfo=socket={munge}\nDbdHost=localhost\n"
                f"DbdAddr=127.0.0.1\nDbdPort={self._port + 2}\nSlurmUser={self._user}\n"
                "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n"
                f"PidFile={folder}/slurmdbd.pid\nStorageType=accounting_storage/mysql\n"
                "StorageHost=localhost\nStorageUser=root\nStorageLoc=slurm_acct\n"
            )
            dbd.chmod(0o600)
        settings |= self.settings
        lines = [f"{key}={value}" for key, value in settings.items()]
        ports = iter(range(self._port + _FIRST_NODE_PORT, 1 << 16))
        gres = []
        for kind in self.nodes:
            options = kind.options
            if kind.gpus:
                options += f" Gres=gpu:h100:{kind.gpus}"
                names = ",".join(kind.names)
                gres.append(f"NodeName={names} AutoDetect=off Name=gpu Type=h100 Count={kind.gpus}")
            lines += [
                f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={next(ports)} "
                f"CPUs={kind.cores * kind.threads_per_core} Sockets=1 "
                f"CoresPerSocket={kind.cores} ThreadsPerCore={kind.threads_per_core} "
                f"RealMemory={kind.memory} {options}"
                for name in kind.names
            ]
        if not any(line.startswith("PartitionName=") for line in self.lines):
            lines.append("PartitionName=cpu Nodes=ALL Default=YES")
        self.conf.write_text("\n".join([*lines, *self.lines]) + "\n")
        (folder / "gres.conf").write_text("\n".join(gres) + "\n")


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
