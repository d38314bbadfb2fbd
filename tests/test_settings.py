"""Where values come from: command line, environment, campaign, user's file, built-in."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from socm.config import LoadedCampaign, load_campaign
from socm.config.settings import load_settings, user_file
from socm.errors import ConfigError

CAMPAIGN = """\
campaign:
  resource: perlmutter
  requested_resources: 300
stages:
  a:
    executable: x
    resources: {runtime: 1h, memory: 1G, qos: short, spread: 0.3}
  b:
    executable: x
    resources: {runtime: 1h, memory: 1G}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, and nothing in the environment."""
    for name in os.environ:
        if name.startswith("SOCM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "socm").mkdir(parents=True)
    return tmp_path / "home" / "socm"


def load(tmp_path: Path, **options: Any) -> LoadedCampaign:
    path = tmp_path / "c.yaml"
    path.write_text(CAMPAIGN)
    return load_campaign(path, explain=True, **options)


def origin(loaded: LoadedCampaign, table: str, key: str) -> tuple[object, str]:
    value = next(v for v in loaded.resolved if (v.table, v.key) == (table, key))
    return value.value, value.origin.rpartition("/")[2]


def test_command_line_over_environment_over_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert origin(load(tmp_path), "campaign", "resource") == ("perlmutter", "c.yaml:2")
    monkeypatch.setenv("SOCM_RESOURCE", "universe")
    loaded = load(tmp_path)
    assert loaded.cluster.name == "universe"
    assert origin(loaded, "campaign", "resource") == ("universe", "$SOCM_RESOURCE")
    loaded = load(tmp_path, cluster="tiger3")
    assert loaded.cluster.name == "tiger3"
    assert origin(loaded, "campaign", "resource") == ("tiger3", "--cluster")


def test_the_users_file_counts_where_the_campaign_says_nothing(tmp_path: Path, home: Path) -> None:
    (home / "config.toml").write_text(
        '[campaign]\nresource = "universe"\ndeadline = "2d"\n'
        'environment = {A = "user", B = "user"}\n[resources]\naccount = "so"\nspread = 0.1\n'
    )
    loaded = load(tmp_path)
    assert origin(loaded, "campaign", "deadline") == (2 * 86400, "config.toml")
    assert loaded.cluster.name == "perlmutter"
    assert origin(loaded, "campaign", "policy") == ("time", "built-in")
    requests = {n: w.request for n, w in loaded.campaign.workflows.items()}
    assert (requests["a"].account, requests["a"].spread) == ("so", 0.3)
    assert (requests["b"].account, requests["b"].spread) == ("so", 0.1)
    assert loaded.campaign.workflows["a"].environment == {"A": "user", "B": "user"}


def test_the_environment_counts_over_each_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCM_QOS", "long")
    loaded = load(tmp_path)
    assert {w.request.qos for w in loaded.campaign.workflows.values()} == {"long"}
    assert origin(loaded, "a", "qos") == ("long", "$SOCM_QOS")


def test_origins_name_file_and_line(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert origin(loaded, "a", "spread") == (0.3, "c.yaml:7")
    assert origin(loaded, "b", "spread") == (0.2, "built-in")


def test_all_that_is_wrong_outside_is_told_at_once(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text('[campaign]\nresorce = "x"\n[simulate]\nseed = -1\n')
    monkeypatch.setenv("SOCM_DEADLINE", "soon")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    told = "\n".join(map(str, caught.value.problems))
    assert "SOCM_DEADLINE: 'soon' is not a duration" in told
    assert "config.toml:2:1: unknown key 'resorce' in campaign; did you mean 'resource'?" in told
    assert "simulate.seed: should be greater than or equal to 0, not -1" in told


def test_where_the_users_file_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_file() == home / "config.toml"
    monkeypatch.setenv("SOCM_CONFIG", "/etc/socm.toml")
    assert user_file() == Path("/etc/socm.toml")


def test_the_users_file_need_not_exist_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().find("simulate", "seed") is None
    monkeypatch.setenv("SOCM_CONFIG", "/nowhere/socm.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load_settings()


def test_a_deadline_may_be_a_date_with_a_zone(tmp_path: Path) -> None:
    then = datetime.now(UTC) + timedelta(hours=5)
    for text in (
        then.isoformat(),
        then.strftime("%Y-%m-%d %H:%M:%SZ"),
        then.strftime("%Y-%m-%dT%H:%M:%S UTC"),
        (then - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%S-03:00"),
    ):
        path = tmp_path / "d.yaml"
        path.write_text(CAMPAIGN.replace("campaign:", f"campaign:\n  deadline: {text}", 1))
        deadline = load_campaign(path).campaign.deadline
        assert deadline is not None
        assert 5 * 3600 - 60 < deadline <= 5 * 3600, text


@pytest.mark.parametrize(
    ("deadline", "message"),
    [
        ("2999-01-01T00:00", "does not say its zone"),
        ("2001-01-01T00:00Z", "is over"),
        ("2999-13-01T00:00Z", "is not a date"),
        ("2999-01-01 00:00 Europe/Atlantis", "is not a date"),
    ],
)
def test_a_date_that_cannot_be_a_deadline_is_told(
    tmp_path: Path, deadline: str, message: str
) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(CAMPAIGN.replace("campaign:", f"campaign:\n  deadline: {deadline}", 1))
    with pytest.raises(ConfigError, match=message):
        load_campaign(path)


def test_toml_dates_are_deadlines_too(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    then = (datetime.now(UTC) + timedelta(days=2)).isoformat(timespec="seconds")
    path.write_text(
        f"[campaign]\ndeadline = {then}\n[campaign.power-spectra]\nscript = 's'\n"
        "resources = {runtime = 60, memory = 1}\n"
    )
    deadline = load_campaign(path).campaign.deadline
    assert deadline is not None
    assert 2 * 86400 - 60 < deadline <= 2 * 86400
