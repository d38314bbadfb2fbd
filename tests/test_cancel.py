"""A cancellation reaches the process that it is meant for, and is reported once it is confirmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import job, plan_of
from test_driver import Scripted

import socm.cli.cancel
import socm.executor
from socm.cli.cancel import cancel
from socm.cli.requests import UserRequests, request_cancellation
from socm.engine.attempts import job_of
from socm.engine.events import CampaignStarted, JobState, Started, Submitted, Submitting
from socm.engine.journal import FileJournal
from socm.engine.life import Life
from socm.engine.run import Run, RunSettings
from socm.engine.state import CampaignState
from socm.errors import BackendUnavailable, RunError

PLAN = plan_of([job("a"), job("b", "a"), job("c")])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run whose process died while ``a`` ran."""
    monkeypatch.chdir(tmp_path)
    run = Run.create(PLAN, RunSettings(executor="local", file="c.toml"), tmp_path / "run")
    with FileJournal(run.journal) as journal:
        journal.write(CampaignStarted(time=0.0, fingerprint=PLAN.campaign.fingerprint))
        name = f"{run.id}-a-1"
        journal.write(Submitting(time=0.0, workflow="a", attempt=1, job=name))
        journal.write(Submitted(time=0.0, workflow="a", attempt=1, native_id=f"id-{name}"))
        journal.write(Started(time=0.0, workflow="a", attempt=1))
    return run


class Cluster(Scripted):
    """Has the job of ``a``; while it is away, nothing is cancelled."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.plan)
        state = CampaignState.of(run.plan)
        a = job_of(run.plan, "a", state.workflows["a"], run.id, 0)
        self.script[a.name] = (1e9, JobState.COMPLETED)
        self.submit(a)
        self.away = False

    def cancel(self, native_id: str) -> None:
        if self.away:
            self.cancelled.append(native_id)
            raise BackendUnavailable("no answer")
        super().cancel(native_id)


@pytest.fixture
def cluster(run: Run, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(run)
    monkeypatch.setattr(socm.executor, "open_executor", lambda run, not_before: cluster)
    monkeypatch.setattr(socm.cli.cancel, "PATIENCE", 0.2)
    monkeypatch.setattr(socm.cli.cancel, "LOOK", 0.01)
    return cluster


def states(run: Run) -> dict[str, str]:
    return {name: progress.status.value for name, progress in run.state().workflows.items()}


def test_what_is_cancelled_is_said_by_what_has_become_of_it(
    run: Run, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cancel(str(run.path), ["a"]) == 0
    assert "1 workflow cancelled" in capsys.readouterr().out
    assert states(run) == {"a": "cancelled", "b": "skipped", "c": "pending"}
    assert cancel(str(run.path)) == 0
    assert states(run)["c"] == "cancelled"
    assert run.state().ended is not None, "with nothing left it is over"
    assert cancel(str(run.path)) == 0
    assert "nothing left to cancel" in capsys.readouterr().out


def test_what_the_cluster_has_not_confirmed_is_an_error_with_the_next_command(
    run: Run, cluster: Cluster
) -> None:
    cluster.away = True
    with pytest.raises(BackendUnavailable) as caught:
        cancel(str(run.path), ["a"])
    assert caught.value.exit_code == 5
    assert "whether a is cancelled" in caught.value.message
    assert f"socm cancel {run.name} a" in str(caught.value.hint)
    assert states(run)["a"] == "running"
    assert len(cluster.cancelled) > 1, "it was asked again"
    with pytest.raises(BackendUnavailable, match="whether a is cancelled"):
        cancel(str(run.path))
    assert states(run) == {"a": "running", "b": "cancelled", "c": "cancelled"}
    cluster.away = False
    assert cancel(str(run.path), ["a"]) == 0
    assert states(run)["a"] == "cancelled"


@contextmanager
def active(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Have the run carried on; a lock holds only other processes off."""
    with run.lock() as life, monkeypatch.context() as patch:
        patch.setattr(Run, "life", lambda self: Life(life, "process 1 on this machine"))
        yield life


def test_a_request_that_the_active_process_does_not_confirm_is_an_error(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with active(run, monkeypatch) as life:
        with pytest.raises(BackendUnavailable, match="a and c are cancelled"):
            cancel(str(run.path), ["a", "c"])
        requests = UserRequests(run, life, lambda line: None)(run.state())
    assert requests.cancel == {"a", "c"}
    assert states(run)["a"] == "running"
    assert cluster.cancelled == []


def test_where_the_active_process_dies_the_cancellation_goes_on_here(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = iter([Life("one", "process 1 on this machine")] * 2)
    monkeypatch.setattr(Run, "life", lambda self: next(lives, None))
    assert cancel(str(run.path)) == 0
    assert states(run) == {"a": "cancelled", "b": "cancelled", "c": "cancelled"}


def test_a_request_for_an_earlier_life_cancels_nothing_and_is_removed(run: Run) -> None:
    said: list[str] = []
    request_cancellation(run.path, "earlier", ["a"])
    (run.path / "requests" / "torn.json").write_text('{"li')
    (run.path / "requests" / "list.json").write_text(json.dumps(["a"]))
    requests, state = UserRequests(run, "this", said.append), run.state()
    assert requests(state).cancel == frozenset()
    assert requests(state).cancel == frozenset()
    assert [*(run.path / "requests").iterdir()] == []
    request_cancellation(run.path, "this", ["a", "unknown"])
    assert requests(state).cancel == {"a"}
    assert [*(run.path / "requests").iterdir()], "the journal may not have it yet"
    assert requests(state).cancel == {"a"}
    assert [*(run.path / "requests").iterdir()] == []
    assert said == []


def test_each_life_of_a_run_has_a_name_of_its_own_and_one_process(run: Run) -> None:
    assert run.life() is None
    with run.lock() as first:
        pass
    with run.lock() as second:
        assert (run.path / "lock").read_text().split("\n")[1] == second
    assert first != second
    assert run.life() is None


def test_a_request_that_cannot_be_written_is_an_error(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.path / "requests").write_text("no folder")
    with active(run, monkeypatch), pytest.raises(RunError, match="cannot be written"):
        cancel(str(run.path))
