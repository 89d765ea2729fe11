"""The chain of who did what: whatever is done to it shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.access.audit import (
    GENESIS,
    AuditEntry,
    AuditFact,
    ChainFault,
    ChainHead,
    append,
    audit_fact,
    changed_fields,
    find_break,
)
from evara_core.access.principal import Principal, Role
from evara_core.access.roles import built_in_policy
from evara_core.access.tenancy import Tenancy
from evara_core.serialization import load_json

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"a key that is not in the database"


def fact(number: int) -> AuditFact:
    return AuditFact(
        at=NOW,
        actor_id="u",
        actor_role="distributor",
        action="nodes:write",
        resource="nodes",
        resource_id=str(number),
        after={"label": f"OHT-{number}\n\x1b[31m"},
    )


def chain(length: int, key: bytes | None = None) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    head = ChainHead()
    for number in range(length):
        entries.append(append(head, fact(number), key=key))
        head = entries[-1].head
    return entries


def test_an_entry_follows_the_one_before() -> None:
    first, second = chain(2)

    assert (first.sequence, first.previous) == (1, GENESIS)
    assert (second.sequence, second.previous) == (2, first.digest)
    assert load_json(first.content)["resource_id"] == "0"


@pytest.mark.parametrize("key", [None, KEY])
def test_an_untouched_chain_is_whole_in_parts_too(key: bytes | None) -> None:
    entries = chain(5, key)

    assert find_break(entries, key=key) is None
    assert find_break(entries, key=key, end=entries[-1].head) is None
    assert find_break(entries[2:], key=key, start=entries[1].head) is None
    assert find_break([], key=key) is None


@given(
    st.integers(0, 4), st.sampled_from(["leave out", "alter", "swap", "double", "insert", "redo"])
)
def test_whatever_is_done_to_an_entry_shows(place: int, deed: str) -> None:
    entries = chain(5, KEY)
    head = entries[-1].head
    touched = entries[place]
    match deed:
        case "leave out":
            del entries[place]
        case "alter":
            entries[place] = replace(touched, content=touched.content.replace("u", "v"))
        case "swap":
            entries[place], entries[place - 1] = entries[place - 1], entries[place]
        case "double":
            entries.insert(place, touched)
        case "insert":
            entries.insert(place, append(ChainHead(), fact(9), key=KEY))
        case _:  # mend the chain without the key
            before = ChainHead(sequence=place, digest=touched.previous)
            entries[place] = append(before, fact(9))

    assert find_break(entries, key=KEY, end=head) is not None


def test_an_end_that_was_cut_off_shows_against_a_head_that_was_noted() -> None:
    entries = chain(5)
    head = entries[-1].head

    assert find_break(entries[:4]) is None
    assert find_break(entries[:4], end=head) == (5, ChainFault.CUT_OFF)
    assert find_break([], end=head) == (1, ChainFault.CUT_OFF)


def test_another_key_does_not_fit() -> None:
    assert find_break(chain(2, KEY)) == (1, ChainFault.ALTERED)


def test_a_mended_link_shows_at_the_next_one() -> None:
    entries = chain(3)
    entries[0] = append(ChainHead(), fact(9))

    assert find_break(entries) == (2, ChainFault.UNLINKED)


def test_only_declared_fields_that_changed_are_kept() -> None:
    before = {"label": "a", "capacity_l": 5, "key": "secret"}
    after = {"label": "b", "capacity_l": 5, "key": "other", "place": "x"}

    assert changed_fields(before, after, ["label", "capacity_l", "place"]) == (
        {"label": "a"},
        {"label": "b", "place": "x"},
    )


def test_a_fact_tells_who_what_whose_and_why() -> None:
    principal = Principal(user_id="u", role=Role.DISTRIBUTOR, distributor_id="d1")
    decision = built_in_policy().decide(principal, "nodes:write")

    told = audit_fact(
        principal,
        decision,
        at=NOW,
        resource="nodes",
        resource_id="n1",
        tenancy=Tenancy(distributor_id="d1", customer_id="c1"),
        before={"label": "a"},
        after={"label": "b"},
        request_id="r1",
    )

    assert (told.actor_id, told.action, told.reason) == ("u", "nodes:write", "granted")
    assert (told.distributor_id, told.customer_id) == ("d1", "c1")
    assert told.policy_version == decision.policy_version
    assert audit_fact(principal, decision, at=NOW, resource="x", resource_id="").before == {}
