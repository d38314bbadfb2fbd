"""The page says what the simulation says, whatever names hold, and works in a browser."""

from __future__ import annotations

import html
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socm import units
from socm.errors import ConfigError
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.outcome import Outcome, Simulation, WorkflowOutcome
from socm.model.partition import Partition
from socm.model.placement import Placement, PlannedWorkflow
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.report import timeline
from socm.report.picture import draw
from socm.report.style import STEPS
from socm.report.terminal import printable
from socm.report.timeline import MOST_BINS, MOST_WARNINGS, histogram, page
from socm.report.usage import usage

CPU = Partition(name="cpu", nodes=100, cores=300, memory=2_000_000)
QOS = (Qos(name="short"), Qos(name="long"))
NASTY = (
    "</script><script>document.title = 'taken'</script>",
    "<!--<script>",
    "\"double\" 'single' & &amp; `back` ${tick} \\u003c \\",
    "line\u2028paragraph\u2029end",
    "{{data}}{{title}}",
    "\x1b[31mred\x07\x00\x9b0m \u202eturned",
    "Größe 地図 🛰 one",
    "Größe 地図 🛰 two",
)

SHOWN = [printable(name) for name in NASTY]


def simulated(
    count: int, *, names: tuple[str, ...] = (), deadline: int | None = 5000, seed: int = 1
) -> Simulation:
    """What a campaign of that many workflows came to, each a minute later than planned.

    A workflow waits for up to two before it; every tenth lies on the critical chain. The first
    takes a minute.
    """
    chance = random.Random(seed)
    names += tuple(f"map-of-the-sky-{k:05}" for k in range(len(names), count))
    workflows, planned, outcomes = [], [], []
    for k, name in enumerate(names):
        request = ResourceRequest(
            ranks=chance.randint(2, 70),
            threads=chance.randint(1, 8),
            memory=chance.randint(100, 4_800_000),
            runtime=60 + k * 7919 % 30_000,
        )
        parents = tuple(sorted({names[chance.randrange(k)] for _ in range(2)})) if k else ()
        kind = f"kind-{k % 3}"
        workflows.append(Workflow(name=name, kind=kind, request=request, depends=parents))
        start, exclusive = 97 * k, k % 5 == 4
        whole = request.ranks * request.threads
        planned.append(
            PlannedWorkflow(
                name=name,
                partition="cpu",
                qos=QOS[k % 2].name,
                placements=(
                    Placement(partition="cpu", node=0, ranks=request.ranks - 1),
                    Placement(partition="cpu", node=1, ranks=1),
                ),
                threads=request.threads,
                exclusive=exclusive,
                cores=2 * CPU.cores if exclusive else whole,
                start=start,
                finish=start + request.runtime,
                walltime=2 * request.runtime,
            )
        )
        finish = start + 60.0 + request.runtime
        outcomes.append(
            WorkflowOutcome(
                name=name, status="completed", start=start + 60.0, finish=finish, attempts=1
            )
        )
    makespan = max((w.finish or 0.0 for w in outcomes), default=0.0)
    return Simulation(
        plan=Plan(
            campaign=Campaign.of("a week of maps", workflows, deadline=deadline),
            cluster=Cluster(name="small", partitions=(CPU,), qos=QOS),
            workflows=tuple(planned),
            lower_bound=60,
        ),
        exact=Outcome(
            workflows=tuple(outcomes),
            makespan=makespan,
            core_seconds=600.0,
            timeouts=0,
            critical_chain=names[::10],
        ),
        makespans=tuple(makespan * (0.9 + 0.02 * k) for k in range(11)),
        in_time=tuple(k < 9 for k in range(11)),
        replications=11,
        criticality={name: chance.random() for name in names},
    )


