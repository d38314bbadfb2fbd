"""What tests of other packages need: random campaigns and clusters, and the checks of a policy.

Needs Hypothesis: ``pip install 'socm[testing]'``.
"""

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
    rarely,
    requests,
    reservations,
    sometimes,
    tiers,
)

__all__ = [
    "LONG",
    "SHORT",
    "budgets",
    "campaigns",
    "check_policy",
    "clusters",
    "depends",
    "pairs",
    "partitions",
    "rarely",
    "requests",
    "reservations",
    "sometimes",
    "tiers",
]
