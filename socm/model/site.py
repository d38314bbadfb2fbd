"""What a cluster file says of any part of a cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_INTERPRETED = re.compile(r"""["'\\%#]""")


@dataclass(frozen=True, kw_only=True)
class SitePart:
    """A part of a site's cluster: what jobs ask of SLURM there, and where its figures come from.

    Parameters
    ----------
    name
        Unique among the parts of its kind.
    debug
        Meant for tests, or dear: used only for workflows that name it.
    preemptible
        Whether SLURM may stop its jobs for those of others: used only for workflows that name it.
    send
        Whether jobs name it; otherwise SLURM finds it by what they ask for: a QOS by the walltime.
    slurm_name
        Its name in SLURM, where that differs.
    accounts
        The accounts whose jobs may be there; empty is all.
    options
        What else jobs ask for there, by the names of options of sbatch; a flag has an empty value.
    source, checked, note
        Where the figures come from, when that was looked at, and what to know about them.
    """

    name: str
    debug: bool = False
    preemptible: bool = False
    send: bool = True
    slurm_name: str | None = None
    accounts: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    source: str | None = None
    checked: str | None = None
    note: str | None = None

    @property
    def on_request(self) -> bool:
        """Whether it is used only for workflows that name it."""
        return self.debug or self.preemptible


def is_literal(value: str) -> bool:
    r"""Whether SLURM takes the value of an option in a script as it is written.

    Examples
    --------
    >>> is_literal("cpu&ss11"), is_literal("50%"), is_literal("a\nb")
    (True, False, False)
    """
    return value.isprintable() and not _INTERPRETED.search(value)
