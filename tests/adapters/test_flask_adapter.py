"""What only Flask has: decorated views, and streams from a thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import flask
import pytest
from anyio.from_thread import start_blocking_portal

from evara_core.access.principal import Principal
from evara_core.access.roles import built_in_policy
from evara_core.adapters.answers import Answers
from evara_core.adapters.flask.application import init_app
from evara_core.adapters.flask.callers import (
    Guard,
    Public,
    RequireCaller,
    RequirePermission,
    current_principal,
)
from evara_core.adapters.flask.replies import Replies
from evara_core.adapters.flask.requests import declared_parameters
from evara_core.adapters.flask.streams import event_stream
from evara_core.errors import ConfigurationError
from evara_core.ids import TimeOrderedIds
from evara_core.realtime.hub import Hub
from evara_core.realtime.limits import HubLimits
from evara_core.realtime.memory import MemoryBus
from evara_core.realtime.ports import Message
from evara_core.realtime.wire import EventParser
from evara_core.testing.tokens import TokenIssuer

if TYPE_CHECKING:
    from evara_core.testing.clock import ManualClock


@pytest.fixture
def issuer(clock: ManualClock) -> TokenIssuer:
    return TokenIssuer(clock=clock)


@pytest.fixture
def app() -> flask.Flask:
    return flask.Flask(__name__, static_folder=None)


def initialise(app: flask.Flask, issuer: TokenIssuer, clock: ManualClock, **options: Any) -> Any:
    guard = Guard(
        verifier=issuer.verifier(),
        find_principal=lambda token: Principal(
            user_id=token.subject, role="community_manager", community_id="c1"
        ),
        policy=built_in_policy(),
    )
    replies = Replies(Answers(clock=clock))
    init_app(app, replies=replies, ids=TimeOrderedIds(clock=clock), guard=guard, **options)
    return app.test_client()


def test_a_view_that_says_nothing_is_refused_at_start(
    app: flask.Flask, issuer: TokenIssuer, clock: ManualClock
) -> None:
    app.add_url_rule("/silent", view_func=lambda: "")

    with pytest.raises(ConfigurationError, match="/silent"):
        initialise(app, issuer, clock)

    assert initialise(app, issuer, clock, open_paths={"/silent": "a test"})


def test_a_permission_that_does_not_exist_is_refused_at_start(
    app: flask.Flask, issuer: TokenIssuer, clock: ManualClock
) -> None:
    @app.get("/birds")
    @RequirePermission("nodes:fly")
    def birds() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="nodes:fly"):
        initialise(app, issuer, clock)


def test_every_known_user_may_see_what_only_wants_a_caller(
    app: flask.Flask, issuer: TokenIssuer, clock: ManualClock
) -> None:
    @app.get("/me")
    @RequireCaller()
    def me() -> str:
        declared_parameters("verbose")
        return current_principal().user_id

    client = initialise(app, issuer, clock)
    headers = {"Authorization": f"Bearer {issuer.mint('asha')}"}

    assert client.get("/me?verbose=1", headers=headers).text == "asha"
    assert client.get("/me").status_code == 401
    assert client.get("/me?loud=1", headers=headers).json["errors"][0]["allowed"] == ["verbose"]


def test_redirects_pass(app: flask.Flask, issuer: TokenIssuer, clock: ManualClock) -> None:
    @app.get("/folder/")
    @Public("a test")
    def folder() -> str:
        return ""

    assert initialise(app, issuer, clock).get("/folder").status_code == 308


def test_without_init_app_nobody_is_let_in(app: flask.Flask) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/mine")
    @RequirePermission("nodes:read")
    def mine() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="init_app"):
        app.test_client().get("/mine", headers={"Authorization": "Bearer x"})


def test_decorators_tell_what_they_are() -> None:
    assert repr(RequirePermission("nodes:read")) == "RequirePermission('nodes:read')"
    assert repr(Public("health")) == "Public('health')"


def test_a_stream_tells_what_happens_until_it_ends(
    app: flask.Flask, issuer: TokenIssuer, clock: ManualClock
) -> None:
    def make_hub() -> tuple[MemoryBus, Hub]:
        bus = MemoryBus(new_epoch=lambda: "e")
        return bus, Hub(bus, clock=clock, limits=HubLimits(window_s=0))

    async def run(hub: Hub, *, task_status: Any) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                await tasks.start(hub.run)
                task_status.started(scope)

    with start_blocking_portal() as portal:
        bus, hub = portal.call(make_hub)

        @app.get("/stream")
        @Public("a test")
        def stream() -> flask.Response:
            subscribe = partial(hub.subscribe, principal_id="asha", topics=frozenset({"t"}))
            subscription = portal.call(subscribe)
            return event_stream(subscription, portal=portal, heartbeat_s=0.01)

        _, scope = portal.start_task(run, hub)
        response = initialise(app, issuer, clock).get("/stream")
        chunks = response.iter_encoded()
        opening, heartbeat = next(chunks), next(chunks)
        message = Message(
            message_id="m", kind="alert", key="k", topics=frozenset({"t"}), body=b'{"a":1}'
        )
        portal.call(bus.publish, [message])
        parser = EventParser()
        (event,) = next(event for event in (list(parser.feed(chunk)) for chunk in chunks) if event)
        response.close()
        open_streams = hub.stats().clients
        portal.call(scope.cancel)

    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["x-accel-buffering"] == "no"
    assert opening.startswith(b"retry: ")
    assert heartbeat == b":\nid: e-0\n\n"
    assert (event.event, event.data) == ("alert", '{"v":1,"id":"m","key":"k","data":{"a":1}}')
    assert open_streams == 0
