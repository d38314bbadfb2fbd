"""Settings that all tests share."""

from __future__ import annotations

import functools
import math
import os
import sys

import pytest
import typer.main
from hypothesis import HealthCheck, settings

from sim import montecarlo
from socm.planner import effort

# Hundreds of tests start Python anew. It compiles each module once, not in each of these processes,
# where the environment says otherwise, too.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Who changes the code runs all tests often, and examples are new each time. CI runs them once for
# each change, and no change lands without it; so it tries more.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=20,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("default"), max_examples=50)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A random campaign is planned hundreds of times: each is searched for a moment only. What the
# documentation shows is made with what users have.
_USERS_WORK = effort.USUAL_WORK
effort.USUAL_WORK = 10_000

# Processes of their own pay for long simulations: here they begin only where a test is about them,
# and not whenever the machine is busy.
montecarlo.PATIENCE = math.inf

# Typer makes all commands anew for each command line, which takes ten times as long as a small one.
typer.main.get_command = functools.cache(typer.main.get_command)

# The plain schemes are the ones to test; `test_compiled` holds the others to them.
os.environ["SOCM_COMPILED"] = "0"


@pytest.fixture
def as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan with the effort, and the compiled schemes, that users have."""
    monkeypatch.setattr(effort, "USUAL_WORK", _USERS_WORK)
    monkeypatch.delenv("SOCM_COMPILED")
