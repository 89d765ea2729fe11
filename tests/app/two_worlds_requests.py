"""What is asked in both worlds: every route, with ids of one's own, of others and of nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evara_core.serialization import dump_json

if TYPE_CHECKING:
    import httpx

__all__ = ["REQUESTS", "UNCOMPARED", "Ask"]

API = "/api/v1"
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. `{{name}}` in it is what an answer before told under that name."""

    method: str
    route: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    keeps: tuple[str, str] | None = None
    """A name, and where the answer has it: `etag`, or a path into the body."""

    def filled(self, remembered: dict[str, str]) -> Ask:
        def fill(text: str) -> str:
            return _PLACE.sub(lambda match: remembered.get(match[1], "none"), text)

        return replace(
            self,
            path=fill(self.path),
            headers={name: fill(value) for name, value in self.headers.items()},
        )

    def remember(self, response: httpx.Response, remembered: dict[str, str]) -> None:
        if self.keeps is None:
            return
        name, where = self.keeps
        if where == "etag":
            remembered[name] = response.headers.get("etag", "none")
            return
        found: Any = response.json()
        for step in where.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        remembered[name] = quote(str(found))


UNCOMPARED = {
    ("GET", "/api/stream"): "does not end: see the tests of streams",
    ("ANY", "/api/stream/socket"): "a WebSocket: see the tests of streams",
    ("ANY", "/static"): "files of the repository",
    ("GET", "/health/details"): "for operators of the platform only",
    ("GET", "/health/ready"): "tells how long each check took",
}
"""Routes that are compared elsewhere or not at all, and why."""

NODES = (
    "n-k-own-1", "n-k-next-1", "n-k-across-1", "n-k-other-1", "n-k-other-2", "no-such",
)  # fmt: skip
PEOPLE = {
    "distributors": ("d-own", "d-other", "no-such"),
    "communities": ("c-own", "c-across", "c-other", "no-such"),
    "customers": ("k-own", "k-next", "k-across", "k-other", "no-such"),
    "users": (
        "caller", "user-of-k-own", "user-of-k-next", "user-of-k-across", "user-of-k-other",
        "no-such",
    ),
}  # fmt: skip
ONE = {
    "distributors": "distributor_id",
    "communities": "community_id",
    "customers": "customer_id",
    "users": "user_id",
    "nodes": "node_id",
}


def ask(method: str, route: str, path: str | None = None, body: object = None, **more: Any) -> Ask:
    content = None if body is None else body if isinstance(body, bytes) else dump_json(body)
    path = (path or route).replace("/api/", f"{API}/", 1)
    if content is not None:
        more["headers"] = {"Content-Type": "application/json", **more.get("headers", {})}
    return Ask(method=method, route=route, path=path, content=content, **more)


def lists(name: str, *queries: str) -> list[Ask]:
    route = f"/api/{name}"
    common = ("", "?limit=1", "?limit=2&count=exact", "?page=2&limit=1", "?fields=id", "?limit=0")
    found = [ask("GET", route, route + query) for query in (*common, *queries)]
    # To the end in pages of one, and back, and with the cursor of another list.
    found.append(
        ask("GET", route, f"{route}?limit=1", keeps=("next", "meta.pagination.next_cursor"))
    )
    following = ask(
        "GET",
        route,
        f"{route}?limit=1&cursor={{{{next}}}}",
        keeps=("next", "meta.pagination.next_cursor"),
    )
    return [*found, following, following, following]


