"""Settings that all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from socm.planner import effort

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A random campaign is planned hundreds of times: each is searched for a moment only. What the
# documentation shows is made with what users have.
_USERS_WORK = effort.USUAL_WORK
effort.USUAL_WORK = 10_000

# The plain schemes are the ones to test; `test_compiled` holds the others to them.
os.environ["SOCM_COMPILED"] = "0"


@pytest.fixture
def as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan with the effort, and the compiled schemes, that users have."""
    monkeypatch.setattr(effort, "USUAL_WORK", _USERS_WORK)
    monkeypatch.delenv("SOCM_COMPILED")
