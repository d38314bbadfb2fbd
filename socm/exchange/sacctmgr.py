"""The output of ``sacctmgr -P``: the QOS of a cluster, and which of them a user may use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from socm.exchange.scontrol import Record, limit, preempts
from socm.model.allowance import Allowance
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.units import parse_duration
from socm.words import listed

_JOBS = ("MaxJobsPU", "MaxJobsPA", "GrpJobs", "MaxJobs")
_SUBMIT = ("MaxSubmitPU", "MaxSubmitPA", "GrpSubmit", "MaxSubmit")
_TOGETHER = ("MaxTRESPU", "MaxTRESPA", "GrpTRES")
_SHARED = ("GrpJobs", "GrpSubmit", "GrpTRES")
_LOST = (
    "MaxTRESPerNode", "MaxTRESMins", "GrpTRESMins", "GrpTRESRunMins", "MaxTRESRunMinsPU",
    "MaxTRESRunMinsPA", "GrpWall",
)  # fmt: skip
_LOST_FLAGS = ("PartitionMaxNodes", "PartitionMinNodes")
_ON_REQUEST = "used only where a workflow names it"
_FOR_TESTING = {"debug", "test", "testing", "interactive"}


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A partition of SLURM, and the partitions made from it: one for each kind of its nodes."""

    record: Record
    kinds: tuple[Partition, ...]

    def admits(self, qos: str) -> bool:
        """Whether jobs of a QOS may run there."""
        if denied := limit(self.record.get("DenyQos")):
            return qos not in denied.split(",")
        allowed = self.record.get("AllowQos", "ALL")
        return allowed == "ALL" or qos in allowed.split(",")


def read_table(text: str) -> list[Record]:
    r"""Read a table whose first line names the columns.

    Examples
    --------
    >>> read_table("Name|MaxWall|Flags\nshort|05:00:00|\n")
    [{'Name': 'short', 'MaxWall': '05:00:00', 'Flags': ''}]
    """
    header, *rows = text.splitlines() or [""]
    names = header.split("|")
    return [dict(zip(names, row.split("|"), strict=False)) for row in rows if row]


def read_tres(text: str) -> dict[str, int]:
    """Read trackable resources; values that are not plain numbers, such as memory, are left out.

    Examples
    --------
    >>> read_tres("cpu=64,gres/gpu=4,mem=1T"), read_tres("")
    ({'cpu': 64, 'gres/gpu': 4}, {})
    """
    pairs = (item.partition("=") for item in text.split(","))
    return {name: int(amount) for name, _, amount in pairs if amount.isdigit()}


def usable_qos(associations: str) -> dict[str, tuple[str, ...]]:
    r"""Return the QOS that a user may use, each with its accounts; empty is any account.

    Examples
    --------
    >>> usable_qos("Account|QOS\nmaps|long,normal\nroot|normal\n")
    {'long': ('maps',), 'normal': ()}
    """
    accounts: dict[str, dict[str, None]] = {}
    rows = read_table(associations)
    for row in rows:
        for name in filter(None, row.get("QOS", "").split(",")):
            accounts.setdefault(name, {})[row.get("Account", "")] = None
    every = {row.get("Account", "") for row in rows}
    return {name: () if {*own} == every else tuple(own) for name, own in accounts.items()}


def qos_of(
    rows: Collection[Record],
    slots: Collection[Slot],
    usable: Mapping[str, Sequence[str]] | None,
    settings: Record,
) -> tuple[tuple[Qos, ...], tuple[str, ...]]:
    """Return the QOS of a cluster, and warnings about what could not be kept.

    Parameters
    ----------
    rows
        The output of ``sacctmgr show qos``.
    slots
        The partitions of SLURM.
    usable
        The QOS that the user may use, with their accounts; `None` is all.
    settings
        Those of SLURM, which say whether jobs of one QOS may be stopped for those of another.
    """
    made: list[Qos] = []
    warnings: list[str] = []
    stopped = _stopped_for_others(rows, settings)
    denied = [row["Name"] for row in rows if usable is not None and row["Name"] not in usable]
    for row in rows:
        name = row["Name"]
        where = [slot for slot in slots if slot.admits(name)]
        if name in denied:
            continue
        if not where:
            warnings.append(f"QOS {name} is left out: no partition admits it")
        elif closed := [f"{key}={row[key]}" for key in row if _lets_nothing_run(key, row[key])]:
            warnings.append(f"QOS {name} is left out: with {closed[0]} no job can run")
        else:
            accounts = usable[name] if usable is not None else ()
            everywhere = len(where) == len(slots)
            qos = _qos(row, where, accounts, everywhere=everywhere)
            made.append(replace(qos, preemptible=name in stopped))
            if lost := lost_limits(row):
                warnings.append(f"QOS {name}: not kept: {', '.join(lost)}")
    if denied:
        warnings.append(f"left out, because you may not use them: QOS {listed(denied, most=5)}")
    charges = [qos.charge for qos in made]
    usual = max(1.0, min(charges, default=1.0))
    free = 0 if any(charges) else -1
    return tuple(_on_request_by_charge(qos, usual, free) for qos in made), tuple(warnings)


