"""Honest work within one's own rows. None of it may be refused, and all of it must be right."""

from __future__ import annotations

from sqlalchemy import case, delete, exists, func, insert, literal, or_, select, union, update
from sqlalchemy.orm import (
    aliased,
    joinedload,
    selectinload,
    undefer,
    with_expression,
    with_polymorphic,
)
from tests.servers.guard.attacks_reading import core, nodes, objects, readings, rows
from tests.servers.guard.attacks_writing import run
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

other = aliased(Node)


def labels(found):
    return sorted(node.label for node in found)


def own_nodes(k):
    return k.session.scalars(select(Node.label).order_by(Node.id)).all()


def _added(k, found):
    k.session.add(found)
    k.session.commit()
    return own_nodes(k)


def _ran(k, statement, *parameters):
    run(k, statement, *parameters)
    return own_nodes(k)


def _grown(k):
    own = k.session.get(Node, 1)
    own.readings += [Reading(value=5), Reading(value=5)]
    k.session.commit()
    return k.session.scalars(select(Reading.value).where(Reading.id > 3)).all()


def _changed(k):
    k.session.get(Node, 1).label = "renamed"
    k.session.commit()
    return k.session.get(Node, 1).label


def _deleted(k):
    own = k.session.get(Node, 1)
    own.tags.clear()
    k.session.execute(delete(NodeTag).where(NodeTag.node_id == 1))
    k.session.execute(update(Meter).values(place=None))
    k.session.delete(own)
    k.session.commit()
    return own_nodes(k)


def _tagged(k):
    k.session.get(Node, 2).tags += [k.session.get(Tag, 1), Tag(distributor_id="d1", name="shade")]
    k.session.commit()
    return sorted(tag.name for tag in k.session.get(Node, 2).tags)


def _added_meter(k):
    k.session.add(Meter(owner="d1", place=2, distributor="new"))
    k.session.commit()
    return rows(k, select(Meter.owner, Meter.place, Meter.distributor).where(Meter.id > 1))


def _savepoint(k):
    k.session.add(Node(label="kept"))
    k.session.flush()
    inner = k.session.begin_nested()
    k.session.add(Node(label="lost"))
    k.session.flush()
    inner.rollback()
    k.session.commit()
    return own_nodes(k)


def _merged(k):
    found = k.session.merge(Node(id=1, label="merged", distributor_id="d1"))
    k.session.commit()
    return found.label


def _raised(k):
    k.session.add(Node(label="lost"))
    k.session.flush()
    k.session.rollback()
    return own_nodes(k)


def _lateral(k):
    last = (
        select(Reading.value)
        .where(Reading.node_id == Node.id)
        .order_by(Reading.id.desc())
        .limit(1)
        .lateral()
    )
    return rows(k, select(Node.id, last.c.value).join(last, literal(True)).order_by(Node.id))


