"""Reservations of a SLURM, read as maintenance: times in which nodes are not for our jobs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo

from socm.exchange.sacctmgr import Slot
from socm.exchange.scontrol import Hardware, Node, Record
from socm.model.maintenance import Maintenance
from socm.model.partition import Partition

_NOTHING = {"", "(null)", "N/A"}


def maintenance_of(
    records: Iterable[Record],
    nodes: Iterable[Node],
    slots: Mapping[str, Slot],
    *,
    user: str,
    accounts: Collection[str],
    zone: tzinfo | None,
    warnings: list[str],
) -> Iterator[Maintenance]:
    """Yield the times in which nodes of kept partitions are reserved, and not for this user.

    Parameters
    ----------
    records
        Lines of ``scontrol show reservation``.
    slots
        The partitions that are kept, by SLURM's name.
    user, accounts
        Whose reservations do not count, as their jobs may use them.
    zone
        That of the times in the records; `None` is that of this machine.
    warnings
        Gets what the user should know.
    """
    present = [node for node in nodes if not node.away]
    for record in records:
        name, flags = record.get("ReservationName"), record.get("Flags", "").split(",")
        reserved = set(hostlist(record.get("Nodes", "")))
        if name is None or not reserved:
            continue  # it reserves licences only
        if "MAINT" not in flags and _is_ours(record, user, accounts):
            warnings.append(f"reservation {name} is open to you: `reservation` in resources")
            continue
        if again := [flag for flag in flags if flag in ("HOURLY", "DAILY", "WEEKLY", "WEEKDAY")]:
            warnings.append(f"reservation {name} is {again[0].lower()}: only the next time is kept")
        try:
            start, end = (_date(record[key], zone) for key in ("StartTime", "EndTime"))
        except (KeyError, ValueError):
            warnings.append(f"reservation {name} is left out: its times cannot be read")
            continue
        for partitions, number in _where(reserved, present, slots):
            yield Maintenance(
                start=start, end=end, partitions=partitions, nodes=number, note=f"{name} in SLURM"
            )


def hostlist(text: str) -> Iterator[str]:
    """Yield the names in a list of hosts.

    Examples
    --------
    >>> [*hostlist("login,n[08-10,12],gpu1")]
    ['login', 'n08', 'n09', 'n10', 'n12', 'gpu1']
    """
    for item in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", "" if text in _NOTHING else text):
        before, bracket, rest = item.partition("[")
        if not bracket:
            yield item
            continue
        inside, _, after = rest.partition("]")
        for numbers in inside.split(","):
            first, _, last = numbers.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield from hostlist(f"{before}{number:0{len(first)}d}{after}")


def _is_ours(record: Record, user: str, accounts: Collection[str]) -> bool:
    """Whether the jobs of a user may run in a reservation."""
    users, theirs = (
        [name for name in record.get(key, "").split(",") if name not in _NOTHING]
        for key in ("Users", "Accounts")
    )
    if any(name.startswith("-") for name in (*users, *theirs)):
        refused = {f"-{user}", *(f"-{account}" for account in accounts)}
        return refused.isdisjoint((*users, *theirs))
    return user in users or not set(accounts).isdisjoint(theirs)


def _date(text: str, zone: tzinfo | None) -> str:
    then = datetime.fromisoformat(text)
    return (then.astimezone() if zone is None else then.replace(tzinfo=zone)).isoformat()


def _where(
    reserved: Collection[str], nodes: Collection[Node], slots: Mapping[str, Slot]
) -> Iterator[tuple[tuple[str, ...], int | None]]:
    """Yield partitions, and how many nodes of each are reserved; first those with all of them."""
    whole, some = [], []
    for slurm_name, slot in slots.items():
        mine = [n for n in nodes if slurm_name in n.partitions and n.name in reserved]
        for kind in slot.kinds:
            number = sum(_is_of(node.hardware, kind) for node in mine)
            if number >= kind.nodes:
                whole.append(kind.name)
            elif number:
                some.append(((kind.name,), number))
    if whole:
        yield tuple(whole), None
    yield from some


def _is_of(hardware: Hardware, kind: Partition) -> bool:
    """Whether a node is of the kind of nodes of a partition, which may use fewer of its cores."""
    return hardware.cores >= kind.cores and (
        (hardware.threads_per_core, hardware.memory, hardware.gpus)
        == (kind.threads_per_core, kind.memory, kind.gpus)
    )
