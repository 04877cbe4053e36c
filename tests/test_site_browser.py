"""A visit in a real browser: open, filter, follow links to a decoder and a recording, compare, download, go back."""

import csv
from pathlib import Path

import pytest

from tests.records_factory import make_failure, make_judged_field, write_store

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: the browser tests need it")
HOSTILE = "<img src=http://h.invalid/x onerror=alert(1)>"
PROBES = ("/_stcore/health", "/_stcore/host-config")
"""Streamlit's page looks for its server below the page's own path first, and finds it at the root."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from harness.cli.serve import serving

    store = write_store(tmp_path_factory.mktemp("store"), [*make_judged_field(), make_failure("attack", HOSTILE)])
    with serving(store, 0) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    from tools.screenshots import FLAGS

    with sync_playwright() as p:
        yield p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def page(server, browser):
    """A page that collects what it asks for and what goes wrong; both are looked at in the end."""
    page = browser.new_page(viewport={"width": 1280, "height": 2400})
    asked, wrong = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("console", lambda m: wrong.append(f"{m.text} {m.location}") if m.type == "error" else None)
    yield page
    page.close()
    outside = [u for u in asked if not u.startswith((server.address, "data:", "blob:", "ws://127.0.0.1"))]
    assert outside == []
    assert [w for w in wrong if not any(probe in w for probe in PROBES)] == []


def opens(page, *headings):
    for heading in headings:
        page.get_by_role("heading", name=heading, exact=True).wait_for(timeout=20_000)
    assert page.get_by_test_id("stException").count() == 0


def test_a_visit_from_the_board_to_a_decoder_a_recording_a_comparison_and_back(page, server, tmp_path):
    page.goto(server.address)
    page.get_by_test_id("stDataFrame").first.wait_for()
    page.get_by_role("link", name="Its card").click()
    opens(page, "Decoder", "Audit", "Run it again")
    assert "/decoder?" in page.url and "decoder=example-" in page.url
    page.get_by_role("link", name="Its answers on a recording").click()
    opens(page, "One recording")
    assert "recording=made-up-1" in page.url
    page.go_back()
    opens(page, "Decoder", "Run it again")
    page.get_by_role("link", name="Compare it with another").click()
    opens(page, "Compare two decoders", "Recording by recording")
    page.get_by_role("link", name="Trade-offs", exact=True).click()
    opens(page, "On the frontier")
    page.get_by_role("link", name="Board", exact=True).click()
    opens(page, "Score against latency")
    with page.expect_download() as started:
        page.locator("[data-testid=stDownloadButton] button", has_text="CSV").click()
    started.value.save_as(tmp_path / "board.csv")
    rows = list(csv.DictReader((tmp_path / "board.csv").open()))
    assert {"attack", "example-teacher"} <= {row["decoder"] for row in rows}


def test_a_filter_is_in_the_address_and_a_sent_link_opens_with_it(page, server):
    page.goto(server.address)
    page.get_by_text("Filter", exact=True).click()
    page.locator("[data-testid=stButtonGroup] button", has_text="Simulated").click()
    page.wait_for_url("**kind=Simulated**")
    page.goto(page.url)
    opens(page, "Neural decoder leaderboard", "Not ranked")
    assert "kind=Simulated" in page.url


def test_every_page_fits_a_phone(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("", "trade-offs", "decoder", "recording", "compare", "method", "submit", "changes"):
        page.goto(f"{server.address}/{path}")
        page.get_by_role("heading").first.wait_for()
        page.wait_for_timeout(300)
        assert page.get_by_test_id("stException").count() == 0, path
        width = page.evaluate("Math.max(...[...document.querySelectorAll('section')].map(s => s.scrollWidth))")
        assert width <= 390, path
