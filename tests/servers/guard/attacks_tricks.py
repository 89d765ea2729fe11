"""Reading what belongs to others by going round the forms."""

from __future__ import annotations

import pickle

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
    type_coerce,
)
from sqlalchemy.orm import Session, aliased, make_transient, make_transient_to_detached, undefer
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import UserDefinedType
from tests.servers.guard.attacks import LITE, PG, attacks
from tests.servers.guard.attacks_reading import core, nodes, objects, rows
from tests.servers.guard.world import Forgotten, Node, Reading

SELECT = "SELECT id, label, secret FROM nodes ORDER BY id"


WORDS = "SELECT to_tsvector('simple', label) FROM nodes"


class Raw(UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **kw):
        return "INTEGER) + (SELECT max(level) FROM nodes"


def _driver(engine, statement):
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).all()


def _ghost(k):
    ghost = Node(id=101)
    make_transient_to_detached(ghost)
    k.session.add(ghost)
    return ghost


def _refreshed(k):
    ghost = _ghost(k)
    k.session.refresh(ghost)
    return ghost


def _merged_unread(k):
    ghost = Node(id=101)
    make_transient_to_detached(ghost)
    return k.session.merge(ghost, load=False).label


def _stranger(k):
    with Session(k.plain, expire_on_commit=False) as other:
        found = other.scalars(
            select(Node).order_by(Node.id.desc()).options(undefer(Node.secret))
        ).first()
    k.session.add(found)
    k.session.flush()
    return found


def _pickled(k):
    with Session(k.plain) as other:
        data = pickle.dumps(other.scalars(select(Node).order_by(Node.id.desc())).first())
    found = pickle.loads(data)
    k.session.add(found)
    return found.secret


def _transient(k):
    ghost = _ghost(k)
    label = ghost.label
    make_transient(ghost)
    return label


def _session_on(bind):
    with Session(bind) as session:
        return session.scalars(select(Node)).all()


def _connected(k, statement):
    return _connected_to(k.engine, statement)


def _connected_to(engine, statement):
    with engine.connect() as connection:
        return connection.execute(statement).all()


def _begun(k, statement):
    with k.engine.begin() as connection:
        return connection.execute(statement).all()


def _foreign_cache(k):
    cache = {}
    with k.plain.connect().execution_options(compiled_cache=cache) as connection:
        connection.execute(select(nodes)).all()
    with k.engine.connect().execution_options(compiled_cache=cache) as connection:
        return connection.execute(select(nodes)).all()


def _raw(k):
    raw = k.engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute(SELECT)
        return cursor.fetchall()
    finally:
        raw.close()


def _exchanged(k):
    k.session.bind = k.plain
    return k.session.execute(select(nodes)).all()


def _several(k):
    k.session.bind_mapper(Node, k.plain)
    return k.session.execute(select(Node.id, Node.label)).all()


