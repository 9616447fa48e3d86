"""The page as text: its parts, its policy, its escapes. What a browser makes of it: tests/integration/test_page.py."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import json
import re
from html.parser import HTMLParser

import factories
import msgspec
import pages
import pytest

from vitbench.errors import UnusableError
from vitbench.report.html import render_html
from vitbench.report.html.scripts import chart_library, json_text, table_library


class Reader(HTMLParser):
    """Collects elements, and the text of each that is no script or style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        inside = self.elements[-1][0] if self.elements else ""
        (self.scripts if inside in ("script", "style") else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def render(tmp_path):
    def make(*records, pending=(), **fields):
        flat = [r for each in records for r in (each if isinstance(each, list) else [each])]
        return render_html(*pages.board_of(flat, pages.FakeStore(tmp_path, **fields), pending))

    return make


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"known_by": "checksums"}, "verified against the published checksums"),
        ({"known_by": "package"}, "ships with a package"),
        ({"known_by": "owner"}, "the user's own data"),
        ({"known_by": ""}, "not verified: no checksums were compared"),
        ({"verified": False}, "not verified: a name alone proves nothing"),
    ],
)
def test_the_page_says_what_the_data_are_known_by(fields, words, render):
    data = msgspec.structs.replace(factories.data_info(), **fields)
    text = Reader(render(factories.quality(data=data))).text
    assert f"{data.fingerprint}, {words}" in text
    assert ("published checksums" in text) == (fields.get("known_by") in ("checksums", "owner"))


def test_a_page_says_on_which_devices_the_seeds_of_a_row_were_trained(render):
    text = Reader(render(factories.quality(seed=0), factories.quality(seed=1, device="cuda:0"))).text
    assert "Seeds of vit are of several devices (0 on cpu; 1 on cuda:0)." in text
    assert "cpu (seeds 0); cuda:0 (seeds 1)" in text


def test_a_page_has_the_table_the_summary_and_what_is_behind_it(tmp_path, render):
    page = Reader(
        render(
            pages.model(tmp_path, "vit", 350, 500.0),
            pages.model(tmp_path, "resnet", 340, 900.0, verdict="warn", reason="IQR 12%"),
            factories.record(factories.quality_cell("broken"), status="oom", reason="too large"),
        )
    )
    for words in (
        "On digits, vit is best with 97.2 % top1",
        "~ doubtful: IQR 12%",
        "1 cell has no result.",
        "too large",
        "vitbench run --suite quick --model vit --dataset digits --seed 0",
        "plugin scratch of vitbench 0.1.0, code c0de",
        "processor share 99.8%",
        "AMD EPYC 9B14, 2 usable cores, 8.0 GiB of memory",
        "train 1,437, test 360",
        'name = "quick"',
        "2023-11-14 22:13 UTC",
    ):
        assert words in page.text
    assert len(page.attributes("details")) == 2 + 3  # panels; columns, suite, licences


def test_the_table_is_read_without_scripts(tmp_path, render):
    page = Reader(render(pages.model(tmp_path, "vit", 350, 500.0)))
    assert {head["scope"] for head in page.attributes("th")} == {"col", "row"}
    assert len(page.attributes("caption")) == len(page.attributes("table"))
    assert {"lang": "en"} in page.attributes("html")
    [toolbar] = [each for each in page.attributes("div") if each.get("class") == "toolbar"]
    assert "hidden" in toolbar
    assert {tag for tag, _ in page.elements} >= {"header", "main", "footer", "h1", "h2"}


def test_each_condition_has_a_section_and_a_choice(render):
    page = Reader(
        render(
            factories.quality("a"),
            factories.quality("a", data=factories.data_info("cifar10")),
            factories.quality("a", limit=9),
        )
    )
    sections = [each["id"] for each in page.attributes("section") if each.get("class") == "condition"]
    assert sections == ["s0", "s1", "s2"]
    assert [each["value"] for each in page.attributes("option")] == ["", *sections]


