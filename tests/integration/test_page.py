"""The page in a real browser, from disk: Chromium shows it, sorts, filters, hides, copies and draws; nothing leaves it.

Without a browser these tests are skipped; with ``VITBENCH_REQUIRE_BROWSER`` set, they fail.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import factories
import msgspec
import pages
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from where_examples import MEANS, REFUSED, UNITS, VALUES

from vitbench.errors import UsageError
from vitbench.leaderboard.where import parse_where
from vitbench.printable import plain
from vitbench.report.html import render_html
from vitbench.report.markdown import escaped

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SPEEDS = {"vit": 900.0, "resnet": 10_000.0, "hybrid": 2_000.0, "mixer": 80.0}


@dataclass
class Watched:
    """A page, and what it did that it should not."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", lambda message: self.faults.append(f"console {message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith(("file:", "blob:", "data:")):
            self.faults.append(f"request: {url}")

    def open(self, path: Path, fragment: str = "") -> Page:
        self.page.goto(path.as_uri() + fragment)
        self.page.locator("html[data-ready=yes]").wait_for(state="attached")
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        assert not os.environ.get("VITBENCH_REQUIRE_BROWSER"), "VITBENCH_REQUIRE_BROWSER is set, but there is none"
        pytest.skip(f"no browser is installed ({', '.join(NAMES)})")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def watched(browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    found = Watched(context.new_page())
    found.watch()
    yield found
    context.close()
    assert found.faults == []


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory) -> Path:
    """A page of four models, a baseline and a failure, on one dataset and part of another, where a curve diverged."""
    folder = tmp_path_factory.mktemp("plain")
    records = [
        record
        for i, (name, speed) in enumerate(SPEEDS.items())
        for record in pages.model(
            folder, name, 350 - i, speed, seeds=(0, 1), verdict=("valid", "warn", "warn", "invalid")[i]
        )
    ]
    records += [
        factories.quality("chance", 36, baseline=True),
        msgspec.structs.replace(
            factories.quality("vit", 100, limit=200, n=200, data=factories.data_info("cifar10")),
            curve=({"loss": 2.0}, {"loss": float("nan")}, {"loss": float("inf")}),
        ),
        factories.record(factories.quality_cell("broken"), status="oom", reason="too large"),
    ]
    return written(folder, records)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    return written(folder, pages.hostile_records(folder), command=pages.HOSTILE[0], machine=pages.HOSTILE[2])


def written(folder: Path, records, **fields) -> Path:
    path = folder / "page.html"
    path.write_text(render_html(*pages.board_of(records, pages.FakeStore(folder, **fields))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pictured_page(tmp_path_factory) -> Path:
    """A page of two models with long names, on images whose files have hostile names."""
    folder = tmp_path_factory.mktemp("pictured")
    data = pages.with_images(factories.data_info(), folder, 120, side=16)
    records = [
        record
        for i, name in enumerate(("vit-small-patch16-224-augreg-in21k", "resnet-50-a1-in1k"))
        for record in pages.model(folder, name, 100 - 9 * i, 900.0 + i, data=data, n=120)
    ]
    return written(folder, records)


def expect_models(page: Page, names: Sequence[str], section: int = 0) -> None:
    expect(page.locator(f"#s{section} table.board tbody bdi")).to_have_text(list(names))


def columns(page: Page) -> list[str]:
    return page.locator("#s0 table.board thead th").evaluate_all("heads => heads.map((head) => head.dataset.key)")


def test_the_rows_are_sorted_and_filtered_and_columns_are_chosen(watched, plain_page):
    page = watched.open(plain_page)
    by_rank = ["vit", "resnet", "hybrid", "mixer", "chance"]
    expect_models(page, by_rank)
    expect_models(page, ["vit"], section=1)
    picture = page.locator("#s0 .picture svg").first
    expect(picture).to_be_visible()
    assert picture.locator("text", has_text="mixer").count() == 1
    fills = picture.locator(".mark-symbol.role-mark path").evaluate_all(
        "points => points.map((point) => [point.getAttribute('aria-label').split(',')[0], point.getAttribute('fill')])"
    )
    assert dict(fills) == {  # on the front, on it, behind it, and hollow because it is invalid
        "vit": "var(--accent)",
        "resnet": "var(--accent)",
        "hybrid": "var(--faint)",
        "mixer": "var(--paper)",
    }
    assert picture.locator(".mark-line path").count() == 1
    expect(page.locator("#missing")).to_contain_text("too large")

    # A click sorts by number, the best first.
    head = page.locator("#s0 th[data-key=throughput]")
    for order, expected in (
        ("descending", ["resnet", "hybrid", "vit", "mixer", "chance"]),
        ("ascending", ["mixer", "vit", "hybrid", "resnet", "chance"]),  # a row without a figure stays last
    ):
        head.click()
        expect(head).to_have_attribute("aria-sort", order)
        expect_models(page, expected)
    page.locator("#s0 th[data-key=latency_p50]").click()
    expect_models(page, ["resnet", "hybrid", "vit", "mixer", "chance"])
    page.locator("#s0 th[data-key=model]").click()
    expect_models(page, ["chance", "hybrid", "mixer", "resnet", "vit"])
    page.locator("#s0 th[data-key=rank]").click()
    expect_models(page, by_rank)

    # Typing filters the rows.
    page.get_by_label("Filter rows").fill("resn")
    expect(page.locator("#s0 table.board tbody tr")).to_have_count(1)
    expect_models(page, ["resnet"])
    expect(page.get_by_role("status")).to_have_text("1 of 6 rows")
    page.get_by_label("Filter rows").fill("nothing like it")
    expect(page.locator("#s0 table.board tbody")).to_have_text("No row matches the filter.")
    page.get_by_label("Filter rows").fill("")
    expect(page.locator("#s0 table.board tbody tr")).to_have_count(5)

    page.get_by_label("Conditions").select_option("s1")
    expect(page.locator("#s0")).to_be_hidden()
    expect(page.locator("#s1")).to_be_visible()
    page.get_by_label("Conditions").select_option("")
    expect(page.locator("#s0")).to_be_visible()

    assert "params" in columns(page)
    assert "latency_p95" not in columns(page)
    page.locator("#columns summary").click()
    page.locator("#columns input[value=params]").uncheck()
    page.locator("#columns input[value=latency_p95]").check()
    assert "params" not in columns(page)
    assert "latency_p95" in columns(page)
    page.keyboard.press("Escape")
    expect(page.locator("#columns fieldset")).to_be_hidden()


def test_a_condition_filters_the_rows_and_the_charts_follow(watched, plain_page):
    page = watched.open(plain_page)
    where, said, fault = page.locator("#where"), page.get_by_role("status"), page.locator("#where-fault")
    shown = page.locator("#s0 .picture .chart:not([hidden])")
    points, text = shown.locator(".mark-symbol.role-mark path"), shown.locator(".text")
    where.fill("throughput > 800 and throughput < 5000")
    expect_models(page, ["vit", "hybrid"])
    # With the row of vit on the other dataset; the mixer's is invalid, and a baseline has none.
    expect(said).to_have_text("3 of 6 rows; 1 row has no throughput; 1 row has an invalid throughput")
    expect(points).to_have_count(2)
    # resnet, which is hidden, is better than hybrid.
    assert [point.get_attribute("fill") for point in points.all()] == ["var(--accent)"] * 2
    expect(text).to_contain_text("of the 2 models shown")
    page.locator("#s0").get_by_label("latency").check()
    expect(points).to_have_count(2)
    expect(shown).to_have_attribute("data-drawn", "done")
    assert "latency_p50 (ms), lower is better" in shown.locator("svg").text_content()

    where.fill("throughput > 800 and latency < 5 ms")
    expect(fault).to_have_text(re.compile('^At character 22 .* is no metric "latency". Did you mean "latency_p50"'))
    expect_models(page, ["vit", "hybrid"])  # as they were
    where.fill("throughput > 1e9")
    expect(fault).to_have_text("")
    expect(points).to_have_count(0)
    expect(text).to_have_text("No row shown has both values.")
    where.fill("")
    page.get_by_label("Filter rows").fill("t")  # by name: resnet and vit
    expect(points).to_have_count(2)
    page.get_by_label("Filter rows").fill("")
    expect(points).to_have_count(4)
    expect(said).to_have_text("")
    expect(text).to_contain_text("of 4 models")


def made_up(seed: int = 1, count: int = 400) -> list[str]:
    """Return texts that are conditions, and texts that are nearly some."""
    draw = random.Random(seed)
    odd = (
        *("top1", "nll", "latency", "x", "=", "<", ",", "&&", "57", "1e3", "-2", "3.", ".", "5_0", "(", ")", "and"),
        *("%", "ms", "gib", "nat", "not", "AND", "\t", "\u00a0", "\x00", "\U0001f600", "\u212a", "\u2265 1"),
    )

    def condition(depth: int) -> str:
        if depth == 0 or draw.random() < 0.3:
            metric, unit = draw.choice([("top1", "%"), ("Params", "m"), ("nll", ""), ("latency_p50", " MS")])
            return f"{metric}{draw.choice([' <', '>=', '=> '])}{draw.choice(['0.3', '57', '1e-1', '+.7'])}{unit}"
        if draw.random() < 0.3:
            return f"not ({condition(depth - 1)})"
        inner = f" {draw.choice(['and', 'OR'])} ".join(condition(depth - 1) for _ in range(2))
        return f"({inner})" if draw.random() < 0.5 else inner

    def spoilt(text: str) -> str:
        at = draw.randrange(len(text) + 1)
        return text[:at] + draw.choice(odd) + text[at + draw.randrange(3) :]

    return [condition(3) if i % 4 == 0 else spoilt(condition(2)) for i in range(count)]


def meaning(text: str) -> list[object]:
    """Return what the command makes of a condition: how it writes it and for which rows it holds, or an error."""
    try:
        where = parse_where(text, UNITS)
    except UsageError as error:
        return [str(error), "SyntaxError"]
    return [str(where), [where.holds(row) for row in VALUES]]


MARKDOWN = (
    *("http://example.org/a_b", "https://x", "WWW.example.org", "www.x www.y", "a.b:c", "someone@example.org", "#7"),
    *("_it_", "snake_case", "\u00e9_\u00e9", "__init__.py", "- list", "+", "=", "1. list", "12) list", "123. no"),
    *("a|b", "a\\|b", "`code`", "[link](http://x)", "![img](x)", "~~gone~~", "$x$", "&lt;", "a  b"),
)


WITH_CLIPBOARD = """Object.defineProperty(navigator, "clipboard", {
  configurable: true, value: { writeText: async (text) => { window.copied = text; } } })"""
WITHOUT_CLIPBOARD = """Object.defineProperty(navigator, "clipboard", { configurable: true, value: undefined });
document.execCommand = () => {
  window.copied = getSelection().toString() || document.activeElement.value;
  return true;
}"""


def test_the_page_reads_conditions_and_writes_markdown_as_the_command_does(watched, plain_page):
    """One grammar: the same meaning, and the same words where a text has none, but for the guess at what was meant."""
    page = watched.open(plain_page)
    texts = [*MEANS, *REFUSED, *made_up()]
    theirs = page.evaluate(
        """([texts, units, values]) => {
          const { dimensions } = JSON.parse(document.getElementById("figures").textContent);
          const read = whereReader(dimensions, units);
          return texts.map((text) => {
            try {
              const clause = read(text);
              return [whereText(clause), values.map((row) => whereHolds(clause, row))];
            } catch (error) { return [error.message, error.name]; }
          });
        }""",
        [texts, UNITS, VALUES],
    )
    ours = [meaning(text) for text in texts]
    guess = re.compile(r" (Did you mean|There are:|It takes) .*$")
    for text, (words, holds), (our_words, our_holds) in zip(texts, theirs, ours, strict=True):
        assert [guess.sub("", words), holds] == [guess.sub("", our_words), our_holds], text
    assert sum(holds != "SyntaxError" for _, holds in ours) > len(MEANS) + 100

    page.evaluate(WITH_CLIPBOARD)
    copied = """name => {
      document.getElementById("s0-title").textContent = name;
      document.getElementById("copy").click();
      return window.copied.split("\\n", 1)[0];
    }"""
    for name in (*MARKDOWN, *map(plain, pages.HOSTILE)):
        assert page.evaluate(copied, name) == "### " + escaped(" ".join(name.split()))


def test_the_table_is_copied_as_it_is_shown(watched, plain_page):
    page = watched.open(plain_page)
    page.get_by_label("Conditions").select_option("s0")
    page.locator("#s0 th[data-key=throughput]").click()
    page.get_by_label("Filter rows").fill("t")
    expect_models(page, ["resnet", "vit"])
    for script in (WITH_CLIPBOARD, WITHOUT_CLIPBOARD):
        page.evaluate(script)
        page.get_by_role("button", name="Copy as Markdown").click()
        expect(page.get_by_role("status")).to_have_text("Copied.")
        title, conditions, *table = page.evaluate("copied").strip().split("\n\n")
        assert title == "### digits"
        assert conditions.startswith("AMD EPYC 9B14, 2 cores; cpu")
        [lines] = [each.splitlines() for each in table]
        cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
        assert len({len(row) for row in cells}) == 1
        shown = columns(page)
        assert [row[shown.index("model")].strip() for row in cells[2:]] == ["resnet", "vit"]
        assert [row[shown.index("throughput")].strip() for row in cells[2:]] == ["\\~10,000", "900"]
        page.evaluate("delete window.copied")


def test_panels_are_opened_by_a_link_a_point_and_a_click_and_draw_their_charts(watched, plain_page):
    address = re.findall(r'<a href="(#m-\w+)">', plain_page.read_text(encoding="utf-8"))[2]
    page = watched.open(plain_page, address)
    expect(page.locator(f"{address} .chart[data-drawn=done]")).to_have_count(3)
    opened = page.locator("details.panel[open]")
    assert opened.count() == 1
    page.locator("#s0 table.board tbody a").nth(3).click()
    expect(opened).to_have_count(2)

    points = page.locator("#s0 .chart:not([hidden]) .mark-symbol.role-mark path")
    points.nth(2).hover()
    tooltip = page.locator("#vg-tooltip-element")
    expect(tooltip).to_contain_text("hybrid")
    expect(tooltip).to_contain_text("2,000 images/s")
    expect(tooltip).to_contain_text("doubtful")
    points.nth(1).click()
    expect(opened).to_have_count(3)
    expect(opened.locator("summary").filter(has_text="resnet")).to_have_count(1)

    panel = page.locator("#s0 details.panel").first
    assert panel.locator("svg").count() == 0
    panel.locator("summary").click()
    expect(panel.locator(".chart[data-drawn=done]")).to_have_count(3)
    assert panel.locator("svg.marks").count() == 3
    expect(panel.locator("svg.marks").first).to_be_visible()
    assert page.evaluate("location.hash") == f"#{panel.get_attribute('id')}"
    for chart in panel.locator(".chart").all():
        described = chart.locator(".drawing").get_attribute("aria-label") or chart.locator("svg [aria-label]").first
        assert described
        assert chart.locator(".text").inner_text()

    # Those out of sight are laid out and painted, too; a curve that diverged is drawn.
    page.evaluate("for (const panel of document.querySelectorAll('details.panel')) panel.open = true")
    page.evaluate("new Promise(requestAnimationFrame)")
    painted = page.locator("details.panel .facts").evaluate_all(
        "parts => parts.map((part) => part.checkVisibility({ contentVisibilityAuto: true }))"
    )
    assert painted == [True] * 6
    expect(page.locator("#s1 details.panel .chart[data-drawn=done]")).to_have_count(1)


def test_what_is_drawn_of_the_training_is_chosen(watched, plain_page):
    figure = watched.open(plain_page).locator("#s0 figure.training")
    lines = figure.locator("svg .mark-line.role-mark path")
    count = lines.count()
    assert count > figure.locator("svg .role-legend-label text").count() > 1  # several seeds of one look
    for label, choice in (("Training:", "training loss"), ("over", "seconds of training")):
        before = lines.first.get_attribute("d")
        figure.get_by_label(label).select_option(label=choice)
        expect(lines.first).not_to_have_attribute("d", before)
    figure.locator("svg .role-legend-label text").first.click()
    expect(figure.locator("svg .mark-line.role-mark path[opacity='0.1']")).not_to_have_count(0)
    assert figure.locator("svg .mark-line.role-mark path[opacity='0.9']").count() < count


CONTRASTS = """() => {
  const probe = document.body.appendChild(document.createElement("p"));
  const light = (name) => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return ["ink", "muted", "accent", "warn", "invalid"].flatMap((name) =>
    ["paper", "sheet"].map((ground) => [name, ground, ratio(light(name), light(ground))]));
}"""
"""Contrast of each colour of text on each ground: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio"""


def test_colours_follow_the_scheme_at_once_with_contrast(watched, plain_page):
    page = watched.open(plain_page)
    label = page.locator("#s0 .picture svg text", has_text="mixer")
    for scheme, ground, ink in (
        ("light", "rgb(255, 255, 255)", "rgb(27, 33, 40)"),
        ("dark", "rgb(17, 22, 28)", "rgb(228, 232, 236)"),
    ):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        assert label.evaluate("text => getComputedStyle(text).fill") == ink
        assert [each for each in page.evaluate(CONTRASTS) if each[2] < 4.5] == []
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert label.evaluate("text => getComputedStyle(text).fill") == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')") == "#fff"
    expect(page.locator(".toolbar")).to_be_hidden()
    expect(page.locator("#s0 .axes")).to_be_hidden()
    expect(page.locator("#s0 table.board")).to_be_visible()


def test_on_a_phone_the_speeds_are_in_sight_and_the_table_scrolls_but_not_the_page(watched, pictured_page):
    watched.page.set_viewport_size({"width": 375, "height": 800})
    page = watched.open(pictured_page)
    assert columns(page) == ["rank", "model", "top1", "throughput", "latency_p50"]
    for key in ("throughput", "latency_p50"):
        box = page.locator(f"#s0 th[data-key={key}]").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 375 - 16
    name = page.locator("#s0 table.board tbody bdi").first
    assert name.inner_text() == "vit-small-patch16-224-augreg-in21k"
    lines = name.evaluate(
        """bdi => [...bdi.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE).map((part) => {
          const range = document.createRange();
          range.selectNodeContents(part);
          return range.getClientRects().length;
        })"""
    )
    assert lines == [1] * 6  # of its parts none is torn

    for label in page.locator(".toolbar label").all():  # in one line, however long the choices are
        box = label.bounding_box()
        assert box is not None
        assert box["height"] < 48
    page.locator("details.panel summary").first.click()
    expect(page.locator("details.panel[open] .chart[data-drawn=done]")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.locator("#columns summary").click()
    for column in page.locator("#columns input").all():
        column.check()
    assert "peak_memory" in columns(page)
    assert page.locator("#s0 .scroll").first.evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    for chart in page.locator(".chart svg.marks:visible").all():
        assert chart.bounding_box()["width"] <= 375


def test_two_models_are_set_side_by_side_with_the_images_they_differ_on(watched, pictured_page):
    page = watched.open(pictured_page)
    beside = page.locator("#s0 .beside")
    pair = beside.locator(".pair")
    expect(pair).to_contain_text("McNemar's exact test")
    expect(pair.locator("table tbody tr")).not_to_have_count(0)
    first, second = pair.locator("ul.shots").all()
    for shown, right in ((first, "vit-small"), (second, "resnet-50")):
        assert right in (shown.get_attribute("aria-label") or "").split(", wrong")[0]
        assert shown.locator("li").count() > 0
        picture = shown.locator("i").first
        assert "url(" in picture.evaluate("image => getComputedStyle(image).backgroundImage")
        assert "test/" in (picture.get_attribute("aria-label") or "")
        box = picture.bounding_box()
        assert box is not None
        assert abs(box["width"] - box["height"]) < 1
    beside.get_by_label("First model").select_option(label="resnet-50-a1-in1k")
    expect(pair).to_contain_text("Choose two different models.")
    beside.get_by_label("Second model").select_option(label="vit-small-patch16-224-augreg-in21k")
    assert "resnet-50" in (pair.locator("ul.shots").first.get_attribute("aria-label") or "").split(", wrong")[0]

    # Names of files are text, and every thumbnail has words.
    panel = page.locator("details.panel").first
    panel.locator("summary").click()
    shots = panel.locator("ul.shots li")
    assert shots.count() == 12
    assert page.locator("i[class^=t]:not([aria-label][role=img])").count() == 0
    assert page.locator("img, [onmouseover], [onerror]").count() == 0
    names = {f"test/{pages.HOSTILE[i % 4]}-{i}.png" for i in range(120)}
    assert set(shots.locator("small").all_inner_texts()) <= names


def test_the_keyboard_reaches_every_control(watched, plain_page):
    page = watched.open(plain_page)
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                  const at = document.activeElement;
                  return at.id || at.closest("th")?.dataset.key || at.closest("[id]")?.id + " " + at.tagName;
                }"""
            )
        )
    assert {"search", "where", "conditions", "columns SUMMARY", "copy", "throughput", "s0 INPUT"} <= reached
    page.locator("#s0 th[data-key=throughput] [role=button]").focus()
    page.keyboard.press("Enter")
    expect_models(page, ["resnet", "hybrid", "vit", "mixer", "chance"])
    assert (
        page.locator("#s0 th[data-key=throughput] [role=button]").evaluate(
            "button => getComputedStyle(button).outlineStyle"
        )
        == "solid"
    )


def test_the_page_is_read_without_scripts(browser, plain_page):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain_page.as_uri())
    expect(page.locator("#s0 table.board tbody tr")).to_have_count(5)
    expect(page.locator(".toolbar")).to_be_hidden()
    expect(page.locator("#s0 .picture .text").first).to_contain_text("On the Pareto front: ")
    page.locator("details.panel summary").first.click()
    expect(page.locator("details.panel[open]")).to_contain_text("Reproduce this row")
    context.close()


def test_hostile_names_stay_text_are_found_as_they_are_read_and_survive_markdown(watched, hostile_page):
    page = watched.open(hostile_page)
    shown = page.locator("#s0 table.board tbody bdi").all_inner_texts()
    assert sorted(shown) == sorted(map(plain, pages.HOSTILE))
    assert page.locator("#s0 h2").inner_text() == plain(pages.HOSTILE[0] + pages.HOSTILE[1])
    assert page.evaluate("document.documentElement.scrollWidth") == 1200
    for i in (0, 3, 12):
        panel = page.locator("details.panel").nth(i)
        panel.locator("summary").click()
        expect(panel.locator(".chart[data-drawn=done]")).to_have_count(3)
    names = {plain(name) for name in pages.HOSTILE}
    assert set(page.locator("details.panel .name").all_text_contents()) == names
    assert names <= set(page.locator("section[aria-labelledby=data-title] bdi").all_inner_texts())
    labels = page.locator("details.panel").first.locator("svg .role-axis-label text").all_text_contents()
    assert "</script>" in labels
    assert page.locator("script").count() == 5
    assert page.locator("img, [onmouseover], [onerror], iframe, object, embed, link").count() == 0
    planted = pages.HOSTILE[3]
    page.locator(".picture .chart:not([hidden])").get_by_label(planted).hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    expect(tooltip).to_contain_text(planted)
    assert tooltip.locator("img").count() == 0

    page.evaluate(WITH_CLIPBOARD)
    page.get_by_role("button", name="Copy as Markdown").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    rows = [line for line in page.evaluate("copied").splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(pages.HOSTILE)
    assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert not any(set(row) & set("<>") for row in rows)

    for text, expected in (("<script>", pages.HOSTILE[0]), ("a|b", "a|b"), ("nlines", "two\\nlines")):
        page.get_by_label("Filter rows").fill(text)
        expect_models(page, [expected])
    for mark_up in ("href", "strip", "&lt;"):
        page.get_by_label("Filter rows").fill(mark_up)
        expect_models(page, [])


def test_nothing_in_the_policy_lets_a_planted_script_run(watched, plain_page, tmp_path):
    planted = tmp_path / "planted.html"
    text = plain_page.read_text(encoding="utf-8")
    planted.write_text(
        text.replace("<h1>", "<script>alert(1)</script><img src=x onerror=alert(2)><h1>"), encoding="utf-8"
    )
    watched.open(planted)
    assert not [fault for fault in watched.faults if fault.startswith("dialog")]
    assert len([fault for fault in watched.faults if "Content Security Policy" in fault]) >= 2
    watched.faults.clear()


def test_a_page_without_rows_opens(watched, tmp_path):
    failed = factories.record(factories.quality_cell("a"), status="failed", reason="it broke")
    page = watched.open(written(tmp_path, [failed]))
    expect(page.locator("header")).to_contain_text("No results yet.")
    expect(page.locator("#missing")).to_contain_text("it broke")
