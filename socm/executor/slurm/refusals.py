"""What sbatch says when it submits nothing: which of it is a refusal, and for how long."""

from __future__ import annotations

import re
from enum import Enum

from socm.words import listed

TRIES = 3
"""How often a job is submitted that is `Refusal.DENIED`."""
TESTED = "allocation failure"
"""How sbatch begins to say why a job would be refused that is only tested."""


class Refusal(Enum):
    """What to make of a failed submission.

    Only what is certain never to be accepted is refused for good. Whatever else sbatch says, it may
    say for a minute or for a day: then the job waits.
    """

    IMPOSSIBLE = "no such job is ever accepted here"
    DENIED = "it is not accepted; but a controller that has just started may know too little"
    LATER = "it is certain that there is no job; another time it may be accepted"
    UNKNOWN = "there may be a job"


_SIZE = (
    "requested time limit is invalid",
    "time limit specification required",
    "more processors requested than permitted",
    "requested more tasks than available processors",
    "node count specification invalid",
    "cpu count specification invalid",
    "cpu count per node can not be satisfied",
    "task count specification invalid",
    "task distribution specification invalid",
    "job size specification needs to be",
    "memory specification can not be satisfied",
    "memory required by task is not available",
)
_IMPOSSIBLE = (
    *_SIZE,
    # its options, as sbatch reads them
    "unrecognized option",
    "invalid option --",
    "requires an argument",
    "doesn't allow an argument",
    "invalid --",
    "is not a valid",
    "invalid numeric value",
    "invalid directive found",
    "invalid feature specification",
    "invalid preferred feature specification",
    "invalid license specification",
    "invalid trackable resource",
    "(gres) specification",
    "invalid gres specification",
    "requested gres option unsupported",
    "requested nodes not in this partition",
    "requested operation not supported on this system",
    "other parameter too long",
    # its script
    "does not look like a batch script",
    "batch script contains",
    "batch script is empty",
    "does not allow scripts that",
)
_NO_NODES = "requested node configuration is not available"
_DENIED = (
    _NO_NODES,
    "invalid account",
    "invalid partition name",
    "no partition specified",
    "invalid qos",
    "invalid node name",
    "invalid wckey",
    "not permitted to use this partition",
    "access/permission denied",
    "access denied to requested reservation",
    "requested reservation is invalid",
    "burst buffer permission denied",
    "multiple partition job request not supported",
)
_LATER = (
    "violates accounting/qos policy",
    "required partition not available",
    "requested partition configuration not available now",
    "requested nodes are busy",
    "required node not available",
    "requested reservation not usable now",
    "breached requested qos usage threshold",
    "temporarily unable to accept job",
    "resource temporarily unavailable",
    "submission currently disabled",
    "operation is presently disabled",
    "in standby mode",
)
_VERDICT = re.compile(rf"^.*submission failed: |^{TESTED}: ")
_LIMIT = re.compile(r"\b(?:(?:QOS|Assoc)(?:Grp|Max|Min)\w+|Max\w+Per(?:Account|Limit))\b")
"""A limit that a job exceeds; SLURM names it on a line of its own."""


def refusal(said: str) -> Refusal:
    r"""Return what to make of a submission that failed, by what sbatch printed.

    The controller's word comes last; lines before it may name what exactly it objects to.

    Examples
    --------
    >>> refusal("sbatch: error: Batch job submission failed: Node count specification invalid").name
    'IMPOSSIBLE'
    >>> policy = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit"
    >>> refusal(f"sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: {policy}").name
    'IMPOSSIBLE'
    >>> refusal(f"sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: {policy}").name
    'LATER'
    >>> refusal("sbatch: error: Batch job submission failed: Unspecified error").name
    'UNKNOWN'
    """
    lines = [line.strip() for line in said.splitlines()]
    ours = ("sbatch: ", f"{TESTED}: ")
    lines = [line for line in lines if line.startswith(ours) and ": warning:" not in line]
    words = [word for line in lines if (word := _VERDICT.sub("", line)) != line]
    last = words[-1].lower() if words else "\n".join(lines).lower()
    kinds = {Refusal.IMPOSSIBLE: _IMPOSSIBLE, Refusal.DENIED: _DENIED, Refusal.LATER: _LATER}
    kind = next((k for k, marks in kinds.items() if any(m in last for m in marks)), Refusal.UNKNOWN)
    if kind in (Refusal.DENIED, Refusal.LATER) and _objects_to_its_size("\n".join(lines)):
        return Refusal.IMPOSSIBLE
    return kind


def refusal_when_tested(said: str) -> Refusal:
    r"""Return what to make of a job that is only tested, by what sbatch printed.

    A test looks at the nodes as they are now. Where those that would do are drained, it says that
    there are none; but a job that is submitted then waits for them.

    Examples
    --------
    >>> refusal_when_tested(f"{TESTED}: Requested node configuration is not available").name
    'LATER'
    >>> refusal_when_tested(f"{TESTED}: Invalid qos specification").name
    'DENIED'
    """
    kind = refusal(said)
    passing = kind is Refusal.DENIED and _NO_NODES in said.lower()
    return Refusal.LATER if passing else kind


def _objects_to_its_size(text: str) -> bool:
    # How many jobs there may be at once is a matter of time; how large one may be is not.
    limits = [limit for limit in _LIMIT.findall(text) if not re.search("Submit|Jobs", limit)]
    return bool(limits) or any(mark in text.lower() for mark in _SIZE)


def key_of(said: str) -> str:
    """Return the keys of a campaign that a refusal is about, as words in a sentence.

    Examples
    --------
    >>> key_of("Invalid account or account/partition combination specified")
    '`account` in its resources, in the campaign or in the cluster file'
    """
    keys = next((keys for mark, keys in _KEYS if mark in said.lower()), _KEYS[-1][1])
    named = listed([f"`{key}`" for key in keys], most=5)
    return f"{named} in its resources, in the campaign or in the cluster file"


_KEYS = (
    ("account or", ("account",)),
    ("qosmaxwall", ("walltime", "qos")),
    ("assocmaxwall", ("walltime", "account")),
    ("partition name", ("partition",)),
    ("to use this partition", ("partition", "account")),
    ("invalid qos", ("qos", "account")),
    ("time limit", ("walltime", "partition", "qos")),
    ("feature", ("constraint",)),
    ("license", ("licenses",)),
    ("reservation", ("reservation",)),
    ("gres", ("gres", "gpus")),
    ("node name", ("nodelist", "exclude")),
    ("memory", ("memory",)),
    ("", ("ranks", "threads", "memory", "constraint", "sbatch-options")),
)
"""What is in the words of a refusal, and the keys that it is about; the first that is there."""
