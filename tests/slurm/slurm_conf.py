"""The configuration of a SLURM that claims more than its machine has."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FIRST_NODE_PORT = 10
"""The nodes' ports come so many after that of slurmctld."""


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


def write_configuration(
    folder: Path,
    *,
    name: str,
    user: str,
    port: int,
    nodes: Sequence[Nodes],
    lines: Sequence[str],
    settings: Mapping[str, str],
    accounting: bool,
) -> None:
    """Write all files that the daemons read, and make the folders that they write to."""
    folder.chmod(0o755)
    for inner in ("munge", "state", "spool"):
        (folder / inner).mkdir(mode=0o700)
    for kind in nodes:
        for node in kind.names:
            (folder / "spool" / node).mkdir()
    _write_secret(folder / "munge" / "key", os.urandom(1024))
    conf = {**_settings(folder, name, user, port), **(_dbd(folder, port) if accounting else {})}
    conf_lines = [f"{key}={value}" for key, value in {**conf, **settings}.items()]
    conf_lines += _node_lines(nodes, port + FIRST_NODE_PORT)
    if not any(line.startswith("PartitionName=") for line in lines):
        conf_lines.append("PartitionName=cpu Nodes=ALL Default=YES")
    (folder / "slurm.conf").write_text("\n".join([*conf_lines, *lines]) + "\n")
    (folder / "gres.conf").write_text("".join(_gres_lines(folder, nodes)))
    if accounting:
        _write_secret(folder / "slurmdbd.conf", _slurmdbd_conf(folder, user, port).encode())


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _settings(folder: Path, name: str, user: str, port: int) -> dict[str, object]:
    return {
        "ClusterName": name,
        "SlurmctldHost": f"{socket.gethostname().split('.')[0]}(127.0.0.1)",
        "SlurmctldPort": port,
        "SlurmdPort": port + 1,
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        # Its second part is also how long a requeued job waits.
        "AuthInfo": f"socket={folder}/munge.sock,cred_expire=10",
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


def _dbd(folder: Path, port: int) -> dict[str, object]:
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": port + 2,
        "AccountingStorageEnforce": "limits,qos",
        # Toward slurmdbd the commands do not look at AuthInfo.
        "AccountingStoragePass": folder / "munge.sock",
    }


def _slurmdbd_conf(folder: Path, user: str, port: int) -> str:
    return (
        f"AuthType=auth/munge\nAuthInfo=socket={folder}/munge.sock\nDbdHost=localhost\n"
        f"DbdAddr=127.0.0.1\nDbdPort={port + 2}\nSlurmUser={user}\n"
        "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n"
        f"PidFile={folder}/slurmdbd.pid\nStorageType=accounting_storage/mysql\n"
        "StorageHost=localhost\nStorageUser=root\nStorageLoc=slurm_acct\n"
    )


def _node_lines(nodes: Sequence[Nodes], first_port: int) -> Iterator[str]:
    ports = iter(range(first_port, 1 << 16))
    for kind in nodes:
        gres = f"Gres=gpu:h100:{kind.gpus}" if kind.gpus else ""
        for name in kind.names:
            yield (
                f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={next(ports)} "
                f"CPUs={kind.cores * kind.threads_per_core} Sockets=1 "
                f"CoresPerSocket={kind.cores} ThreadsPerCore={kind.threads_per_core} "
                f"RealMemory={kind.memory} {gres} {kind.options}"
            )


def _gres_lines(folder: Path, nodes: Sequence[Nodes]) -> Iterator[str]:
    for kind in nodes:
        devices = [folder / f"{kind.prefix}-gpu{k}" for k in range(kind.gpus)]
        for device in devices:  # slurmd asks no more of a device than that it is there
            device.touch()
        if devices:
            names, files = ",".join(kind.names), ",".join(map(str, devices))
            yield f"NodeName={names} Name=gpu Type=h100 File={files}\n"
