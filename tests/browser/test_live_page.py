"""The live page, as somebody in front of it meets it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.browser.demos import Demo, Way

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from tests.browser.conftest import Looker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

PHONE = {"width": 390, "height": 844}
VIEWS = ("", "nodes", "map", "alerts", "rules", "nodes/tank-0001")
REFUSED = "Failed to load resource"
"""Chromium's own words for an answer that is an error: expected where a test causes one."""


def go(page: Page, view: str) -> None:
    page.evaluate("hash => { location.hash = hash }", f"#/{view}")


def labels(page: Page) -> list[str]:
    return page.locator("#nodes th a").all_inner_texts()


def test_a_demo_user_signs_in_and_sees_how_the_fleet_stands(looker: Looker, demo: Demo) -> None:
    page = looker.page()

    page.get_by_role("button", name="Platform operator").click()

    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator('[data-key="total"] b')).to_have_text("60")
    expect(page.locator(".bands")).to_have_attribute("aria-label", re.compile(r"\d+ good"))
    expect(page.locator("ol.rows li")).to_have_count(10)
    expect(page.locator(".fleet-map .dot")).to_have_count(60)


def test_a_pasted_token_signs_in_and_a_wrong_one_is_refused(looker: Looker, demo: Demo) -> None:
    looker.may_complain_of = (REFUSED,)
    page = looker.page()

    page.get_by_label("Or paste a token").fill("nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="not good")).to_be_visible()
    page.get_by_label("Or paste a token").fill(demo.tokens["distributor"])
    page.get_by_role("button", name="Sign in").click()

    expect(page.locator("#who-name")).to_have_text("Northern Water Works")


def test_a_level_moves_while_one_watches(looker: Looker) -> None:
    page = looker.signed_in()
    go(page, "nodes/tank-0002")
    volume = page.locator("dt", has_text="Volume").locator("+ dd span").first
    expect(volume).to_have_text(re.compile(r"\d"))
    water = page.locator(".node .water").get_attribute("transform")

    expect(volume).not_to_have_text(volume.inner_text())

    expect(page.locator(".node .water")).not_to_have_attribute("transform", water or "")
    expect(page.locator("#chart-note")).to_contain_text("readings")


def test_a_rule_is_written_tried_and_stored_and_its_alert_arrives_and_is_acknowledged(
    looker: Looker,
) -> None:
    looker.may_complain_of = (REFUSED,)
    page = looker.signed_in("Northern Water Works")
    go(page, "rules")
    page.get_by_role("button", name="New rule").click()
    page.locator("#r-id").fill("always")
    page.locator("#r-label").fill("Water moves")
    page.locator("#r-kind").select_option("flow")

    page.locator("#r-when").fill("flow_l_per_min >")
    expect(page.locator("#e-when")).to_contain_text("at character 16")
    expect(page.locator(".pointer")).to_have_text("flow_l_per_min >\n                ▲")
    page.locator("#r-when").fill("flow_l_per_min >= 0")
    page.locator("#r-hold").fill("1s")
    expect(page.locator(".verdict")).to_contain_text("would have fired")
    page.get_by_role("button", name="Store").click()

    alert = page.locator("#alerts .alert", has_text="Water moves").first
    expect(page.locator(".toast").first).to_be_visible()
    go(page, "alerts")
    expect(alert).to_be_visible()
    alert = page.locator(f'.alert[data-id="{alert.get_attribute("data-id")}"]')
    alert.get_by_role("button", name="Explain").click()
    expect(alert.locator(".facts")).to_contain_text("flow_l_per_min >= 0")
    alert.get_by_role("button", name="Acknowledge").click()
    page.get_by_label("Note").fill("somebody is on the way")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    expect(alert).to_contain_text("Acknowledged")
    expect(alert.locator(".facts")).to_contain_text("somebody is on the way")
    alert.get_by_role("button", name="Shelve").click()
    page.get_by_role("dialog").get_by_role("button", name="Shelve").click()
    expect(page.locator(".toast", has_text="Shelved")).to_be_visible()
    alert.get_by_role("button", name="Resolve").click()
    page.get_by_role("dialog").get_by_role("button", name="Resolve").click()
    expect(page.locator("#notice")).to_contain_text("request")


def test_pages_through_the_nodes_without_a_jump(looker: Looker) -> None:
    page = looker.signed_in()
    go(page, "nodes")
    rows = page.locator("#nodes tr[data-id]")
    expect(rows).to_have_count(25)
    first = labels(page)
    before = rows.nth(3).bounding_box()

    page.locator("#more").evaluate("button => button.click()")
    expect(rows).to_have_count(50)
    after = rows.nth(3).bounding_box()
    page.locator("#more").evaluate("button => button.click()")
    expect(rows).to_have_count(60)

    assert before == after
    assert labels(page)[:25] == first
    assert len(set(labels(page))) == 60
    expect(page.locator("#more")).to_be_hidden()


def test_searches_and_filters_and_the_address_says_so(looker: Looker) -> None:
    page = looker.signed_in()
    go(page, "nodes")

    page.get_by_label("Search name or place").fill("lake")
    page.get_by_label("Kind", exact=True).select_option("tank")
    expect(page).to_have_url(re.compile(r"#/nodes\?search=lake&kind=tank"))
    expect(page.locator("#nodes th .sub", has_text="Tank · Lake View").first).to_be_visible()
    expect(page.locator("#nodes th .sub", has_not_text="Tank · Lake View")).to_have_count(0)
    page.get_by_label("Search name or place").fill("nothing like it")
    expect(page.get_by_text("No node matches")).to_be_visible()
    page.get_by_role("button", name="Clear the filters").click()

    expect(page.locator("#nodes tr[data-id]")).to_have_count(25)


def test_a_customer_sees_only_its_own(looker: Looker, demo: Demo) -> None:
    looker.may_complain_of = (REFUSED,)
    everything = demo.data("/api/v1/nodes?limit=100&fields=id,label,customer_id")
    own = {node["label"] for node in everything if node["customer_id"] == "k-asha"}
    foreign = next(node for node in everything if node["customer_id"] != "k-asha")
    page = looker.signed_in("Asha Rao")
    expect(page.locator('[data-key="total"] b')).to_have_text(str(len(own)))
    expect(page.locator(".fleet-map .dot")).to_have_count(len(own))

    go(page, "nodes")
    expect(page.locator("#nodes tr[data-id]")).to_have_count(len(own))
    assert set(labels(page)) == own
    go(page, f"nodes/{foreign['id']}")

    expect(page.locator("#notice")).to_contain_text("not yours")
    expect(page.get_by_role("heading", name=foreign["label"])).to_have_count(0)


def test_another_user_finds_nothing_of_the_last_one(looker: Looker) -> None:
    page = looker.signed_in()
    go(page, "nodes")
    expect(page.locator("#nodes tr[data-id]")).to_have_count(25)

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Asha Rao").click()

    expect(page.locator("#who-name")).to_have_text("Asha Rao")
    expect(page.locator("#nodes tr.loading")).to_have_count(0)
    expect(page.locator("#shown")).not_to_contain_text("there are more")
    assert page.locator("#nodes tr[data-id]").count() < 25


def test_loses_the_server_says_so_and_recovers_by_itself(looker: Looker, demo: Demo) -> None:
    looker.may_complain_of = (REFUSED,)
    way = Way(demo.url)
    page = looker.page(url=way.url)
    page.get_by_role("button", name="Platform operator").click()
    expect(page.locator("#link")).to_have_text("live")
    go(page, "nodes/tank-0002")
    volume = page.locator("dt", has_text="Volume").locator("+ dd span").first
    expect(volume).to_have_text(re.compile(r"\d"))

    way.cut()
    expect(page.locator("#link")).to_contain_text("offline")
    held = volume.inner_text()
    way.mend()

    expect(page.locator("#link")).to_have_text("live")
    expect(volume).not_to_have_text(held)
    way.cut()


def test_a_phone_shows_every_view_without_scrolling_sideways(looker: Looker) -> None:
    page = looker.signed_in(viewport=PHONE, has_touch=True, is_mobile=True)

    wide = []
    for view in VIEWS:
        go(page, view)
        expect(page.locator(".view:visible")).to_have_count(1)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(view)

    assert not wide
    expect(page.get_by_role("navigation", name="Views")).to_be_in_viewport()
