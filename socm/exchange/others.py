"""Files of other systems that are known, and not read: to say what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from socm.words import listed

NOT_WORKFLOWS = "its jobs do not depend on each other, so there is nothing to plan"
READ = ("WfFormat", "mbatch", "PSpipe")
"""What is read."""
_BY_TEXT = (
    (
        r"(?:[ \t]*(?:;.*)?\n)*[ \t]*(?:-?\d+(?:\.\d+)?[ \t]+){17}-?\d+(?:\.\d+)?[ \t]*(?:\n|\Z)",
        "a record of jobs in the Standard Workload Format (SWF)",
        NOT_WORKFLOWS,
    ),
    (r"[^\0]*?^\[\[action\]\]", "a workflow of row", None),
    (r"\s*(?=<)[^\0]{0,2000}?<platform\b", "a platform of SimGrid or Batsim", None),
    (r"\s*(?=<)[^\0]{0,2000}?<adag\b", "a workflow of Pegasus (DAX)", None),
    (r"[^\0]*?^\[(?:campaign|stages)[\].]", "a campaign of socm", "`socm plan` takes it as it is"),
    (r"#!.*\n(?:[^\0]*?\n)?#SBATCH ", "a job script of SLURM", None),
    (r"(?:.*\n)*?rule \w+ *:", "a workflow of Snakemake", None),
    (r"(?:.*\n)*?(?:process|workflow) *\w* *\{", "a workflow of Nextflow", None),
)
"""How texts begin, what they are, and why they are of no use."""


def other_text(text: str) -> tuple[str, str] | None:
    r"""Return what a text is that is neither JSON nor YAML, and what would be right.

    Examples
    --------
    >>> what, hint = other_text("; Version: 2\n" + "1 " * 18)
    >>> what, "its jobs do not depend" in hint
    ('a record of jobs in the Standard Workload Format (SWF)', True)
    >>> other_text("stages: {}") is None
    True
    """
    start = text[:100_000]
    for pattern, what, why in _BY_TEXT:
        if re.match(pattern, start, re.MULTILINE):
            return what, _hint(why)
    return None


def other_data(data: Mapping[str, object]) -> tuple[str, str] | None:
    """Return what a file of JSON or YAML is, if it is known, and what would be right.

    Examples
    --------
    >>> other_data({"nb_res": 4, "jobs": [], "profiles": {}})[0]
    'a workload of Batsim'
    """
    if isinstance(data.get("jobs"), list) and "profiles" in data:
        return "a workload of Batsim", _hint(NOT_WORKFLOWS)
    if "cwlVersion" in data:
        return "a workflow in the Common Workflow Language (CWL)", _hint(None)
    return None


def _hint(why: str | None) -> str:
    reads = f"`socm import` reads {listed(READ)}"
    return f"{why}; {reads}" if why else reads
