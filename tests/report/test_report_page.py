"""The page in a real browser and as a document: self-contained, no overflow, accessible."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from synthetic_outcomes import as_table, layer_rows, report_of, source, sweep, tables

from lars_sweep.fit.analysis import FitOptions
from lars_sweep.report import build_report
from lars_sweep.report.analyses import analyse_source
from lars_sweep.report.page import whole

# Sits in the page under test and tells its parent what it saw.
PROBE = """<script>addEventListener("load", () => parent.postMessage({
  inner: innerWidth,
  scroll: document.documentElement.scrollWidth,
  wide: [...document.querySelectorAll("main > section *")].filter(e => !e.closest(".table")
    && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.tagName),
  cut: [...document.querySelectorAll(".table")].filter(t => t.scrollWidth > t.clientWidth + 1)
    .map(t => t.getAttribute("aria-labelledby")),
  images: [...document.images].map(i => [i.complete && i.naturalWidth > 0, i.clientWidth]),
  requests: performance.getEntriesByType("resource").map(r => r.name)
    .filter(name => !name.startsWith("data:")),
}, "*"));</script>"""
FRAME = """<!doctype html><iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}">
</iframe><pre></pre><script>addEventListener("message", event => {{
  document.querySelector("pre").textContent = JSON.stringify(event.data);
}});</script>"""


FIGURES = 8
ODD = "网络 Δ🚀", r"$\frac{"
"""What no shipped font has, and what matplotlib would read as a broken formula."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with long names, all statuses and all sections."""
    outcomes, curves = sweep(
        batches=(512, 8192), epochs=(15.0, 30.0), lrs=7, prune_below=84, fail=0.02,
        name="a_rather_long_sweep_name_without_any_space_in_it_at_all",
    )  # fmt: skip
    layers = as_table("layers", layer_rows(outcomes))
    out_dir = tmp_path_factory.mktemp("page")
    provenance = {
        "Run id": "7f3a",
        "Command": "lars-sweep launch " + "x" * 90,
        "Settings": {"a": 1},
    }
    report = report_of(
        as_table("outcomes", outcomes), as_table("curves", curves), provenance, out_dir,
        layers=layers,
    )  # fmt: skip
    return report.html.read_text()


def seen_by_chromium(page: str, width: int, directory: Path) -> dict[str, Any]:
    """What the probe reports from inside a frame of that width (a window has a minimum of 500)."""
    chromium = shutil.which("chromium")
    assert chromium, "the report's tests need chromium: apt-get install chromium"
    # The page forbids all scripts and requests; without that line a request would be visible.
    probed = re.sub(r"<meta http-equiv=[^>]*>", "", page).replace("</body>", PROBE + "</body>")
    (directory / "probe.html").write_text(FRAME.format(width=width, page=html.escape(probed)))
    dumped = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1600,1000",
            f"--user-data-dir={directory / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
            f"file://{directory / 'probe.html'}",
        ],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    seen = re.search(r"<pre>(.+?)</pre>", dumped)
    assert seen, dumped[-500:]
    result: dict[str, Any] = json.loads(html.unescape(seen[1]))
    return result


@pytest.mark.parametrize("width", [390, 1400])
def test_no_overflow_and_no_request_in_chromium(page: str, width: int, tmp_path: Path) -> None:
    seen = seen_by_chromium(page, width, tmp_path)
    assert seen["inner"] == width
    assert seen["scroll"] <= width
    assert seen["wide"] == []
    assert seen["requests"] == []
    assert len(seen["images"]) == FIGURES
    for loaded, shown in seen["images"]:
        assert loaded
        assert shown > (300 if width == 390 else 500)


def test_names_in_any_script_stand_on_the_page_as_they_are(tmp_path: Path) -> None:
    rows, _ = sweep(batches=(512, 8192), lrs=5, seeds=2)
    rows = [row | {"model": ODD[row["optimizer"] == "sgd"], "dataset": "数据"} for row in rows]
    layers = [row | {"layer": f"层.{row['layer']}"} for row in layer_rows(rows)]
    report = report_of(
        as_table("outcomes", rows), as_table("curves", []), {}, tmp_path,
        layers=as_table("layers", layers),
    )  # fmt: skip
    assert "layer-ratios" in report.figures
    text = report.html.read_text(encoding="utf-8")
    assert all(name in text for name in (*ODD, "数据", "层.conv1.weight"))


def test_tables_fit_a_wide_window_whatever_the_names(page: str, tmp_path: Path) -> None:
    name = ", my_company.research.vision.models.resnet_with_a_long_name:ResNet50V2PreAct"
    long = re.sub(r'(<th scope="row">[^<]*)', rf"\1{name}", page)
    assert long.count(name) > 60
    assert seen_by_chromium(long, 1400, tmp_path)["cut"] == []