def reads() -> list[Ask]:
    found = [
        ask("GET", "/api/auth/me"),
        ask("GET", "/api/dashboard/stats"),
        ask("GET", "/api/dashboard/stats", "/api/v2/dashboard/stats"),
        *lists(
            "nodes",
            "?search=bakul",
            "?search=k-other",
            "?search=n",
            "?sort=-label",
            "?sort=status,-created_at",
            "?status=Alert",
            "?distributor_id=d-other",
            "?community_id=c-across",
            "?customer_id=k-next",
            "?where=any(distributor_id=d-other,status=Alert)",
            "?where=not(distributor_id=d-own)",
            "?include=alerts",
            "?active_alerts__gte=1&count=estimate",
            "?colour=blue",
        ),
    ]
    for name in PEOPLE:
        found += lists(
            name, "?search=name", "?sort=name", "?distributor_id=d-other", "?search=other"
        )
    found += lists("audit", "?resource=nodes", "?actor_id=somebody")
    found += lists(
        "alerts", "?state=all", "?state=all&sort=fired_at", "?severity=warning", "?state=x"
    )
    for node in NODES:
        found += of_node(node)
    for name, ids in PEOPLE.items():
        for each in ids:
            found.append(ask("GET", f"/api/{name}/{{{ONE[name]}}}", f"/api/{name}/{each}"))
    for owner in ("d-own", "d-other", ""):
        for number in (1, 2, 30, 999):
            path = f"/api/audit/{owner}.{number:012}"
            found.append(ask("GET", "/api/audit/{audit_entry_id}", path))
    for path in ("/api/rules", "/api/rules/export", "/api/rules/changes"):
        found.append(ask("GET", path))
    for each in ("tank-low", "d-own:their-own", "d-other:their-own", "their-own", "none"):
        found.append(ask("GET", "/api/rules/{rule_id}", f"/api/rules/{each}"))
    return found


def of_node(node: str) -> list[Ask]:
    found = []
    base = "/api/nodes/{node_id}"
    for route in (
        f"{base}", f"{base}/telemetry/latest", f"{base}/telemetry", f"{base}/telemetry.csv",
        f"{base}/series", f"{base}/summaries", f"{base}/readings",
    ):  # fmt: skip
        path = route.replace("{node_id}", node)
        if route.endswith(("series", "telemetry.csv", "summaries")):
            path += "?start=2025-12-31T00:00:00Z&end=2026-01-02T00:00:00Z"
        found.append(ask("GET", route, path + ("&metric=level_cm" if "summ" in path else "")))
        found.append(ask("GET", route, path + ("&" if "?" in path else "?") + "metric=x"))
    found.append(ask("GET", base, f"/api/nodes/{node}", keeps=("etag", "etag")))
    found.append(ask("GET", base, f"/api/nodes/{node}", headers={"If-None-Match": "{{etag}}"}))
    found += [
        ask("GET", "/api/alerts/{alert_id}", f"/api/alerts/{node}-{rule}")
        for rule in ("tank-low", "tank-empty", "none")
    ]
    return found


def notified() -> list[Ask]:
    call = {"channel": {"type": "function", "name": "phone"}}
    found = []
    top = "/api/notifications"
    one, route = f"{top}/receivers/{{name}}", f"{top}/routes/{{name}}"
    for path in ("receivers", "routes", "deliveries", "dead-letters"):
        found.append(ask("GET", f"{top}/{path}"))
        found.append(ask("GET", f"{top}/{path}", f"{top}/{path}?limit=1"))
    found += [
        ask("GET", f"{top}/deliveries", f"{top}/deliveries?{query}")
        for query in ("receiver=theirs", "receiver=shared", "before=2026-01-02T00:00:00Z")
    ]
    for name in ("theirs", "d-other:theirs", "shared", "none", "mine"):
        place = f"{top}/receivers/{name}"
        found.append(ask("GET", one, place))
        found += [
            ask("POST", f"{one}/{verb}", f"{place}/{verb}") for verb in ("rotate", "enable", "test")
        ]
        found.append(ask("PUT", route, f"{top}/routes/{name}", body={"receivers": [name]}))
        found.append(ask("PUT", one, place + "?revision=1", body=call))
        found.append(ask("PUT", one, place, body=call))
        found.append(ask("PUT", route, f"{top}/routes/{name}", body={"receivers": [name]}))
        found.append(ask("DELETE", one, place))
        found.append(ask("DELETE", route, f"{top}/routes/{name}"))
        found.append(ask("DELETE", one, place))
        replay = f"{top}/dead-letters/replay"
        found.append(ask("POST", replay, f"{replay}?receiver={name}"))
        found.append(ask("POST", replay, f"{replay}?receiver={name}&event_id=e-d-other"))
        found.append(ask("POST", replay, f"{replay}?event_id=e-d-other"))
    return [*found, ask("POST", f"{top}/dead-letters/replay"), *found]


