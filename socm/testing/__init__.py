"""What tests of other packages need: random campaigns, and the checks of policies and backends.

The random campaigns and `check_policy` need Hypothesis: ``pip install 'socm[testing]'``.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False

if TYPE_CHECKING:
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

# Imported when they are used: the simulation tests need no Hypothesis.
_HOMES = {
    "socm.testing.backend": ("SCENARIOS", "Watched", "check_backend"),
    "socm.testing.policy": ("check_policy",),
}

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


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'socm.testing' has no attribute {name!r}")
    homes = (home for home, names in _HOMES.items() if name in names)
    return getattr(import_module(next(homes, "socm.testing.strategies")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
