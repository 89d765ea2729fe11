"""Reading what belongs to others, by the forms that SQLAlchemy offers."""

from __future__ import annotations

from sqlalchemy import (
    Integer,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    intersect,
    lambda_stmt,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    union,
    union_all,
    values,
)
from sqlalchemy.orm import (
    Bundle,
    aliased,
    contains_eager,
    joinedload,
    selectin_polymorphic,
    selectinload,
    subqueryload,
    undefer,
    with_expression,
    with_polymorphic,
)
from tests.servers.guard.attacks import PG, attacks
from tests.servers.guard.world import Asset, Distributor, Node, NodeTag, Pump, Reading, Tag

nodes = Node.__table__
readings = Reading.__table__
other = aliased(Node)


def rows(k, statement):
    return k.session.execute(statement).all()


def objects(k, statement):
    return k.session.scalars(statement).unique().all()


def core(k, statement):
    with k.engine.connect() as connection:
        return connection.execute(statement).all()


def _tree():
    base = (
        select(Node.id, Node.parent_id).where(Node.parent_id.is_(None)).cte("tree", recursive=True)
    )
    return select(
        base.union_all(select(Node.id, Node.parent_id).where(Node.parent_id == base.c.id))
    )


def _twice(cte):
    return select(cte.c.id, cte.alias().c.id)


def _with_values():
    wanted = values(column("id", Integer), name="wanted").data([(101,), (103,)])
    return select(wanted.c.id, Node.label).select_from(
        wanted.outerjoin(nodes, nodes.c.id == wanted.c.id)
    )


def _lateral():
    last = (
        select(Reading.value)
        .where(Reading.node_id == Node.id)
        .order_by(Reading.id.desc())
        .limit(1)
        .lateral()
    )
    return select(Node.id, last.c.value).join(last, true())


def _core_aliases():
    left, right = nodes.alias("l"), nodes.alias("r")
    return select(left.c.id, right.c.id).select_from(left.join(right, left.c.id != right.c.id))


def _eager():
    parent = aliased(Node)
    return (
        select(Node).join(parent, Node.parent).options(contains_eager(Node.parent.of_type(parent)))
    )


def _refreshed(k):
    node = k.session.get(Node, 3)
    k.session.refresh(node, ["parent"])
    return node.parent


