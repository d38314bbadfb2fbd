"""Reading never writes: what only looks at a file leaves everything as it was, wherever it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = """
import json, os, sys

sys.dont_write_bytecode = True
written = []
CHANGING = {
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
    "os.symlink", "os.truncate", "os.utime", "tempfile.mkstemp", "tempfile.mkdtemp",
    "sqlite3.load_extension", "subprocess.Popen", "os.system",
}

def note(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes and path != os.devnull and not isinstance(path, int):
            written.append([event, str(path)])
    elif event in CHANGING:
        written.append([event, *map(str, arguments)])

from socm.cli.app import command_line
sys.addaudithook(note)
codes = [command_line(line) for line in json.loads(sys.argv[1])]
print(json.dumps({"codes": codes, "written": written}), file=sys.stderr)
"""


def files(*folders: Path) -> dict[str, tuple[int, int]]:
    """Return the sizes of all files of folders, and when they were changed."""
    states = {str(p): p.lstat() for folder in folders for p in (folder, *folder.rglob("*"))}
    return {path: (state.st_size, state.st_mtime_ns) for path, state in states.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a campaign and its observations, a plan, a run and a pipeline."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    work = Path(shutil.copytree(ROOT / "examples", tmp_path / "work"))
    data = ROOT / "tests" / "data"
    shutil.copy(data / "documents" / "0.1.0" / "plan.json", work)
    shutil.copy(data / "exchange" / "mbatch.yml", work)
    shutil.copy(data / "exchange" / "srasearch-chameleon-10a-001.json.gz", work)
    shutil.copytree(data / "documents" / "0.1.0" / "runs" / "completed", work / "run")
    return work


CAMPAIGN = "lat_null_tests.toml"
LINES = [
    ["validate", CAMPAIGN],
    ["validate", CAMPAIGN, "--show"],
    ["plan", CAMPAIGN, "--effort", "0"],
    ["plan", "plan.json"],
    ["simulate", CAMPAIGN, "--effort", "0", "--replications", "2", "--processes", "1"],
    ["diff", CAMPAIGN, "plan.json"],
    ["workflows"],
    ["workflows", "expand", CAMPAIGN],
    ["clusters"],
    ["clusters", "match", CAMPAIGN],
    ["export", "plan.json"],
    ["import", "mbatch.yml", "--runtime", "1h"],
    ["import", "srasearch-chameleon-10a-001.json.gz"],
    ["status", "run"],
    ["status", "run", "--json"],
    ["logs", "map-f090", "--run", "run"],
]


def test_commands_that_only_read_write_nothing_anywhere(folder: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder.parent / "home"),
        "TMPDIR": str(folder.parent / "tmp"),
    }
    before = files(folder.parent)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(LINES)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = json.loads(done.stderr.splitlines()[-1])
    assert set(told["codes"]) <= {0, 3}, done.stderr
    assert told["written"] == [], told["written"]
    assert files(folder.parent) == before
