"""A live SLURM as a `Cluster`, with warnings about what could not be kept."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import tzinfo

from socm.errors import BackendError, ConfigError, Problem, did_you_mean
from socm.exchange import scontrol
from socm.exchange.associations import limits_of_user
from socm.exchange.node_sets import in_sets
from socm.exchange.reservations import hostlist, maintenance_of
from socm.exchange.sacctmgr import Slot, limits_of_partition, qos_of, read_table, usable_qos
from socm.exchange.scontrol import (
    Node,
    Record,
    names_of,
    partitions_of,
    read_node,
    read_records,
    read_settings,
    stopped_for_others,
    why_closed,
)
from socm.executor.slurm.client import Client
from socm.model.allowance import Allowance
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.words import count, listed


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The output of SLURM's commands.

    Parameters
    ----------
    config, nodes, partitions
        ``scontrol show config``, ``show node --oneliner`` and ``show partition --oneliner``.
    qos, associations
        ``sacctmgr -P show qos``, and ``show assoc`` of the user; `None` without accounting.
    user
        ``sacctmgr -nP show user``: the account of jobs that name none.
    accounts
        ``show assoc`` of the accounts of the user, without those of users.
    no_qos
        Why there are no QOS.
    reservations
        ``scontrol show reservation --oneliner``.
    login, groups, host
        Name of the user, of the user's groups, and of the machine; `None` and empty if not known.
    """

    config: str
    nodes: str
    partitions: str
    qos: str | None = None
    associations: str | None = None
    user: str | None = None
    accounts: str | None = None
    no_qos: str = "this SLURM has no accounting"
    reservations: str = ""
    login: str = ""
    groups: tuple[str, ...] | None = None
    host: str = ""


def ask() -> Answers:
    """Query the SLURM of this machine.

    Raises
    ------
    BackendUnavailable
        If ``scontrol`` is missing, fails or does not answer. If accounting fails, that is not an
        error: there are no QOS then.
    """
    ask = Client().ask
    config = ask("scontrol", "show", "config")
    answers = Answers(
        groups=_groups(),
        host=socket.gethostname().partition(".")[0],
        config=config,
        nodes=ask("scontrol", "show", "node", "--oneliner"),
        partitions=ask("scontrol", "show", "partition", "--oneliner"),
        login=_user(),
    )
    with suppress(BackendError):  # without it, plans only do not know of reservations
        told = ask("scontrol", "show", "reservation", "--oneliner")
        answers = replace(answers, reservations=told)
    settings = read_settings(config)
    if not settings.get("AccountingStorageType", "").endswith("/slurmdbd"):
        return answers
    user = f"user={_user()}"
    cluster = f"cluster={settings.get('ClusterName', '')}"
    try:
        answers = replace(
            answers,
            # All columns, by their names: versions have different ones.
            qos=ask("sacctmgr", "-P", "show", "qos"),
            associations=ask("sacctmgr", "-P", "show", "assoc", user, cluster),
        )
    except BackendError as error:
        return replace(answers, no_qos=error.message)
    with suppress(BackendError):  # without it, the account is the user's to set
        told = ask("sacctmgr", "-nP", "show", "user", _user(), "format=DefaultAccount")
        answers = replace(answers, user=told)
    rows = read_table(answers.associations or "")
    if names := ",".join(sorted({row.get("Account", "") for row in rows} - {""})):
        with suppress(BackendError):  # without it, the limits of the user alone are known
            told = ask("sacctmgr", "-P", "show", "assoc", f"account={names}", "user=", cluster)
            answers = replace(answers, accounts=told)
    return answers


def _groups() -> tuple[str, ...]:
    """Return the names of the groups of the user."""
    names = []
    for number in {os.getgid(), *os.getgroups()}:
        with suppress(KeyError):  # the machine knows no name
            names.append(grp.getgrgid(number).gr_name)
    return tuple(sorted(names))


