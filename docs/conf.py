"""How the documentation is built."""

import os
import subprocess
import sys
from pathlib import Path

import socm

project = "socm"
author = "The socm developers"
copyright = "2026, The socm developers"  # noqa: A001
version = release = socm.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"socm {version}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "code"

VERBS = (
    "simulate",
    "plan",
    "run",
    "resume",
    "status",
    "logs",
    "cancel",
    "validate",
    "init",
    "clusters",
    "import",
    "export",
)


def write_verbs(app: object) -> None:
    """Write the page of all verbs from what each says of itself."""
    page = ["# Verbs", "", "What `socm VERB --help` prints.", ""]
    environment = {**os.environ, "COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}
    for verb in VERBS:
        done = subprocess.run(
            [sys.executable, "-m", "socm", verb, "--help"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        text = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")
        page += [f"## `socm {verb}`", "", "```text", text, "```", ""]
    Path(__file__).with_name("reference").joinpath("verbs.md").write_text("\n".join(page))


def setup(app: object) -> None:
    app.connect("builder-inited", write_verbs)
