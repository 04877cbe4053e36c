"""Take the pictures of the site for the documentation: every page wide, the board on a phone and in the dark too.

    PYTHONPATH=. python tools/screenshots.py --store STORE --out docs/images --board realdata-reaching@1/local/cpu-1@1

The page "Recording" shows traces only of a store that was made here, with predictions and recordings in it.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, sync_playwright

from harness.cli.serve import serving

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@dataclass(frozen=True)
class Picture:
    """One picture.

    page: Name in the address.
    size_px: Width and height. Streamlit scrolls inside the page, so a picture shows no more than the window's height.
    """

    name: str
    page: str
    size_px: tuple[int, int]
    scheme: str = "light"


PICTURES = (
    Picture("board", "", (1280, 1500)),
    Picture("board-dark", "", (1280, 1500), "dark"),
    Picture("board-phone", "", (390, 1700)),
    Picture("trade-offs", "trade-offs", (1280, 1150)),
    Picture("decoder", "decoder", (1280, 1800)),
    Picture("recording", "recording", (1280, 1700)),
    Picture("compare", "compare", (1280, 1850)),
    Picture("method", "method", (1280, 1500)),
)


def take(browser: Browser, address: str, picture: Picture, path: Path) -> None:
    """Save one picture of a page, when all that it draws is drawn."""
    width, height = picture.size_px
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=picture.scheme, device_scale_factor=1.25
    )
    page.goto(address)
    page.get_by_role("heading").first.wait_for()
    page.get_by_test_id("stStatusWidget").wait_for(state="detached")
    page.wait_for_timeout(2500)
    page.screenshot(path=path)
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--board", default="", help="as in the page's address, e.g. realdata-reaching@1/local/cpu-1@1")
    parser.add_argument("--track", default="", help="who is ranked, e.g. realtime; causal unless given")
    parser.add_argument("--only", nargs="*", help="names of pictures; all unless given")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = {name: value for name in ("board", "track") if (value := getattr(arguments, name))}
    with serving(arguments.store, 0) as server, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for picture in PICTURES:
            if arguments.only and picture.name not in arguments.only:
                continue
            path = arguments.out / f"site-{picture.name}.png"
            take(browser, f"{server.address}/{picture.page}?{urlencode(chosen)}", picture, path)
            print(path)


if __name__ == "__main__":
    main()