def test_cells_break_before_their_interval_and_never_inside() -> None:
    assert whole("0.1 (0.05 – 0.2)") == "0.1 <span>(0.05 – 0.2)</span>"
    assert whole("0.05 – 0.2") == "<span>0.05 – 0.2</span>"
    assert whole("<b> (a & b)") == "&lt;b&gt; <span>(a &amp; b)</span>"


def test_the_probe_sees_overflow_and_requests(tmp_path: Path) -> None:
    bad = (
        "<!doctype html><body style='margin:0'><main><section><div style='width:900px'>x</div>"
        "</section></main><img src='https://example.invalid/x.png'></body>"
    )
    seen = seen_by_chromium(bad, 390, tmp_path)
    assert seen["scroll"] == 900
    assert seen["wide"] == ["DIV"]
    assert seen["requests"] == ["https://example.invalid/x.png"]
    assert seen["images"][0][0] is False


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert "<script" not in page
    for address in re.findall(r"(?:src|srcset)=\"([^\"]*)\"", page):
        assert address.startswith("data:image/svg+xml;base64,")
    for link in re.findall(r"href=\"([^\"]*)\"", page):
        assert re.fullmatch(r"#[a-z-]+|[a-z-]+\.(csv|png|svg|pdf)", link)


class Outline(HTMLParser):
    """Collects what a screen reader goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.unscoped = 0
        self.rows: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "img":
            self.alts.append(values.get("alt") or "")
        if tag == "th" and values.get("scope") not in ("row", "col"):
            self.unscoped += 1
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1


def test_outline_alt_texts_and_table_headers(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.headings == ["h1", *["h2"] * 10]
    assert len(outline.ids) == len(set(outline.ids))
    assert len(outline.alts) == FIGURES
    assert all(len(alt) > 80 for alt in outline.alts)
    assert outline.unscoped == 0
    assert len(outline.rows) > 60
    for target in re.findall(r"href=\"#([a-z-]+)\"", page):
        assert target in outline.ids


def test_page_tells_the_protocol_and_where_it_comes_from(page: str) -> None:
    assert "held_out: LR chosen on val, accuracy reported on test" in page
    for fact in ("7f3a", "torch 2.13.0+cpu", "2 × cpu", "0123abc", "2026-11-20 08:00:00 UTC"):
        assert fact in page


def test_a_simulated_run_beside_measured_rows_is_named(tmp_path: Path) -> None:
    rows, curves = tables(batches=(512, 2048), lrs=3, seeds=1)
    file = rows.select(["model", "global_batch", "epochs", "samples", "accuracy", "base_lr"])
    simulated = source(rows, curves, label="made", fixture="SIMULATED, nothing was trained")
    measured = source(file.filter(pc.is_valid(file["accuracy"])), label="seen")
    options = FitOptions(kinds=("lr-interval",))
    both = [(one, analyse_source(one, options)) for one in (measured, simulated)]
    page = build_report(both, tmp_path, kinds=["lr-interval"]).html.read_text()
    assert '<p class="lead">SIMULATED, nothing was trained: made. ' in page
    assert "a table without split by its accuracy as given" in page


def test_names_are_escaped(tmp_path: Path) -> None:
    outcomes, curves = tables(batches=(512,), lrs=1, seeds=1, name="<b>x</b>&")
    page = report_of(outcomes, curves, {"<i>": "<u>"}, tmp_path).html.read_text()
    assert "<b>x" not in page
    assert "&lt;b&gt;x&lt;/b&gt;&amp;" in page
    assert "<dt>&lt;i&gt;</dt><dd>&lt;u&gt;</dd>" in page


def printed_pages(page: str, directory: Path) -> int:
    """Pages of the PDF that Chromium prints."""
    chromium = shutil.which("chromium")
    assert chromium, "the report's tests need chromium: apt-get install chromium"
    (directory / "page.html").write_text(page)
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
            f"--user-data-dir={directory / 'profile'}",
            f"--print-to-pdf={directory / 'page.pdf'}", f"file://{directory / 'page.html'}",
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return len(re.findall(rb"/Type /Page\b", (directory / "page.pdf").read_bytes()))


def test_in_print_a_figure_follows_its_section_s_words(page: str, tmp_path: Path) -> None:
    """Else a page stays half empty: figures at full width, each whole with its caption."""
    rules = "max-height: min(225mm, var(--tall) * .62)", "picture, tr { break-inside: avoid; }"
    assert all(rule in page for rule in rules)
    whole_figures = page.replace(rules[0], "max-height: 225mm").replace(
        rules[1], "figure, tr { break-inside: avoid; }"
    )
    assert printed_pages(page, tmp_path) < printed_pages(whole_figures, tmp_path)
