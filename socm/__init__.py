"""Campaigns of the Simons Observatory: one plan, one driver, two worlds.

A campaign file and a cluster file become a `Plan` by HEFT; `socm simulate` carries it out on an
emulated cluster, `socm run` on a real one.
"""

__version__ = "0.1.0"
