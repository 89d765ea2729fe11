"""A real Chromium in front of a real demonstration."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright
from tests.browser.chromium import HOW_TO_GET, find_chromium
from tests.browser.demos import Demo, running_demo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

NODES = 60
PATIENCE_MS = 12_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESK = {"width": 1440, "height": 900}


def pytest_report_header() -> str:
    return f"chromium: {find_chromium() or 'none found: tests that need it will fail'}"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demonstration for all tests of this process."""
    with running_demo(tmp_path_factory.mktemp("demo"), nodes=NODES) as running:
        yield running


# Of a module, not of the session: while Playwright runs, no other test can start an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.fail(
            f"no Chromium was found. {HOW_TO_GET}\n"
            "  To do without these tests: --ignore=tests/browser",
            pytrace=False,
        )
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        yield running
        running.close()


@dataclass
class Looker:
    """Opens pages, and hears everything that they complain of and ask for."""

    browser: Browser
    demo: Demo
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    may_complain_of: tuple[str, ...] = ()
    pages: list[Page] = field(default_factory=list)

    def page(self, *, url: str | None = None, **options: object) -> Page:
        context = self.browser.new_context(**{"viewport": DESK, "locale": "en-GB"} | options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        self.pages.append(page)
        page.goto(url or self.demo.url)
        return page

    def signed_in(self, name: str = "Platform operator", **options: object) -> Page:
        page = self.page(**options)
        page.get_by_role("button", name=name).click()
        expect(page.locator("#link")).to_have_text("live")
        return page


@pytest.fixture
def looker(browser: Browser, demo: Demo) -> Iterator[Looker]:
    """Afterwards no page has complained, and none has asked anybody but its own server."""
    looking = Looker(browser, demo)
    yield looking
    for page in looking.pages:
        page.context.close()
    unexpected = [
        each
        for each in looking.complaints
        if not any(words in each for words in looking.may_complain_of)
    ]
    assert not unexpected
    elsewhere = [url for url in looking.asked if not url.startswith("http://127.0.0.1:")]
    assert not elsewhere


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
