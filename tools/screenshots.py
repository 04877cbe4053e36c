"""Take the pictures of the leaderboard for the documentation: wide and phone, light and dark.

python tools/screenshots.py --store results --out docs/images
"""

import argparse
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, sync_playwright

from harness.cli.serve import serving

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SIZES_PX = {"wide": (1280, 1740), "phone": (390, 2250)}
"""Width and height. Streamlit scrolls inside the page, so a picture shows no more than the window's height."""


def take(browser: Browser, address: str, path: Path, *, size_px: tuple[int, int], scheme: str) -> None:
    """Save one picture of the page, when table and plot are drawn."""
    width, height = size_px
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1.5)
    page.goto(address)
    page.get_by_test_id("stDataFrame").first.wait_for()
    page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=path)
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--board", default="", help="as in the page's address, e.g. realdata-reaching@1/local/cpu-1@1")
    parser.add_argument("--track", default="", help="who is ranked, e.g. realtime; causal unless given")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with serving(arguments.store, 0) as server, sync_playwright() as p:
        chosen = {name: value for name in ("board", "track") if (value := getattr(arguments, name))}
        address = f"{server.address}?{urlencode(chosen)}"
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, size_px in SIZES_PX.items():
            for scheme in ("light", "dark"):
                path = arguments.out / f"board-{name}-{scheme}.png"
                take(browser, address, path, size_px=size_px, scheme=scheme)
                print(path)


if __name__ == "__main__":
    main()