CONTROLS = [
    (attack, expected)
    for attack, expected in (
        (lambda k: labels(objects(k, select(Node))), ["one", "three", "two"]),
        (lambda k: k.session.get(Node, 1).label, "one"),
        (lambda k: k.session.get(Node, 101), None),
        (lambda k: objects(k, select(Node).where(Node.label == "two"))[0].id, 2),
        (
            lambda k: labels(objects(k, select(Node).where(or_(Node.id == 1, Node.id == 2)))),
            ["one", "two"],
        ),
        (lambda k: labels(objects(k, select(Node).order_by(Node.id).limit(1).offset(1))), ["two"]),
        (lambda k: rows(k, select(func.count()).select_from(Node)), [(3,)]),
        (lambda k: rows(k, select(func.max(Node.level), func.min(Node.level))), [(3, 1)]),
        (
            lambda k: rows(
                k, select(Node.distributor_id, func.count()).group_by(Node.distributor_id)
            ),
            [("d1", 3)],
        ),
        (
            lambda k: rows(k, select(Node.id, Reading.value).join(Reading).order_by(Reading.id)),
            [(1, 10), (1, 20), (2, 30)],
        ),
        (
            lambda k: rows(
                k,
                select(Node.id, func.sum(Reading.value))
                .outerjoin(Reading)
                .group_by(Node.id)
                .order_by(Node.id),
            ),
            [(1, 30), (2, 30), (3, None)],
        ),
        (
            lambda k: rows(
                k, select(func.count()).select_from(Node).join(other, other.id > Node.id)
            ),
            [(3,)],
        ),
        (
            lambda k: [
                len(n.readings)
                for n in objects(
                    k, select(Node).options(selectinload(Node.readings)).order_by(Node.id)
                )
            ],
            [2, 1, 0],
        ),
        (
            lambda k: [
                len(n.readings)
                for n in objects(
                    k, select(Node).options(joinedload(Node.readings)).order_by(Node.id)
                )
            ],
            [2, 1, 0],
        ),
        (lambda k: k.session.get(Node, 1).readings[0].node.label, "one"),
        (lambda k: [t.name for t in k.session.get(Node, 1).tags], ["roof"]),
        (
            lambda k: labels(objects(k, select(Node).where(Node.readings.any(Reading.value > 15)))),
            ["one", "two"],
        ),
        (
            lambda k: labels(objects(k, select(Node).where(Node.id.in_(select(Reading.node_id))))),
            ["one", "two"],
        ),
        (
            lambda k: labels(
                objects(k, select(Node).where(exists().where(Reading.node_id == Node.id)))
            ),
            ["one", "two"],
        ),
        (
            lambda k: rows(
                k, select(select(Node.id).where(Node.level > 1).order_by(Node.id).cte("c"))
            ),
            [(2,), (3,)],
        ),
        (lambda k: rows(k, select(select(nodes.c.id).where(nodes.c.id == 1).subquery())), [(1,)]),
        (lambda k: sorted(rows(k, union(select(Node.id), select(Reading.id)))), [(1,), (2,), (3,)]),
        (
            lambda k: rows(
                k, select(Node.id, func.rank().over(order_by=Node.level.desc())).order_by(Node.id)
            ),
            [(1, 3), (2, 2), (3, 1)],
        ),
        (
            lambda k: rows(
                k, select(case((Node.level > 2, "high"), else_="low")).order_by(Node.id)
            ),
            [("low",), ("low",), ("high",)],
        ),
        (lambda k: k.session.get(Node, 1, options=[undefer(Node.secret)]).secret, "own 1"),
        (lambda k: k.session.get(Node, 1).secret, "own 1"),
        (
            lambda k: [
                n.extra
                for n in objects(
                    k,
                    select(Node)
                    .options(with_expression(Node.extra, Node.level + 1))
                    .order_by(Node.id),
                )
            ],
            [2, 3, 4],
        ),
        (
            lambda k: [
                (a.price, getattr(a, "power", None))
                for a in objects(
                    k,
                    select(with_polymorphic(Asset, [Pump])).order_by(
                        Asset.__table__.c.id.is_(None)
                    ),
                )
            ],
            [(100, 5), (200, None)],
        ),
        (lambda k: objects(k, select(Pump))[0].price, 100),
        (lambda k: [d.name for d in objects(k, select(DeviceModel))], ["ultrasonic"]),
        (lambda k: rows(k, select(Distributor.id, Distributor.nodes_count)), [("d1", 3)]),
        (lambda k: core(k, select(nodes.c.label).where(nodes.c.id == 2)), [("two",)]),
        (lambda k: k.session.query(Node).filter_by(label="one").count(), 1),
        (
            lambda k: k.session.scalars(select(Node.id).with_for_update().order_by(Node.id)).all(),
            [1, 2, 3],
        ),
        (
            lambda k: _added(k, Node(distributor_id="d1", label="four")),
            ["one", "two", "three", "four"],
        ),
        (lambda k: _added(k, Node(label="four")), ["one", "two", "three", "four"]),
        (
            lambda k: _ran(k, insert(Node), [{"label": "four"}, {"label": "five", "level": 2}]),
            ["one", "two", "three", "four", "five"],
        ),
        (
            lambda k: _ran(k, insert(nodes).values(label="four", level=0)),
            ["one", "two", "three", "four"],
        ),
        (
            lambda k: _ran(
                k, insert(nodes).values([{"label": "four", "level": 0, "distributor_id": "d1"}])
            ),
            ["one", "two", "three", "four"],
        ),
        (
            lambda k: k.session.execute(
                insert(Node).values(label="four").returning(Node.label, Node.distributor_id)
            ).all(),
            [("four", "d1")],
        ),
        (lambda k: _added(k, Node(label="four", parent_id=1)), ["one", "two", "three", "four"]),
        (_grown, [5, 5]),
        (
            lambda k: _ran(k, update(Node).where(Node.id == 1).values(label="ONE")),
            ["ONE", "two", "three"],
        ),
        (lambda k: run(k, update(Node).values(level=Node.level + 1)), 3),
        (
            lambda k: run(
                k,
                update(Reading)
                .where(Reading.node_id == Node.id, Node.label == "one")
                .values(value=Reading.value + Node.level),
            ),
            2,
        ),
        (lambda k: run(k, update(nodes).where(nodes.c.id == 1), {"level": 9}), 1),
        (lambda k: run(k, update(Reading).where(Reading.id == 1).values(node_id=2)), 1),
        (_changed, "renamed"),
        (lambda k: run(k, update(Pump).where(Pump.id == 1).values(power=6)), 1),
        (lambda k: _ran(k, delete(Node).where(Node.id == 3)), ["one", "two"]),
        (lambda k: run(k, delete(readings).where(readings.c.value > 15)), 2),
        (
            lambda k: k.session.execute(
                delete(Reading).where(Reading.id == 1).returning(Reading.value)
            ).all(),
            [(10,)],
        ),
        (_deleted, ["two", "three"]),
        (_tagged, ["roof", "shade"]),
        (lambda k: run(k, delete(NodeTag).where(NodeTag.node_id == 1, NodeTag.tag_id == 1)), 1),
        (_added_meter, [("d1", 2, "new")]),
        (_savepoint, ["one", "two", "three", "kept"]),
        (_merged, "merged"),
        (_raised, ["one", "two", "three"]),
        (lambda k: rows(k, select(literal("a") + Node.label).where(Node.id == 1)), [("aone",)]),
    )
]


PG_CONTROLS = [
    (
        lambda k: rows(k, select(func.array_agg(Node.label).filter(Node.id < 3))),
        [(["one", "two"],)],
    ),
    (
        lambda k: rows(
            k, select(func.date_trunc("day", func.now()) < func.now()).select_from(Node).limit(1)
        ),
        [(True,)],
    ),
    (_lateral, [(1, 20), (2, 30)]),
]