class _Reader(HTMLParser):
    """Reads a page as a browser does: a script ends where its end tag is."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.texts: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside.append(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside.append("")

    def handle_data(self, data: str) -> None:
        if self.inside:
            name = self.inside[-1]
            self.texts[name] = self.texts.get(name, "") + data


def texts_of(content: str) -> dict[str, str]:
    """The text directly in each element, by its id or else its tag."""
    reader = _Reader()
    reader.feed(content)
    return reader.texts


def data_of(simulation: Simulation) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(texts_of(page(simulation))["data"])
    return data


def rows_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The workflows, one by one, from the columns that hold them."""

    def at(column: Any, k: int) -> Any:
        if isinstance(column, dict):
            return column["texts"][at(column["which"], k)]
        return column[k] if isinstance(column, list) else column

    columns, names = data["workflows"], [""]
    for shared, rest in columns["name"]:
        kept = names[-1].encode("utf-16-le", "surrogatepass")[: 2 * shared]
        names.append(kept.decode("utf-16-le", "surrogatepass") + rest)
    columns["name"] = names[1:]
    return [
        {key: at(column, k) for key, column in columns.items() if key != "count"}
        for k in range(columns["count"])
    ]


def test_every_workflow_is_told_with_all_its_facts() -> None:
    simulation = simulated(40)
    plan, rows = simulation.plan, rows_of(data_of(simulation))
    outcomes = {w.name: w for w in simulation.exact.workflows}
    assert {row["name"] for row in rows} == set(outcomes)
    for row in rows:
        name = row["name"]
        planned, workflow = plan.by_name[name], plan.campaign.workflows[name]
        took = row["duration"]
        assert row["start"] == outcomes[name].start
        assert row["start"] + took == outcomes[name].finish
        assert row["start"] - row["startsLater"] == planned.start
        assert took - row["takesLonger"] == planned.duration
        assert row["walltime"] == planned.walltime
        assert (row["kind"], row["qos"]) == (workflow.kind, planned.qos)
        assert (row["ranks"], row["threads"]) == (workflow.request.ranks, planned.threads)
        assert (row["nodes"], row["cores"]) == (2, planned.cores)
        assert row["memory"] == workflow.request.memory
        assert row["perMilleCritical"] == round(1000 * simulation.criticality[name])
        assert tuple(rows[k]["name"] for k in row["depends"]) == workflow.depends


def test_what_the_rows_hold_adds_up_to_what_is_in_use() -> None:
    simulation = simulated(40)
    rows = rows_of(data_of(simulation))
    for time, held in usage(simulation).items():
        running = [r for r in rows if r["start"] <= time < r["start"] + r["duration"]]
        cores = sum(r["cores"] for r in running)
        assert (cores, sum(r["memory"] + r["heldMore"] for r in running)) == held


def test_rows_are_in_order_of_start_and_those_that_never_ran_come_last() -> None:
    simulation = simulated(4)
    first, *others = simulation.exact.workflows
    skipped = replace(first, status="skipped", start=None, finish=None, attempts=0)
    exact = replace(simulation.exact, workflows=(skipped, *reversed(others)), critical_chain=())
    rows = rows_of(data_of(replace(simulation, exact=exact)))
    assert [row["name"][-1] for row in rows] == ["1", "2", "3", "0"]
    assert [row["status"] for row in rows] == ["completed"] * 3 + ["skipped"]
    assert rows[3]["start"] is None
    assert -rows[3]["startsLater"] == simulation.plan.by_name[first.name].start


def test_names_may_hold_anything() -> None:
    simulation = simulated(len(NASTY), names=NASTY)
    plan = simulation.plan
    nasty = replace(plan, campaign=replace(plan.campaign, name=" ".join(NASTY)), warnings=NASTY)
    content = page(replace(simulation, plan=nasty))
    texts = texts_of(content)
    assert [row["name"] for row in rows_of(json.loads(texts["data"]))] == SHOWN
    assert texts["title"] == texts["h1"] == f"{' '.join(SHOWN)} on small"
    assert texts["li"] == "".join(SHOWN)
    assert printable(content) == content
    ours, theirs = page(simulated(1)), content
    assert theirs.count("<script") == ours.count("<script")
    assert theirs.count("</script") == ours.count("</script")


