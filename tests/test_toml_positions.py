"""The scanner finds every key and every item where it stands."""

from __future__ import annotations

import json
import re
from typing import Any

import tomli
from hypothesis import given
from hypothesis import strategies as st

from socm.config.toml_positions import Key, toml_positions

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
NAMES = BARE | st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5)
SCALARS = (
    st.integers(-(10**6), 10**6)
    | st.booleans()
    | st.sampled_from([1.5, -2e-3])
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)
GAPS = st.sampled_from(["", " ", "\n", " # [a] = 'x', \"\n", "\n\n  "])


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def spelled(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


@st.composite
def values(draw: st.DrawFn, value: object) -> str:
    """Spell a value in one of the ways in which TOML can."""
    if isinstance(value, dict):
        pairs = [f"{spelled(k)} = {draw(values(v))}" for k, v in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        text = "["
        for item in value:
            text += draw(GAPS) + draw(values(item)) + draw(GAPS) + ","
        return text + draw(GAPS) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if "'" not in value and draw(st.booleans()):
            return draw(st.sampled_from(["'{}'", "'''{}'''", "'''\n{}'''"])).format(value)
        text = quoted(value)
        return draw(st.sampled_from([text, f'""{text}""']))
    return str(value)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document of top-level keys, tables, sub-tables and arrays of tables."""
    lines = [f"{spelled(k)} = {draw(values(v))}" for k, v in draw(TABLES).items()]
    taken = set(tomli.loads("\n".join(lines)))
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        if name in taken:
            continue
        array = draw(st.booleans())
        for _ in range(draw(st.integers(1, 3)) if array else 1):
            space = draw(st.sampled_from(["", " "]))
            head = f"{space}{spelled(name)}{space}"
            lines.append(f"  [[{head}]]  # ]" if array else f"[{head}]")
            table = draw(TABLES)
            lines += [f"\t{spelled(k)}= {draw(values(v))} # ," for k, v in table.items()]
            if "sub" not in table:
                lines += [f"[{spelled(name)}.sub]", "a.b = 1", "a.c = [{d = 2}]"]
    return "\n".join(lines) + "\n"


def keys_of(data: Any, key: Key = ()) -> set[Key]:
    """Every key and every index that leads to a value."""
    found = {key} if key else set()
    if isinstance(data, dict):
        for name, value in data.items():
            found |= keys_of(value, (*key, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            found |= keys_of(value, (*key, index))
    return found


@given(documents())
def test_every_key_and_item_is_found_where_it_stands(text: str) -> None:
    data = tomli.loads(text)
    positions = toml_positions(text)
    assert set(positions) == keys_of(data)
    lines = text.split("\n")
    for key, (line, column) in positions.items():
        rest = lines[line - 1][column - 1 :]
        if isinstance(key[-1], str):
            assert rest.startswith((key[-1], quoted(key[-1]))), key
        else:
            assert rest[0] not in " \t,]#", key


def test_windows_line_ends_count_once() -> None:
    assert toml_positions('a = 1\r\n[b]\r\nc = """x\r\ny"""\r\nd = 2\r\n') == {
        ("a",): (1, 1),
        ("b",): (2, 2),
        ("b", "c"): (3, 1),
        ("b", "d"): (5, 1),
    }


def test_positions_of_a_table_defined_after_its_subtable_are_the_first() -> None:
    assert toml_positions("[a.b]\n[a]\n")[("a",)] == (1, 2)