def lost_limits(row: Record) -> list[str]:
    """List the limits of a QOS that a cluster file cannot express."""
    lost = [f"{key}={row[key]}" for key in _LOST if row.get(key)]
    for key, kept in (("MaxTRES", {"cpu", "node"}), *((key, {"cpu"}) for key in _TOGETHER)):
        items = row.get(key, "").split(",")
        lost += [f"{key} {item}" for item in items if item and item.partition("=")[0] not in kept]
    return lost + [f"flag {flag}" for flag in _LOST_FLAGS if flag in _flags(row)]


def limits_of_partition(
    row: Record, kinds: Iterable[Partition]
) -> tuple[Allowance | None, list[str]]:
    """Return the limits of a partition's own QOS, and a list of those that are lost."""
    limits = allowance_of(row, max(partition.threads_per_core for partition in kinds))
    lost = lost_limits(row) + [f"MinTRES={least}" for least in [row.get("MinTRES")] if least]
    named = [f"{each} of its QOS {row['Name']}" for each in lost]
    return (None if limits == Allowance() else limits), named


def allowance_of(row: Record, cpus_per_core: int) -> Allowance:
    """Return the limits in a row of ``sacctmgr show qos`` or ``show assoc``.

    SLURM counts CPUs; where nodes differ in the number per core, the larger is safe.
    """
    longest = limit(row.get("MaxWall"))
    cores = _least(row, _TOGETHER, "cpu")
    cores_per_job = _least(row, ("MaxTRES",), "cpu")
    return Allowance(
        walltime=parse_duration(longest) if longest else None,
        running_jobs=min((int(row[key]) for key in _JOBS if row.get(key)), default=None),
        submit_jobs=min((int(row[key]) for key in _SUBMIT if row.get(key)), default=None),
        cores=cores and max(1, cores // cpus_per_core),
        cores_per_job=cores_per_job and max(1, cores_per_job // cpus_per_core),
        nodes_per_job=_least(row, ("MaxTRES", *_TOGETHER), "node"),
    )


def _lets_nothing_run(key: str, value: str) -> bool:
    if key in (*_JOBS, *_SUBMIT):
        return value == "0"
    if key in ("MaxTRES", *_TOGETHER):
        return 0 in [read_tres(value).get(resource) for resource in ("cpu", "node")]
    return key == "MaxWall" and value == "00:00:00"


def _qos(row: Record, where: Sequence[Slot], accounts: Sequence[str], *, everywhere: bool) -> Qos:
    kinds = [partition for slot in where for partition in slot.kinds]
    limits = allowance_of(row, max(partition.threads_per_core for partition in kinds))
    on_request = [f"{_ON_REQUEST}: {why}" for why in _why_only_on_request(row)]
    notes = [f"all users together: {key}={row[key]}" for key in _SHARED if row.get(key)]
    return Qos(
        name=row["Name"],
        partitions=() if everywhere else tuple(partition.name for partition in kinds),
        **asdict(limits),
        over_partition_walltime="PartitionTimeLimit" in _flags(row),
        over_partition_limits="OverPartQOS" in _flags(row),
        charge=float(row.get("UsageFactor") or 1),
        debug=bool(on_request),
        accounts=tuple(accounts),
        note="; ".join(on_request + notes) or None,
    )


def _why_only_on_request(row: Record) -> Iterator[str]:
    """Yield reasons why a plan should use a QOS only if a workflow names it."""
    if words := _FOR_TESTING.intersection(re.split(r"[^a-z]+", row["Name"].lower())):
        yield f"its name contains {min(words)}"
    if least := row.get("MinTRES"):
        yield f"a job must ask for at least {least}"
    if "RequiresReservation" in _flags(row):
        yield "it needs a reservation"


def _flags(row: Record) -> list[str]:
    return row.get("Flags", "").split(",")


def _on_request_by_charge(qos: Qos, usual: float, free: float) -> Qos:
    """Reserve a QOS that costs more than the usual, or nothing, for workflows that name it.

    What costs nothing where others cost something is for those who have used up what they had.
    """
    if qos.on_request or free < qos.charge <= usual:
        return qos
    note = f"{_ON_REQUEST}: its charge is {qos.charge:g}"
    return replace(qos, debug=True, note="; ".join(filter(None, (note, qos.note))))


def _stopped_for_others(rows: Iterable[Record], settings: Record) -> set[str]:
    """Return the QOS whose jobs SLURM may stop for those of another QOS."""
    if settings.get("PreemptType") != "preempt/qos":
        return set()
    named = {name for row in rows for name in row.get("Preempt", "").split(",")}
    usual = settings.get("PreemptMode", "OFF")
    modes = {row["Name"]: row.get("PreemptMode", "cluster") for row in rows}
    return {
        name
        for name, mode in modes.items()
        if name in named and preempts(usual if mode == "cluster" else mode)
    }


def _least(row: Record, columns: tuple[str, ...], resource: str) -> int | None:
    """Return the smallest limit on a resource, or `None`."""
    limits = (read_tres(row.get(column, "")).get(resource) for column in columns)
    return min((amount for amount in limits if amount is not None), default=None)
