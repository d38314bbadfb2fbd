"""Campaign files with mistakes: ``python -m benchmarks.fuzz [FILES]``.

Mutates the examples as hands and editors do (and as nobody would), loads each, and counts. Each
must be read or refused in words, with a position, and soon.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from socm.config import load_campaign
from socm.errors import ConfigError

ROOT = Path(__file__).parent.parent
SEEDS = [
    *sorted((ROOT / "examples").glob("*.[ty]*ml")),
    *sorted((ROOT / "tests" / "data" / "user_guide").iterdir()),
]
WORDS = [
    "null", "true", "[]", "{}", "-1", "1e9", "0", "''", "~", "&x", "*x", "<<", "!!int", "[[", "]]",
    "=", ":", "- ", "#", "\t", "\x00", "é", "\u2028", '"', "'", '"""', "|", ">", "%", "@", "`",
    "$X", "99999999999999999999", "1:30", "2d", "48G", "nan", "inf", "0x10", "\ufeff", "stages",
]  # fmt: skip
SLOW = 2.0
"""Seconds after which an answer is too late."""


def main() -> None:
    """Run, and print what came of it; exit with 1 if a file was not answered as it should be."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for text, suffix in mutants(count, seed=0):
        begin = time.perf_counter()
        outcome = answer(text, suffix)
        seconds = time.perf_counter() - begin
        slowest = max(slowest, seconds)
        if seconds > SLOW:
            outcome = "too slow"
        if outcome not in ("read", "refused"):
            print(f"{outcome}: {text!r}")
        outcomes[outcome] += 1
    print(", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common()))
    print(f"the slowest took {slowest:.2f} s")
    sys.exit(0 if set(outcomes) <= {"read", "refused"} else 1)


def mutants(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield texts and the suffix of the file that each was made from."""
    rng = random.Random(seed)
    originals = [(path.read_text(encoding="utf-8"), path.suffix) for path in SEEDS]
    for _ in range(count):
        text, suffix = rng.choice(originals)
        for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
            text = _mutate(rng, text)
        yield text, suffix


def _mutate(rng: random.Random, text: str) -> str:
    """Make one mistake: in a character, in a word, in a line, or in the whole."""
    at = rng.randrange(len(text) + 1)
    lines = text.split("\n")
    line = rng.randrange(len(lines))
    match rng.randrange(9):
        case 0:
            return text[:at] + text[at + 1 :]
        case 1:
            return text[:at] + rng.choice(WORDS) + text[at:]
        case 2:
            return (
                text[:at] + chr(rng.choice([rng.randrange(128), rng.randrange(0xD800)])) + text[at:]
            )
        case 3:
            del lines[line]
        case 4:
            lines.insert(line, rng.choice(lines))
        case 5:
            words = lines[line].split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[line] = " ".join(words)
        case 6:
            lines[line] = " " * rng.randrange(6) + lines[line].lstrip()
        case 7:
            other = rng.randrange(len(lines))
            lines[line], lines[other] = lines[other], lines[line]
        case 8:
            return (
                text[:at] if rng.random() < 0.2 else text[: at + 1] + text[at : at + 1] + text[at:]
            )
    return "\n".join(lines)


def answer(text: str, suffix: str) -> str:
    """Load a text; say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"campaign{suffix}"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load_campaign(path)
        except ConfigError as error:
            placed = all(p.line and p.column for p in error.problems if p.file == str(path))
            whole = any(p.message.startswith(("is empty", "is not UTF-8")) for p in error.problems)
            return "refused" if placed or whole else f"no position ({error})"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "read"


if __name__ == "__main__":
    main()