READING = [
    *attacks(
        "entity",
        select_all=lambda k: objects(k, select(Node)),
        get=lambda k: k.session.get(Node, 101),
        get_with_options=lambda k: k.session.get(Node, 101, options=[undefer(Node.secret)]),
        get_populate=lambda k: k.session.get(Node, 101, populate_existing=True),
        where_id=lambda k: objects(k, select(Node).where(Node.id == 101)),
        where_other_tenant=lambda k: objects(k, select(Node).where(Node.distributor_id == "d2")),
        filter_by=lambda k: objects(k, select(Node).filter_by(label="zero")),
        or_true=lambda k: objects(k, select(Node).where(or_(Node.id == 1, true()))),
        tautology=lambda k: objects(
            k, select(Node).where(or_(Node.distributor_id == "d1", literal(1) == 1))
        ),
        in_list=lambda k: objects(k, select(Node).where(Node.id.in_([1, 101, 103]))),
        tuple_in=lambda k: objects(
            k, select(Node).where(tuple_(Node.id, Node.level).in_([(101, 900)]))
        ),
        not_in=lambda k: objects(k, select(Node).where(Node.id.not_in([1, 2, 3]))),
        order=lambda k: objects(k, select(Node).order_by(Node.level.desc()).limit(1)),
        offset=lambda k: objects(k, select(Node).order_by(Node.id).offset(3)),
        distinct=lambda k: objects(k, select(Node.distributor_id).distinct()),
        yield_per=lambda k: list(k.session.scalars(select(Node).execution_options(yield_per=1))),
        partitions=lambda k: [list(p) for p in k.session.scalars(select(Node)).partitions(2)],
        stream=lambda k: list(
            k.session.scalars(select(Node).execution_options(stream_results=True))
        ),
        bundle=lambda k: [tuple(b) for (b,) in rows(k, select(Bundle("b", Node.id, Node.label)))],
        columns=lambda k: rows(k, select(Node.id, Node.secret)),
        table_columns=lambda k: rows(k, select(nodes.c.id, nodes.c.secret)),
        table=lambda k: rows(k, select(nodes)),
        alias=lambda k: objects(k, select(other)),
        flat_alias=lambda k: objects(k, select(aliased(Node, flat=True))),
        alias_of_alias=lambda k: rows(k, select(nodes.alias("a").alias("b"))),
        lambda_statement=lambda k: objects(
            k, lambda_stmt(lambda: select(Node)).add_criteria(lambda s: s.where(Node.id > 3))
        ),
        for_update=lambda k: objects(k, select(Node).with_for_update()),
        from_statement=lambda k: objects(k, select(Node).from_statement(select(nodes))),
        from_statement_of_columns=lambda k: objects(
            k, select(Node).from_statement(select(nodes).where(nodes.c.id == 101))
        ),
        label_order=lambda k: rows(k, select(Node.level.label("x")).order_by("x")),
        bound=lambda k: k.session.execute(
            select(Node.id).where(Node.id > bindparam("x")), {"x": 3}
        ).all(),
        parent_table=lambda k: objects(k, select(Asset)),
        child_table=lambda k: objects(k, select(Pump)),
        child_columns=lambda k: rows(k, select(Pump.power)),
        child_core=lambda k: rows(k, select(Pump.__table__)),
        polymorphic=lambda k: objects(k, select(with_polymorphic(Asset, [Pump]))),
        polymorphic_flat=lambda k: objects(k, select(with_polymorphic(Asset, "*", flat=True))),
        selectin_polymorphic=lambda k: objects(
            k, select(Asset).options(selectin_polymorphic(Asset, [Pump]))
        ),
        join_table_alone=lambda k: rows(k, select(NodeTag.tag_id)),
        root=lambda k: objects(k, select(Distributor)),
        column_property=lambda k: rows(k, select(Distributor.id, Distributor.nodes_count)),
    ),
    *attacks(
        "query",
        all=lambda k: k.session.query(Node).all(),
        get=lambda k: k.session.query(Node).filter(Node.id == 101).one_or_none(),
        count=lambda k: k.session.query(Node).count(),
        first=lambda k: k.session.query(Node).order_by(Node.id.desc()).first(),
        with_entities=lambda k: k.session.query(Node).with_entities(Node.secret).all(),
        values=lambda k: k.session.query(Node.id, Node.label).all(),
        exists=lambda k: k.session.query(
            k.session.query(Node).filter(Node.id == 101).exists()
        ).scalar(),
        from_subquery=lambda k: k.session.query(k.session.query(Node).subquery()).all(),
        union=lambda k: k.session.query(Node.id).union(k.session.query(Reading.id)).all(),
        enable_eagerloads=lambda k: k.session.query(Node).enable_eagerloads(False).all(),
        populate_existing=lambda k: k.session.query(Node).populate_existing().all(),
        delete_count=lambda k: k.session.query(Node).filter(Node.level < 0).count(),
    ),
    *attacks(
        "aggregate",
        count=lambda k: rows(k, select(func.count()).select_from(Node)),
        count_column=lambda k: rows(k, select(func.count(Node.id))),
        count_distinct=lambda k: rows(k, select(func.count(Node.distributor_id.distinct()))),
        maximum=lambda k: rows(k, select(func.max(Node.level))),
        total=lambda k: rows(k, select(func.sum(Reading.value))),
        grouped=lambda k: rows(
            k, select(Node.distributor_id, func.count()).group_by(Node.distributor_id)
        ),
        having=lambda k: rows(
            k,
            select(Node.distributor_id)
            .group_by(Node.distributor_id)
            .having(func.max(Node.level) > 100),
        ),
        filtered=lambda k: rows(k, select(func.count().filter(Node.level > 100)).select_from(Node)),
        window_rank=lambda k: rows(k, select(Node.id, func.rank().over(order_by=Node.level))),
        window_lag=lambda k: rows(k, select(Node.id, func.lag(Node.secret).over(order_by=Node.id))),
        window_share=lambda k: rows(
            k, select(Node.id, func.count().over(partition_by=Node.distributor_id))
        ),
        case=lambda k: rows(k, select(func.sum(case((Node.level > 100, 1), else_=0)))),
        cast=lambda k: rows(k, select(func.max(cast(Node.level, Integer) + 0))),
        existence=lambda k: rows(k, select(exists().where(Node.id == 101))),
        none_left=lambda k: rows(k, select(not_(exists().where(Node.level > 100)))),
    ),
    *attacks(
        "aggregate",
        *PG,
        array=lambda k: rows(k, select(func.array_agg(Node.label))),
        percentile=lambda k: rows(k, select(func.percentile_cont(0.5).within_group(Node.level))),
        boolean=lambda k: rows(k, select(func.bool_or(Node.level > 100))),
    ),
    *attacks(
        "nested",
        subquery=lambda k: rows(k, select(select(Node.id, Node.label).subquery())),
        subquery_entity=lambda k: objects(k, select(aliased(Node, select(nodes).subquery()))),
        cte=lambda k: rows(k, select(select(Node.id, Node.secret).cte("c"))),
        cte_twice=lambda k: rows(k, _twice(select(Node.id).cte())),
        recursive=lambda k: rows(k, _tree()),
        scalar=lambda k: rows(
            k, select(literal(1), select(func.max(Node.level)).scalar_subquery())
        ),
        in_subquery=lambda k: objects(k, select(Node).where(Node.id.in_(select(Reading.node_id)))),
        oracle_by_in=lambda k: rows(
            k, select(Node.id).where(literal("a").in_(select(Node.secret)))
        ),
        oracle_by_exists=lambda k: rows(
            k, select(Node.id).where(exists().where(other.secret == "a"))
        ),
        oracle_by_exists_of_core=lambda k: rows(
            k, select(Node.id).where(select(readings).where(readings.c.value > 8000).exists())
        ),
        oracle_by_comparison=lambda k: rows(
            k, select(Node.id).where(Node.level < select(func.max(other.level)).scalar_subquery())
        ),
        oracle_by_order=lambda k: rows(
            k,
            select(Node.id).order_by(
                select(func.count(other.id)).where(other.level > 100).scalar_subquery() * Node.id
            ),
        ),
        oracle_by_limit=lambda k: rows(
            k,
            select(Node.id)
            .order_by(Node.id)
            .limit(
                select(func.count(other.id)).where(other.distributor_id != "d1").scalar_subquery()
            ),
        ),
        oracle_in_case=lambda k: rows(
            k, select(case((exists().where(other.id == 101), "yes"), else_="no")).select_from(Node)
        ),
        oracle_in_group_by=lambda k: rows(
            k,
            select(func.count())
            .select_from(Node)
            .group_by(Node.level > select(func.max(other.level) - 100).scalar_subquery()),
        ),
        any_of_all=lambda k: rows(
            k,
            select(Node.id).where(
                Node.id.not_in(select(other.parent_id).where(other.parent_id.is_not(None)))
            ),
        ),
        union=lambda k: rows(k, union(select(Node.id), select(Reading.id))),
        union_all=lambda k: rows(k, union_all(select(Node.label), select(Tag.name))),
        union_entity=lambda k: objects(
            k, select(Node).from_statement(union_all(select(Node), select(Node)))
        ),
        union_subquery=lambda k: rows(
            k,
            select(func.count()).select_from(
                union_all(select(Node.id), select(Node.id)).subquery()
            ),
        ),
        except_own=lambda k: rows(k, select(Node.id).except_(select(literal(1)))),
        intersect=lambda k: rows(k, intersect(select(Node.id), select(Reading.id))),
        core_subquery=lambda k: core(k, select(select(nodes).subquery())),
        core_cte=lambda k: core(k, select(select(nodes.c.id).cte())),
        core_union=lambda k: core(k, union(select(nodes.c.id), select(readings.c.id))),
        core_select=lambda k: core(k, select(nodes)),
        core_alias=lambda k: core(k, select(nodes.alias())),
        core_count=lambda k: core(k, select(func.count()).select_from(nodes)),
        core_exists=lambda k: core(k, select(exists(select(nodes.c.id).where(nodes.c.id == 101)))),
    ),
    *attacks(
        "nested",
        *PG,
        values_joined=lambda k: rows(k, _with_values()),
        lateral=lambda k: rows(k, _lateral()),
        lateral_core=lambda k: core(k, select(select(nodes.c.id).lateral())),
        unnest=lambda k: rows(
            k, select(func.unnest(select(func.array_agg(Node.label)).scalar_subquery()))
        ),
    ),
    *attacks(
        "join",
        inner=lambda k: rows(k, select(Node.id, Reading.value).join(Reading)),
        outer=lambda k: rows(k, select(Node.id, Reading.value).outerjoin(Reading)),
        full=lambda k: rows(k, select(Node.id, Reading.value).join(Reading, full=True)),
        on_true=lambda k: rows(k, select(Node.id, Reading.value).join(Reading, true())),
        cartesian=lambda k: rows(k, select(func.count()).select_from(Node, Reading).where(true())),
        self_join=lambda k: rows(k, select(Node.id, other.id).join(other, true())),
        self_relationship=lambda k: rows(
            k, select(Node.id, other.label).join(Node.parent.of_type(other))
        ),
        outer_self=lambda k: rows(
            k, select(Node.id, other.label).outerjoin(other, Node.parent_id == other.id)
        ),
        core=lambda k: core(k, select(readings.c.value).select_from(nodes.join(readings))),
        core_aliases=lambda k: core(k, _core_aliases()),
        from_child=lambda k: rows(k, select(Reading.value, Node.label).join(Node)),
        many_to_many=lambda k: rows(k, select(Tag.name).join(Tag.nodes)),
        many_to_many_of_own=lambda k: rows(k, select(Tag.name).join(Node.tags).where(Node.id == 1)),
        association=lambda k: rows(
            k,
            select(NodeTag.tag_id, Tag.name)
            .join(Tag, Tag.id == NodeTag.tag_id)
            .where(NodeTag.node_id == 1),
        ),
        inherited=lambda k: rows(
            k, select(Asset.price, Pump.power).join(Pump, Pump.id == Asset.id)
        ),
        condition_on_joined=lambda k: rows(
            k,
            select(Node.id)
            .join(Reading, and_(Reading.node_id == Node.id, Reading.value > 8000), isouter=True)
            .where(Reading.id.is_not(None)),
        ),
        anti=lambda k: rows(
            k,
            select(Reading.id)
            .outerjoin(Node, and_(Node.id == Reading.node_id, Node.distributor_id == "d1"))
            .where(Node.id.is_(None)),
        ),
    ),
    *attacks(
        "relationship",
        has=lambda k: objects(k, select(Node).where(Node.parent.has(Node.level > 100))),
        any=lambda k: objects(k, select(Tag).where(Tag.nodes.any(Node.level > 100))),
        readings_any=lambda k: objects(
            k, select(Node).where(Node.readings.any(Reading.value > 8000))
        ),
        lazy_many_to_one=lambda k: k.session.get(Node, 3).parent,
        lazy_many_to_many=lambda k: k.session.get(Node, 1).tags,
        joined=lambda k: [
            n.__dict__.get("parent")
            for n in objects(k, select(Node).options(joinedload(Node.parent)))
        ],
        selectin=lambda k: [
            n.__dict__.get("parent")
            for n in objects(k, select(Node).options(selectinload(Node.parent)))
        ],
        subquery=lambda k: [
            n.__dict__.get("tags")
            for n in objects(k, select(Node).options(subqueryload(Node.tags)))
        ],
        tags_joined=lambda k: [
            n.__dict__.get("tags") for n in objects(k, select(Node).options(joinedload(Node.tags)))
        ],
        tags_selectin=lambda k: [
            n.__dict__.get("tags")
            for n in objects(k, select(Node).options(selectinload(Node.tags)))
        ],
        contains_eager=lambda k: [n.__dict__.get("parent") for n in objects(k, _eager())],
        expression=lambda k: [
            n.extra
            for n in objects(
                k,
                select(Node).options(
                    with_expression(Node.extra, select(func.max(other.level)).scalar_subquery())
                ),
            )
        ],
        undeferred=lambda k: [
            n.secret for n in objects(k, select(Node).options(undefer(Node.secret)))
        ],
        refreshed=_refreshed,
    ),
]