def signed_out() -> list[Ask]:
    return [
        ask("POST", "/api/auth/sign-out"),
        *(
            ask("POST", "/api/users/{user_id}/sign-out", f"/api/users/{each}/sign-out")
            for each in PEOPLE["users"]
            if each != "caller"
        ),
    ]


def failures() -> list[Ask]:
    """Return what only operators of the platform may ask: 403 for everybody here."""
    found = [ask("GET", "/api/failures"), ask("GET", "/api/failures", "/api/failures?limit=1")]
    for number in (1, 2, 999):
        found.append(ask("GET", "/api/failures/{failure_id}", f"/api/failures/{number}"))
        found += [
            ask("POST", f"/api/failures/{verb}", body={"ids": [number]})
            for verb in ("replay", "dismiss")
        ]
    return found


def around() -> list[Ask]:
    return [
        ask("GET", path)
        for path in (
            "/api/stream/position", "/api/stream/snapshot", "/api/stream/client.js",
            "/api/deprecations", "/api/errors", "/api/public/device-types", "/health/live",
            "/metrics", "/", "/demo/users", "/openapi.json",
        )
    ]  # fmt: skip


def writes() -> list[Ask]:
    """Return what changes rows, or tries to: those of others first, then one's own."""
    found: list[Ask] = []
    bodies: dict[str, dict[str, Any]] = {
        "distributors": {"name": "New"},
        "communities": {"name": "New"},
        "customers": {"name": "New", "community_id": "c-own"},
        "users": {"name": "New", "role": "customer", "customer_id": "k-own"},
        "nodes": {"label": "New", "kind": "tank", "category": "OHT"},
    }
    foreign: dict[str, list[dict[str, Any]]] = {
        "distributors": [{}],
        "communities": [{"distributor_id": "d-other"}, {"distributor_id": "d-none"}],
        "customers": [
            {"distributor_id": "d-other", "community_id": "c-other"},
            {"community_id": "c-other"},
            {"community_id": "c-across"},
            {"community_id": "c-none"},
        ],
        "users": [
            {"id": "user-of-k-other"},
            {"id": "user-of-k-across"},
            {"id": "user-of-nobody"},
            {"customer_id": "k-other"},
            {"customer_id": "k-none"},
            {"role": "superadmin"},
            {"distributor_id": "d-other"},
        ],
        "nodes": [
            {"id": "n-k-other-1"},
            {"id": "n-none"},
            {"distributor_id": "d-other"},
            {"community_id": "c-other"},
            {"community_id": "c-across"},
            {"customer_id": "k-other"},
            {"customer_id": "k-next"},
            {"channel_id": 7},
            {"mapping": {"channel_id": 7, "fields": [{"field": 1, "metric": "level_cm"}]}},
        ],
    }
    for name, body in bodies.items():
        ids = NODES if name == "nodes" else PEOPLE[name]
        one, route = f"/api/{name}/{{{ONE[name]}}}", f"/api/{name}"
        for more in foreign[name]:
            found.append(ask("POST", route, body=body | more))
            found.append(ask("POST", f"{route}/batch", body={"items": [body, body | more]}))
            found.append(
                ask(
                    "POST", f"{route}/batch", body={"items": [body, body | more], "mode": "partial"}
                )
            )
        for each in reversed(ids):
            change = {"label": "Changed"} if name == "nodes" else {"name": "Changed"}
            item = {"id": each, **change}
            found += [
                ask("PATCH", one, f"{route}/{each}", body=change, headers={"If-Match": match})
                for match in ("*", '"x"')
            ]
            found.append(ask("PATCH", one, f"{route}/{each}", body=change))
            found.append(
                ask(
                    "PATCH",
                    one,
                    f"{route}/{each}",
                    body={"distributor_id": "d-own"},
                    headers={"If-Match": "*"},
                )
            )
            found.append(ask("PATCH", f"{route}/batch", body={"items": [item], "mode": "partial"}))
            found.append(ask("PATCH", f"{route}/batch", body={"items": [item]}))
        found.append(
            ask(
                "POST",
                route,
                body=body,
                headers={"Idempotency-Key": "once"},
                keeps=("new", "data.id"),
            )
        )
        found.append(ask("POST", route, body=body, headers={"Idempotency-Key": "once"}))
        found.append(ask("GET", one, f"{route}/{{{{new}}}}"))
        found.append(ask("DELETE", one, f"{route}/{{{{new}}}}", headers={"If-Match": "*"}))
    return found


