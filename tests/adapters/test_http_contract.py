"""One HTTP contract, through each framework."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from evara_core.api.idempotency import request_fingerprint

if TYPE_CHECKING:
    import httpx

MEMBERS = ["status", "data", "meta", "errors"]


def told(response: httpx.Response, name: str) -> list[str]:
    return response.headers.get_list(name)


def code(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["code"]


async def test_an_answer_is_in_the_envelope(send: Any) -> None:
    response = await send("GET", "/things")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.json() == {
        "status": "success",
        "data": {"a": 1},
        "meta": {
            "request_id": response.headers["x-request-id"],
            "timestamp": "2026-01-01T00:00:00Z",
            "version": "1",
            "cached": False,
        },
        "errors": None,
    }
    assert list(response.json()) == MEMBERS


async def test_a_sane_request_id_is_kept_and_any_other_replaced(send: Any) -> None:
    kept = await send("GET", "/things", headers={"X-Request-ID": "trace-1.a_B"})
    made = [
        await send("GET", "/things", headers={"X-Request-ID": text})
        for text in ("", "a b", 'x"y', "x" * 129)
    ]

    assert kept.headers["x-request-id"] == kept.json()["meta"]["request_id"] == "trace-1.a_B"
    assert len({response.headers["x-request-id"] for response in made}) == 4
    assert all(len(response.headers["x-request-id"]) == 36 for response in made)


@pytest.mark.parametrize(
    ("name", "status", "code", "headers"),
    [
        ("parameter", 400, "INVALID_PARAMETER", {}),
        ("token", 401, "UNAUTHENTICATED", {"www-authenticate": "Bearer"}),
        ("denied", 403, "FORBIDDEN", {}),
        ("missing", 404, "NOT_FOUND", {}),
        ("conflict", 409, "CONFLICT", {}),
        ("limit", 429, "RATE_LIMITED", {"retry-after": "3"}),
        ("storage", 503, "SERVICE_UNAVAILABLE", {"retry-after": "7"}),
        ("upstream", 503, "UPSTREAM_TIMEOUT", {"retry-after": "5"}),
        ("bug", 500, "INTERNAL_ERROR", {}),
    ],
)
async def test_every_error_has_the_one_shape_and_its_headers(
    send: Any, name: str, status: int, code: str, headers: dict[str, str]
) -> None:
    response = await send("GET", f"/faults/{name}")

    assert response.status_code == status
    body = response.json()
    assert list(body) == MEMBERS
    assert (body["status"], body["data"]) == ("error", None)
    assert body["errors"][0]["code"] == code
    assert body["errors"][0]["message"]
    assert body["meta"]["request_id"] == response.headers["x-request-id"]
    assert response.headers["cache-control"] == "no-store"
    assert headers.items() <= dict(response.headers).items()


@pytest.mark.parametrize("name", ["storage", "upstream", "bug", "token"])
async def test_secrets_and_tracebacks_stay_inside(send: Any, name: str) -> None:
    response = await send("GET", f"/faults/{name}")

    text = response.text.lower()
    assert "secret" not in text
    assert "traceback" not in text
    assert "expired" not in text


async def test_a_fault_of_ours_is_logged_with_its_request_id(
    send: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await send("GET", "/faults/bug", headers={"X-Request-ID": "r-1"})

    (record,) = caplog.records
    assert record.getMessage() == "request r-1 failed"
    assert record.exc_info is not None


async def test_what_the_framework_refuses_looks_the_same(send: Any) -> None:
    missing = await send("GET", "/nothing")
    wrong = await send("POST", "/things")

    assert (missing.status_code, code(missing)) == (404, "HTTP_404")
    assert (wrong.status_code, code(wrong)) == (405, "HTTP_405")
    assert "GET" in wrong.headers["allow"]
    for response in (missing, wrong):
        assert list(response.json()) == MEMBERS
        assert response.json()["meta"]["request_id"] == response.headers["x-request-id"]


async def test_a_body_that_is_too_long_is_refused(send: Any) -> None:
    async def refused() -> Any:
        return await send("POST", "/batch", content=b" " * 1_001)

    response = await refused()

    assert (response.status_code, code(response)) == (413, "HTTP_413")


async def test_problem_details_are_sent_to_who_asks_for_them(send: Any) -> None:
    response = await send(
        "GET",
        "/faults/parameter",
        headers={"Accept": "application/problem+json", "X-Request-ID": "r-2"},
    )

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "INVALID_PARAMETER"
    assert response.json()["instance"] == "#r-2"
    assert "Accept" in told(response, "vary")


async def test_pages_are_linked_and_other_links_stay(send: Any) -> None:
    first = await send("GET", "/api/v1/pages?limit=3&status=Online&sort=-id")
    links = told(first, "link")
    following = first.json()["meta"]["pagination"]["next_cursor"]
    second = await send("GET", f"/api/v1/pages?limit=3&status=Online&sort=-id&cursor={following}")

    assert [row["id"] for row in first.json()["data"]] == [6, 4, 2]
    assert [row["id"] for row in second.json()["data"]] == [0]
    page_link, deprecation = links
    assert f'</api/v1/pages?limit=3&status=Online&sort=-id&cursor={following}>; rel="next"' in (
        page_link
    )
    assert 'rel="deprecation"' in deprecation
    assert 'rel="prev"' in told(second, "link")[0]


async def test_a_wrong_parameter_is_named_with_what_is_allowed(send: Any) -> None:
    response = await send("GET", "/api/v1/pages?status=Onlin")

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "status"
    assert response.json()["errors"][0]["allowed"] == ["Online", "Offline"]


async def test_what_did_not_change_is_not_sent_again(send: Any) -> None:
    first = await send("GET", "/api/v2/pages")
    etag = first.headers["etag"]
    again = await send("GET", "/api/v2/pages", headers={"If-None-Match": f'"x", W/{etag}'})
    other = await send("GET", "/api/v2/pages?limit=2", headers={"If-None-Match": etag})

    assert first.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in told(first, "vary")
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert "content-type" not in again.headers
    assert other.status_code == 200


async def test_a_change_names_the_state_that_it_changes(send: Any) -> None:
    etag = (await send("GET", "/record")).headers["etag"]

    blind = await send("PUT", "/record")
    late = await send("PUT", "/record", headers={"If-Match": '"other"'})
    garbled = await send("PUT", "/record", headers={"If-Match": "other"})
    good = await send("PUT", "/record", headers={"If-Match": etag})

    assert (blind.status_code, code(blind)) == (428, "PRECONDITION_REQUIRED")
    assert (late.status_code, code(late)) == (412, "PRECONDITION_FAILED")
    assert (garbled.status_code, code(garbled)) == (400, "INVALID_HEADER")
    assert good.status_code == 200


async def test_versions_are_told_in_the_path_or_in_a_header(send: Any) -> None:
    path = await send("GET", "/api/v2/pages")
    header = await send("GET", "/api/pages", headers={"X-API-Version": "2"})
    old = await send("GET", "/api/pages")
    unknown = await send("GET", "/api/v9/pages")
    torn = await send("GET", "/api/v2/pages", headers={"X-API-Version": "1"})

    for response in (path, header):
        assert response.json()["meta"]["version"] == response.headers["x-api-version"] == "2"
        assert "deprecation" not in response.headers
        assert "X-API-Version" in told(response, "vary")
    assert old.headers["deprecation"] == "@1767225600"
    assert old.headers["sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
    assert (unknown.status_code, code(unknown)) == (400, "UNSUPPORTED_VERSION")
    assert (torn.status_code, code(torn)) == (400, "INVALID_HEADER")
    assert unknown.json()["meta"]["request_id"] == unknown.headers["x-request-id"]


async def test_a_batch_is_stored_whole_or_refused_whole(send: Any) -> None:
    good = await send("POST", "/batch", json={"items": [{"label": "a"}, {"label": "b"}]})
    bad = await send("POST", "/batch", json={"items": [{"label": "a"}, {"label": 1}]})
    garbled = await send("POST", "/batch", content=b"{")

    assert (good.status_code, good.json()["data"]) == (201, [{"label": "a"}, {"label": "b"}])
    assert good.json()["meta"]["batch"] == {"succeeded": 2, "failed": 0}
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (400, "/items/1/label")
    assert garbled.json()["errors"] == [
        {"code": "INVALID_JSON", "message": "The body is not JSON", "where": "body"}
    ]


async def test_a_partial_batch_tells_of_each_item(send: Any) -> None:
    response = await send(
        "POST", "/batch", json={"mode": "partial", "items": [{"label": "a"}, {"label": 1}]}
    )

    assert response.status_code == 207
    assert [item["status"] for item in response.json()["data"]] == [201, 400]
    assert response.json()["meta"]["batch"] == {"succeeded": 1, "failed": 1}


async def test_a_repeated_write_takes_effect_once(send: Any) -> None:
    headers = {"Idempotency-Key": '"k-1"'}
    first = await send("POST", "/once", headers=headers, json={"n": 1})
    again = await send("POST", "/once", headers=headers, json={"n": 1})
    reused = await send("POST", "/once", headers=headers, json={"n": 2})
    other = await send("POST", "/once", headers={"Idempotency-Key": "k-2"}, json={"n": 1})
    wrong = await send("POST", "/once", headers={"Idempotency-Key": "a b"})

    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["content-type"] == "application/json"
    assert (reused.status_code, code(reused)) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert other.json()["data"] == {"runs": 2}
    assert (wrong.status_code, code(wrong)) == (400, "INVALID_HEADER")


async def test_who_comes_too_often_is_told_when_to_come_again(send: Any) -> None:
    answers = [await send("GET", "/limited") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"writes";r=1;t=30',
        '"writes";r=0;t=30',
        '"writes";r=0;t=30',
    ]
    assert answers[0].headers["ratelimit-policy"] == '"writes";q=2;w=60'
    assert answers[2].headers["retry-after"] == "30"


@pytest.mark.parametrize(
    ("content", "pointers"),
    [
        (b'{"name": "much too long"}', ["/name"]),
        (b'{"inner": {"a/b~c": "x"}}', ["/name", "/inner/a~1b~0c"]),
        (b"{}", ["/name"]),
        (b"", [""]),
        (b"{", [None]),
        (b"[]", [""]),
    ],
)
async def test_a_bad_body_is_told_member_by_member(
    send_with_access: Any, content: bytes, pointers: list[str | None]
) -> None:
    response = await send_with_access(
        "POST", "/bodies", content=content, headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 400
    assert [error.get("pointer") for error in response.json()["errors"]] == pointers
    assert {error["where"] for error in response.json()["errors"]} == {"body"}
    assert "too long" not in response.text


async def test_callers_are_known_by_their_tokens(send_with_access: Any, scenario: Any) -> None:
    bearer = {"Authorization": f"Bearer {scenario.issuer.mint('manager')}"}
    nobody = {"Authorization": f"Bearer {scenario.issuer.mint('deleted')}"}

    good = await send_with_access("GET", "/mine", headers=bearer)
    refusals = [
        await send_with_access("GET", "/mine", headers=headers)
        for headers in ({}, nobody, {"Authorization": "Basic x"})
    ]
    denied = await send_with_access("GET", "/forbidden", headers=bearer)

    assert good.json()["data"] == "manager"
    for refusal in refusals:
        assert (refusal.status_code, code(refusal)) == (401, "UNAUTHENTICATED")
        assert refusal.headers["www-authenticate"] == "Bearer"
    assert (denied.status_code, code(denied)) == (403, "FORBIDDEN")


async def test_a_request_whose_first_one_still_runs_is_told_to_wait(
    send: Any, scenario: Any
) -> None:
    key = request_fingerprint("k", principal_id="p", method="POST", path="/once", body=b"{}")
    await scenario.keys.begin(key)

    running = await send("POST", "/once", content=b"{}", headers={"Idempotency-Key": '"k"'})
    await scenario.keys.release(key)
    again = await send("POST", "/once", content=b"{}", headers={"Idempotency-Key": '"k"'})

    assert (running.status_code, code(running)) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert int(running.headers["retry-after"]) >= 1
    assert (again.status_code, scenario.runs) == (201, 1)