def _user() -> str:
    """Return the name of the user, or the number where the machine knows no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def imported_cluster(
    answers: Answers,
    *,
    checked: str,
    name: str | None = None,
    only: Sequence[str] = (),
    zone: tzinfo | None = None,
) -> tuple[Cluster, tuple[str, ...]]:
    """Return a cluster with the answers of SLURM, and warnings about what could not be kept.

    Parameters
    ----------
    checked
        Today's date, for every figure.
    name
        Name of the cluster, in place of SLURM's own.
    only
        SLURM partitions to keep; all if empty.
    zone
        That of times in the answers; `None` is that of this machine.

    Raises
    ------
    BackendError
        If no partition has a node on which jobs can start, or an answer cannot be read.
    ConfigError
        If a partition in `only` does not exist.
    """
    try:
        return _cluster(answers, checked, name, only, zone)
    except ValueError as error:
        raise BackendError(f"the answer of SLURM cannot be read: {error}") from error


def _cluster(
    answers: Answers, checked: str, name: str | None, only: Sequence[str], zone: tzinfo | None
) -> tuple[Cluster, tuple[str, ...]]:
    settings = read_settings(answers.config)
    nodes = [read_node(record) for record in read_records(answers.nodes)]
    rows = read_table(answers.qos or "")
    if any(not row.get("Name") for row in rows):
        raise ValueError("sacctmgr tells of a QOS without a name")
    warnings: list[str] = []
    slots = _slots(answers, settings, nodes, rows, only, warnings)
    qos: tuple[Qos, ...] = ()
    if answers.qos is None:
        warnings.append(f"no QOS: {answers.no_qos}; if the cluster has QOS, add them by hand")
    else:
        told: list[str] = []
        qos, doubts = qos_of(rows, slots.values(), _usable(answers, settings, told), settings)
        if not rows:
            warnings.append("no QOS: sacctmgr lists none, so only the limits of partitions count")
        elif qos:
            warnings += [*told, *doubts]
            slots = _reached(slots, qos, warnings)
        else:
            warnings += [*doubts, "no QOS is left: only the limits of the partitions count"]
    limits, lost = _limits_of_user(answers, settings, slots.values())
    names: dict[Partition, tuple[str, ...]] = {}
    for slot in slots.values():
        names |= names_of(slot.record, nodes, slot.kinds)
    partitions, twice = in_sets(names)
    warnings += [*lost, *twice]
    on = f"on {settings.get('ClusterName', '?')}, SLURM {settings.get('SLURM_VERSION', '?')}"
    cluster = Cluster(
        name=name or settings.get("ClusterName", "slurm"),
        partitions=tuple(
            replace(p, source=f"scontrol show node {on}", checked=checked) for p in partitions
        ),
        qos=tuple(replace(q, source=f"sacctmgr show qos {on}", checked=checked) for q in qos),
        source=f"scontrol show config {on}",
        checked=checked,
        maintenance=tuple(
            maintenance_of(
                read_records(answers.reservations),
                nodes,
                slots,
                user=answers.login,
                accounts={row.get("Account", "") for row in read_table(answers.associations or "")},
                zone=zone,
                warnings=warnings,
            )
        ),
        limits=limits,
    )
    if any(part.accounts for part in (*cluster.partitions, *cluster.qos)):
        account = _default_account(answers, warnings)
        cluster = replace(cluster, account=account)
    return cluster, tuple(warnings)


def _limits_of_user(
    answers: Answers, settings: Record, slots: Iterable[Slot]
) -> tuple[Allowance | None, tuple[str, ...]]:
    enforced = settings.get("AccountingStorageEnforce", "").lower().split(",")
    if not {"limits", "safe", "all"}.intersection(enforced):
        return None, ()
    return limits_of_user(
        answers.associations or "",
        answers.accounts or "",
        default=_account_told(answers),
        cpus_per_core=max(p.threads_per_core for slot in slots for p in slot.kinds),
    )


def _default_account(answers: Answers, warnings: list[str]) -> str | None:
    """Return the account of jobs that name none."""
    account = _account_told(answers)
    if account is None:
        warnings.append("some QOS or partitions are only for some accounts: set yours as `account`")
    return account


def _account_told(answers: Answers) -> str | None:
    # Its column has another name in the answer than in the question, so it is asked for alone.
    account = (answers.user or "").strip()
    return account if account and "|" not in account else None


def _slots(
    answers: Answers,
    settings: Record,
    nodes: Sequence[Node],
    rows: Sequence[Record],
    only: Sequence[str],
    warnings: list[str],
) -> dict[str, Slot]:
    """Return the partitions where jobs can start, by SLURM's name."""
    said = read_records(answers.partitions)
    records = {record["PartitionName"]: record for record in said if "PartitionName" in record}
    _refuse_unknown(only, records)
    stopped = stopped_for_others(records, nodes, settings)
    slots = {}
    for name in only or records:
        record = records[name]
        mine = [node for node in nodes if name in node.partitions]
        if why_not := why_closed(record, mine) or _why_not_yours(record, answers):
            warnings.append(f"partition {name} is left out: {why_not}")
            continue
        kinds = [
            replace(kind, preemptible=name in stopped)
            for kind in partitions_of(record, mine, settings, taken=records)
        ]
        if len(kinds) > 1:
            warnings.append(_several_kinds(name, kinds))
        slots[name], lost = _under_its_limits(record, kinds, rows)
        if lost:
            warnings.append(f"partition {name}: not kept: {', '.join(lost)}")
    if not slots:
        hint = "`sinfo` shows their states"
        raise BackendError("no partition has a node on which jobs can start", hint=hint)
    return slots


