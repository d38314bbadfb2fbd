"""Mistakes in texts, in bytes and in data, as hands, editors and disks make them."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

WORDS = [
    "null", "true", "[]", "{}", "-1", "1e9", "0", "''", "~", "&x", "*x", "<<", "!!int", "[[", "]]",
    "=", ":", "- ", "#", "\t", "\x00", "é", "\u2028", '"', "'", '"""', "|", ">", "%", "@", "`",
    "$X", "99999999999999999999", "1:30", "2d", "48G", "nan", "inf", "0x10", "\ufeff", "stages",
    "\x1b[31m", "1000T", "1e308", "-0", "../../../x", "/dev/zero", "{a:>999999999}", "1/0", "'; --",
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 0.5, 1e308, -1e308, 10**9, 10**12, 10**40, 10**400, "", "0", "x",
    "\0", "../../../x", "/x", "a b", "é", "\ud800", "\x1b[31m", "x" * 300, "x" * 100_000, "$HOME",
    [], {}, [None], [[]], {"a": 1}, {"": {"": []}}, [0] * 1000,
]  # fmt: skip
"""What may stand in data where something else should."""


def mutated_text(rng: random.Random, text: str) -> str:
    """Make a few mistakes in a text."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        text = _mistake(rng, text)
    return text


def _mistake(rng: random.Random, text: str) -> str:
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


def mutated_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip bits, overwrite, join lines, cut, as a failing disk or a loss of power does."""
    mutant = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(mutant) + 1)
        match rng.randrange(7):
            case 0 if at < len(mutant):
                mutant[at] ^= 1 << rng.randrange(8)
            case 1:
                mutant[at : at + rng.randrange(64)] = rng.randbytes(rng.randrange(64))
            case 2:
                mutant[at:] = b"\0" * rng.randrange(100)
            case 3:
                del mutant[at:]
            case 4 if (end := mutant.find(b"\n", at)) >= 0:
                del mutant[end]
            case 5:
                end = mutant.find(b"\n", at) + 1
                del mutant[at : end or len(mutant)]
            case 6:
                start = mutant.find(b"\n", at) + 1
                end = mutant.find(b"\n", start) + 1
                mutant[start:start] = mutant[start:end]
    return bytes(mutant)


def mutated_data(rng: random.Random, data: Any) -> Any:
    """Change a few values of JSON data, or their keys."""
    data = copy.deepcopy(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        places = [*_places(data)]
        if not places:
            break
        within, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del within[key]
            case 1 if isinstance(within, dict):
                within[rng.choice(["../x", "\0", "", "a", "name"])] = within.pop(key)
            case 2 if isinstance(within, list):
                within.append(copy.deepcopy(within[key]))
            case 3 if isinstance(within[key], int | float) and within[key] < 1e300:
                within[key] += rng.choice([-100, -1, 1, 100, 1e300])
            case 4:
                other, there = rng.choice(places)
                within[key] = copy.deepcopy(other[there])
            case _:
                within[key] = copy.deepcopy(rng.choice(ODD))
    return data


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Return each value in JSON data: what holds it, and its key."""
    found, stack = [], [data]
    while stack:
        holder = stack.pop()
        keys = [*holder] if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])
    return found


def mutated_json(rng: random.Random, text: str) -> str:
    """Make mistakes in the text of a JSON document, or in its data."""
    data = json.loads(text)
    if rng.random() < 0.3 or not isinstance(data, dict | list):
        return mutated_text(rng, text)
    return json.dumps(mutated_data(rng, data))
