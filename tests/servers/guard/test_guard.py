"""No form of statement gets through the guard, and honest work does.

Each attack runs in two worlds that differ only in rows of others. It is effective when it can
tell them apart, changes such a row, or leaves one of ours that points to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.servers.guard.attacks import Attack
from tests.servers.guard.attacks_reading import READING
from tests.servers.guard.attacks_tricks import TRICKS
from tests.servers.guard.attacks_writing import WRITING
from tests.servers.guard.controls import CONTROLS, PG_CONTROLS
from tests.servers.guard.world import (
    LOGIN,
    Kit,
    World,
    kit_behind_wall,
    kit_with_both,
    kit_with_guard,
    kit_without_defence,
    observe,
)

# Some attacks are careless, and SQLAlchemy warns of them: of cartesian products, for one.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

ATTACKS = [*READING, *TRICKS, *WRITING]
OPEN = {"binding: driver connection"}
"""Open to the guard alone, each named: code that holds a connection of the driver itself."""

OPEN_BEHIND_THE_WALL_ALONE = {
    # Code that was handed another engine, or an object that another session had read.
    "binding: bind argument",
    "binding: bind of connection",
    "binding: exchanged bind",
    "binding: several binds",
    "object: of another session",
    # A foreign key is checked without looking at policies, and a key that is taken is told of.
    "insert: key that collides",
    "insert: key that collides object",
    "insert: pointing to theirs",
    "insert: pointing to theirs object",
    "insert: tag of theirs",
    "insert: upsert nothing",
    "name: attribute reference",
    "name: attribute reference object",
    "name: attribute reference update",
    "name: many to many",
    "name: many to many of ghost",
    "name: named reference",
    "update: change key",
    "update: point object to theirs",
    "update: point ordered",
    "update: point to theirs",
}
"""Open to row-level security alone. The guard closes them; in the reference schema, so do
composite keys for references."""

FILLED_IN_BY_THE_GUARD = {35, 36, 37, 39, 40, 56, 58}
"""Honest work that adds a row and leaves its owner to the guard."""

Worlds = tuple[World, World]


def worlds_of(first: str, second: str, **options: Any) -> Worlds:
    one, other = (
        World(create_engine(url, **options), number) for number, url in enumerate((first, second))
    )
    return one, other


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Worlds]:
    made = worlds_of(
        "sqlite://", "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    yield made
    for world in made:
        world.engine.dispose()


@pytest.fixture(scope="module")
def postgresql(postgres_server) -> Iterator[Worlds]:
    names = [f"evara_guard_{uuid4().hex[:12]}" for _ in range(2)]
    with psycopg.connect(postgres_server.url, autocommit=True) as link:
        for name in names:
            link.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    made = worlds_of(
        *(
            urlunsplit(
                urlsplit(postgres_server.url)._replace(scheme="postgresql+psycopg", path=f"/{name}")
            )
            for name in names
        )
    )
    for world in made:
        login = world.engine.url.set(username=LOGIN, password="evara")
        world.app = create_engine(login)
        world.raise_wall()
    yield made
    for world in made:
        world.engine.dispose()
        world.app.dispose()
    with psycopg.connect(postgres_server.url, autocommit=True) as link:
        for name in names:
            link.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def worlds(request: pytest.FixtureRequest, dialect: str) -> Worlds:
    return request.getfixturevalue(dialect)


def breach(
    worlds: Worlds, attack: Attack, kit: Callable[[World], AbstractContextManager[Kit]]
) -> str | None:
    """Return what *attack* achieves, or None."""
    seen = []
    for world in worlds:
        world.fill()
        before, pointed = world.theirs(), world.references()
        with kit(world) as given:
            seen.append(observe(attack.run, given))
        if world.theirs() != before:
            return f"wrote: {seen[-1]}"
        if world.references() > pointed:
            return f"points to theirs: {seen[-1]}"
    return None if seen[0] == seen[1] else f"saw a difference: {seen}"


EACH = pytest.mark.parametrize(
    ("dialect", "attack"),
    [
        pytest.param(
            dialect,
            attack,
            id=f"{dialect}-{attack.name}",
            marks=[pytest.mark.server] if dialect == "postgresql" else [],
        )
        for dialect in ("sqlite", "postgresql")
        for attack in ATTACKS
        if dialect in attack.dialects
    ],
)


BEHIND = pytest.mark.parametrize(
    ("dialect", "attack"),
    [
        pytest.param("postgresql", attack, id=attack.name, marks=[pytest.mark.server])
        for attack in ATTACKS
        if "postgresql" in attack.dialects
    ],
)


@EACH
def test_each_attack_is_effective_where_nothing_stands(worlds: Worlds, attack: Attack) -> None:
    assert breach(worlds, attack, kit_without_defence) is not None


@EACH
def test_the_guard_stops_it(worlds: Worlds, attack: Attack) -> None:
    achieved = breach(worlds, attack, kit_with_guard)

    assert (achieved is not None) == (attack.name in OPEN), achieved


@BEHIND
def test_the_wall_behind_it_stops_it_too(worlds: Worlds, attack: Attack) -> None:
    achieved = breach(worlds, attack, kit_behind_wall)

    assert (achieved is not None) == (attack.name in OPEN_BEHIND_THE_WALL_ALONE), achieved


@BEHIND
def test_nothing_gets_through_both(worlds: Worlds, attack: Attack) -> None:
    assert breach(worlds, attack, kit_with_both) is None


@pytest.mark.parametrize(
    ("dialect", "number"),
    [("sqlite", number) for number in range(len(CONTROLS))]
    + [
        pytest.param("postgresql", number, marks=pytest.mark.server)
        for number in range(len(CONTROLS) + len(PG_CONTROLS))
    ],
)
def test_honest_work_is_done_as_ever(worlds: Worlds, number: int) -> None:
    assert_done(number, worlds[0], kit_with_guard)


@pytest.mark.server
@pytest.mark.parametrize(
    ("number", "kit"),
    [
        (number, kit)
        for number in range(len(CONTROLS) + len(PG_CONTROLS))
        for kit in (kit_behind_wall, kit_with_both)
        if kit is kit_with_both or number not in FILLED_IN_BY_THE_GUARD
    ],
)
def test_honest_work_is_done_behind_the_wall(
    postgresql: Worlds, number: int, kit: Callable[[World], AbstractContextManager[Kit]]
) -> None:
    assert_done(number, postgresql[0], kit)


def assert_done(
    number: int, world: World, kit: Callable[[World], AbstractContextManager[Kit]]
) -> None:
    work, expected = (CONTROLS + PG_CONTROLS)[number]
    world.fill()

    with kit(world) as given:
        assert work(given) == expected


def test_the_lists_are_as_long_as_they_are_said_to_be() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 300
    assert len(CONTROLS) >= 50
