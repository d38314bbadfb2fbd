"""The limits of a user's association: of the user in an account, and of the account."""

from __future__ import annotations

from dataclasses import asdict, replace

from socm.exchange.sacctmgr import allowance_of, lost_limits, read_table
from socm.exchange.scontrol import Record
from socm.model.allowance import LIMITS, Allowance

_OF_ACCOUNT = ("GrpJobs", "GrpSubmit", "GrpTRES")


def limits_of_user(
    associations: str, accounts: str, *, default: str | None, cpus_per_core: int
) -> tuple[Allowance | None, tuple[str, ...]]:
    r"""Return the limits of all jobs of a user, and warnings about what could not be kept.

    Parameters
    ----------
    associations, accounts
        ``sacctmgr -P show assoc`` of the user, and of the accounts.
    default
        The account of jobs that name none; without one, only what all accounts have in common
        is kept.
    cpus_per_core
        Of the nodes; SLURM's limits count CPUs.

    Examples
    --------
    >>> limits, _ = limits_of_user(
    ...     "Account|MaxJobs|MaxSubmit\nmaps|5|\n", "Account|User|GrpSubmit\nmaps||9\n",
    ...     default="maps", cpus_per_core=1,
    ... )
    >>> limits.running_jobs, limits.submit_jobs
    (5, 9)
    """
    of_account = {row.get("Account"): row for row in read_table(accounts) if not row.get("User")}
    found: dict[str, Allowance] = {}
    warnings = []
    for row in read_table(associations):
        account = row.get("Account", "")
        if row.get("Partition") or account in found or (default and account != default):
            continue
        whole: Record = of_account.get(account, {})
        shared = {key: whole[key] for key in _OF_ACCOUNT if whole.get(key)}
        found[account] = _least(
            allowance_of(row, cpus_per_core), allowance_of(shared, cpus_per_core)
        )
        warnings += [
            f"account {account}: not kept: {', '.join(lost)}"
            for lost in map(lost_limits, (row, whole))
            if lost
        ]
    if not found:
        return None, ()
    first, *others = found.values()
    common = replace(
        first,
        **{
            what: None
            for what in LIMITS
            if any(getattr(other, what) != getattr(first, what) for other in others)
        },
    )
    if any(other != common for other in (first, *others)):
        warnings.append(
            f"your limits differ by account ({', '.join(found)}): only what is the same is kept"
        )
    return (None if common == Allowance() else common), tuple(dict.fromkeys(warnings))


def _least(one: Allowance, other: Allowance) -> Allowance:
    pairs = ((what, amount, asdict(other)[what]) for what, amount in asdict(one).items())
    return Allowance(**{what: min(filter(None, (a, b)), default=None) for what, a, b in pairs})
