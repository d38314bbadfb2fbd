"""The package as `import socm` and its metadata show it."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import socm

ROOT = Path(__file__).parent.parent


def test_all_public_names_are_listed_and_there() -> None:
    assert dir(socm) == sorted(socm.__all__)
    for name in socm.__all__:
        assert getattr(socm, name).__doc__, name


def test_the_version_is_that_of_the_metadata_and_of_the_newest_entry_of_the_changelog() -> None:
    assert version("socm") == socm.__version__
    headings = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in ("Unreleased", socm.__version__)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released[:1] in ([], [socm.__version__])
