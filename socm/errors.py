"""What can go wrong, in one tree; each leaf knows the exit code it ends with.

::

    SocmError                   1
    ├── ConfigError             2   what was typed is wrong; carries every Problem found
    ├── InvalidPlan             2   a plan breaks a rule; carries every violation
    ├── Infeasible              3   no plan exists; carries the reasons per workflow
    └── BackendError            5   the cluster or what talks to it
        ├── SubmitError             a submission was refused
        ├── BackendUnavailable      no answer: nothing is known
        ├── RunError                the run directory cannot be used, or not now
        └── Stalled                 nothing runs, nothing may start, not all is done

A *failed job* is not in the tree: it is data (an event), not an exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

MOST_COMPARED = 10_000
"""A word is compared with so many names, in a tenth of a second."""
MOST_TOLD = 100
"""More problems than this are counted, not told one by one."""


class SocmError(Exception):
    """Base of everything socm raises on purpose.

    Parameters
    ----------
    message
        What is wrong, in one sentence.
    hint
        What would be right, or the next command to try.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in something that was typed.

    Parameters
    ----------
    message, hint
        What is wrong, and what would be right.
    file, line, column
        Where, from 1.
    text
        The line itself.
    subject
        Name of the workflow that it is about.

    Examples
    --------
    >>> print(Problem(message="unknown key 'wafer'", file="c.toml", hint="did you mean 'wafers'?"))
    c.toml: unknown key 'wafer'; did you mean 'wafers'?
    """

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    text: str | None = None
    subject: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(x) for x in (self.file, self.line, self.column) if x is not None)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(SocmError):
    """A campaign, cluster or command line that cannot be used, with every problem at once."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


class InvalidPlan(SocmError):
    """A plan that breaks a dependency, a capacity or a limit; every violation is listed."""

    exit_code = 2

    def __init__(self, violations: Iterable[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("the plan is not valid:\n" + "\n".join(f"  {v}" for v in self.violations))


class Infeasible(SocmError):
    """No plan exists on this cluster; the reasons are listed per workflow, and what would do."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        reasons: Iterable[str],
        *,
        remedies: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.reasons = tuple(reasons)
        self.remedies = tuple(remedies)


class BackendError(SocmError):
    """The cluster, or what talks to it, failed."""

    exit_code = 5


class SubmitError(BackendError):
    """A submission was refused; `transient` says whether trying again may help."""

    def __init__(self, message: str, *, transient: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient


class BackendUnavailable(BackendError):
    """The backend gave no answer, so nothing may be concluded from its silence."""


class RunError(BackendError):
    """A run directory that cannot be read or written, or that another process is using."""


class ActiveRun(RunError):
    """A run that another process carries on, or may carry on."""


class Stalled(BackendError):
    """Nothing runs and nothing may start, yet workflows remain; names what waits for what."""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Suggest the known word that was probably meant.

    Examples
    --------
    >>> did_you_mean("tigre3", ["tiger3", "perlmutter"])
    "did you mean 'tiger3'?"
    >>> did_you_mean("cores", ["nodes", "cores-per-node"])
    "did you mean 'cores-per-node'?"
    >>> did_you_mean("xyz", ["tiger3"]) is None
    True
    """
    known = [*islice(known, MOST_COMPARED)]
    longer = [other for other in known if len(word) > 2 and other.startswith(word)]
    close = longer or difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else None