def _why_not_yours(record: Record, answers: Answers) -> str | None:
    """Return why this user may not submit to a partition from this machine; `None` if so."""
    groups = record.get("AllowGroups", "ALL")
    if groups != "ALL" and answers.groups is not None:
        named = groups.split(",")
        if not set(named) & set(answers.groups):
            return f"it is only for {'group' if len(named) == 1 else 'groups'} {listed(named)}"
    hosts = record.get("AllocNodes", "ALL")
    if hosts != "ALL" and answers.host and answers.host not in hostlist(hosts):
        return f"jobs for it are submitted on {hosts} only"
    return None


def _refuse_unknown(only: Iterable[str], known: Collection[str]) -> None:
    problems = [
        Problem(
            message=f"there is no partition {name!r}",
            hint=did_you_mean(name, known) or f"known are {', '.join(known)}",
        )
        for name in only
        if name not in known
    ]
    if problems:
        raise ConfigError(*problems)


def _several_kinds(name: str, kinds: Iterable[Partition]) -> str:
    parts = ", ".join(f"{p.name} ({count(p.nodes, 'node')})" for p in kinds)
    return (
        f"partition {name} has several kinds of nodes, each a partition here: {parts}; "
        f"in SLURM there is only {name}"
    )


def _under_its_limits(
    record: Record, kinds: Sequence[Partition], rows: Iterable[Record]
) -> tuple[Slot, list[str]]:
    """Give a partition the limits of its own QOS; list those that are lost."""
    lost = scontrol.lost_limits(record)
    if own := scontrol.limit(record.get("QoS")):
        row = next((row for row in rows if row["Name"] == own), None)
        limits, more = limits_of_partition(row, kinds) if row else (None, [f"its QOS {own}"])
        kinds = [replace(p, limits=limits) for p in kinds]
        lost += more
    return Slot(record=record, kinds=tuple(kinds)), lost


def _usable(
    answers: Answers, settings: Record, warnings: list[str]
) -> dict[str, tuple[str, ...]] | None:
    """Return the QOS that the user may use; `None` if all, or if it is not known."""
    enforced = settings.get("AccountingStorageEnforce", "").lower().split(",")
    if not {"qos", "all"}.intersection(enforced):
        warnings.append("this SLURM does not enforce QOS; plans respect them nevertheless")
        return None
    usable = usable_qos(answers.associations or "")
    if not usable:
        warnings.append("you have no account in SLURM's database: every QOS is kept")
    return usable or None


def _reached(
    slots: Mapping[str, Slot], qos: Collection[Qos], warnings: list[str]
) -> dict[str, Slot]:
    """Return the partitions in which some QOS may be used."""
    names = {name for q in qos for name in q.partitions}
    everywhere = any(not q.partitions for q in qos)
    kept = {name: slot for name, slot in slots.items() if everywhere or name in names}
    warnings += [
        f"partition {name} is left out: none of your QOS may be used there"
        for name in slots
        if name not in kept
    ]
    return kept
