"""Changing what belongs to others, or pointing to it."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, insert, literal, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased, make_transient_to_detached
from sqlalchemy.schema import DropTable
from tests.servers.guard.attacks import PG, attacks
from tests.servers.guard.attacks_reading import nodes, readings
from tests.servers.guard.world import (
    Asset,
    DeviceModel,
    Distributor,
    Meter,
    Node,
    NodeTag,
    Pump,
    Reading,
    Tag,
)

OWN_NODE = {"distributor_id": "d1", "label": "new"}
THEIRS = {"distributor_id": "d2", "label": "planted"}
upserts = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def run(k, statement, *parameters):
    result = k.session.execute(statement, *parameters)
    k.session.commit()
    return result.rowcount if hasattr(result, "rowcount") else None


def add(k, *objects):
    k.session.add_all(objects)
    k.session.commit()


def foreign(k):
    """A key of somebody else's node in this world, learnt elsewhere."""
    with Session(k.plain) as session:
        return session.scalars(
            select(Node.id).where(Node.distributor_id == "d2").order_by(Node.id)
        ).first()


def foreign_tag(k):
    return 101


def ghost(k, kind=Node):
    found = kind(id=foreign(k))
    make_transient_to_detached(found)
    k.session.add(found)
    return found


def _stolen(k):
    k.session.execute(text("CREATE TABLE stolen AS SELECT * FROM nodes"))
    return k.session.execute(text("SELECT * FROM stolen")).all()


def _tagged(k):
    with Session(k.plain, expire_on_commit=False) as other:
        theirs = other.get(Tag, 150)
    own = k.session.get(Node, 2)
    own.tags.append(theirs)
    k.session.commit()
    return "tagged"


def _tagged_ghost(k):
    tag = Tag(id=150)
    make_transient_to_detached(tag)
    k.session.add(tag)
    own = k.session.get(Node, 2)
    own.tags.append(tag)
    k.session.commit()
    return own.id


def _by_engine(k, statement):
    with k.engine.begin() as connection:
        return connection.execute(statement).rowcount


def _committed(k, result):
    k.session.commit()
    return result


def _copied(k, statement):
    """Copy a foreign value into an own row, and look at the own row."""
    k.session.execute(statement)
    k.session.commit()
    with Session(k.plain) as session:
        return session.execute(
            select(Node.level).where(Node.distributor_id == "d1").order_by(Node.id)
        ).all(), session.execute(
            select(Reading.value).where(Reading.node_id < 100).order_by(Reading.id)
        ).all()


def _bulk_save(k):
    found = Node(id=foreign(k))
    make_transient_to_detached(found)
    found.level = 0
    k.session.bulk_save_objects([found])
    k.session.commit()


def _changed(k, found, **values):
    for name, value in values.items():
        setattr(found, name, value)
    k.session.commit()
    return "changed"


def _changed_stranger(k):
    with Session(k.plain, expire_on_commit=False) as other:
        found = other.get(Node, foreign(k))
    k.session.add(found)
    return _changed(k, found, level=0)


def _deleted(k, found):
    k.session.delete(found)
    k.session.commit()
    return "deleted"


def _expression(k):
    own = k.session.get(Node, 1)
    own.level = select(func.max(nodes.alias().c.level)).scalar_subquery()
    k.session.commit()
    return own.level


