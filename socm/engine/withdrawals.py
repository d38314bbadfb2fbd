"""Jobs that wait are withdrawn, because their workflows were edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from socm.engine.attempts import Attempts, job_of
from socm.engine.backend import Backend
from socm.engine.cancellations import AGAIN_AFTER, Cancellations
from socm.engine.events import Event, Withdrawing
from socm.engine.journal import Journal
from socm.engine.limits import InUse
from socm.engine.reporter import Reporter
from socm.engine.requests import POLL_INTERVAL, Poll
from socm.engine.state import CampaignState, Status, apply
from socm.errors import BackendUnavailable
from socm.model.plan import Plan


def withdraw(
    plan: Plan,
    names: Sequence[str],
    state: CampaignState,
    backend: Backend,
    journal: Journal,
    *,
    job_prefix: str,
    requests: Poll | None = None,
    reporter: Reporter | None = None,
) -> bool:
    """Withdraw jobs, and wait until each of them is over or has begun.

    Wherever this ends, the run goes on by its plan: what was withdrawn is pending again.

    Parameters
    ----------
    names
        The workflows whose jobs wait.
    state
        Where the campaign stands; it is kept up to date.
    plan, backend, journal, job_prefix, requests, reporter
        As for `socm.engine.driver.run_plan`.

    Returns
    -------
    bool
        Whether that is known of all of them; otherwise the user has stopped the run.
    """

    def record(event: Event) -> None:
        journal.write(event)
        apply(state, event)
        if reporter is not None:
            reporter.report(event, state)

    attempts = Attempts(backend, InUse(plan.cluster), state, record)
    cancellations = Cancellations(backend, state, record)
    position = {w.name: k for k, w in enumerate(plan.workflows)}
    for name in names:
        progress = state.workflows[name]
        attempts.resume(job_of(plan, name, progress, job_prefix, position[name]))
    ask_at = backend.now()
    while any(state.workflows[name].status.can_be_withdrawn for name in names):
        attempts.look_up()
        if requests is not None:
            wanted = requests(state)
            cancellations.request(wanted.cancel)
            if wanted.stop:
                return False
        if backend.now() >= ask_at:
            _ask(names, state, backend, record)
            ask_at = backend.now() + AGAIN_AFTER
        if reporter is not None:
            reporter.refresh(state)
        attended = requests is not None or reporter is not None
        soon = backend.now() + (POLL_INTERVAL if attended else AGAIN_AFTER)
        for update in backend.wait(min(soon, ask_at, attempts.next_time)):
            attempts.update(update)
    return True


def _ask(
    names: Sequence[str],
    state: CampaignState,
    backend: Backend,
    record: Callable[[Event], None],
) -> None:
    """Ask for the ends of the jobs that wait, as long as there are answers."""
    for name in names:
        progress = state.workflows[name]
        if progress.status is not Status.QUEUED or progress.native_id is None:
            continue
        if not progress.withdrawing:
            record(Withdrawing(time=backend.now(), workflow=name))
        try:
            backend.withdraw(progress.native_id)
        except BackendUnavailable:
            return