def test_a_page_without_rows_says_so(render):
    page = Reader(render(factories.record(factories.quality_cell("a"), status="failed", reason="it broke")))
    assert "No results yet." in page.text
    assert "it broke" in page.text
    assert page.attributes("option") == []
    assert Reader(render()).text.startswith("no results - vitbench leaderboard")


def test_planned_cells_are_listed(render):
    assert "not started" in Reader(render(factories.quality("a"), pending=[factories.quality_cell("b")])).text


def test_nothing_is_loaded_and_only_the_pages_own_script_may_run(tmp_path, render):
    text = render(pages.model(tmp_path, "vit", 350, 500.0))
    page = Reader(text)
    for _, attributes in page.elements:
        assert attributes.get("href", "#").startswith("#")
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    [policy] = [each["content"] for each in page.attributes("meta") if "http-equiv" in each]
    [script] = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{own}' blob:;" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy


def test_names_are_text_everywhere(tmp_path, render):
    clean = Reader(render(pages.model(tmp_path, "vi-t", 350, 500.0), pages.model(tmp_path, "resnet", 340, 900.0)))
    records = pages.hostile_records(tmp_path)
    page = Reader(render(*records, command=pages.HOSTILE[0], machine=pages.HOSTILE[2]))
    known = {name for tag, attributes in clean.elements for name in attributes}
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in clean.elements}
    assert {name for _, attributes in page.elements for name in attributes} <= known
    assert len(page.attributes("script")) == len(clean.attributes("script"))
    for name in ("<script>alert(1)</script>", "two\\nlines", "\\u202egnp.exe", '" onmouseover="alert(1)', "1e5", "007"):
        assert name in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "\u202e" not in "".join(page.texts + page.scripts)


def test_data_for_scripts_cannot_end_their_element(tmp_path, render):
    text = render(*pages.hostile_records(tmp_path))
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert not set(data) & set("<>&\u2028\u2029\n")
    charts = json.loads(data)["charts"]
    names = next(chart["words"]["names"] for chart in charts if chart["kind"] == "confusion")
    assert names[0] == pages.HOSTILE[0]


def test_json_is_read_back():
    value = ["</script>", "a&b", "<!--", "\u2028\u2029", "\ud800", "é", 1.5, None, ["<"]]
    assert json.loads(json_text(value)) == value
    assert not set(json_text(value)) & set("<>&\u2028\u2029")


@pytest.mark.parametrize(
    ("library", "words"),
    [(table_library, "SpryMedia Ltd"), (chart_library, "University of Washington Interactive Data Lab")],
    ids=["DataTables", "Vega"],
)
def test_libraries_come_whole_and_with_their_licence(library, words, render):
    source = gzip.decompress(base64.b64decode(library().packed)).decode()
    assert re.search(r"export\s*\{[^}]*\bas default\b", source)
    assert words in library().licence
    assert words in Reader(render(factories.quality("a"))).text


def test_equal_results_make_equal_pages(tmp_path, render):
    records = pages.model(tmp_path, "vit", 350, 500.0)
    assert render(*records) == render(*records)


def test_a_nan_in_a_curve_makes_no_broken_page(render):
    record = msgspec.structs.replace(factories.quality("a"), curve=({"loss": float("nan")}, {"loss": float("inf")}))
    text = render(record)
    assert "Training loss at the end: a inf." in text
    assert "NaN" not in re.findall(r'id="data">(.*?)</script>', text, flags=re.DOTALL)[0]


def test_a_figure_that_could_not_be_had_is_not_called_invalid(render):
    lacking = factories.measurement("energy_per_image", None, unit="J", verdict="invalid", reasons=["no counter"])
    record = factories.record(factories.speed_cell("a"), [lacking])
    text = Reader(render(factories.quality("a"), record)).text
    assert "not available: no counter" in text
    assert "invalid: no counter" not in text


def test_not_a_number_is_no_json():
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))


def test_without_the_extra_the_error_names_it(render, monkeypatch):
    lacking, find = "vl_convert", importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == lacking else find(name))
    with pytest.raises(UnusableError, match=rf'{lacking}.*pip install "vitbench\[html\]"'):
        render(factories.quality("a"))