WRITING = [
    *attacks(
        "update",
        all=lambda k: run(k, update(Node).values(level=0)),
        one=lambda k: run(k, update(Node).where(Node.id == foreign(k)).values(level=0)),
        core=lambda k: run(k, update(nodes).values(level=0)),
        core_by_engine=lambda k: _by_engine(k, update(nodes).values(level=0)),
        by_parameter=lambda k: run(k, update(nodes).where(nodes.c.id > 0), {"level": 0}),
        bound_where=lambda k: run(
            k, update(nodes).where(nodes.c.id == bindparam("x")).values(level=0), {"x": foreign(k)}
        ),
        fetch=lambda k: run(
            k, update(Node).values(level=0).execution_options(synchronize_session="fetch")
        ),
        evaluate=lambda k: run(
            k, update(Node).values(level=0).execution_options(synchronize_session="evaluate")
        ),
        returning=lambda k: k.session.execute(
            update(Node).values(level=0).returning(Node.id, Node.label)
        ).all(),
        from_another=lambda k: run(
            k, update(Node).where(Node.id == Reading.node_id).values(level=Reading.value)
        ),
        from_foreign_value=lambda k: _copied(
            k,
            update(Node)
            .where(Node.id == 1)
            .values(level=select(func.max(nodes.alias().c.level)).scalar_subquery()),
        ),
        from_foreign_table=lambda k: _copied(
            k, update(Node).where(Node.id == 1, Reading.value > 8000).values(level=Reading.value)
        ),
        in_subquery=lambda k: run(
            k, update(Node).where(Node.id.in_(select(Node.id))).values(level=0)
        ),
        child_of_child=lambda k: run(k, update(Reading).values(value=0)),
        joined_child=lambda k: run(k, update(Pump).values(power=0)),
        joined_child_by_parent=lambda k: run(
            k, update(Pump).where(Pump.id == Asset.id).values(power=0)
        ),
        joined_parent=lambda k: run(k, update(Asset).values(price=0)),
        child_core=lambda k: run(k, update(Pump.__table__).values(power=0)),
        legacy=lambda k: _committed(k, k.session.query(Node).update({"level": 0})),
        legacy_filtered=lambda k: _committed(
            k, k.session.query(Node).filter(Node.id == foreign(k)).update({"level": 0})
        ),
        bulk_by_key=lambda k: run(k, update(Node), [{"id": foreign(k), "level": 0}]),
        bulk_mappings=lambda k: _committed(
            k, k.session.bulk_update_mappings(Node, [{"id": foreign(k), "level": 0}])
        ),
        bulk_save=_bulk_save,
        executemany=lambda k: (
            k.session.connection()
            .execute(
                update(nodes).where(nodes.c.id == bindparam("x")).values(level=bindparam("l")),
                [{"x": foreign(k), "l": 0}, {"x": 1, "l": 0}],
            )
            .rowcount
        ),
        ghost=lambda k: _changed(k, ghost(k), level=0),
        of_another_session=_changed_stranger,
        through_relationship=lambda k: _changed(k, k.session.get(Node, 3).parent, level=0),
        root=lambda k: run(k, update(Distributor).values(name="mine")),
        shared=lambda k: run(k, update(DeviceModel).values(name="mine")),
        association=lambda k: run(k, update(NodeTag).where(NodeTag.node_id > 100).values(tag_id=1)),
        give_away=lambda k: run(k, update(Node).where(Node.id == 1).values(distributor_id="d2")),
        take_over=lambda k: run(
            k, update(Node).where(Node.id == foreign(k)).values(distributor_id="d1")
        ),
        give_away_by_parameter=lambda k: (
            k.session.connection()
            .execute(update(nodes).where(nodes.c.id == 1), {"distributor_id": "d2"})
            .rowcount
        ),
        give_away_object=lambda k: _changed(k, k.session.get(Node, 1), distributor_id="d2"),
        give_away_expression=lambda k: run(
            k, update(Node).where(Node.id == 1).values(distributor_id=literal("d") + "2")
        ),
        move_to_their_node=lambda k: run(
            k, update(Reading).where(Reading.id == 1).values(node_id=foreign(k))
        ),
        move_object_to_their_node=lambda k: _changed(
            k, k.session.get(Reading, 1), node_id=foreign(k)
        ),
        point_to_theirs=lambda k: run(
            k, update(Node).where(Node.id == 1).values(parent_id=foreign(k))
        ),
        point_object_to_theirs=lambda k: _changed(k, k.session.get(Node, 1), parent_id=foreign(k)),
        point_ordered=lambda k: run(
            k, update(nodes).where(nodes.c.id == 1).ordered_values((nodes.c.parent_id, foreign(k)))
        ),
        change_key=lambda k: run(k, update(Asset).where(Asset.id == 2).values(id=101)),
        text=lambda k: run(k, text("UPDATE nodes SET level = 0")),
        text_in_where=lambda k: run(k, update(Node).where(text("1=1 or 1=1")).values(level=0)),
        text_as_value=lambda k: _copied(
            k,
            update(nodes)
            .where(nodes.c.id == 1)
            .values(level=text("(SELECT max(level) FROM nodes)")),
        ),
        expression_as_attribute=_expression,
        alias=lambda k: run(k, update(aliased(Node)).values(level=0)),
    ),
    *attacks(
        "update",
        *PG,
        nested_in_cte=lambda k: k.session.execute(
            select(update(nodes).values(level=0).returning(nodes.c.id).cte())
        ).all(),
    ),
    *attacks(
        "delete",
        all=lambda k: run(k, delete(Reading)),
        one=lambda k: run(k, delete(Reading).where(Reading.node_id == foreign(k))),
        core=lambda k: run(k, delete(readings)),
        returning=lambda k: k.session.execute(
            delete(Reading).returning(Reading.id, Reading.value)
        ).all(),
        using=lambda k: (
            run(k, delete(Reading).where(Reading.node_id == Node.id, Node.level > 100))
            if k.dialect == "postgresql"
            else run(
                k,
                delete(Reading).where(Reading.node_id.in_(select(Node.id).where(Node.level > 100))),
            )
        ),
        in_subquery=lambda k: run(k, delete(Reading).where(Reading.id.in_(select(Reading.id)))),
        legacy=lambda k: _committed(k, k.session.query(Reading).delete()),
        association=lambda k: run(k, delete(NodeTag)),
        tags=lambda k: run(k, delete(NodeTag).where(NodeTag.tag_id == 101)),
        joined_child=lambda k: run(k, delete(Pump.__table__)),
        ghost=lambda k: _deleted(k, ghost(k)),
        through_relationship=lambda k: _deleted(k, k.session.get(Node, 3).parent),
        text=lambda k: run(k, text("DELETE FROM readings")),
        text_in_where=lambda k: run(k, delete(Reading).where(text("1=1 or 1=1"))),
        shared=lambda k: run(k, delete(DeviceModel)),
        executemany=lambda k: (
            k.session.connection()
            .execute(
                delete(readings).where(readings.c.node_id == bindparam("x")),
                [{"x": foreign(k)}, {"x": 2}],
            )
            .rowcount
        ),
        alias=lambda k: run(k, delete(aliased(Reading))),
    ),
    *attacks(
        "delete",
        *PG,
        nested_in_cte=lambda k: k.session.execute(
            select(delete(readings).returning(readings.c.id).cte())
        ).all(),
        truncate=lambda k: run(k, text("TRUNCATE readings")),
    ),
    *attacks(
        "insert",
        for_another=lambda k: run(k, insert(Node).values(**THEIRS)),
        for_another_core=lambda k: run(k, insert(nodes).values(**THEIRS)),
        for_another_by_parameter=lambda k: run(k, insert(nodes), THEIRS),
        for_another_by_engine=lambda k: _by_engine(k, insert(nodes).values(**THEIRS)),
        for_another_among_own=lambda k: run(k, insert(Node), [OWN_NODE, THEIRS]),
        for_another_in_many_values=lambda k: run(
            k, insert(nodes).values([OWN_NODE | {"level": 1}, THEIRS | {"level": 2}])
        ),
        for_another_object=lambda k: add(k, Node(**THEIRS)),
        for_another_returning=lambda k: k.session.execute(
            insert(Node).values(**THEIRS).returning(Node.label)
        ).all(),
        for_another_by_expression=lambda k: run(
            k, insert(nodes).values(distributor_id=literal("d") + "2", label="planted")
        ),
        for_another_by_bulk=lambda k: _committed(k, k.session.bulk_insert_mappings(Node, [THEIRS])),
        for_another_by_bulk_save=lambda k: _committed(
            k, k.session.bulk_save_objects([Node(**THEIRS)])
        ),
        under_their_node=lambda k: run(k, insert(Reading).values(node_id=foreign(k), value=1)),
        under_their_node_many=lambda k: run(
            k, insert(readings), [{"node_id": 1, "value": 1}, {"node_id": foreign(k), "value": 2}]
        ),
        under_their_node_object=lambda k: add(k, Reading(node_id=foreign(k), value=1)),
        under_their_ghost=lambda k: add(k, Reading(node=ghost(k), value=1)),
        under_their_node_expression=lambda k: run(
            k, insert(readings).values(node_id=literal(foreign(k)) + 0, value=1)
        ),
        pointing_to_theirs=lambda k: run(k, insert(Node).values(**OWN_NODE, parent_id=foreign(k))),
        pointing_to_theirs_object=lambda k: add(k, Node(**OWN_NODE, parent_id=foreign(k))),
        tag_of_theirs=lambda k: add(k, NodeTag(node_id=2, tag_id=foreign_tag(k))),
        tag_on_theirs=lambda k: run(
            k, insert(NodeTag.__table__).values(node_id=foreign(k), tag_id=1)
        ),
        key_that_collides=lambda k: run(
            k, insert(nodes).values(id=101, distributor_id="d1", label="probe")
        ),
        key_that_collides_object=lambda k: add(k, Node(id=101, distributor_id="d1", label="probe")),
        key_of_a_tenant=lambda k: run(k, insert(Distributor).values(id="d3", name="mine")),
        another_tenant=lambda k: run(k, insert(Distributor).values(id="d4", name="mine")),
        from_select=lambda k: _copied(
            k,
            insert(nodes).from_select(
                ["distributor_id", "label", "level"],
                select(literal("d1"), Node.label, Node.level).where(Node.level > 100),
            ),
        ),
        from_select_for_another=lambda k: run(
            k,
            insert(nodes).from_select(
                ["distributor_id", "label", "level"],
                select(literal("d2"), literal("planted"), literal(1)),
            ),
        ),
        upsert=lambda k: run(
            k,
            upserts[k.dialect](nodes)
            .values(id=foreign(k), distributor_id="d1", label="x")
            .on_conflict_do_update(index_elements=["id"], set_={"level": 0}),
        ),
        upsert_nothing=lambda k: k.session.execute(
            upserts[k.dialect](nodes)
            .values(id=101, distributor_id="d1", label="x")
            .on_conflict_do_nothing()
            .returning(nodes.c.id)
        ).all(),
        value_of_theirs=lambda k: _copied(
            k,
            insert(readings).values(
                node_id=1, value=select(func.max(Node.level)).scalar_subquery()
            ),
        ),
        text=lambda k: run(
            k, text("INSERT INTO nodes (distributor_id, label, level) VALUES ('d2', 'planted', 1)")
        ),
        shared=lambda k: run(k, insert(DeviceModel).values(name="mine")),
        without_a_rule=lambda k: run(k, text("INSERT INTO forgotten (id, value) VALUES (9, 9)")),
    ),
    *attacks(
        "insert",
        *PG,
        nested_in_cte=lambda k: k.session.execute(
            select(insert(nodes).values(**THEIRS).returning(nodes.c.id).cte())
        ).all(),
    ),
    *attacks(
        "name",
        attribute=lambda k: run(k, insert(Meter).values(owner="d2")),
        attribute_object=lambda k: add(k, Meter(owner="d2")),
        attribute_column=lambda k: run(k, insert(Meter).values({Meter.owner: "d2"})),
        synonym_object=lambda k: add(k, Meter(holder="d2")),
        attribute_parameter=lambda k: run(k, insert(Meter), [{"owner": "d2"}, {"owner": "d1"}]),
        attribute_many=lambda k: run(k, insert(Meter).values([{"owner": "d1"}, {"owner": "d2"}])),
        attribute_bulk=lambda k: _committed(
            k, k.session.bulk_insert_mappings(Meter, [{"owner": "d2"}])
        ),
        attribute_update=lambda k: run(k, update(Meter).values(owner="d2")),
        attribute_update_column=lambda k: run(k, update(Meter).values({Meter.owner: "d2"})),
        attribute_update_object=lambda k: _changed(k, k.session.get(Meter, 1), owner="d2"),
        attribute_reference=lambda k: run(k, insert(Meter).values(owner="d1", place=foreign(k))),
        attribute_reference_update=lambda k: run(
            k, update(Meter).where(Meter.id == 1).values(place=foreign(k))
        ),
        attribute_reference_object=lambda k: _changed(k, k.session.get(Meter, 1), place=foreign(k)),
        core_key=lambda k: run(
            k, insert(Meter.__table__).values({Meter.__table__.c.distributor_id: "d2"})
        ),
        tuple_of_values=lambda k: (
            run(k, insert(Meter.__table__).values((None, "d2", None, "x")))
            if k.dialect == "sqlite"
            else run(k, insert(Meter.__table__).values([(9000, "d2", None, "x")]))
        ),
        named_parameter=lambda k: run(
            k,
            insert(nodes).values(distributor_id=bindparam("x"), label="planted", level=1),
            {"x": "d2"},
        ),
        named_parameter_many=lambda k: (
            k.session.connection()
            .execute(
                insert(nodes).values(distributor_id=bindparam("x"), label=bindparam("l"), level=1),
                [{"x": "d1", "l": "a"}, {"x": "d2", "l": "b"}],
            )
            .rowcount
        ),
        named_reference=lambda k: run(
            k,
            update(nodes).where(nodes.c.id == 1).values(parent_id=bindparam("p")),
            {"p": foreign(k)},
        ),
        named_reference_of_new=lambda k: run(
            k, insert(readings).values(node_id=bindparam("n"), value=1), {"n": foreign(k)}
        ),
        callable_parameter=lambda k: run(
            k,
            insert(nodes).values(
                distributor_id=bindparam(None, callable_=lambda: "d2"), label="planted", level=1
            ),
        ),
        many_to_many=_tagged,
        many_to_many_of_ghost=_tagged_ghost,
    ),
    *attacks(
        "definition",
        drop=lambda k: run(k, DropTable(NodeTag.__table__)),
        create_as=_stolen,
    ),
]
