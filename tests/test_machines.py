"""The same plan, and the same chances, on every machine: as far as one machine can tell.

What differs between machines is how NumPy and BLAS add and multiply, for which each processor
has instructions of its own, and in which order Python goes through a set. Both can be chosen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
CAMPAIGNS = [
    *sorted((ROOT / "examples").glob("*.[ty]*ml")),
    ROOT / "tests" / "data" / "user_guide" / "campaign.toml",
]

PLANS = """
import json, sys
from itertools import chain
from pathlib import Path
import numpy as np
from benchmarks.instances import held_out, quality_instances
from sim.montecarlo import simulate
from socm.config import load_campaign
from socm.model.document import simulation_document
from socm.planner import Effort, plan_campaign

loaded = [load_campaign(Path(name)) for name in sys.argv[1:]]
generated = held_out(sizes=(30,), seeds=(101,))
print(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
for campaign, cluster in chain(
    ((one.campaign, one.cluster) for one in loaded),
    ((one.campaign, one.cluster) for one in generated),
):
    plan = plan_campaign(campaign, cluster, effort=Effort(part=0.2))
    print(json.dumps(simulation_document(simulate(plan, replications=5))))
"""


def simd() -> list[str]:
    """The instructions of this processor that NumPy uses where it has them."""
    configuration = np.show_config(mode="dicts") or {}
    return list(configuration["SIMD Extensions"].get("found", []))


def planned(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PLANS, *map(str, CAMPAIGNS)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_plans_and_chances_are_the_same_on_every_machine() -> None:
    here = planned(PYTHONHASHSEED="1")
    there = planned(
        PYTHONHASHSEED="2", NPY_DISABLE_CPU_FEATURES=" ".join(simd()), OPENBLAS_CORETYPE="Prescott"
    )
    ours, theirs = (process.communicate()[0].splitlines() for process in (here, there))
    assert ours[0] == f"{simd()}"
    assert theirs[0] == "[]"
    assert len(ours) > len(CAMPAIGNS) + 1
    assert ours[1:] == theirs[1:]