TRICKS = [
    *attacks(
        "text",
        statement=lambda k: rows(k, text(SELECT)),
        core_statement=lambda k: core(k, text(SELECT)),
        with_columns=lambda k: rows(k, text(SELECT).columns(nodes.c.id, nodes.c.label)),
        as_subquery=lambda k: rows(k, select(text(SELECT).columns(nodes.c.id).subquery())),
        as_cte=lambda k: rows(k, select(text(SELECT).columns(nodes.c.id).cte())),
        from_statement=lambda k: objects(
            k, select(Node).from_statement(text("SELECT * FROM nodes"))
        ),
        in_where=lambda k: objects(k, select(Node).where(text("1=1 or 1=1"))),
        in_where_with_filter=lambda k: objects(
            k, select(Node).where(Node.distributor_id == "d1", text("1=1 or 1=1"))
        ),
        in_columns=lambda k: rows(k, select(text("(SELECT max(level) FROM nodes)"))),
        in_order_by=lambda k: rows(
            k, select(Node.id).order_by(text("(SELECT max(level) FROM nodes) * id"))
        ),
        in_group_by=lambda k: rows(
            k,
            select(func.count())
            .select_from(Node)
            .group_by(text("level > (SELECT max(level) - 100 FROM nodes)")),
        ),
        in_having=lambda k: rows(
            k,
            select(Node.level)
            .group_by(Node.level)
            .having(text("(SELECT count(*) FROM nodes) > 4")),
        ),
        in_from=lambda k: rows(k, select(text("id, label")).select_from(text("nodes"))),
        in_join=lambda k: rows(
            k, select(text("x.id")).select_from(text("nodes AS x JOIN nodes AS y ON x.id <> y.id"))
        ),
        driver=lambda k: _driver(k.engine, SELECT),
        driver_of_session=lambda k: k.session.connection().exec_driver_sql(SELECT).all(),
        scalar=lambda k: k.session.scalar(text("SELECT max(level) FROM nodes")),
        by_a_statement_that_was_printed=lambda k: rows(k, text(str(select(nodes)))),
    ),
    *attacks(
        "literal",
        column=lambda k: rows(k, select(literal_column("(SELECT max(level) FROM nodes)"))),
        column_in_where=lambda k: objects(k, select(Node).where(literal_column("1=1 or 1=1"))),
        column_in_order=lambda k: rows(
            k, select(Node.id).order_by(literal_column("(SELECT max(level) FROM nodes) * id"))
        ),
        is_literal=lambda k: rows(
            k, select(column("(SELECT max(level) FROM nodes)", is_literal=True))
        ),
        operator=lambda k: objects(k, select(Node).where(Node.id.op("= 1 OR 1 =")(1))),
        boolean_operator=lambda k: objects(k, select(Node).where(Node.id.bool_op("= 1 OR 1 =")(1))),
        column_name=lambda k: rows(
            k, select(column(quoted_name("(SELECT max(level) FROM nodes)", quote=False)))
        ),
        table_name=lambda k: rows(
            k, select(column("id")).select_from(table(quoted_name("nodes", quote=False)))
        ),
        type_length=lambda k: rows(
            k,
            select(
                cast("1", String("5)) || (SELECT max(level) FROM nodes) || cast('1' AS VARCHAR(5"))
            ),
        ),
        cast_type=lambda k: rows(k, select(cast(1, Raw()))),
        prefix=lambda k: rows(k, select(Node.id).prefix_with("(SELECT max(level) FROM nodes),")),
        prefix_text=lambda k: rows(
            k, select(Node.id).prefix_with(text("(SELECT max(level) FROM nodes),"))
        ),
        suffix=lambda k: rows(k, select(Node.id).suffix_with("UNION ALL SELECT level FROM nodes")),
        statement_hint=lambda k: rows(
            k, select(Node.id).with_statement_hint("UNION ALL SELECT level FROM nodes")
        ),
    ),
    *attacks(
        "table",
        lightweight=lambda k: rows(k, select(table("nodes", column("id"), column("label")))),
        other_metadata=lambda k: rows(
            k, select(Table("nodes", MetaData(), Column("id", Integer), Column("label", String)))
        ),
        copied=lambda k: rows(k, select(nodes.to_metadata(MetaData()))),
        reflected=lambda k: rows(k, select(Table("nodes", MetaData(), autoload_with=k.plain))),
        without_a_rule=lambda k: rows(k, select(Forgotten.value)),
        without_a_rule_core=lambda k: core(k, select(Forgotten.__table__)),
        without_a_rule_joined=lambda k: rows(
            k, select(Forgotten.value, Node.id).join(Node, Node.id == Forgotten.id)
        ),
        without_a_rule_nested=lambda k: rows(
            k, select(Node.id).where(Node.id.in_(select(Forgotten.id)))
        ),
    ),
    *attacks(
        "table",
        *LITE,
        of_the_schema=lambda k: rows(
            k,
            select(
                func.count(column("name")), select(func.max(Node.level)).scalar_subquery()
            ).select_from(table("sqlite_master")),
        ),
        values_of_json=lambda k: rows(
            k,
            select(
                func.json_each(
                    select(func.json_group_array(Node.secret)).scalar_subquery()
                ).table_valued("value")
            ),
        ),
        other_case=lambda k: rows(k, select(table("NODES", column("id")))),
        hint=lambda k: rows(k, select(nodes.c.id).with_hint(nodes, "AS nodes, nodes AS x")),
        attached=lambda k: rows(k, text("SELECT * FROM main.nodes")),
    ),
    *attacks(
        "function",
        *PG,
        that_runs_sql=lambda k: rows(k, select(func.ts_stat(WORDS).table_valued("word").c.word)),
        of_the_catalogue=lambda k: rows(
            k, select(func.pg_catalog.ts_stat(WORDS).table_valued("word").c.word)
        ),
        that_runs_sql_in_where=lambda k: rows(
            k,
            select(Node.id).where(
                select(func.ts_stat(WORDS).table_valued("word"))
                .where(column("word") == "zero")
                .exists()
            ),
        ),
        tablesample=lambda k: rows(k, select(func.count()).select_from(nodes.tablesample(100))),
        tablesample_alias=lambda k: rows(k, select(aliased(Node, nodes.tablesample(100)).id)),
    ),
    *attacks(
        "object",
        ghost=lambda k: _ghost(k).label,
        ghost_by_refresh=_refreshed,
        ghost_deferred=lambda k: _ghost(k).secret,
        ghost_relationship=lambda k: _ghost(k).readings,
        merged=lambda k: k.session.merge(Node(id=101)).label,
        merged_unread=_merged_unread,
        of_another_session=lambda k: _stranger(k).secret,
        pickled=_pickled,
        made_transient=_transient,
    ),
    *attacks(
        "binding",
        connection_of_engine=lambda k: _connected(k, select(nodes)),
        begin_of_engine=lambda k: _begun(k, select(nodes)),
        plain_session_on_engine=lambda k: _session_on(k.engine),
        session_connection=lambda k: k.session.connection().execute(select(nodes)).all(),
        session_bind=lambda k: _session_on(k.session.get_bind()),
        engine_options=lambda k: _connected_to(
            k.engine.execution_options(stream_results=True), select(nodes)
        ),
        schema_map=lambda k: k.session.execute(
            select(nodes),
            execution_options={
                "schema_translate_map": {None: "main" if k.dialect == "sqlite" else "public"}
            },
        ).all(),
        connection_schema_map=lambda k: (
            k.session.connection(
                execution_options={
                    "schema_translate_map": {None: "main" if k.dialect == "sqlite" else "public"}
                }
            )
            .execute(select(nodes))
            .all()
        ),
        compiled_cache=_foreign_cache,
        driver_connection=_raw,
        exchanged_bind=_exchanged,
        bind_argument=lambda k: k.session.execute(
            select(nodes), bind_arguments={"bind": k.plain}
        ).all(),
        bind_of_connection=lambda k: (
            k.session.connection(bind_arguments={"bind": k.plain}).execute(select(nodes)).all()
        ),
        several_binds=_several,
        by_coercion=lambda k: rows(k, select(type_coerce(func.max(Node.level), Integer))),
        or_scope=lambda k: objects(
            k, select(Node).where(or_(Node.distributor_id == "d1", Node.distributor_id != "d1"))
        ),
        by_reading=lambda k: objects(k, select(Reading).where(Reading.value > 8000)),
    ),
]