def says() -> list[Ask]:
    found = []
    for node in reversed(NODES):
        for verb, body in (
            ("acknowledge", {"note": "seen"}), ("unacknowledge", None), ("shelve", {"hours": 1}),
            ("unshelve", None), ("resolve", None),
        ):  # fmt: skip
            route = f"/api/alerts/{{alert_id}}/{verb}"
            found.append(ask("POST", route, f"/api/alerts/{node}-tank-low/{verb}", body=body))
            found.append(ask("POST", route, f"/api/alerts/{node}-none/{verb}", body=body))
        trial = {
            "rule": {"kind": "tank", "when": "level_percent < 15"},
            "node_id": node,
            "start": "2025-12-31T00:00:00Z",
            "end": "2026-01-02T00:00:00Z",
        }
        found.append(ask("POST", "/api/rules/backtest", body=trial))
    rule = {"kind": "tank", "when": "level_percent < 16", "label": "Mine"}
    for rule_id in ("d-other:their-own", "their-own", "tank-low", "mine", "d-own:mine"):
        route, path = "/api/rules/{rule_id}", f"/api/rules/{rule_id}"
        found.append(ask("PUT", route, path, body=rule))
        found.append(ask("PUT", route, path, body=rule, headers={"If-Match": "*"}))
        found.append(ask("GET", route, path))
        found.append(ask("DELETE", route, path))
    found.append(ask("POST", "/api/rules/import", body=b"rules:\n- id: a\n  kind: tank\n"))
    found.append(
        ask(
            "POST",
            "/api/rules/import",
            "/api/rules/import?form=json",
            body={"rules": [{"id": "b", **rule}]},
        )
    )
    return found


def endings() -> list[Ask]:
    """Return what takes rows away."""
    found = []
    for name in ("nodes", "users", "customers", "communities", "distributors"):
        ids = NODES if name == "nodes" else PEOPLE[name]
        one, route = f"/api/{name}/{{{ONE[name]}}}", f"/api/{name}"
        for each in reversed(ids):
            if each == "caller":
                continue
            items = {"items": [{"id": each}], "mode": "partial"}
            found.append(ask("DELETE", f"{route}/batch", body={**items, "mode": "atomic"}))
            found.append(ask("DELETE", f"{route}/batch", body=items))
            found.append(ask("DELETE", one, f"{route}/{each}", headers={"If-Match": "*"}))
    return found


REQUESTS: tuple[Ask, ...] = (
    *reads(),
    *around(),
    *writes(),
    *says(),
    *failures(),
    *notified(),
    *signed_out(),
    # What was written shows again, to whom it may.
    *reads()[::5],
    *endings(),
    *reads()[2::5],
    *around(),
)
