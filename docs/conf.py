"""How the documentation is built."""

import os
import subprocess
import sys
from collections.abc import Iterator
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


def write_commands(app: object) -> None:
    """Write the page of all commands from what each says of itself."""
    from typer.main import get_command

    from socm.cli.app import app_of

    def walk(command: object, name: str) -> Iterator[tuple[str, object]]:
        yield name, command
        for word, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {word}")

    commands = [*walk(get_command(app_of()), "socm")][1:]
    page = ["# Commands", "", "| command | |", "|---|---|"]
    for name, command in commands:
        summary = command.get_short_help_str(limit=200)
        page.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {summary} |")
    environment = {**os.environ, "COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}
    for name, _ in commands:
        done = subprocess.run(
            [sys.executable, "-m", *name.split(), "--help"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        text = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")
        page += ["", f"## `{name}`", "", "```text", text, "```"]
    target = Path(__file__).with_name("reference") / "commands.md"
    target.write_text("\n".join(page) + "\n")


def write_workflow_types(app: object) -> None:
    """Write the page of all workflow types from the models that read their sections."""
    from socm.config.keys import keys_of, summary_of
    from socm.workflows import WORKFLOW_TYPES

    page = ["# Workflow types", "", "What `socm workflows show TYPE` prints.", ""]
    seen: dict[str, str] = {}
    for kind in WORKFLOW_TYPES:
        options = WORKFLOW_TYPES[kind].options
        page += [f"## `{kind}`", "", summary_of(options), ""]
        keys = keys_of(options)
        new = [key for key in keys if seen.get(key["name"]) != key["help"]]
        if len(new) < len(keys) - 3:
            page += ["All keys of the types above that it shares, and:", ""]
        else:
            new = keys
        seen |= {key["name"]: key["help"] for key in keys}
        page += ["| key | type | default | unit | |", "|---|---|---|---|---|"]
        for key in new:
            default = "required" if key["required"] else key["default"]
            shown = "" if default in (None, [], {}) else f"`{default}`"
            text = key["help"].replace("|", "\\|")
            unit = key["unit"] or ""
            page.append(f"| `{key['name']}` | {key['type']} | {shown} | {unit} | {text} |")
        page.append("")
    target = Path(__file__).with_name("reference") / "workflows.md"
    target.write_text("\n".join(page))


def setup(app: object) -> None:
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", write_workflow_types)
