"""NOT PART OF THE LIBRARY. Entities over the same tables that ours uses."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, relationship

from evara_core.storage import tables


class Base(DeclarativeBase):
    metadata = tables.metadata


class User(Base):
    __table__ = tables.users


class State(Base):
    __table__ = tables.node_operational_state


class Mapping(Base):
    __table__ = tables.thingspeak_mappings


class Node(Base):
    __table__ = tables.nodes
    state = relationship(State, uselist=False, lazy="raise", viewonly=True)
    mapping = relationship(Mapping, uselist=False, lazy="raise", viewonly=True)


class Alert(Base):
    __table__ = tables.alert_history
    node = relationship(Node, uselist=False, lazy="raise", viewonly=True)


class Rule(Base):
    __table__ = tables.alert_rules


class ReadingRow(Base):
    __table__ = tables.readings
