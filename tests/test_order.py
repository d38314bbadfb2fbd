"""What is told comes in the order of a file or of a plan, never in that of a set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"

# Words whose order as members of a set differs from seed to seed.
WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india"]

RUN_ALL = """
import io, json, sys
from contextlib import redirect_stdout, redirect_stderr
from socm.cli import main
from socm.planner import effort

effort.USUAL_WORK = 10_000
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["socm", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
    print(json.dumps([arguments, code, out.getvalue(), err.getvalue()]))
"""


def _stage(**keys: object) -> dict[str, object]:
    resources = {"runtime": "1h", "memory": "1G", "threads": 4}
    return {"executable": "true", "resources": resources, **keys}


def _wrong() -> dict[str, object]:
    """A campaign in which much is wrong at once."""
    return {
        "campaign": dict.fromkeys(WORDS, 1) | {"resource": "tiger4", "policy": "fast"},
        "stages": {
            word: _stage(
                depends=[f"no-{word}", *WORDS[:2]], **{f"key-{other}": 1 for other in WORDS}
            )
            for word in WORDS
        },
    }


def _unset() -> dict[str, object]:
    """A campaign that names variables that are not set, and files that are not there."""
    stages = {
        word: _stage(script=f"/nowhere/{word}.py", environment={"A": f"$NO_{word} $NO_ALL"})
        for word in WORDS
    }
    for word in WORDS:
        del stages[word]["resources"]["memory"]  # type: ignore[attr-defined]
    return {"campaign": {"deadline": "2h", "requested_resources": 4}, "stages": stages}


def _fits_nowhere() -> dict[str, object]:
    stages = {word: _stage() for word in WORDS}
    for word in WORDS[::2]:
        stages[word]["resources"] = {"runtime": "1h", "memory": "1G", "threads": 9000}
    return {"campaign": {"resource": "universe"}, "stages": stages}


def _commands(folder: Path) -> list[list[str]]:
    for name, content in (("wrong", _wrong()), ("unset", _unset()), ("nowhere", _fits_nowhere())):
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    edited = json.loads((folder / "unset.yaml").read_text())
    for word in WORDS[::2]:
        edited["stages"][f"new-{word}"] = edited["stages"].pop(word)
    (folder / "edited.yaml").write_text(json.dumps(edited))
    wrong, unset, nowhere, edited_, null_tests, exchange = map(
        str,
        (
            folder / "wrong.yaml", folder / "unset.yaml", folder / "nowhere.yaml",
            folder / "edited.yaml", ROOT / "examples" / "lat_null_tests.toml", DATA / "exchange",
        ),
    )  # fmt: skip
    run = folder / "run"
    shutil.copytree(DATA / "documents" / "0.1.0" / "runs" / "failed", run)
    settings = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(settings | {"file": nowhere}))
    piso = str(ROOT / "examples" / "piso.yaml")
    return [
        ["validate", wrong],
        ["validate", unset, "--show"],
        ["plan", nowhere],
        ["plan", unset, "--json", "--output", str(folder / "plan.json")],
        ["plan", piso, "--minimize", "nodes"],
        ["plan", piso, "--shape", "allocation"],
        ["simulate", unset, "-n", "20"],
        ["run", unset, "--yes"],
        ["run", str(folder / "plan.json"), "--dry-run"],
        ["diff", unset, edited_],
        ["diff", edited_, unset, "--json"],
        ["workflows"],
        ["workflows", "show", "ml-null-tests.wafer-tests"],
        ["workflows", "expand", null_tests],
        ["clusters", "match", unset],
        ["clusters", "match", nowhere],
        ["export", piso, "--simulated"],
        ["import", f"{exchange}/mbatch.yml"],
        ["import", f"{exchange}/pspipe.yml", "--runtime", "1h"],
        ["import", wrong, "--from", "mbatch"],
        ["import", wrong, "--from", "wfformat"],
        ["status", str(run)],
        ["resume", str(run)],
    ]


def _answers(commands: list[list[str]], folder: Path, seed: int) -> list[list[object]]:
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_order_of_what_is_told_does_not_depend_on_hashes(tmp_path: Path) -> None:
    orders = {
        str(s): subprocess.check_output(
            [sys.executable, "-c", f"print(*{set(WORDS)!r})"],
            env={"PYTHONHASHSEED": str(s)},
            text=True,
        )
        for s in (1, 2)
    }
    assert orders["1"] != orders["2"]  # else this would prove nothing
    commands = _commands(tmp_path)
    first, second = (_answers(commands, tmp_path, seed) for seed in (1, 2))
    for one, other in zip(first, second, strict=True):
        assert one == other, one[0]