def test_half_a_character_is_spelled_out_where_a_file_can_not_hold_it(tmp_path: Path) -> None:
    half = "half \ud800"
    simulation = simulated(1, names=(half,))
    campaign = replace(simulation.plan.campaign, name=half)
    draw(replace(simulation, plan=replace(simulation.plan, campaign=campaign)), tmp_path / "a.html")
    texts = texts_of((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert texts["h1"] == "half \\ud800 on small"
    assert rows_of(json.loads(texts["data"]))[0]["name"] == "half \\ud800"


def test_words_stand_there_without_javascript() -> None:
    simulation = simulated(3)
    plan = replace(simulation.plan, warnings=("too many maps",) * (MOST_WARNINGS + 2))
    words = re.sub(r"(?s)<script.*?</script>|<[^>]*>", " ", page(replace(simulation, plan=plan)))
    words = " ".join(html.unescape(words).split())
    for said in (
        "a week of maps on small",
        "planned",
        "90 % between",
        "P(deadline) 81.8% 95 % interval 52.3% to 94.9%; 11 replications, seed 0",
        "utilisation",
        "core-hours",
        "assumed jobs start as soon as nodes are free",
        f"{MOST_WARNINGS + 2} warnings too many maps",
        "and 2 more",
        "drawn by JavaScript",
    ):
        assert said in words


@pytest.mark.parametrize(
    ("deadline", "in_time", "mood"),
    [
        (None, 0, "good"),
        (10**6, 11, "good"),
        (10**6, 5, "unsure"),
        (60, 0, "late"),
    ],
)
def test_verdict_looks_like_what_it_says(deadline: int | None, in_time: int, mood: str) -> None:
    simulation = simulated(3, deadline=deadline)
    simulation = replace(simulation, in_time=tuple(k < in_time for k in range(11)))
    assert f'<p class="verdict {mood}">' in page(simulation)


@given(
    st.lists(st.integers(0, 10**11).map(lambda k: k / 1000), min_size=1, max_size=300),
    st.none() | st.integers(min_value=1, max_value=10**8),
)
def test_histogram_counts_each_end_on_its_side_of_the_deadline(
    ends: list[float], deadline: int | None
) -> None:
    bins = histogram(ends, deadline)
    assert bins is not None
    start, step, counts = bins["start"], bins["step"], bins["counts"]
    assert sum(counts) == len(ends)
    assert counts[0]
    assert counts[-1]
    assert len(counts) <= MOST_BINS
    for k, count in enumerate(counts):
        low = start + k * step
        assert count == sum(low < end <= low + step for end in ends)
    if deadline is not None:
        assert (deadline - start) % step == 0


def test_nothing_by_chance() -> None:
    simulation = replace(simulated(3), makespans=(), in_time=(), replications=0, criticality={})
    data = data_of(simulation)
    assert (data["histogram"], data["band"]) == (None, [])
    assert rows_of(data)[0]["perMilleCritical"] is None


def test_page_needs_nothing_else() -> None:
    content = page(simulated(3))
    assert re.findall(r'(?:src|href|action)="([^"]*)"', content) == ["data:,"]
    assert set(re.findall(r"\w+://[\w./]*", content)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in content
    for risky in ("eval(", "innerHTML", "insertAdjacentHTML", "document.write", "@import", "url("):
        assert risky not in content


def test_ten_thousand_workflows_are_less_than_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    draw(simulated(10_000), path)
    assert path.stat().st_size < 1_000_000


def test_page_needs_no_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    draw(simulated(3), tmp_path / "page.HTML")
    assert "a week of maps" in (tmp_path / "page.HTML").read_text(encoding="utf-8")


def test_page_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError, match="no space left"):
        draw(simulated(3), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


# The script

PAGE = Path(timeline.__file__).parent / "page"


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs JavaScript without a browser."""
    found = shutil.which("node")
    if found is None:
        # `make lint-js` fails in CI without it.
        pytest.skip("no Node.js: the script of the page is not tested by itself")
    return found


def answer(node: str, code: str, given: object) -> Any:
    """What an expression in JavaScript comes to; ``given`` holds what it is about."""
    modules = [(PAGE / f"{name}.mjs").as_uri() for name in ("words", "workflows")]
    imports = "".join(f"import * as {uri[:-4].rsplit('/')[-1]} from '{uri}';" for uri in modules)
    text = f"{imports} const given = JSON.parse(process.argv[1]);"
    text += f"console.log(JSON.stringify({code}));"
    done = subprocess.run(
        [node, "--input-type=module", "-e", text, json.dumps(given)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(done.stdout)


def test_modules_import_only_from_those_before_them() -> None:
    """So they can be put one after the other, and none is left out."""
    assert sorted(path.stem for path in PAGE.glob("*.mjs")) == sorted(timeline.MODULES)
    for k, name in enumerate(timeline.MODULES):
        text = (PAGE / f"{name}.mjs").read_text(encoding="utf-8")
        assert {*re.findall(r'from "\./(\w+)\.mjs"', text)} <= {*timeline.MODULES[:k]}, name


def test_the_script_is_one_that_can_be_read(node: str, tmp_path: Path) -> None:
    """Two modules that use one name for different things would be an error here."""
    script = timeline.script()
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    (tmp_path / "script.mjs").write_text(script, encoding="utf-8")
    subprocess.run([node, "--check", tmp_path / "script.mjs"], check=True)


SECONDS = (
    *range(200), *(k * 7919 for k in range(200)), *(3600 * k - 1 for k in range(1, 60)),
    *(10**k for k in range(11)), *(86_400 * k + 1799 for k in range(9)),
)  # fmt: skip
# Halves, which the two round differently, are left out.
AMOUNTS = (
    *(k for k in range(0, 3000, 7) if k % 128),
    *(k * 104_729 for k in range(300) if k % 128),
    *(1024**k for k in range(5)),
)


@pytest.mark.parametrize(
    ("code", "written", "values"),
    [
        ("words.duration", units.format_duration, (*SECONDS, *(-k for k in SECONDS))),
        ("words.clock", units.format_walltime, SECONDS),
        ("words.memory", units.format_memory, AMOUNTS),
        ("words.count", units.format_count, AMOUNTS),
    ],
)
def test_the_page_writes_as_the_command_line_does(
    node: str, code: str, written: Callable[[int], str], values: tuple[int, ...]
) -> None:
    found = answer(node, f"given.map((value) => {code}(value))", values)
    # A narrow space that does not break lines is for pages, not for terminals.
    assert [text.replace("\u202f", " ") for text in found] == [written(value) for value in values]


def test_ticks_are_round_few_and_all_different(node: str) -> None:
    spans = [[0, k**5] for k in range(2, 90)] + [[k, k + 20] for k in range(0, 99_999, 777)]
    given = {"spans": spans, "steps": STEPS}
    code = "given.spans.map(([from, to]) => words.ticksOf(from, to, 1000, given.steps))"
    for (low, high), ticks in zip(spans, answer(node, code, given), strict=True):
        times, texts = [time for time, _ in ticks], [text for _, text in ticks]
        assert 1 <= len(times) <= 9
        assert all(low <= time <= high for time in times)
        assert {b - a for a, b in pairwise(times)} <= {*STEPS}
        assert len({*texts}) == len(texts)


def test_the_page_adds_up_what_is_in_use(node: str) -> None:
    simulation = simulated(300)
    data = data_of(simulation)
    whole = {"cores": 1, "memory": 1}
    code = "workflows.usageOf(workflows.readWorkflows(given.columns), given.whole)"
    found = answer(node, code, {"columns": data["workflows"], "whole": whole})
    assert usage(simulation) == {
        time: (cores, memory)
        for time, cores, memory in zip(found["times"], found["cores"], found["held"], strict=True)
    }


def test_the_large_groups_have_colours_and_the_others_share_one(node: str) -> None:
    sizes = {"a": 5, "b": 1, "c": 4, "d": 2, "e": 3}
    given = [{"kind": kind} for kind, size in sizes.items() for _ in range(size)]
    code = "[...workflows.groupsBy('kind', given, ['red', 'blue', 'grey'])]"
    found = {kind: (group["colour"], group["size"]) for kind, group in answer(node, code, given)}
    assert found == {"a": ("red", 5), "c": ("blue", 4)} | dict.fromkeys("bde", ("grey", 6))


# In a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HEADLESS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--window-size=1400,1000", "--enable-logging=stderr", "--v=0"),
    *("--virtual-time-budget=20000", "--dump-dom"),
)
WATCH = """<script>
// What is drawn once per frame is drawn at once: nothing here waits for anything.
window.requestAnimationFrame = (act) => act(performance.now());
const complaints = [];
addEventListener("error", (event) => complaints.push(event.message));
addEventListener("unhandledrejection", (event) => complaints.push(String(event.reason)));
</script>"""
USE = """<script type="module">
const element = (id) => document.getElementById(id);
const field = (name) => document.querySelector("form").elements[name];
const set = (name, property, value) => {
  field(name)[property] = value;
  field(name).dispatchEvent(new Event("input", { bubbles: true }));
};
const press = (key) =>
  element("rows").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const painted = (id) => {
  const canvas = element(id), { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, width, height).data;
  const colours = {};
  for (let k = 0; k < pixels.length; k += 4) {
    if (pixels[k + 3] < 255) continue;
    const [red, green, blue] = pixels.slice(k, k + 3);
    const colour = ((red << 16) | (green << 8) | blue).toString(16).padStart(6, "0");
    colours[colour] = (colours[colour] ?? 0) + 1;
  }
  return colours;
};
const names = () => [...document.querySelectorAll("tbody button")].map((name) => name.textContent);
const look = () => ({
  count: element("count").textContent,
  range: element("range").textContent,
  rows: element("rows").getAttribute("aria-label"),
  use: element("usage").getAttribute("aria-label"),
  listed: Number(document.querySelector("table").getAttribute("aria-rowcount")) - 1,
  chosen: document.querySelector("#details h2").textContent,
  names: names(),
});
const seen = { title: document.title, theme: document.documentElement.dataset.theme };
Object.assign(seen, { first: look(), gantt: painted("gantt"), usage: painted("usage") });
seen.bars = document.querySelectorAll("#histogram svg rect").length;
element("in").click();
press("+");
seen.zoomed = look();
press("ArrowRight");
seen.panned = look();
press("0");
seen.reset = look();
set("name", "value", "SKY-0000");
seen.filtered = look();
set("kind", "value", "kind-1");
seen.filteredTwice = look();
seen.lessUsage = painted("usage");
set("critical", "checked", true);
seen.critical = look();
set("kind", "value", "");
set("name", "value", "no such name");
seen.none = look();
set("name", "value", "");
set("critical", "checked", false);
press("Home");
press("ArrowDown");
seen.chosen = look();
press("ArrowUp");
press("Enter");
seen.zoomedTo = look();
press("Escape");
press("0");
seen.released = look();
const start = document.querySelectorAll("th button")[7];
start.click();
seen.ascending = look();
start.click();
seen.descending = look();
seen.sorted = start.parentElement.getAttribute("aria-sort");
set("colour", "value", "qos");
seen.byQos = element("legend").textContent;
set("rows", "value", field("rows").value === "fit" ? "scroll" : "fit");
seen.others = painted("gantt");
dispatchEvent(new Event("beforeprint"));
seen.printed = { theme: document.documentElement.dataset.theme, names: names().length };
dispatchEvent(new Event("afterprint"));
seen.after = document.documentElement.dataset.theme;
seen.rowsInPage = document.querySelectorAll("tbody tr").length;
seen.complaints = complaints;
const result = document.createElement("pre");
result.id = "seen";
result.textContent = JSON.stringify(seen);
document.body.append(result);
</script>"""


@pytest.fixture(scope="session")
def browser() -> str:
    """The program that shows pages."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        message = f"no browser: none of {', '.join(BROWSERS)} is installed"
        if os.environ.get("CI") == "true" and os.environ.get("SOCM_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


def used(browser: str, simulation: Simulation, folder: Path, theme: str = "light") -> Any:
    """What somebody saw who opened the page and used all of it."""
    content = page(simulation).replace("<head>", f"<head>{WATCH}", 1)
    body, end = content.rsplit("</body>", 1)
    (folder / "page.html").write_text(f"{body}{USE}</body>{end}", encoding="utf-8")
    address = f"{(folder / 'page.html').as_uri()}#theme={theme}"
    done = subprocess.run(
        [browser, *HEADLESS, f"--user-data-dir={folder / 'profile'}", address],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    seen = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert seen, done.stderr
    return json.loads(html.unescape(seen[1]))


@pytest.mark.browser
@pytest.mark.parametrize(("count", "theme"), [(15, "light"), (10_000, "dark")])
def test_page_in_a_browser(browser: str, tmp_path: Path, count: int, theme: str) -> None:
    simulation = simulated(count)
    seen = used(browser, simulation, tmp_path, theme)
    all_of_them = f"{count:,} workflows".replace(",", "\u202f")
    names = [w.name for w in simulation.exact.workflows]
    assert seen["complaints"] == []
    assert seen["title"] == "a week of maps on small"
    assert seen["theme"] == seen["after"] == theme

    first = seen["first"]
    assert first["count"] == all_of_them
    assert first["rows"].startswith(all_of_them)
    assert first["use"].startswith(f"In use by all {all_of_them}; 100 % is 30\u202f000 cores")
    assert first["listed"] == count
    assert first["names"][:5] == names[:5]
    assert seen["rowsInPage"] < 60
    kinds, qos = {"0072b2", "e69f00", "009e73"}, {"0072b2", "e69f00"}
    assert kinds <= set(seen["gantt"]) or (count > 1000 and len(seen["gantt"]) > 100)
    assert qos <= set(seen["others"])
    cores = "9db4c8" if theme == "light" else "4f6b85"
    assert seen["usage"][cores] > 2 * seen["lessUsage"].get(cores, 0)
    assert seen["bars"] > 5

    ranges = [seen[when]["range"] for when in ("first", "zoomed", "panned", "zoomedTo")]
    assert len(set(ranges)) == len(ranges)
    assert seen["reset"]["range"] == seen["released"]["range"] == first["range"]

    wanted = names[:10]
    filtered = seen["filtered"]
    assert filtered["names"] == wanted
    assert filtered["count"] == f"10 of {all_of_them}"
    assert filtered["use"].startswith("In use by the 10 workflows shown")
    assert seen["filteredTwice"]["names"] == wanted[1::3]
    assert seen["critical"]["names"] == []
    assert seen["none"]["count"] == f"0 of {all_of_them}"

    assert seen["chosen"]["chosen"] == names[1]
    assert seen["released"]["chosen"] == "No workflow chosen"
    assert seen["ascending"]["names"][:5] == names[:5]
    assert seen["descending"]["names"][:5] == names[:-6:-1]
    assert seen["sorted"] == "descending"
    assert "short" in seen["byQos"]
    assert "kind-0" not in seen["byQos"]
    assert seen["printed"] == {"theme": "light", "names": min(count, 500)}


@pytest.mark.browser
def test_names_do_nothing_in_a_browser(browser: str, tmp_path: Path) -> None:
    seen = used(browser, simulated(len(NASTY), names=NASTY), tmp_path)
    assert seen["complaints"] == []
    assert seen["title"] == "a week of maps on small"
    assert seen["first"]["names"] == SHOWN


@pytest.mark.browser
@pytest.mark.parametrize("deadline", [None, 10**7])
def test_page_of_what_never_ran_in_a_browser(
    browser: str, tmp_path: Path, deadline: int | None
) -> None:
    simulation = simulated(3, deadline=deadline)
    exact = Outcome(
        workflows=tuple(
            replace(w, status="skipped", start=None, finish=None, attempts=0)
            for w in simulation.exact.workflows
        ),
        makespan=0.0,
        core_seconds=0.0,
        timeouts=0,
        critical_chain=(),
    )
    nothing = replace(simulation, exact=exact, makespans=(), in_time=(), criticality={})
    seen = used(browser, nothing, tmp_path)
    assert seen["complaints"] == []
    assert [name[-13:] for name in seen["first"]["names"]] == ["(did not run)"] * 3
