"""Takes the pictures of the live page anew: `python -m tests.browser.take_screenshots`.

They are kept in docs/assets, each below 200 KB.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright
from tests.browser.chromium import HOW_TO_GET, find_chromium
from tests.browser.conftest import FLAGS
from tests.browser.demos import Demo, running_demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ASSETS = Path(__file__).parents[2] / "docs" / "assets"
MOST_BYTES = 200_000
DESK = {"width": 1280, "height": 820}
PHONE = {"width": 390, "height": 760}
LOOKS = 240
"""Of a second each, for a tank that runs low."""

A_WHILE_MS = 75_000
"""Until silent nodes are missed, and there are alerts of several kinds."""

SHOTS = (
    ("live-page.png", DESK, "light", ""),
    ("live-page-dark.png", DESK, "dark", ""),
    ("live-page-nodes.png", DESK, "light", "nodes"),
    ("live-page-node.png", DESK, "light", "node"),
    ("live-page-alerts.png", DESK, "light", "alerts"),
    ("live-page-rules.png", DESK, "light", "rules"),
    ("live-page-phone.png", PHONE, "light", "node"),
)


def main() -> int:
    program = find_chromium()
    if program is None:
        print(HOW_TO_GET, file=sys.stderr)
        return 1
    expect.set_options(timeout=60_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder), nodes=60) as demo,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        waiting = browser.new_page()
        node = low_tank(demo, waiting)
        # What drains is looked at while it does, all the rest when more has happened.
        for name, size, scheme, view in sorted(SHOTS, key=lambda shot: shot[3] != "node"):
            if view == "":
                waiting.wait_for_timeout(A_WHILE_MS if scheme == "light" else 0)
            take(browser, demo.url, ASSETS / name, size, scheme, view, node)
        browser.close()
    too_large = [name for name, *_ in SHOTS if (ASSETS / name).stat().st_size > MOST_BYTES]
    if too_large:
        print(f"above {MOST_BYTES} bytes: {', '.join(too_large)}", file=sys.stderr)
    return len(too_large)


def low_tank(demo: Demo, page: Page) -> str:
    """Return a tank of which an alert says that it runs low, as soon as there is one."""
    for _ in range(LOOKS):
        alerts = demo.data("/api/v1/alerts?rule_id=tank-low&limit=100")
        if alerts:
            # Some more readings, so that the chart shows what follows the alert.
            page.wait_for_timeout(8_000)
            return str(alerts[0]["node_id"])
        page.wait_for_timeout(1_000)
    problem = "no tank runs low"
    raise RuntimeError(problem)


def take(
    browser: Browser, url: str, path: Path, size: dict[str, int], scheme: str, view: str, node: str
) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Platform operator").click()
    expect(page.locator("#link")).to_have_text("live")
    show(page, view, node)
    page.locator("#toasts").evaluate("box => box.replaceChildren()")
    page.screenshot(path=path)
    print(f"{path.name}: {path.stat().st_size // 1000} KB")
    context.close()


def show(page: Page, view: str, node: str) -> None:
    target = f"nodes/{node}" if view == "node" else view
    page.evaluate("hash => { location.hash = hash }", f"#/{target}")
    if view == "":
        expect(page.locator(".fleet-map .dot")).to_have_count(60)
        expect(page.locator(".alert").first).to_be_visible()
    elif view == "nodes":
        expect(page.locator("#nodes tr[data-id]")).to_have_count(25)
    elif view == "node":
        expect(page.locator("#chart-note")).to_have_text(re.compile("readings"))
        expect(page.locator(".node .alert").first).to_be_visible()
    elif view == "alerts":
        page.get_by_role("button", name="Explain").first.click()
        expect(page.locator(".explain .facts")).to_be_visible()
    elif view == "rules":
        page.locator('#rules button[data-id="tank-low"]').click()
        page.get_by_label("Node", exact=True).select_option(node)
        expect(page.locator(".verdict")).to_contain_text("fired")
    # The last frame of what moves into its place.
    page.wait_for_timeout(1_000)


if __name__ == "__main__":
    sys.exit(main())
