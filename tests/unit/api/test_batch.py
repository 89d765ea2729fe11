"""What a client may send as a batch, and how it is answered. The writing: tests/contracts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evara_core.api.batch import BatchMode, BatchSpec, Operation, Outcome, batch_reply, parse_batch
from evara_core.api.bodies import Writable, read_members
from evara_core.errors import ConflictError, InvalidBodyError, InvalidItemsError, NotFoundError
from evara_core.query.spec import Field, FieldType

SPEC = BatchSpec(
    name="node",
    writables=(
        Writable(field=Field(name="label", max_length=10), is_required=True),
        Writable(field=Field(name="category", choices=("OHT", "sump")), is_nullable=True),
        Writable(field=Field(name="height_cm", type=FieldType.NUMBER, minimum=0)),
        Writable(field=Field(name="floors", type=FieldType.INTEGER)),
        Writable(field=Field(name="live", type=FieldType.BOOLEAN)),
        Writable(field=Field(name="built_at", type=FieldType.MOMENT)),
    ),
    key=Writable(field=Field(name="id", type=FieldType.INTEGER)),
    max_items=3,
)


def create(*items, **more):
    return parse_batch(SPEC, Operation.CREATE, {"items": list(items), **more})


def errors_of(call):
    with pytest.raises(InvalidItemsError) as caught:
        call()
    return [(index, str(error)) for index, error in caught.value.items]


def test_reads_typed_values():
    batch = create(
        {
            "label": "Bakul",
            "category": None,
            "height_cm": 300,
            "floors": 2,
            "live": True,
            "built_at": "2026-01-01T05:30:00+05:30",
        }
    )

    assert batch.mode is BatchMode.ATOMIC
    assert batch.items[0].values == {
        "label": "Bakul",
        "category": None,
        "height_cm": 300.0,
        "floors": 2,
        "live": True,
        "built_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    assert type(batch.items[0].values["height_cm"]) is float


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({}, "/label: is missing"),
        ([], "the body: not an object"),
        ({"label": None}, "/label: may not be null"),
        ({"label": 7}, "/label: not a value of type text"),
        ({"label": "x" * 11}, "/label: longer than 10 characters"),
        ({"label": "a\x00"}, "/label: holds a NUL character"),
        ({"label": "a", "category": "oht"}, "/category: unknown value 'oht' (allowed: OHT, sump)"),
        ({"label": "a", "height_cm": "300"}, "/height_cm: not a value of type number"),
        ({"label": "a", "height_cm": -1}, "/height_cm: not between 0 and inf"),
        ({"label": "a", "height_cm": True}, "/height_cm: not a value of type number"),
        ({"label": "a", "floors": 1.0}, "/floors: not a value of type integer"),
        ({"label": "a", "floors": 2**63}, "/floors: not between"),
        ({"label": "a", "live": 1}, "/live: not a value of type boolean"),
        ({"label": "a", "built_at": "soon"}, "/built_at: not a moment"),
        (
            {"label": "a", "distributor_id": "d"},
            "/distributor_id: is not a member that can be written",
        ),
        ({"label": "a", "id": 7}, "/id: is not a member that can be written"),
        ({"label": "a", "a/b~": 7}, "/a~1b~0: is not a member"),
    ],
)
def test_an_item_that_cannot_be_read_refuses_the_batch(item, problem):
    ((index, found),) = errors_of(lambda: create({"label": "good"}, item))

    assert index == 1
    assert found.startswith(problem)


def test_says_all_that_is_wrong_at_once():
    assert [index for index, _ in errors_of(lambda: create({}, {"label": "a"}, {}))] == [0, 2]


def test_a_partial_batch_goes_on_with_what_is_good():
    batch = create({}, {"label": "a"}, mode="partial")

    assert [item.index for item in batch.items] == [1]
    assert 0 in batch.failures


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (None, "the body: not an object"),
        ([], "the body: not an object"),
        ({}, "/items: not a list"),
        ({"items": []}, "/items: not a list of one item or more"),
        ({"items": {}}, "/items: not a list"),
        ({"items": [{}] * 4}, "/items: more than 3 items"),
        ({"items": [{}], "mode": "some"}, "/mode: unknown value (allowed: atomic, partial)"),
        ({"items": [{}], "mode": []}, "/mode: unknown value"),
        ({"items": [{}], "missing": "ignore"}, "/missing: is for deleting only"),
        ({"items": [{}], "filter": "all"}, "/filter: is not a member of a batch"),
    ],
)
def test_refuses_what_is_no_batch(body, problem):
    with pytest.raises(InvalidBodyError) as caught:
        parse_batch(SPEC, Operation.CREATE, body)

    assert str(caught.value).startswith(problem)


def test_the_mode_may_be_a_parameter():
    batch = parse_batch(SPEC, Operation.CREATE, {"items": [{"label": "a"}]}, mode="partial")

    assert batch.mode is BatchMode.PARTIAL


def test_an_update_names_its_record_and_changes_something():
    body = {"items": [{"id": 1, "label": "a", "etag": '"x"'}, {"label": "b"}, {"id": 3}]}

    assert errors_of(lambda: parse_batch(SPEC, Operation.UPDATE, body)) == [
        (1, "/id: is missing"),
        (2, "the body: changes nothing"),
    ]
    (item,) = parse_batch(SPEC, Operation.UPDATE, {"items": body["items"][:1]}).items
    assert (item.key, item.values, item.etag) == (1, {"label": "a"}, '"x"')


def test_a_record_is_named_once():
    body = {"items": [{"id": 1}, {"id": 2}, {"id": 1}]}

    assert errors_of(lambda: parse_batch(SPEC, Operation.DELETE, body)) == [
        (2, "/id: is that of item 0, too")
    ]


def test_a_deletion_takes_nothing_but_the_key():
    body = {"items": [{"id": 1, "label": "a"}]}

    assert errors_of(lambda: parse_batch(SPEC, Operation.DELETE, body))[0][1].startswith("/label")


def test_an_atomic_batch_is_answered_with_its_records_in_order():
    batch = create({"label": "a"}, {"label": "b"})

    reply = batch_reply(batch, [Outcome(index=1, data={"id": 2}), Outcome(index=0, data={"id": 1})])

    assert (reply.status, reply.data) == (201, [{"id": 1}, {"id": 2}])
    assert (reply.succeeded, reply.failed) == (2, 0)


def test_a_partial_batch_is_answered_item_by_item():
    batch = create({}, {"label": "a"}, {"label": "b"}, mode="partial")
    batch.failures.add(2, ConflictError())

    reply = batch_reply(batch, [Outcome(index=1, data={"id": 2})])

    assert reply.status == 207
    assert [each["status"] for each in reply.data] == [400, 201, 409]
    assert reply.data[0]["errors"] == [
        {
            "code": "INVALID_BODY",
            "message": "/label: is missing",
            "field": "label",
            "where": "body",
            "pointer": "/label",
        }
    ]
    assert reply.data[1] == {"index": 1, "status": 201, "data": {"id": 2}}
    assert (reply.succeeded, reply.failed) == (1, 2)


def test_is_207_also_when_all_fail():
    batch = create({}, mode="partial")

    assert batch_reply(batch, []).status == 207


def test_deleted_records_have_no_data():
    batch = parse_batch(SPEC, Operation.DELETE, {"items": [{"id": 1}]})

    assert batch_reply(batch, [Outcome(index=0)]).data == [None]


def test_the_first_error_of_an_item_stands():
    batch = create({}, mode="partial")
    batch.failures.add(0, NotFoundError("node"))

    assert [type(error) for _, error in batch.failures.items()] == [InvalidBodyError]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([each.field.name for each in SPEC.writables]) | st.text()


@given(st.dictionaries(names, json_values, max_size=4))
def test_any_object_is_read_or_refused_at_a_place(body):
    try:
        found = read_members(body, SPEC.writables, is_new=True)
    except InvalidBodyError as error:
        assert error.pointer.startswith("/")  # noqa: PT017 - one of two ways
    else:
        assert set(found) == set(body)
