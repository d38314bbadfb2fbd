"""What tests of other packages need: random campaigns, and the checks of policies and backends.

Needs Hypothesis: ``pip install 'socm[testing]'``.
"""

from socm.testing.backend import SCENARIOS, Watched, check_backend
from socm.testing.policy import check_policy
from socm.testing.strategies import (
    LONG,
    SHORT,
    budgets,
    campaigns,
    clusters,
    depends,
    pairs,
    partitions,
    qos,
    rarely,
    requests,
    reservations,
    sometimes,
)

__all__ = [
    "LONG",
    "SCENARIOS",
    "SHORT",
    "Watched",
    "budgets",
    "campaigns",
    "check_backend",
    "check_policy",
    "clusters",
    "depends",
    "pairs",
    "partitions",
    "qos",
    "rarely",
    "requests",
    "reservations",
    "sometimes",
]
